"""Hole punching: up to four rounds, the first at once, the others synchronised, each led by the other side (pure)."""

from transport.ice.candidates import is_behind_same_nat
from transport.nat.classification import classify
from transport.nat.compatibility import Compatibility, Feasibility, compatibility
from transport.nat.profile import from_wire, renewed
from transport.net.sockets import Address
from transport.traversal.context import TraversalContext
from transport.traversal.events import ProfileKnown, TraversalMessage
from transport.traversal.punch_round import BUDGET, PunchRound
from transport.traversal.round import Gathered, Round
from transport.traversal.technique import OnFound, State, TechniqueRun, TechniqueSpec, Trigger
from transport.wire.call_messages import Candidates, WireCandidate
from transport.wire.stun import IceRole

ROUNDS = 4
"""An unsynchronised one and three synchronised ones; they are the first numbers of an attempt."""
MAPPED_ROUNDS = 2
"""Where only a port mapping can help."""
# The other side ends its round within the difference of the starts, gathers nothing before it sends Connect.
LEADER_WAIT_S = 2.5
# Grows with the rounds, since it must pass our NATs (one, or two with a carrier's) and die before theirs.
OPENER_TTLS = (2, 2, 3, 4)
# A fresh profile needs no more evidence: two servers' answers are a candidate, and notice a NAT that has changed.
FEW_SERVERS = 2
MAX_SERVERS = 12
# What will be so again.
HOPELESS = (
    "udp-blocked",
    "nobody-to-ask",
    "both-symmetric",
    "symmetric-and-port-restricted",
    "symmetric-and-unknown",
    "same-nat-no-hairpin",
)


class HolePunch(TechniqueRun):
    """The rounds of one attempt. Its STUN answers are also what is known of our NAT."""

    def __init__(self, spec: TechniqueSpec, context: TraversalContext, attempt: int, found: OnFound) -> None:
        super().__init__(spec, context, attempt, found)
        self._leader_until: float | None = None
        self._may_send = True
        self._theirs: tuple[WireCandidate, ...] = ()

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        deadlines = (self._leader_until, super().next_deadline())
        return min((due for due in deadlines if due is not None), default=None)

    def start(self, now: float, *, may_send: bool) -> None:
        """Begin with the unsynchronised round."""
        self._may_send = may_send
        super().start(now, may_send=may_send)

    def permit(self, now: float) -> None:
        """The peer may be sent candidates from now on."""
        self._may_send = True
        if isinstance(self._round, PunchRound):
            self._round.permit(now)

    def ports_mapped(self, now: float) -> None:
        """Routers map other ports for us."""
        if isinstance(self._round, PunchRound):
            self._round.ports_mapped(now)

    def timer(self, now: float) -> None:
        """Do what is due; harmless when nothing is."""
        super().timer(now)
        if self._leader_until is not None and now >= self._leader_until:
            self._give_up("no-answer", now)

    def stop(self, reason: str, now: float) -> None:
        """Give up. A path that was found stays."""
        self._leader_until = None
        super().stop(reason, now)

    def _leads(self, index: int) -> bool:
        """Who receives the other's candidates first sends first in round 0, mostly the caller: so the callee leads
        next, and they take turns."""
        return index > 0 and (index % 2 == 0) is (self.context.role is IceRole.CONTROLLING)

    def _may_follow(self) -> bool:
        return self.state is not State.CANCELLED

    def _begin(self, index: int, now: float) -> None:
        self._leader_until = None
        self._theirs = ()
        made = PunchRound(
            self._plan(index, BUDGET),
            leads=self._leads(index),
            stun=self._servers(now),
            opener_ttl=OPENER_TTLS[index] if self.context.low_ttl else None,
            may_send=self._may_send,
        )
        self._judge(made)
        self._run(made, index, now)

    def _servers(self, now: float) -> tuple[Address, ...]:
        """Whom to ask: everybody while there is no fresh profile, or not all of it."""
        local = self.context.local
        is_known = local is not None and local.fresh(now) and not local.hides_rule
        chosen: list[Address] = []
        for is_ipv6 in (False, True):
            family = [server for server in self.context.stun if (":" in server[0]) is is_ipv6]
            # One of each host first.
            hosts = {server[0]: server for server in reversed(family)}
            spread = sorted(family, key=lambda server: server != hosts[server[0]])
            chosen += spread[:FEW_SERVERS] if is_known else family[:MAX_SERVERS]
        return tuple(chosen)

    def _read(self, message: TraversalMessage, now: float) -> None:
        running = self._round
        if not isinstance(running, PunchRound):
            return
        if isinstance(message, Candidates):
            self._theirs = tuple(message.candidates)
            if message.profile is not None:
                self.context.remote = from_wire(message.profile, now)
                self.context.commands.append(ProfileKnown("remote", self.context.remote))
            # Before the round takes them: what leads nowhere is not to be sent to.
            self._judge(running)

    def message(self, message: TraversalMessage, now: float) -> None:
        """The peer sent this; an acknowledged Connect is also a measurement of the relay's round trip."""
        super().message(message, now)
        if self._round is not None and self._round.sync.rtt_s is not None:
            self.context.relay_rtt_s = self._round.sync.rtt_s

    def _judge(self, running: PunchRound) -> None:
        if self._expected(running).feasibility is Feasibility.NONE:
            running.skip_reflexive()

    def _expected(self, running: PunchRound) -> Compatibility:
        same_nat = is_behind_same_nat((one for one in self._theirs if ":" not in one.ip), running.our_public)
        return compatibility(self.context.local, self.context.remote, same_nat=same_nat)

    def _gathered(self, found: Gathered, now: float) -> None:
        context = self.context
        hosts = [host.ip for host in context.hosts]
        profile = classify(
            *(found.observations, found.local, hosts, now),
            unanswered=found.unanswered,
            unbelievable=found.unbelievable,
        )
        before = context.local
        is_another = before is not None and not before.symmetric and len({one.mapped for one in found.observations}) > 1
        context.local = profile if is_another else renewed(before, profile, now)
        if context.local != before:
            context.commands.append(ProfileKnown("local", context.local))
        if isinstance(self._round, PunchRound):
            self._judge(self._round)

    def _unconfirmed(self, now: float) -> None:
        if self._round is None and self._index + 1 < ROUNDS and self._leads(self._index + 1):
            # The other side has lost this round, and waits for us.
            self._begin(self._index + 1, now)

    def _round_lost(self, source: Round, reason: str, now: float) -> None:
        if not isinstance(source, PunchRound):
            return
        following = self._index + 1
        nobody_to_ask = source.started_at is not None and source.checks.first_check_at is None
        expected = self._expected(source)
        # A mapped port asks nothing of the NATs: it gets a second round against lost packets, and no more.
        is_mapped = source.has_mapped and expected.reason != "udp-blocked"
        is_bad = expected.feasibility is not Feasibility.GOOD and not (is_mapped and following < MAPPED_ROUNDS)
        self._leave()
        if is_bad and reason != "no-sockets":
            self._give_up(expected.reason, now)
        elif nobody_to_ask and not is_mapped and reason != "no-sockets":
            self._give_up("nobody-to-ask", now)
        elif following >= ROUNDS or reason == "no-sockets":
            self._give_up(reason, now)
        elif self._leads(following):
            self._begin(following, now)
        else:
            self._leader_until = now + LEADER_WAIT_S

    def _give_up(self, reason: str, now: float) -> None:
        """After a win a further round, for the other side's sake, has found nothing: what was found before stays."""
        self._leader_until = None
        self.is_hopeless = reason in HOPELESS and not self.context.may_learn
        self._end(Trigger.GAVE_UP, reason, now)


SPEC = TechniqueSpec("punch", HolePunch, BUDGET, rounds=ROUNDS)
