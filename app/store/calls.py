"""The recent calls, newest first. In memory; :class:`app.store.store.Store` writes through what changes."""

from collections.abc import Callable, Iterable

import msgspec

from app.model.history import RecentCall
from app.model.sanitize import one_line
from app.store.collection import Collection
from app.store.database import Row
from transport.wire.addresses import parse_person
from transport.wire.errors import WireError

# Years of calls for most people, and a hundredth of a second to write anew.
MAX_CALLS = 1_000
_MAX_TEXT_CHARS = 400
_PER_S = 1_000_000
# Of an incoming call nobody talked in, and what each is counted with: a ring that fails is as cheap as one that ends.
_NOT_TAKEN = {"missed": ("missed", "failed"), "failed": ("missed", "failed"), "declined": ("declined",)}


class Calls(Collection[RecentCall]):
    """The history. Each call has a number made from its time, so that numbers never meet those of another run."""

    TABLE, KEY = "calls", "number"
    QUERY = "SELECT number, call FROM calls"

    def __init__(self, changed: Callable[[Iterable[str]], None], clock: Callable[[], float]) -> None:
        super().__init__(changed, clock)
        # Asked for with every picture of the state, many times a second in a call; made anew after a change.
        self._last_times: dict[str, float] | None = None

    def recent(self) -> tuple[RecentCall, ...]:
        """Newest first, at most :data:`MAX_CALLS`."""
        return tuple(self._items[number] for number in sorted(self._items, key=int, reverse=True))

    def last_times(self) -> dict[str, float]:
        """When the last call with each address was (Unix seconds), by address without pin."""
        if self._last_times is None:
            times: dict[str, float] = {}
            for call in self._items.values():
                if not call.vouched:
                    continue
                key = _short(call.address)
                times[key] = max(times.get(key, call.at), call.at)
            self._last_times = times
        return dict(self._last_times)

    def add(self, call: RecentCall) -> None:
        """Remember one more call; the oldest is forgotten when there are too many. Calls of one key that nobody took
        are one line, as of the newest: whoever rings thirty times does not push out the others."""
        number = str(max(int(self._clock() * _PER_S), max(map(int, self._items), default=0) + 1))
        folded = self._folded(call)
        count = call.count + (self._items.pop(folded).count if folded is not None else 0)
        self._items[number] = msgspec.structs.replace(
            call,
            count=count,
            call_id=one_line(call.call_id, _MAX_TEXT_CHARS),
            address=one_line(call.address, _MAX_TEXT_CHARS),
        )
        self._last_times = None
        self._changed([number, *([folded] if folded is not None else []), *self._forget_oldest()])

    def erase(self) -> None:
        """Forget all calls."""
        numbers = self.all_keys()
        self._items.clear()
        self._last_times = None
        self._changed(numbers)

    def _folded(self, call: RecentCall) -> str | None:
        """The line that ``call`` is one with: the newest of the same key, if nobody took that one either."""
        if not call.key or call.outgoing or call.outcome not in _NOT_TAKEN:
            return None
        number = max((number for number, one in self._items.items() if one.key == call.key), key=int, default=None)
        if number is None or self._items[number].outgoing:
            return None
        return number if self._items[number].outcome in _NOT_TAKEN[call.outcome] else None

    def _forget_oldest(self) -> list[str]:
        forgotten = sorted(self._items, key=int)[: max(0, len(self._items) - MAX_CALLS)]
        for number in forgotten:
            del self._items[number]
        return forgotten

    def load(self, rows: Iterable[Row], newer: set[str]) -> int:
        """As of every collection; the oldest are forgotten when there are too many."""
        broken = super().load(rows, newer)
        self._forget_oldest()
        self._last_times = None
        return broken

    def _read(self, row: Row) -> tuple[str, RecentCall]:
        number, document = row
        if not (isinstance(number, int) and isinstance(document, bytes)):
            raise TypeError("not a call")
        return str(number), msgspec.json.decode(document, type=RecentCall)

    def _write(self, item: RecentCall) -> Row:
        return (msgspec.json.encode(item),)

    def _column(self, key: str) -> object:
        return int(key)


def _short(address: str) -> str:
    try:
        return parse_person(address).short
    except WireError:
        return address
