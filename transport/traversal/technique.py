"""Technique in one attempt.

Its rounds one after the other, what has become of it, and what it has cost. Hole punching is one, the others search
for ports (:mod:`transport.traversal.probe_technique`). The table of all is in :mod:`transport.traversal.agent`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from transport.ice.pacing import Budget
from transport.nat.compatibility import Technique
from transport.traversal.context import ROUNDS_PER_ATTEMPT, TraversalContext
from transport.traversal.events import DirectFound, PhaseStatus, TraversalMessage
from transport.traversal.round import (
    ChecksStarted,
    Gathered,
    Round,
    RoundLost,
    RoundPlan,
    RoundResult,
    RoundUnconfirmed,
)

REPORT_EACH = 32
"""A progress of so many ports is worth a line."""


class State(Enum):
    """What has become of it."""

    WAITING = "waiting"
    TRYING = "trying"
    WON = "won"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class Trigger(Enum):
    """What decides it."""

    CHECKS_STARTED = "checks started"
    FOUND = "path found"
    GAVE_UP = "gave up"
    NOT_ITS_TURN = "another one has the host's lock"
    STOPPED = "stopped"
    PEER_GOES_ON = "peer begins another round"


TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    (State.WAITING, Trigger.CHECKS_STARTED): State.TRYING,
    (State.TRYING, Trigger.FOUND): State.WON,
    (State.WAITING, Trigger.GAVE_UP): State.FAILED,
    (State.TRYING, Trigger.GAVE_UP): State.FAILED,
    (State.WAITING, Trigger.NOT_ITS_TURN): State.SKIPPED,
    (State.WAITING, Trigger.STOPPED): State.CANCELLED,
    (State.TRYING, Trigger.STOPPED): State.CANCELLED,
    (State.FAILED, Trigger.PEER_GOES_ON): State.WAITING,
}


RunTechnique = Callable[["TechniqueSpec", TraversalContext, int, "OnFound"], "TechniqueRun"]
"""Makes the run of a technique in the attempt of this number."""
MakeRound = Callable[[RoundPlan], Round]
"""Makes the round that fits the two sides."""


@dataclass(frozen=True, slots=True)
class TechniqueSpec:
    """A row of the agent's table. It starts with each attempt, or where a ``technique`` is named, as soon as that is
    the one that fits both sides' NATs; then ``make_round`` makes its rounds, and ``seconds`` is what all of them have
    together. Its rounds have ``rounds`` numbers of an attempt from ``first`` on. After it has failed the next attempt
    waits ``rest_s`` at least."""

    name: str
    make: RunTechnique
    budget: Budget
    first: int = 0
    rounds: int = ROUNDS_PER_ATTEMPT
    technique: Technique | None = None
    make_round: MakeRound | None = None
    seconds: float = 0.0
    rest_s: float = 0.0

    @property
    def yields_to_relay(self) -> bool:
        """It sends so much that the relay leg could suffer: it stops when that begins."""
        return self.technique is not None


class TechniqueRun(ABC):
    """The rounds of one technique in one attempt: the one that runs, and beside it one that has won."""

    def __init__(self, spec: TechniqueSpec, context: TraversalContext, attempt: int, found: "OnFound") -> None:
        self.spec = spec
        self.context = context
        self.state = State.WAITING
        self.is_hopeless = False
        """Trying again would change nothing."""
        self.ended_at: float | None = None
        self._first = attempt * ROUNDS_PER_ATTEMPT + spec.first
        self._index = -1
        self._round: Round | None = None
        self._won: Round | None = None
        self._started_at = 0.0
        self._until: float | None = None
        self._reason = ""
        self._rounds = 0
        self._past_packets = self._past_sockets = 0
        self._past_tried = (0, 0)
        self._found = found
        self._reported: tuple[object, ...] = ()

    # -- for the kinds of technique

    @abstractmethod
    def _begin(self, index: int, now: float) -> None:
        """Begin the round of this number."""

    @abstractmethod
    def _round_lost(self, source: Round, reason: str, now: float) -> None:
        """The running round is lost: another one, or none."""

    def _may_follow(self) -> bool:
        """Whether a message for a later round may begin that round here."""
        return self.ended_at is None

    def _read(self, message: TraversalMessage, now: float) -> None:  # noqa: B027 - not every technique has a use for it
        """A message for the running round, before the round gets it."""

    def _gathered(self, found: Gathered, now: float) -> None:  # noqa: B027
        """The round has learnt of our NAT."""

    def _unconfirmed(self, now: float) -> None:  # noqa: B027
        """The won round ended without a sign that the other side has won too."""

    # -- for the attempt

    @property
    def status(self) -> PhaseStatus:
        """How it stands."""
        live = self._live()
        tried, of = self._past_tried if not live else (live[-1].tried, live[-1].of)
        return PhaseStatus(
            self.spec.name,
            self.state.value,
            self._started_at,
            self.ended_at,
            packets=self._past_packets + sum(each.packets for each in live),
            sockets=self._past_sockets + sum(each.opened_sockets for each in live),
            rounds=self._rounds,
            reason=self._reason,
            tried=tried,
            of=of,
            until=self._until,
        )

    def news(self) -> PhaseStatus | None:
        """Its status, when something about it is new since the last time, its counts aside."""
        status = self.status
        counts = (status.sockets, self._rounds, status.tried // REPORT_EACH, status.of)
        coarse = (self.state, self._reason, self.ended_at, *counts)
        if coarse == self._reported:
            return None
        self._reported = coarse
        return status

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        deadlines = (each.next_deadline() for each in self._live())
        return min((due for due in deadlines if due is not None), default=None)

    def start(self, now: float, *, may_send: bool) -> None:
        """Begin with the first round; nothing is sent to the peer before ``may_send``, or :meth:`permit`."""
        self._started_at = now
        self._begin(0, now)

    def permit(self, now: float) -> None:  # noqa: B027
        """The peer may be sent candidates from now on."""

    def ports_mapped(self, now: float) -> None:  # noqa: B027
        """Routers map other ports for us."""

    def message(self, message: TraversalMessage, now: float) -> None:
        """The peer sent this. Of a later round than our own: it has given up the one before, and so do we."""
        index = message.round - self._first
        if not 0 <= index < self.spec.rounds or not self._may_follow():
            return
        if index > self._index:
            self._leave()
            self._begin(index, now)
        if self._round is not None and index == self._index:
            self._read(message, now)
            self._round.message(message, now)

    def timer(self, now: float) -> None:
        """Do what is due; harmless when nothing is."""
        for each in self._live():
            each.timer(now)

    def stop(self, reason: str, now: float) -> None:
        """Give up: close every socket that has not been handed over. A path that was found stays."""
        for each in self._live():
            each.stop()
        self._end(Trigger.STOPPED, reason, now)

    # -- for its rounds

    def take(self, source: Round, result: RoundResult, now: float) -> None:
        """Something has come of a round of its own."""
        match result:
            case ChecksStarted():
                self._move(Trigger.CHECKS_STARTED)
            case DirectFound():
                if source is self._round:
                    if self._won is not None:
                        self._count(self._won)
                    self._won, self._round = source, None
                self._end(Trigger.FOUND, "", now)
                self._found(self, result, now)
            case RoundLost(reason):
                if source is self._round:
                    self._round_lost(source, reason, now)
            case RoundUnconfirmed():
                self._unconfirmed(now)
            case Gathered():
                self._gathered(result, now)

    # -- inside

    def _move(self, trigger: Trigger) -> bool:
        after = TRANSITIONS.get((self.state, trigger))
        if after is not None:
            self.state = after
        return after is not None

    def _live(self) -> tuple[Round, ...]:
        return tuple(each for each in (self._won, self._round) if each is not None)

    def _plan(self, index: int, budget: Budget) -> RoundPlan:
        return RoundPlan(self.context, self._first + index, self, budget)

    def _run(self, made: Round, index: int, now: float) -> None:
        self._index = index
        self._round = made
        self._rounds += 1
        if self._move(Trigger.PEER_GOES_ON):
            self.ended_at, self._reason = None, ""
        made.begin(now)

    def _leave(self) -> None:
        if self._round is not None:
            leaving, self._round = self._round, None
            leaving.stop()
            self._count(leaving)

    def _count(self, past: Round) -> None:
        self._past_packets += past.packets
        self._past_sockets += past.opened_sockets
        self._past_tried = (past.tried, past.of)

    def _end(self, trigger: Trigger, reason: str, now: float) -> None:
        if self._move(trigger):
            self.ended_at, self._reason = now, reason


OnFound = Callable[[TechniqueRun, DirectFound, float], None]
