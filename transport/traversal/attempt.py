"""One attempt: the techniques that run at the same time, from their start to a path or to the end of all (pure)."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from transport.traversal.context import ROUNDS_PER_ATTEMPT, TraversalContext
from transport.traversal.events import DirectFound, PhaseStatus, TraversalMessage
from transport.traversal.technique import TechniqueRun, TechniqueSpec
from transport.wire.stun import IceRole

# A filter that is not known, or a mapped port, may let punching succeed, in a round trip or two: sockets by the dozen
# wait so long for it.
HOLD_S = 0.25
# The controlled side may have been nominated by one technique while the controlling side has chosen another one's pair
# (RFC 8445 §8.1.1): its word is here within this time, or there was none.
GRACE_S = 1.0
# For techniques that have not begun here; the oldest are forgotten.
MAX_EARLY_MESSAGES = 8


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """Every technique has come to its end without a path. ``is_hopeless``: trying again would change nothing.
    ``rest_s``: the next attempt should wait so long at least."""

    is_hopeless: bool
    rest_s: float


class Attempt:
    """Its techniques, in the order in which they began. ``found`` is called for each path; after whatever happens the
    owner calls :meth:`advance`."""

    def __init__(
        self,
        number: int,
        table: tuple[TechniqueSpec, ...],
        context: TraversalContext,
        found: Callable[[DirectFound, float], None],
    ) -> None:
        self.number = number
        self._table = table
        self.context = context
        self._found = found
        self._runs: dict[TechniqueSpec, TechniqueRun] = {}
        self._may_send = False
        self._early: deque[tuple[TechniqueSpec, TraversalMessage]] = deque(maxlen=MAX_EARLY_MESSAGES)
        self._winner: TechniqueRun | None = None
        self._stop_others_at: float | None = None
        self._hold_until: float | None = None
        self._has_stopped = False
        self._has_failed = False

    @property
    def statuses(self) -> tuple[PhaseStatus, ...]:
        """How each stands."""
        return tuple(run.status for run in self._runs.values())

    @property
    def may_harm(self) -> bool:
        """A technique runs that the relay leg could suffer from."""
        return any(spec.yields_to_relay and run.ended_at is None for spec, run in self._runs.items())

    def news(self) -> list[PhaseStatus]:
        """What is new of each since the last time."""
        return [status for run in self._runs.values() if (status := run.news()) is not None]

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        deadlines = [self._stop_others_at, self._hold_until, *(run.next_deadline() for run in self._runs.values())]
        return min((due for due in deadlines if due is not None), default=None)

    def start(self, now: float, *, may_send: bool) -> None:
        """Begin with what needs to know nothing."""
        self._may_send = may_send
        for spec in self._table:
            if spec.technique is None:
                self._start(spec, now)

    def permit(self, now: float) -> None:
        """The peer may be sent candidates from now on."""
        self._may_send = True
        for run in tuple(self._runs.values()):
            run.permit(now)

    def message(self, message: TraversalMessage, now: float) -> None:
        """The peer sent this; each technique has rounds of its own."""
        offset = message.round % ROUNDS_PER_ATTEMPT
        for spec in self._table:
            if spec.first <= offset < spec.first + spec.rounds:
                if spec not in self._runs:
                    # The peer has seen sooner than we that this is what fits; if it does.
                    self._consider(now, peer_began=True)
                if spec in self._runs:
                    self._runs[spec].message(message, now)
                else:
                    # What says which NAT the peer has may come after it: it is not sent again.
                    self._early.append((spec, message))

    def ports_mapped(self, now: float) -> None:
        """Routers map other ports for us."""
        for run in tuple(self._runs.values()):
            run.ports_mapped(now)

    def timer(self, now: float) -> None:
        """Do what is due; harmless when nothing is."""
        for run in tuple(self._runs.values()):
            run.timer(now)
        if self._stop_others_at is not None and now >= self._stop_others_at:
            self._stop_others(now)

    def relay_trouble(self, now: float) -> None:
        """Stop what could be the cause."""
        for spec, run in self._runs.items():
            if spec.yields_to_relay and run.ended_at is None:
                run.stop("relay-trouble", now)

    def stop(self, reason: str, now: float) -> None:
        """Give up all; a path that was found stays."""
        self._has_stopped = True
        self._stop_others_at = self._hold_until = None
        for run in self._runs.values():
            run.stop(reason, now)

    def advance(self, now: float) -> AttemptFailed | None:
        """Begin what fits by now; once all have ended in vain, how."""
        self._consider(now)
        runs = self._runs.values()
        if self._hold_until is not None or any(run.ended_at is None for run in runs):
            self._has_failed = False
            return None
        if self._has_failed or self._winner is not None or self._has_stopped:
            return None
        self._has_failed = True
        return AttemptFailed(
            all(run.is_hopeless for run in runs), max((spec.rest_s for spec in self._runs), default=0.0)
        )

    def _start(self, spec: TechniqueSpec, now: float) -> None:
        run = self._runs[spec] = spec.make(spec, self.context, self.number, self._path_found)
        run.start(now, may_send=self._may_send)
        early, self._early = self._early, deque(maxlen=MAX_EARLY_MESSAGES)
        for intended, message in early:
            if intended is spec:
                run.message(message, now)
            else:
                self._early.append((intended, message))

    def _consider(self, now: float, *, peer_began: bool = False) -> None:
        """Begin what fits both NATs, when both are known and the peer may be sent candidates."""
        context = self.context
        if self._winner is not None or self._has_stopped or not self._may_send or not context.peer_public:
            self._hold_until = None
            return
        fits = context.strategy
        spec = next((row for row in self._table if row.technique is not None and row.technique is fits.technique), None)
        if spec is None or spec in self._runs:
            self._hold_until = None
        elif (
            (fits.is_sure and not context.has_mapped_port)
            or peer_began
            or spec.name == context.hints.first
            or (self._hold_until is not None and now >= self._hold_until)
        ):
            self._hold_until = None
            self._start(spec, now)
        elif self._hold_until is None:
            self._hold_until = now + HOLD_S

    def _path_found(self, run: TechniqueRun, found: DirectFound, now: float) -> None:
        self._found(found, now)
        if self._winner is run:
            return
        # By a second technique, this is the controlling side's later choice.
        self._winner = run
        if self.context.role is IceRole.CONTROLLING:
            self._stop_others(now)
        elif len(self._runs) > 1:
            self._stop_others_at = now + GRACE_S

    def _stop_others(self, now: float) -> None:
        self._stop_others_at = self._hold_until = None
        for run in self._runs.values():
            if run is not self._winner:
                run.stop("not-needed", now)
