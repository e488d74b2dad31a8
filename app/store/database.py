"""The SQLite file: made whole or not at all, checked when opened, written in single transactions.

Write-ahead log and ``synchronous=NORMAL``: a killed process loses nothing that was committed; a power cut may lose
the last moments, never the file. One process and one thread use it (:class:`app.system.data_dir.HomeLock` sees to
the first).
"""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from app.store.errors import StoreDamaged, StoreError, StoreFull, StoreReadOnly, typed
from app.store.schema import APPLICATION_ID, MIGRATIONS, VERSION
from app.system import files
from app.system.errors import cause_of
from transport.io.private_files import close_to_others, database_files

Row = tuple[object, ...]
Statement = tuple[str, Row]

# A thousand calls and ten thousand people need 4 MiB; a database that grows beyond this has been filled by somebody.
MAX_BYTES = 64 * 2**20
_PAGE_BYTES = 4_096
# Whoever holds the lock for longer is not finishing soon, and the engine's thread shall not wait for them.
_BUSY_S = 0.1
# After a large write the log shrinks back to this.
_LOG_BYTES = 2**20
_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
# Python raises the second when SQLite's words about a damaged file quote its content.
_ERRORS = (sqlite3.Error, UnicodeDecodeError)
_COMPANIONS = ("-wal", "-shm", "-journal")


class Database:
    """An open database of the current version."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def rows(self, query: str) -> list[Row]:
        """All rows of a query. Raises :class:`app.store.errors.StoreError`."""
        try:
            return self._connection.execute(query).fetchall()
        except _ERRORS as error:
            raise typed(error) from error

    def write(self, statements: Iterable[Statement]) -> None:
        """Carry out all of the statements or none. Raises :class:`app.store.errors.StoreError`."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for sql, values in statements:
                self._connection.execute(sql, values)
            self._connection.execute("COMMIT")
        except _ERRORS as error:
            if self._connection.in_transaction:
                # On a full disk SQLite may have rolled back by itself, or be unable to; the log is ignored then.
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            raise typed(error) from error

    def close(self) -> None:
        """Fold the log into the file and close it; never raises."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()


def open_database(path: Path, max_bytes: int = MAX_BYTES) -> Database:
    """Open the database at ``path``, making or upgrading it. Raises :class:`app.store.errors.StoreError`.

    The file is made under another name and renamed, so that an empty file of this name is a damaged one, not a new.
    """
    try:
        if not os.path.lexists(path):
            # A log without its database belongs to one that somebody took away; it must not be applied to a new one.
            for companion in companions(path):
                companion.unlink(missing_ok=True)
            _make(path, max_bytes)
        close_to_others(path.parent, database_files(path.name))
        _check_header(path)
    except OSError as error:
        raise _typed_os(error) from error
    connection = _connect(str(path))
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        connection.execute(f"PRAGMA max_page_count = {max_bytes // _PAGE_BYTES}")
        _check_version(connection)
        _migrate(connection)
        _check_content(connection)
        connection.execute("PRAGMA journal_mode = WAL")
    except _ERRORS as error:
        connection.close()
        raise typed(error) from error
    except StoreError:
        connection.close()
        raise
    return Database(path, connection)


def open_for_reading(path: Path) -> Database:
    """Open a database that cannot be written, as it is. Raises :class:`app.store.errors.StoreError`.

    SQLite wants to write beside a database with a log even to read it. Where it cannot, or where nothing is beside it
    and nobody thus has it open, the file alone is read: it holds everything unless the last program was killed.
    """
    uri = path.absolute().as_uri() + "?mode=ro"
    try:
        _check_header(path)
    except OSError as error:
        raise _typed_os(error) from error
    if not any(companion.exists() for companion in companions(path)):
        return _checked_for_reading(path, uri + "&immutable=1")
    try:
        return _checked_for_reading(path, uri)
    except StoreDamaged:
        raise
    except StoreError:
        return _checked_for_reading(path, uri + "&immutable=1")


def _checked_for_reading(path: Path, uri: str) -> Database:
    connection = _connect(uri)
    try:
        _check_version(connection)
        _check_content(connection)
    except _ERRORS as error:
        connection.close()
        raise typed(error) from error
    except StoreError:
        connection.close()
        raise
    return Database(path, connection)


def set_aside(path: Path, unix_time: float) -> Path:
    """Put a damaged database, which nobody has open, under another name beside it. Raises :class:`OSError`."""
    target = files.set_aside(path, "damaged", unix_time)
    for companion in companions(path):
        with contextlib.suppress(FileNotFoundError):
            os.rename(companion, target.with_name(target.name + companion.name.removeprefix(path.name)))
    return target


def companions(path: Path) -> list[Path]:
    """The files that SQLite keeps beside ``path``, whether they exist or not."""
    return [path.with_name(path.name + suffix) for suffix in _COMPANIONS]


def _connect(name: str) -> sqlite3.Connection:
    try:
        return sqlite3.connect(name, timeout=_BUSY_S, isolation_level=None, uri=name.startswith("file:"))
    except sqlite3.Error as error:
        raise typed(error) from error


def _make(path: Path, max_bytes: int) -> None:
    """Raises :class:`OSError` and :class:`app.store.errors.StoreError`."""
    new = path.with_name(path.name + ".new")
    for leftover in (new, *companions(new)):
        leftover.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, files.OWNER_ONLY))
    connection = _connect(str(new))
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute(f"PRAGMA max_page_count = {max_bytes // _PAGE_BYTES}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        _migrate(connection)
    except sqlite3.Error as error:
        raise typed(error) from error
    finally:
        connection.close()
    os.replace(new, path)
    files.sync_folder(path.parent)


def _typed_os(error: OSError) -> StoreError:
    kind = StoreFull if error.errno == errno.ENOSPC else StoreReadOnly
    return kind(cause_of(error))


def _check_header(path: Path) -> None:
    """Look before SQLite does, which would clear away the log beside a file that it cannot read.

    Raises :class:`OSError` and :class:`StoreDamaged`. Offsets: sqlite.org/fileformat.html, section 1.3.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        size = os.fstat(file.fileno()).st_size
    if not header:
        raise StoreDamaged("empty")
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise StoreDamaged("not-a-database")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StoreDamaged("other-program")
    # SQLite reads zeros where a page is cut off, and may find nothing wrong. With a log beside it a file may be
    # shorter for good: the last program was killed while folding the log in, and the log has it all.
    log = path.with_name(path.name + "-wal")
    if not (log.exists() and log.stat().st_size) and size < int.from_bytes(header[28:32], "big") * _PAGE_BYTES:
        raise StoreDamaged("cut-off")


def _check_version(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise StoreDamaged("newer")


def _check_content(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise StoreDamaged("damaged")


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables from whatever version they have to the current one, each step whole or not at all."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
