"""The recent calls, newest first. In memory; :class:`app.store.store.Store` writes through what changes."""

from collections.abc import Callable, Iterable

import msgspec

from app.model.history import RecentCall
from app.model.sanitize import one_line
from app.store.database import Row, Statement
from transport.wire.addresses import parse_person
from transport.wire.errors import WireError

# Years of calls for most people, and a hundredth of a second to write anew.
MAX_CALLS = 1_000
_MAX_TEXT_CHARS = 400
_PER_S = 1_000_000


class Calls:
    """The history. Each call has a number made from its time, so that numbers never meet those of another run."""

    QUERY = "SELECT number, call FROM calls"

    __slots__ = ("_calls", "_changed", "_clock", "_last_times")

    def __init__(self, changed: Callable[[Iterable[str]], None], clock: Callable[[], float]) -> None:
        self._calls: dict[int, RecentCall] = {}
        self._changed = changed
        self._clock = clock
        # Asked for with every picture of the state, many times a second in a call; made anew after a change.
        self._last_times: dict[str, float] | None = None

    def recent(self) -> tuple[RecentCall, ...]:
        """Newest first, at most :data:`MAX_CALLS`."""
        return tuple(self._calls[number] for number in sorted(self._calls, reverse=True))

    def last_times(self) -> dict[str, float]:
        """When the last call with each address was (Unix seconds), by address without pin."""
        if self._last_times is None:
            times: dict[str, float] = {}
            for call in self._calls.values():
                key = _short(call.address)
                times[key] = max(times.get(key, call.at), call.at)
            self._last_times = times
        return dict(self._last_times)

    def add(self, call: RecentCall) -> None:
        """Remember one more call; the oldest is forgotten when there are too many."""
        number = max(int(self._clock() * _PER_S), max(self._calls, default=0) + 1)
        self._calls[number] = msgspec.structs.replace(
            call,
            call_id=one_line(call.call_id, _MAX_TEXT_CHARS),
            address=one_line(call.address, _MAX_TEXT_CHARS),
        )
        self._last_times = None
        self._changed([str(number), *self._forget_oldest()])

    def erase(self) -> None:
        """Forget all calls."""
        numbers = self.all_keys()
        self._calls.clear()
        self._last_times = None
        self._changed(numbers)

    def _forget_oldest(self) -> list[str]:
        forgotten = sorted(self._calls)[: max(0, len(self._calls) - MAX_CALLS)]
        for number in forgotten:
            del self._calls[number]
        return [str(number) for number in forgotten]

    def all_keys(self) -> list[str]:
        """The numbers, as text."""
        return [str(number) for number in self._calls]

    def load(self, rows: Iterable[Row], newer: set[str]) -> int:
        """Take over what is stored, except where memory is ``newer``. Returns how many rows made no sense."""
        senseless = 0
        for number, document in rows:
            if str(number) in newer:
                continue
            try:
                if not (isinstance(number, int) and isinstance(document, bytes)):
                    raise TypeError("not a call")
                self._calls[number] = msgspec.json.decode(document, type=RecentCall)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError):
                senseless += 1
        self._forget_oldest()
        self._last_times = None
        return senseless

    def statement(self, key: str) -> Statement:
        """What makes the stored row equal to what is in memory."""
        call = self._calls.get(int(key))
        if call is None:
            return "DELETE FROM calls WHERE number = ?", (int(key),)
        return "INSERT OR REPLACE INTO calls VALUES (?, ?)", (int(key), msgspec.json.encode(call))


def _short(address: str) -> str:
    try:
        return parse_person(address).short
    except WireError:
        return address
