"""What can be wrong with the database: a type that says what to do about it, and a code of the cause."""

import sqlite3

from app.system.errors import AppError


class StoreError(AppError):
    """The database could not be read or written. What is in memory stays, and is written as soon as it can be."""

    def __init__(self, cause: str) -> None:
        super().__init__("store", cause=cause)
        self.cause = cause


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
    sqlite3.SQLITE_FULL: (StoreFull, "disk-full"),
    # The shared index beside the log cannot grow; for ordinary writes SQLite tells a full disk by itself.
    sqlite3.SQLITE_IOERR_SHMSIZE: (StoreFull, "disk-full"),
    sqlite3.SQLITE_READONLY: (StoreReadOnly, "not-permitted"),
    sqlite3.SQLITE_CANTOPEN: (StoreReadOnly, "not-permitted"),
    sqlite3.SQLITE_PERM: (StoreReadOnly, "not-permitted"),
    sqlite3.SQLITE_AUTH: (StoreReadOnly, "not-permitted"),
    sqlite3.SQLITE_BUSY: (StoreBusy, "in-use"),
    sqlite3.SQLITE_LOCKED: (StoreBusy, "in-use"),
    sqlite3.SQLITE_CORRUPT: (StoreDamaged, "damaged"),
    sqlite3.SQLITE_NOTADB: (StoreDamaged, "not-a-database"),
    sqlite3.SQLITE_ERROR: (StoreDamaged, "wrong-tables"),
    sqlite3.SQLITE_MISMATCH: (StoreDamaged, "wrong-tables"),
    sqlite3.SQLITE_CONSTRAINT: (StoreDamaged, "wrong-tables"),
    sqlite3.SQLITE_SCHEMA: (StoreDamaged, "wrong-tables"),
}


def typed(error: sqlite3.Error | UnicodeDecodeError) -> StoreError:
    """The same error with a type that says what to do about it."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        # Raised by the Python module itself: text in a row that is not UTF-8, for one.
        return StoreDamaged("damaged")
    other = (StoreError, "disk-error")
    kind, cause = _KINDS.get(code) or _KINDS.get(code & _PRIMARY_CODE_MASK, other)
    return kind(cause)
