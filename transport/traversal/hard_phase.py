"""A phase of hard rounds: prediction, birthday or blocks, as :mod:`transport.nat.compatibility` says.

Both sides begin by themselves when both profiles say so. A round that is lost is followed by the next at once; who
hears of a later round than its own leaves its own for it, so the two are never further apart than a message.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from transport.ice.pacing import Budget
from transport.nat.compatibility import Technique
from transport.net.sockets import DatagramReceived, SocketFailed, SocketOpened
from transport.traversal.context import TraversalContext
from transport.traversal.events import PhaseOutcome, PhaseStatus, TraversalMessageReceived
from transport.traversal.probe_round import ProbePlan, ProbeRound
from transport.traversal.round import RoundCommand, RoundLost, RoundWon
from transport.traversal.technique import (
    ROUNDS_PER_ATTEMPT,
    PhaseCommand,
    PhaseEnded,
    PhaseEvent,
    PhaseTimer,
    direct_found,
)

MakeRound = Callable[[ProbePlan, Random], ProbeRound]


@dataclass(frozen=True, slots=True)
class HardKind:
    """One hard technique. ``first`` is the number of its first round within a climb; ``seconds`` and ``sockets`` of
    the budget are a round's, ``seconds_in_all`` the phase's."""

    technique: Technique
    first: int
    rounds: int
    budget: Budget
    seconds_in_all: float
    make: MakeRound


class ProbeTechnique:
    """The rounds of one technique in one climb."""

    def __init__(self, kind: HardKind, knowledge: TraversalContext, climb: int) -> None:
        self._kind = kind
        self._know = knowledge
        self._first = climb * ROUNDS_PER_ATTEMPT + kind.first
        self._index = -1
        self._round: ProbeRound | None = None
        self._past = (0, 0)
        self._until: float | None = None
        self._out: list[PhaseCommand] = []
        self._status = PhaseStatus(kind.technique.value, "waiting", 0.0)

    @property
    def status(self) -> PhaseStatus:
        """How it stands."""
        running = self._round
        if running is None:
            return self._status
        return replace(
            self._status,
            packets=self._past[0] + running.packets,
            sockets=self._past[1] + running.opened_sockets,
            tried=running.tried,
            of=running.of,
        )

    def next_deadline(self) -> float | None:
        """When :class:`PhaseTimer` is due."""
        return None if self._round is None else self._round.next_deadline()

    def start(self, now: float, *, may_tell: bool) -> list[PhaseCommand]:
        """Begin. Hard phases are only begun when the peer has told its profile, so it may be told."""
        self._until = now + self._kind.seconds_in_all
        self._status = replace(self._status, started=now, outcome="trying", until=self._until)
        if may_tell:
            self._begin(0, now)
        return self._take()

    def permit(self, now: float) -> list[PhaseCommand]:
        """The peer may be told from now on."""
        if self._round is None and self._status.ended is None:
            self._begin(0, now)
        return self._take()

    def handle(self, event: PhaseEvent, now: float) -> list[PhaseCommand]:
        """Take one event; never raises."""
        if isinstance(event, TraversalMessageReceived):
            index = event.message.round - self._first
            if 0 <= index < self._kind.rounds and self._status.ended is None:
                if index > self._index:
                    self._leave(now)
                    self._begin(index, now)
                if self._round is not None and index == self._index:
                    self._run(self._round.said(event.message, now), now)
        elif self._round is not None:
            match event:
                case PhaseTimer():
                    self._run(self._round.timer(now), now)
                case SocketOpened():
                    self._run(self._round.opened(event, now), now)
                case SocketFailed():
                    self._run(self._round.failed(event, now), now)
                case DatagramReceived():
                    self._run(self._round.received(event, now), now)
        return self._take()

    def stop(self, reason: str, now: float) -> list[PhaseCommand]:
        """Give up. A path that was found stays."""
        if self._round is not None:
            self._run(self._round.stop(), now)
        if self._status.ended is None:
            self._status = replace(self.status, outcome="cancelled", ended=now, reason=reason)
        self._know.allowance.end_turn(self)
        return self._take()

    def _take(self) -> list[PhaseCommand]:
        out, self._out = self._out, []
        return out

    def _begin(self, index: int, now: float) -> None:
        know = self._know
        if know.local is None or know.remote is None:
            self._end("failed", "unknown", now)
            return
        if not know.allowance.take_turn(self):
            self._end("skipped", "one-at-a-time", now)
            return
        budget = self._kind.budget
        if self._until is not None:
            budget = replace(budget, seconds=max(0.0, min(budget.seconds, self._until - now)))
        plan = ProbePlan(
            number=self._first + index,
            role=know.role,
            strategy=know.strategy,
            local=know.local,
            remote=know.remote,
            stun=tuple(server for server in know.stun if ":" not in server[0]),
            hosts=know.hosts,
            peer_public=know.peer_public,
            budget=budget,
            allowance=know.allowance,
            new_socket=know.new_socket,
        )
        self._index = index
        self._round = self._kind.make(plan, know.rng)
        self._status = replace(self._status, rounds=self._status.rounds + 1)
        self._run(self._round.begin(now), now)

    def _leave(self, now: float) -> None:
        if self._round is not None:
            leaving, self._round = self._round, None
            self._past = (self._past[0] + leaving.packets, self._past[1] + leaving.opened_sockets)
            self._status = replace(
                self._status, packets=self._past[0], sockets=self._past[1], tried=leaving.tried, of=leaving.of
            )
            self._run(leaving.stop(), now)

    def _run(self, commands: list[RoundCommand], now: float) -> None:
        for command in commands:
            match command:
                case RoundWon():
                    self._out.append(direct_found(command, self._kind.technique))
                    if self._status.outcome != "won":
                        self._end("won", "", now)
                case RoundLost(reason):
                    self._lost(reason, now)
                case _:
                    # Hard rounds neither gather nor wait to be confirmed.
                    self._out.append(command)  # type: ignore[arg-type]

    def _lost(self, reason: str, now: float) -> None:
        if self._round is None:
            return
        self._leave(now)
        late = self._until is not None and now >= self._until - self._kind.budget.seconds / 4
        if self._index + 1 < self._kind.rounds and not late and reason != "no-sockets":
            self._begin(self._index + 1, now)
        else:
            self._end("failed", reason, now)

    def _end(self, outcome: PhaseOutcome, reason: str, now: float) -> None:
        self._status = replace(self.status, outcome=outcome, ended=now, reason=reason)
        self._know.allowance.end_turn(self)
        # Chance decides, so another attempt may succeed.
        self._out.append(PhaseEnded(hopeless=False))
