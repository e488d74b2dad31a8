"""Techniques beyond hole punching: prediction, birthday or blocks, as :mod:`transport.nat.compatibility` says (pure).

Both sides begin by themselves when both profiles say so. A round that is lost is followed by the next at once; who
gets a message of a later round than its own leaves its own for it, so the two are never further apart than a message.
"""

from dataclasses import replace

from transport.ice.pacing import Budget
from transport.nat.compatibility import Technique
from transport.traversal.round import Round
from transport.traversal.technique import MakeRound, TechniqueRun, TechniqueSpec, Trigger


class ProbeTechnique(TechniqueRun):
    """The rounds of one technique in one attempt. It only starts when the peer has sent its profile."""

    def start(self, now: float, *, may_send: bool) -> None:
        """Begin, if the host has no other such traversal; only one may run at a time (DESIGN §5)."""
        self._until = now + self.spec.seconds
        self._started_at = now
        if not self.context.limits.acquire(self):
            self._end(Trigger.NOT_ITS_TURN, "one-at-a-time", now)
            return
        self._move(Trigger.CHECKS_STARTED)
        if may_send:
            self._begin(0, now)

    def permit(self, now: float) -> None:
        """The peer may be sent candidates from now on."""
        if self._round is None and self.ended_at is None:
            self._begin(0, now)

    def stop(self, reason: str, now: float) -> None:
        """Give up. A path that was found stays."""
        super().stop(reason, now)
        self.context.limits.release(self)

    def _begin(self, index: int, now: float) -> None:
        context, make_round = self.context, self.spec.make_round
        if make_round is None or context.local is None or context.remote is None or self._until is None:
            self._end(Trigger.GAVE_UP, "unknown", now)
            return
        seconds = max(0.0, min(self.spec.budget.seconds, self._until - now))
        self._run(make_round(self._plan(index, replace(self.spec.budget, seconds=seconds))), index, now)

    def _round_lost(self, source: Round, reason: str, now: float) -> None:
        self._leave()
        late = self._until is not None and now >= self._until - self.spec.budget.seconds / 4
        if self._index + 1 < self.spec.rounds and not late and reason != "no-sockets":
            self._begin(self._index + 1, now)
        else:
            self._end(Trigger.GAVE_UP, reason, now)

    def _end(self, trigger: Trigger, reason: str, now: float) -> None:
        """Chance decides, so another attempt may succeed: it is never hopeless."""
        super()._end(trigger, reason, now)
        self.context.limits.release(self)


def probe_spec(
    kind: Technique, make_round: MakeRound, budget: Budget, *, first: int, rounds: int, seconds: float, rest_s: float
) -> TechniqueSpec:
    """The row of a technique with probe rounds."""
    return TechniqueSpec(kind.value, ProbeTechnique, budget, first, rounds, kind, make_round, seconds, rest_s)
