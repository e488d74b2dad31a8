"""Names: who holds which, and which writes are under way. A name counts once it is on disk, not before."""

from collections.abc import Iterable
from dataclasses import dataclass

from relay.events import StoreName


@dataclass(frozen=True, slots=True)
class Entry:
    """What a name stands for: a raw Ed25519 key and a certificate (DER) that carries it."""

    key: bytes
    certificate: bytes


@dataclass(frozen=True, slots=True)
class PendingWrite:
    """A registration that the store has not acknowledged yet, and whom to tell."""

    name: str
    entry: Entry
    session: int
    request: int


class Registry:
    """The directory in memory, with the store behind it. Pure: writes are commands, acknowledged by events."""

    def __init__(self, entries: Iterable[tuple[str, Entry]] = ()) -> None:
        self._entries = dict(entries)
        self._pending: dict[int, PendingWrite] = {}
        # How many writes of a key are under way for a name, so that nobody else can claim it meanwhile.
        self._claimed: dict[str, tuple[bytes, int]] = {}
        self._next_ticket = 1

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str) -> Entry | None:
        """Who holds ``name``, on disk."""
        return self._entries.get(name)

    def is_free_for(self, name: str, key: bytes) -> bool:
        """Whether ``key`` may claim ``name``: nobody else holds it or is about to. First come, first served."""
        held = self._entries.get(name)
        claimed = self._claimed.get(name)
        return (held is None or held.key == key) and (claimed is None or claimed[0] == key)

    def claim(self, name: str, entry: Entry, session: int, request: int) -> StoreName:
        """Begin to write ``name`` down. The caller has asked :meth:`is_free_for` and checked the signature."""
        ticket = self._next_ticket
        self._next_ticket += 1
        self._pending[ticket] = PendingWrite(name, entry, session, request)
        self._claimed[name] = (entry.key, self._claimed.get(name, (entry.key, 0))[1] + 1)
        return StoreName(ticket, name, entry.key, entry.certificate)

    def settle(self, ticket: int, stored: bool) -> PendingWrite | None:
        """The store has answered: the write, or ``None`` when there is no such ticket."""
        write = self._pending.pop(ticket, None)
        if write is None:
            return None
        key, writes = self._claimed.pop(write.name)
        if writes > 1:
            self._claimed[write.name] = (key, writes - 1)
        if stored:
            self._entries[write.name] = write.entry
        return write
