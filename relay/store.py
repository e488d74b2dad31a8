"""Names on disk: SQLite in WAL mode, every acknowledged write flushed to the medium (``synchronous=FULL``).

:class:`NameStore` is the file; :class:`StoreThread` keeps it off the event loop. Writes that wait are committed
together, so one flush serves many, and each is acknowledged only after the commit that holds it.
"""

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from relay.errors import RelayError
from relay.events import NameStored, StoreName
from relay.registry import Entry
from transport.io.private_files import make_private_database
from transport.wire.addresses import is_name

DATABASE_FILE = "names.sqlite3"
SCHEMA_VERSION = 1
# 4 GiB of 4 KiB pages: a million names with the longest certificates. Strangers cannot fill a larger disk than that.
MAX_PAGES = 1_048_576
# Registrations are rationed per address; a thousand in the queue means the disk has stopped.
MAX_WAITING_WRITES = 1_024
# Writes in one transaction: a flush takes milliseconds, a row microseconds.
MAX_BATCH = 256

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS names (
    name TEXT PRIMARY KEY NOT NULL,
    key BLOB NOT NULL CHECK (length(key) = 32),
    certificate BLOB NOT NULL
) WITHOUT ROWID
"""
_PUT = """
INSERT INTO names (name, key, certificate) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET certificate = excluded.certificate WHERE key = excluded.key
"""


class NameStore:
    """The database. Use it from one thread at a time. ``notice`` tells the operator if a damaged one was set aside."""

    def __init__(self, data_dir: Path, max_pages: int = MAX_PAGES) -> None:
        """Open or create. Raises :class:`RelayError` when the directory cannot be used at all."""
        self._max_pages = max_pages
        self._path = data_dir / DATABASE_FILE
        self.notice = ""
        try:
            try:
                self._database = self._open()
            except sqlite3.OperationalError as error:
                # Locked, read-only, no space: the content may be good, so it is not set aside.
                raise RelayError(f"the names in {self._path} cannot be opened: {error}") from error
            except sqlite3.DatabaseError as error:
                self.notice = self._set_aside(str(error))
                self._database = self._open()
        except (OSError, sqlite3.Error) as error:
            raise RelayError(f"the names in {self._path} cannot be opened: {error}") from error

    def load(self) -> list[tuple[str, Entry]]:
        """All names. What is no name by today's rule stays in the file and is nobody's."""
        rows = self._database.execute("SELECT name, key, certificate FROM names ORDER BY name")
        return [(name, Entry(key, certificate)) for name, key, certificate in rows if is_name(name)]

    def put(self, writes: Sequence[StoreName]) -> None:
        """Write all or none, durably. Raises :class:`sqlite3.Error`; then nothing was changed."""
        with self._database:
            self._database.executemany(_PUT, [(write.name, write.key, write.certificate) for write in writes])

    def close(self) -> None:
        """Give the file back."""
        self._database.close()

    def _open(self) -> sqlite3.Connection:
        make_private_database(self._path)
        # One thread at a time uses it, but not always the same one: it is opened by the one that starts the relay.
        database = sqlite3.connect(self._path, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            database.execute(f"PRAGMA max_page_count={self._max_pages:d}")
            with closing(database.execute("PRAGMA quick_check(1)")) as check:
                [verdict] = check.fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            with closing(database.execute("PRAGMA user_version")) as version_row:
                [version] = version_row.fetchone()
            if version > SCHEMA_VERSION:
                raise RelayError(f"{self._path} was made by a newer version of Segue")
            with database:
                database.execute(_SCHEMA)
                database.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            # A table of another shape fails here and not at the first registration.
            database.execute("SELECT name, key, certificate FROM names LIMIT 1").fetchone()
        except BaseException:
            database.close()
            raise
        return database

    def _set_aside(self, problem: str) -> str:
        number = 1
        while (aside := self._path.with_name(f"{DATABASE_FILE}.damaged-{number}")).exists():
            number += 1
        for suffix in ("", "-wal", "-shm"):
            part = self._path.with_name(self._path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        return f"the names in {self._path} were damaged ({problem}); they are kept as {aside.name} and it starts empty"


class StoreThread:
    """Writes names in a thread of its own; ``report`` is called in that thread with each acknowledgement."""

    def __init__(self, store: NameStore, report: Callable[[NameStored], None]) -> None:
        self._store = store
        self._report = report
        self._waiting: queue.Queue[StoreName | None] = queue.Queue(MAX_WAITING_WRITES)
        self._thread = threading.Thread(target=self._run, name="relay-store")
        self._thread.start()

    def put(self, write: StoreName) -> bool:
        """Queue one write; ``False`` when the queue is full, and then it will not be written."""
        try:
            self._waiting.put_nowait(write)
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """Write what waits, end the thread and close the database."""
        self._waiting.put(None)
        self._thread.join()
        self._store.close()

    def _run(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < MAX_BATCH and batch[-1] is not None:
                try:
                    batch.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            writes = [write for write in batch if write is not None]
            if writes:
                self._write(writes)
            if batch[-1] is None:
                return

    def _write(self, writes: list[StoreName]) -> None:
        problem = ""
        try:
            self._store.put(writes)
        except sqlite3.Error as error:
            problem = str(error) or type(error).__name__
            _log.error("%d names could not be written: %s", len(writes), problem)
        for write in writes:
            self._report(NameStored(write.ticket, problem))
