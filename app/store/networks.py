"""What worked between which networks. In memory; :class:`app.store.store.Store` writes through what changes."""

from collections.abc import Callable, Iterable

import msgspec

from app.model.network_history import TAG_BYTES, NetworkOutcome, NetworkPair, is_forgotten, pair_key, updated
from app.store.collection import Collection
from app.store.database import Row

# A person with a laptop comes to a few networks a week, and calls a few people from each.
MAX_PAIRS = 500


class Networks(Collection[NetworkPair]):
    """Pairs of networks, by the tags of both (:func:`app.model.network_history.tag`); the oldest are forgotten."""

    TABLE, KEY = "networks", "pair"
    QUERY = "SELECT pair, record FROM networks"

    def __init__(self, changed: Callable[[Iterable[str]], None], clock: Callable[[], float]) -> None:
        super().__init__(changed, clock)
        # Of the file, what memory has not taken over: deleted with the next change.
        self._forgotten: set[str] = set()

    def get(self, ours: bytes, theirs: bytes) -> NetworkPair | None:
        """What is known of a pair."""
        return self._items.get(pair_key(ours, theirs))

    def newest_first(self) -> tuple[NetworkPair, ...]:
        """All of them."""
        return tuple(sorted(self._items.values(), key=lambda pair: -pair.at))

    def add(self, ours: bytes, theirs: bytes, call: NetworkOutcome) -> None:
        """Remember one more call between these; what is too old or too much is forgotten."""
        pair = updated(self.get(ours, theirs) or NetworkPair(ours, theirs), call)
        self._items[pair.key] = pair
        self.forget_old()
        self._note_changed([pair.key])

    def forget_old(self) -> None:
        """Forget what is too old or too much, in the file as well."""
        self._drop()
        if self._forgotten:
            self._note_changed([])

    def erase(self) -> None:
        """Forget all."""
        self._forgotten.update(self._items)
        self._items.clear()
        self._note_changed([])

    def load(self, rows: Iterable[Row], newer: set[str]) -> int:
        """As of every collection; what is too old or too much is forgotten."""
        broken = super().load(rows, newer)
        self._drop()
        return broken

    def _read(self, row: Row) -> tuple[str, NetworkPair]:
        key, record = row
        if not isinstance(record, bytes):
            raise TypeError("not a record")
        pair = msgspec.json.decode(record, type=NetworkPair)
        if pair.key != key or {len(pair.ours), len(pair.theirs)} != {TAG_BYTES}:
            raise TypeError("not the record of this pair")
        return pair.key, pair

    def _write(self, item: NetworkPair) -> Row:
        return (msgspec.json.encode(item),)

    def _drop(self) -> None:
        now = self._clock()
        newest = self.newest_first()
        gone = [pair.key for pair in newest[:MAX_PAIRS] if is_forgotten(pair, now)]
        gone += [pair.key for pair in newest[MAX_PAIRS:]]
        for key in gone:
            del self._items[key]
        self._forgotten.update(gone)

    def _note_changed(self, keys: Iterable[str]) -> None:
        gone, self._forgotten = self._forgotten, set()
        self._changed([*keys, *gone])
