"""Everything that is remembered from one start to the next: people, calls, relays, networks, settings, profile.

It is all held in memory and written through. When the disk does not take it (full, read-only, busy, damaged) nothing
is lost and nothing raises: :attr:`Store.trouble` tells the typed error, what could not be written is written with the
next change or :meth:`Store.retry`, and :meth:`Store.take_findings` has what the person should know.

One thread uses it, the engine's; every call takes microseconds to a few milliseconds.
"""

import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from app.store import database
from app.store.blocked_keys import BlockedKeys
from app.store.calls import Calls
from app.store.collection import Collection
from app.store.database import MAX_BYTES, Database, open_database, open_for_reading
from app.store.documents import Documents
from app.store.errors import StoreDamaged, StoreError, StoreReadOnly
from app.store.networks import Networks
from app.store.people import People
from app.store.relays import RelayCertificates
from app.system.errors import Finding, FindingKind

Key = tuple[str, str]


class Store:
    """The local data. ``trouble`` is what keeps it from being written just now, or ``None``."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time, max_bytes: int = MAX_BYTES) -> None:
        """Open the data at ``path``; never raises for what is, or is not, there. ``clock`` gives Unix seconds."""
        self._path = path
        self._clock = clock
        self._max_bytes = max_bytes
        self._database: Database | None = None
        # What memory has and the file has not; no larger than the memory itself.
        self._pending: set[Key] = set()
        self._findings: list[Finding] = []
        self.trouble: StoreError | None = None
        self.people = People(partial(self._changed, "people"), clock)
        self.blocked_keys = BlockedKeys(partial(self._changed, "blocked_keys"), clock)
        self.calls = Calls(partial(self._changed, "calls"), clock)
        self.relays = RelayCertificates(partial(self._changed, "relays"), clock)
        self.networks = Networks(partial(self._changed, "networks"), clock)
        self.documents = Documents(partial(self._changed, "documents"))
        self._collections: dict[str, Collection[Any] | Documents] = {
            "people": self.people,
            "blocked_keys": self.blocked_keys,
            "calls": self.calls,
            "relays": self.relays,
            "networks": self.networks,
            "documents": self.documents,
        }
        self._first_open()

    def take_findings(self) -> tuple[Finding, ...]:
        """What the person should know, since the last time this was called."""
        findings = tuple(self._findings)
        self._findings.clear()
        return findings

    def retry(self) -> None:
        """Try again to write what could not be written; cheap when there is nothing."""
        if self.trouble is not None:
            self._flush()

    def close(self) -> None:
        """Write what is left and close the file."""
        self.retry()
        if self._database is not None:
            self._database.close()
            self._database = None

    # -- opening ---------------------------------------------------------------------------------------------------

    def _first_open(self) -> None:
        try:
            self._open()
        except StoreDamaged as error:
            self._replace(error)
        except StoreError as error:
            self._set_trouble(error)
            self._read_only()

    def _open(self) -> None:
        opened = open_database(self._path, self._max_bytes)
        try:
            self._load(opened)
        except StoreError:
            opened.close()
            raise
        self._database = opened

    def _read_only(self) -> None:
        """At least show what is there."""
        try:
            opened = open_for_reading(self._path)
        except StoreError:
            return  # the trouble that led here is known
        try:
            self._load(opened)
        except StoreError:
            return
        finally:
            opened.close()

    def _load(self, opened: Database) -> None:
        rows = {name: opened.rows(collection.QUERY) for name, collection in self._collections.items()}
        broken = 0
        for name, collection in self._collections.items():
            newer = {key for kind, key in self._pending if kind == name}
            broken += collection.load(rows[name], newer)
        if broken:
            self._find("warning", "entries-unreadable", count=broken)
        if self.documents.bad_fields:
            self._find("warning", "settings-reset", names=", ".join(self.documents.bad_fields)[:200])

    def _replace(self, error: StoreDamaged) -> None:
        """Put the damaged file aside and write a new one with what is in memory."""
        if self._database is not None:
            self._database.close()
            self._database = None
        try:
            kept = database.set_aside(self._path, self._clock())
        except OSError:
            self._set_trouble(StoreReadOnly("cannot-set-aside"))
            return
        known = bool(self.people.all_keys() or self.calls.all_keys())
        what: tuple[FindingKind, str] = ("warning", "data-rewritten") if known else ("error", "data-replaced")
        self._find(*what, name=self._path.name, kept=str(kept), cause=error.cause)
        self._pending = {(name, key) for name, collection in self._collections.items() for key in collection.all_keys()}
        try:
            self._database = open_database(self._path, self._max_bytes)
            self._write(self._database)
        except StoreError as refusal:
            self._set_trouble(refusal)

    # -- writing ---------------------------------------------------------------------------------------------------

    def _changed(self, name: str, keys: Iterable[str]) -> None:
        self._pending.update((name, key) for key in keys)
        self._flush()

    def _flush(self) -> None:
        try:
            if self._database is None:
                self._open()
            if self._database is not None:
                self._write(self._database)
        except StoreDamaged as error:
            self._replace(error)
        except StoreError as error:
            self._set_trouble(error)

    def _write(self, opened: Database) -> None:
        opened.write(self._collections[name].statement(key) for name, key in sorted(self._pending))
        self._pending.clear()
        if self.trouble is not None:
            self.trouble = None
            self._find("info", "saved-again")

    def _set_trouble(self, error: StoreError) -> None:
        before = type(self.trouble)
        self.trouble = error
        if before is not type(error):
            self._find("warning", "not-saving", path=str(self._path), cause=error.cause)

    def _find(self, kind: FindingKind, code: str, **values: str | int) -> None:
        self._findings.append(Finding(kind, code, values))
