"""What can be wrong with the database. The messages are the ends of sentences, fit to be shown."""

import sqlite3

from app.system.errors import AppError


class StoreError(AppError):
    """The database could not be read or written. What is in memory stays, and is written as soon as it can be."""


class StoreFull(StoreError):
    """The disk, or the room that Segue allows itself, is full."""


class StoreReadOnly(StoreError):
    """The system does not let Segue write there."""


class StoreBusy(StoreError):
    """Another program holds the database for writing."""


class StoreDamaged(StoreError):
    """The file is not a database of Segue that can be used."""


class ListFull(AppError):
    """The contact list holds as many people as it can; nothing was changed."""


_PRIMARY_CODE_MASK = 0xFF  # the higher bits of an SQLite error code tell finer kinds of the same error
_KINDS: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_FULL: (StoreFull, "the disk is full"),
    # The shared index beside the log cannot grow; for ordinary writes SQLite tells a full disk by itself.
    sqlite3.SQLITE_IOERR_SHMSIZE: (StoreFull, "the disk is full"),
    sqlite3.SQLITE_READONLY: (StoreReadOnly, "the system does not allow Segue to write there"),
    sqlite3.SQLITE_CANTOPEN: (StoreReadOnly, "the system does not allow Segue to open it"),
    sqlite3.SQLITE_PERM: (StoreReadOnly, "the system does not allow Segue to write there"),
    sqlite3.SQLITE_AUTH: (StoreReadOnly, "the system does not allow Segue to write there"),
    sqlite3.SQLITE_BUSY: (StoreBusy, "another program uses it"),
    sqlite3.SQLITE_LOCKED: (StoreBusy, "another program uses it"),
    sqlite3.SQLITE_CORRUPT: (StoreDamaged, "its content is damaged"),
    sqlite3.SQLITE_NOTADB: (StoreDamaged, "it is not a database"),
    sqlite3.SQLITE_ERROR: (StoreDamaged, "its tables are not those of Segue"),
    sqlite3.SQLITE_MISMATCH: (StoreDamaged, "its tables are not those of Segue"),
    sqlite3.SQLITE_CONSTRAINT: (StoreDamaged, "its tables are not those of Segue"),
    sqlite3.SQLITE_SCHEMA: (StoreDamaged, "its tables are not those of Segue"),
}


def typed(error: sqlite3.Error | UnicodeDecodeError) -> StoreError:
    """The same error with a type that says what to do about it."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        # Raised by the Python module itself: text in a row that is not UTF-8, for one.
        return StoreDamaged("its content is damaged")
    other = (StoreError, "the disk does not work as it should")
    kind, words = _KINDS.get(code) or _KINDS.get(code & _PRIMARY_CODE_MASK, other)
    return kind(words)
