"""Hole punching: up to four rounds, the first at once, the others synchronised, each led by the other side."""

from dataclasses import replace

from transport.ice.candidates import is_behind_same_nat
from transport.ice.pacing import Budget
from transport.nat.compatibility import Compatibility, Feasibility, outlook
from transport.nat.profile import classify, from_wire, renewed
from transport.net.sockets import Address, DatagramReceived, SocketFailed, SocketOpened
from transport.traversal.context import TraversalContext
from transport.traversal.events import (
    PhaseOutcome,
    PhaseStatus,
    PortMappingsChanged,
    ProfileKnown,
    TraversalMessage,
    TraversalMessageReceived,
)
from transport.traversal.round import (
    Gathered,
    PunchRound,
    RoundCommand,
    RoundLost,
    RoundPlan,
    RoundUnconfirmed,
    RoundWon,
)
from transport.traversal.technique import (
    ROUNDS_PER_ATTEMPT,
    PhaseCommand,
    PhaseEnded,
    PhaseEvent,
    PhaseSpec,
    PhaseTimer,
    direct_found,
)
from transport.wire.call_messages import Candidates, WireCandidate
from transport.wire.stun import IceRole

NAME = "punch"
ROUNDS = 4
"""An unsynchronised one and three synchronised ones; they are the first numbers of a climb."""
# Per round: 32 candidates with seven checks each are 224; nobody honest has so many that answer.
BUDGET = Budget(packets=200, packets_per_second=100, sockets=2, seconds=2.0)
MAPPED_ROUNDS = 2
"""Where only a port mapping can help."""
# The other side ends its round within the difference of the starts, gathers nothing before it says Connect.
LEADER_WAIT_S = 2.5
# Grows with the rounds, since it must pass our NATs (one, or two with a carrier's) and die before theirs.
OPENER_TTLS = (2, 2, 3, 4)
# A fresh profile needs no more evidence: two servers' answers are a candidate, and notice a NAT that has changed.
FEW_SERVERS = 2
MAX_SERVERS = 12


class PunchPhase:
    """The rounds of one climb."""

    def __init__(self, knowledge: TraversalContext, climb: int) -> None:
        self._know = knowledge
        self._first = climb * ROUNDS_PER_ATTEMPT
        self._round: PunchRound | None = None
        self._won: PunchRound | None = None
        self._index = -1
        self._leader_until: float | None = None
        self._may_tell = True
        self._theirs: tuple[WireCandidate, ...] = ()
        self._spent = 0
        self._out: list[PhaseCommand] = []
        self._status = PhaseStatus(NAME, "waiting", 0.0)

    @property
    def status(self) -> PhaseStatus:
        """How it stands."""
        return replace(self._status, packets=self._spent + sum(_packets(each) for each in self._rounds()))

    def next_deadline(self) -> float | None:
        """When :class:`PhaseTimer` is due."""
        deadlines = [self._leader_until, *(each.next_deadline() for each in self._rounds())]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def start(self, now: float, *, may_tell: bool) -> list[PhaseCommand]:
        """Begin with the unsynchronised round."""
        self._may_tell = may_tell
        self._status = replace(self._status, started=now)
        self._begin(0, now)
        return self._take()

    def permit(self, now: float) -> list[PhaseCommand]:
        """The peer may be told from now on."""
        self._may_tell = True
        if self._round is not None:
            self._run(self._round, self._round.permit(now), now)
        return self._take()

    def handle(self, event: PhaseEvent, now: float) -> list[PhaseCommand]:
        """Take one event; never raises."""
        match event:
            case TraversalMessageReceived(message):
                self._said(message, now)
            case PhaseTimer():
                for each in self._rounds():
                    self._run(each, each.timer(now), now)
                if self._leader_until is not None and now >= self._leader_until:
                    self._leader_until = None
                    self._end("failed", "no-answer", now)
            case SocketOpened():
                for each in self._rounds():
                    self._run(each, each.opened(event, now), now)
            case SocketFailed():
                for each in self._rounds():
                    self._run(each, each.failed(event, now), now)
            case DatagramReceived():
                for each in self._rounds():
                    self._run(each, each.received(event, now), now)
            case PortMappingsChanged(ports):
                if self._round is not None:
                    self._run(self._round, self._round.map_ports(ports, now), now)
        return self._take()

    def stop(self, reason: str, now: float) -> list[PhaseCommand]:
        """Give up. A path that was found stays."""
        for each in self._rounds():
            self._run(each, each.stop(), now)
        self._leader_until = None
        if self._status.ended is None:
            self._status = replace(self.status, outcome="cancelled", ended=now, reason=reason)
        return self._take()

    def _rounds(self) -> tuple[PunchRound, ...]:
        return tuple(each for each in (self._won, self._round) if each is not None)

    def _take(self) -> list[PhaseCommand]:
        out, self._out = self._out, []
        return out

    def _leads(self, index: int) -> bool:
        """Who receives the other's candidates first sends first in round 0, mostly the caller: so the callee leads
        next, and they take turns."""
        return index > 0 and (index % 2 == 0) is (self._know.role is IceRole.CONTROLLING)

    def _begin(self, index: int, now: float) -> None:
        know = self._know
        self._index = index
        families = [version for version in (6, 4) if self._usable(version)]
        plan = RoundPlan(
            number=self._first + index,
            synchronised=index > 0,
            leads=self._leads(index),
            role=know.role,
            stun=self._servers(now),
            hosts=know.hosts,
            our_public=() if know.local is None or know.local.reflexive is None else (know.local.reflexive[0],),
            budget=BUDGET,
            opener_ttl=OPENER_TTLS[index] if know.low_ttl else None,
            relay_rtt_s=know.relay_rtt_s,
            allowance=know.allowance,
            mapped=know.mapped,
            door=know.new_socket() if 4 in families else None,
        )
        sockets = {know.new_socket(): version for version in families}
        self._leader_until = None
        self._theirs = ()
        self._round = PunchRound(plan, sockets, know.rng, may_tell=self._may_tell)
        if know.local is not None:
            self._round.tell_profile(know.local.to_wire())
        self._judge(self._round)
        status = self.status
        self._status = replace(status, rounds=status.rounds + 1, sockets=status.sockets + len(sockets))
        if status.outcome == "failed":
            # The other side has begun a round after we had given up.
            self._status = replace(self._status, outcome="waiting", ended=None, reason="")
        self._run(self._round, self._round.begin(now), now)

    def _usable(self, version: int) -> bool:
        return any(host.version == version for host in self._know.hosts) or any(
            (":" in server[0]) is (version == 6) for server in self._know.stun
        )

    def _servers(self, now: float) -> tuple[Address, ...]:
        """Whom to ask: everybody while there is no fresh profile, or not all of it."""
        chosen: list[Address] = []
        for six in (False, True):
            family = [server for server in self._know.stun if (":" in server[0]) is six]
            by_address: dict[str, Address] = {}
            for server in family:
                by_address.setdefault(server[0], server)
            few = (*by_address.values(), *(server for server in family if server not in by_address.values()))
            local = self._know.local
            known = local is not None and local.fresh(now) and not local.hides_rule
            chosen += few[:FEW_SERVERS] if known else family[:MAX_SERVERS]
        return tuple(chosen)

    def _said(self, message: TraversalMessage, now: float) -> None:
        index = message.round - self._first
        if not 0 <= index < ROUNDS or self._status.outcome == "cancelled":
            return
        if index > self._index:
            # The other side has given up the round before; so do we.
            if self._round is not None:
                self._leave(self._round, now)
            self._begin(index, now)
        if self._round is None or index != self._index:
            return
        if isinstance(message, Candidates):
            self._theirs = tuple(message.candidates)
            if message.profile is not None:
                self._know.remote = from_wire(message.profile, now)
                self._out.append(ProfileKnown("remote", self._know.remote))
            # Before the round takes them: what leads nowhere is not to be sent to.
            self._judge(self._round)
        running = self._round
        self._run(running, running.said(message, now), now)
        if running.sync.rtt_s is not None:
            self._know.relay_rtt_s = running.sync.rtt_s

    def _leave(self, leaving: PunchRound, now: float) -> None:
        self._round = None
        self._spent += _packets(leaving)
        self._run(leaving, leaving.stop(), now)

    def _judge(self, running: PunchRound) -> None:
        if self._outlook(running).chance is Feasibility.NONE:
            running.spare_reflexive()

    def _outlook(self, running: PunchRound) -> Compatibility:
        same_nat = is_behind_same_nat((one for one in self._theirs if ":" not in one.ip), running.our_public)
        return outlook(self._know.local, self._know.remote, same_nat=same_nat)

    def _run(self, source: PunchRound, commands: list[RoundCommand], now: float) -> None:
        for command in commands:
            match command:
                case RoundWon():
                    if source is self._round:
                        self._spent += 0 if self._won is None else _packets(self._won)
                        self._won, self._round = source, None
                    self._out.append(direct_found(command))
                    if self._status.outcome != "won":
                        self._end("won", "", now)
                case RoundLost(reason):
                    self._lost(source, reason, now)
                case RoundUnconfirmed():
                    if self._round is None and self._index + 1 < ROUNDS and self._leads(self._index + 1):
                        # The other side has lost this round, and waits for us.
                        self._begin(self._index + 1, now)
                case Gathered():
                    self._gathered(source, command, now)
                case _:
                    self._out.append(command)
        if source is self._round and source.started_at is not None and self._status.outcome == "waiting":
            self._status = replace(self._status, outcome="trying")

    def _gathered(self, source: PunchRound, found: Gathered, now: float) -> None:
        profile = classify(
            found.observations,
            found.local,
            [host.ip for host in self._know.hosts],
            now,
            unanswered=found.unanswered,
            unbelievable=found.unbelievable,
        )
        before = self._know.local
        is_another = before is not None and not before.symmetric and len({one.mapped for one in found.observations}) > 1
        self._know.local = profile if is_another else renewed(before, profile, now)
        if self._know.local != before:
            self._out.append(ProfileKnown("local", self._know.local))
        source.tell_profile(self._know.local.to_wire())
        self._judge(source)

    def _lost(self, source: PunchRound, reason: str, now: float) -> None:
        if source is not self._round:
            return
        index = self._index
        nobody_to_ask = source.started_at is not None and source.checks.first_check_at is None
        expected = self._outlook(source)
        # A mapped port asks nothing of the NATs: it gets a second round against lost packets, and no more.
        is_mapped = source.has_mapped and expected.reason != "udp-blocked"
        is_bad = expected.chance is not Feasibility.GOOD and not (is_mapped and index < MAPPED_ROUNDS - 1)
        self._leave(source, now)
        if reason == "no-sockets":
            self._end("failed", reason, now)
        elif is_bad:
            self._end("failed", expected.reason, now)
        elif nobody_to_ask and not is_mapped:
            self._end("failed", "nobody-to-ask", now)
        elif index + 1 >= ROUNDS:
            self._end("failed", reason, now)
        elif self._leads(index + 1):
            self._begin(index + 1, now)
        else:
            self._leader_until = now + LEADER_WAIT_S

    def _end(self, outcome: PhaseOutcome, reason: str, now: float) -> None:
        if self._status.outcome == "won":
            # A further round, for the other side's sake, found nothing: what was found before stays.
            return
        self._status = replace(self.status, outcome=outcome, ended=now, reason=reason)
        self._out.append(PhaseEnded(hopeless=reason in HOPELESS and not self._know.may_learn))


def _packets(each: PunchRound) -> int:
    return each.purse.spent + each.checks.answers_sent


HOPELESS = (
    "udp-blocked",
    "nobody-to-ask",
    "both-symmetric",
    "symmetric-and-port-restricted",
    "symmetric-and-unknown",
    "same-nat-no-hairpin",
)
SPEC = PhaseSpec(NAME, PunchPhase, BUDGET, rounds=ROUNDS)
