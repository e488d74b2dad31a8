"""One climb of the ladder: the phases that run at the same time, from their start to a path or to the end of all."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from transport.traversal.context import TraversalContext
from transport.traversal.events import DirectFound, PhaseStatus, TraversalMessage, TraversalMessageReceived
from transport.traversal.technique import ROUNDS_PER_ATTEMPT, Phase, PhaseCommand, PhaseEnded, PhaseEvent, PhaseSpec
from transport.wire.stun import IceRole

# A filter that is not known, or a mapped port, may let punching succeed, in a round trip or two: sockets by the dozen
# wait so long for it.
HOLD_S = 0.25
# The controlled side may have been nominated by one phase while the controlling side has chosen another one's pair
# (RFC 8445 §8.1.1): its word is here within this time, or there was none.
GRACE_S = 1.0
# For phases that have not begun here; the oldest are forgotten.
MAX_EARLY_MESSAGES = 8


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """Every phase has come to its end without a path. ``hopeless``: trying again would change nothing. ``rest_s``:
    the next climb should wait so long at least."""

    hopeless: bool
    rest_s: float


AttemptCommand = PhaseCommand | AttemptFailed


class Attempt:
    """Its phases, in the order in which they began. The owner calls it with :class:`PhaseTimer` when it is due."""

    def __init__(self, number: int, table: tuple[PhaseSpec, ...], knowledge: TraversalContext) -> None:
        self.number = number
        self._table = table
        self._know = knowledge
        self._running: dict[PhaseSpec, Phase] = {}
        self._hopeless: dict[PhaseSpec, bool] = {}
        self._may_tell = False
        self._early: deque[tuple[PhaseSpec, TraversalMessage]] = deque(maxlen=MAX_EARLY_MESSAGES)
        self._winner: PhaseSpec | None = None
        self._calm_at: float | None = None
        self._hold_until: float | None = None
        self._stopped = False
        self._out: list[AttemptCommand] = []

    @property
    def statuses(self) -> tuple[PhaseStatus, ...]:
        """How each stands."""
        return tuple(phase.status for phase in self._running.values())

    @property
    def winner(self) -> Phase | None:
        """The phase whose path was chosen: authentic checks on it are answered for as long as it is in use."""
        return None if self._winner is None else self._running[self._winner]

    @property
    def may_harm(self) -> bool:
        """A phase runs that the relay leg could suffer from."""
        return any(spec.yields_to_relay and phase.status.ended is None for spec, phase in self._running.items())

    def next_deadline(self) -> float | None:
        """When :class:`PhaseTimer` is due."""
        deadlines = [self._calm_at, self._hold_until, *(phase.next_deadline() for phase in self._running.values())]
        return min((due for due in deadlines if due is not None), default=None)

    def start(self, now: float, *, may_tell: bool) -> list[AttemptCommand]:
        """Begin with what needs to know nothing."""
        self._may_tell = may_tell
        for spec in self._table:
            if spec.technique is None:
                self._start(spec, now)
        return self._take(now)

    def permit(self, now: float) -> list[AttemptCommand]:
        """The peer may be told from now on."""
        self._may_tell = True
        for spec, phase in tuple(self._running.items()):
            self._do(spec, phase.permit(now), now)
        return self._take(now)

    def give(self, event: PhaseEvent, now: float) -> list[AttemptCommand]:
        """To all; each knows its own sockets and times."""
        if isinstance(event, TraversalMessageReceived):
            self._said(event.message, now)
        else:
            for spec, phase in tuple(self._running.items()):
                self._do(spec, phase.handle(event, now), now)
            if self._calm_at is not None and now >= self._calm_at:
                self._stop_others("not-needed", now)
        return self._take(now)

    def relay_trouble(self, now: float) -> list[AttemptCommand]:
        """Stop what could be the cause."""
        for spec, phase in tuple(self._running.items()):
            if spec.yields_to_relay and phase.status.ended is None:
                self._do(spec, [*phase.stop("relay-trouble", now), PhaseEnded(hopeless=False)], now)
        return self._take(now)

    def stop(self, reason: str, now: float) -> list[AttemptCommand]:
        """Give up all; a path that was found stays."""
        self._stopped = True
        self._calm_at = self._hold_until = None
        for spec, phase in tuple(self._running.items()):
            self._do(spec, phase.stop(reason, now), now)
        return self._take(now)

    def _start(self, spec: PhaseSpec, now: float) -> None:
        phase = self._running[spec] = spec.make(self._know, self.number)
        self._do(spec, phase.start(now, may_tell=self._may_tell), now)
        early, self._early = self._early, deque(maxlen=MAX_EARLY_MESSAGES)
        for intended, message in early:
            if intended is spec:
                self._do(spec, phase.handle(TraversalMessageReceived(message), now), now)
            else:
                self._early.append((intended, message))

    def _said(self, message: TraversalMessage, now: float) -> None:
        offset = message.round % ROUNDS_PER_ATTEMPT
        for spec in self._table:
            if spec.first <= offset < spec.first + spec.rounds:
                if spec not in self._running:
                    # The peer has seen sooner than we that this is what fits; if it does.
                    self._consider(now, said=True)
                if spec in self._running:
                    self._do(spec, self._running[spec].handle(TraversalMessageReceived(message), now), now)
                else:
                    # What says which NAT the peer has may come after it: it is not said again.
                    self._early.append((spec, message))

    def _consider(self, now: float, *, said: bool = False) -> None:
        """Begin what fits both NATs, when both are known and the peer may be told."""
        know = self._know
        if self._winner is not None or self._stopped or not self._may_tell or not know.peer_public:
            self._hold_until = None
            return
        fits = know.strategy
        rows = [spec for spec in self._table if spec.technique is not None and spec.technique is fits.technique]
        spec = rows[0] if rows else None
        if spec is None or spec in self._running:
            self._hold_until = None
        elif (
            (fits.is_sure and not know.has_door)
            or said
            or spec.name == know.hints.first
            or self._is_held_long_enough(now)
        ):
            self._hold_until = None
            self._start(spec, now)
        elif self._hold_until is None:
            self._hold_until = now + HOLD_S

    def _is_held_long_enough(self, now: float) -> bool:
        return self._hold_until is not None and now >= self._hold_until

    def _do(self, spec: PhaseSpec, commands: Iterable[PhaseCommand], now: float) -> None:
        for command in commands:
            match command:
                case PhaseEnded(hopeless):
                    self._hopeless[spec] = hopeless
                case DirectFound():
                    self._out.append(command)
                    self._won(spec, now)
                case _:
                    self._out.append(command)

    def _won(self, spec: PhaseSpec, now: float) -> None:
        if self._winner is not spec:
            # Said by a second phase, this is the controlling side's later word.
            self._winner = spec
            if self._know.role is IceRole.CONTROLLING:
                self._stop_others("not-needed", now)
            elif len(self._running) > 1:
                self._calm_at = now + GRACE_S

    def _stop_others(self, reason: str, now: float) -> None:
        self._calm_at = self._hold_until = None
        for spec, phase in tuple(self._running.items()):
            if spec is not self._winner:
                self._do(spec, phase.stop(reason, now), now)

    def _take(self, now: float) -> list[AttemptCommand]:
        self._consider(now)
        ended = self._hold_until is None and all(phase.status.ended is not None for phase in self._running.values())
        if ended and self._hopeless and self._winner is None and not self._stopped:
            rest_s = max(spec.rest_s for spec in self._running)
            self._out.append(AttemptFailed(all(self._hopeless.get(spec, True) for spec in self._running), rest_s))
            self._hopeless.clear()
        out, self._out = self._out, []
        return out
