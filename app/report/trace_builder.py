"""Collects the trace of a call while it goes on; the session feeds it (pure)."""

from collections import deque
from collections.abc import Iterable
from typing import overload

import msgspec

from app.ipc.messages import CallSample
from app.model.terms import CallPhase, PathKind, PhaseName
from app.report.report import CallReport, NatReport, Via
from app.report.trace import (
    TRACE_VERSION,
    CallBecame,
    CallTrace,
    CandidateKind,
    CandidatesTold,
    Connection,
    Event,
    NatKnown,
    NetworkChanged,
    PathBecame,
    PathSecond,
    PhaseBecame,
    Second,
    Swapped,
    Whose,
)
from transport.path.stats import PathStats
from transport.traversal.technique import PhaseStatus

# How a call begins explains most of what comes after, and what came last is what somebody asks about.
FIRST_EVENTS = 300
LAST_EVENTS = 300
# A quarter of an hour second by second, an hour by every fourth, a day by every hundredth or so; under a megabyte.
MAX_SECONDS = 900
# The first minute, with the way to the direct path in it, stays whole.
DENSE_SECONDS = 60
# The one in use, the relay, and two that are looked at; dead ones are remembered for a while and tell nothing new.
MAX_PATHS = 4


class TraceBuilder:
    """``now`` is in seconds of any monotonic clock, as is ``started``, when the call was placed or received."""

    __slots__ = (
        "_call",
        "_carrier",
        "_events_dropped",
        "_first",
        "_last",
        "_next_second",
        "_phases",
        "_seconds",
        "_spacing_s",
        "_started",
    )

    def __init__(self, started: float) -> None:
        self._started = started
        self._first: list[Event] = []
        self._last: deque[Event] = deque(maxlen=LAST_EVENTS)
        self._events_dropped = 0
        self._seconds: list[Second] = []
        self._spacing_s = 1.0
        self._next_second = 0.0
        self._phases: dict[str, PhaseBecame] = {}
        self._call: CallPhase | None = None
        self._carrier: PathKind | None = None

    def call(self, phase: CallPhase, now: float) -> None:
        """The call is in another state."""
        if phase != self._call:
            self._call = phase
            self._add(CallBecame(self._since(now), phase))

    def path(self, kind: PathKind, via: Via, state: str, remote: str, now: float) -> None:
        """A path is in another state; the first active one, and each that is active after another, is a swap."""
        at = self._since(now)
        self._add(PathBecame(at, kind, via, state, remote))  # type: ignore[arg-type]
        if state == "active" and kind != self._carrier:
            self._carrier = kind
            self._add(Swapped(at, kind))

    def connection(self, is_there: bool, now: float) -> None:
        """No path carries the call any more, or one does again."""
        self._add(Connection(self._since(now), is_there))

    def phase(self, name: PhaseName, status: PhaseStatus, now: float) -> None:
        """A phase of the ladder tells its status; only another outcome, reason or round is worth a line."""
        became = PhaseBecame(
            self._since(now),
            name,
            status.outcome,
            status.reason,
            status.packets,
            status.sockets,
            status.rounds,
            status.tried,
            status.of,
        )
        before = self._phases.get(name)
        if before is None or _turn(before) != _turn(became):
            self._phases[name] = became
            self._add(became)

    def nat(self, whose: Whose, nat: NatReport, now: float) -> None:
        """A profile is known."""
        self._add(NatKnown(self._since(now), whose, nat))

    def candidates(self, whose: Whose, round_number: int, kinds: Iterable[CandidateKind], now: float) -> None:
        """A side told the other its candidates."""
        counted: dict[CandidateKind, int] = {}
        for kind in kinds:
            counted[kind] = counted.get(kind, 0) + 1
        self._add(CandidatesTold(self._since(now), whose, round_number, counted))

    def network(self, addresses: int, now: float) -> None:
        """The machine's interfaces changed."""
        self._add(NetworkChanged(self._since(now), addresses))

    def second(self, sample: CallSample, paths: Iterable[PathStats], now: float) -> None:
        """The figures of now, about once a second."""
        if now < self._next_second:
            return
        self._next_second = now + self._spacing_s * 0.9
        living = [path for path in paths if path.state != "dead"]
        self._seconds.append(
            Second(
                self._since(now),
                _short(sample.rtt_ms),
                _short(sample.loss),
                _short(sample.remote_loss),
                _short(sample.jitter_ms),
                _short(sample.playout_delay_ms),
                _short(sample.sent_kbps),
                _short(sample.received_kbps),
                _short(sample.concealed_ms),
                tuple(_path_second(path) for path in living[:MAX_PATHS]),
            )
        )
        if len(self._seconds) >= MAX_SECONDS:
            self._spacing_s *= 2
            self._seconds = self._seconds[:DENSE_SECONDS] + self._seconds[DENSE_SECONDS::2]

    def build(self, report: CallReport) -> CallTrace:
        """The trace as of now, with everything in it: for others take :func:`app.report.redact.redacted_trace` of
        it."""
        return CallTrace(
            version=TRACE_VERSION,
            has_addresses=True,
            report=report,
            events=(*self._first, *self._last),
            events_dropped=self._events_dropped,
            seconds=tuple(self._seconds),
        )

    def _add(self, event: Event) -> None:
        if len(self._first) < FIRST_EVENTS:
            self._first.append(event)
            return
        self._events_dropped += len(self._last) == LAST_EVENTS
        self._last.append(event)

    def _since(self, now: float) -> float:
        return round(max(0.0, now - self._started), 6)


def _path_second(path: PathStats) -> PathSecond:
    return PathSecond(
        path.kind,
        path.via,
        path.state,  # type: ignore[arg-type]
        _short(path.rtt_ms),
        _short(path.loss),
        _short(path.jitter_ms),
        path.packets_sent,
        path.packets_received,
    )


@overload
def _short(figure: float) -> float: ...
@overload
def _short(figure: None) -> None: ...
@overload
def _short(figure: float | None) -> float | None: ...
def _short(figure: float | None) -> float | None:
    """Three decimals: a microsecond, a tenth of a percent; the rest only takes room."""
    return None if figure is None else round(figure, 3)


def _turn(event: PhaseBecame) -> PhaseBecame:
    return msgspec.structs.replace(event, at=0.0, packets=0, sockets=0, tried=0, of=0)
