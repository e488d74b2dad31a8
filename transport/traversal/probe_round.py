"""What the rounds beyond hole punching have in common: IPv4 sockets within the host's limits, and probes (pure).

Each side opens sockets of its own, sends the other its credentials and what it knows of its ports, and then sends
authenticated checks to the ports that the other side may have. Whoever wins hands its socket over; every other one is
closed at once.
"""

from collections.abc import Sequence

from transport.ice.candidates import CandidateKind, acceptable, priority
from transport.ice.pacing import PacketBudget
from transport.ice.pairs import PairChosen, Schedule
from transport.ice.stun_client import Observation
from transport.nat.compatibility import Technique
from transport.nat.profile import NatProfile
from transport.net.sockets import Address, SendDatagram
from transport.path.stats import PathVia
from transport.traversal.round import Round, RoundPlan
from transport.wire.call_messages import MAX_CANDIDATES, Candidates, WireCandidate
from transport.wire.stun import TRANSACTION_ID_BYTES, IceRole, binding_request

# Pairs of these rounds are many and each is tried a few times: twenty of them are through in a tenth of a second,
# and the limits of the host hold the rate.
TA_S = 0.005
# As in punching; the first check of a pair leaves at once.
SCHEDULE_S = (0.0, 0.1, 0.3, 0.7)
# Both sides' candidates are known, and both have sent: a check and its answer need 0.6 s where a call is any good.
CHECKS_S = 1.3
# Beside what the round is for: STUN requests, and triggered checks.
BURST_PACKETS = 30
# From the first answer on, the others are on their way or lost; a lost one is asked again after 0.1 s.
ANSWERS_S = 0.35
# The host's limits give 170 packets a second; what they do not give is asked for again so soon.
PACE_S = 0.006


class ProbeRound(Round):
    """The profiles and what follows from them stay as they were when the round was made."""

    def __init__(self, plan: RoundPlan, *, max_pairs: int) -> None:
        context = plan.context
        self.limits = context.limits
        budget = PacketBudget(plan.budget, BURST_PACKETS, limits=self.limits, is_focused=True)
        super().__init__(plan, budget, leads=context.role is IceRole.CONTROLLING, max_pairs=max_pairs, ta_s=TA_S)
        self.strategy = context.strategy
        self.our_nat = context.local or NatProfile()
        self.peer_nat = context.remote or NatProfile()
        self._hosts = context.hosts
        self._peer_public = context.peer_public
        self._servers = [server for server in context.stun if ":" not in server[0]]
        self._answers_until: float | None = None
        """While servers are asked what there is to be sent to the peer."""
        self._counted: set[int] = set()
        """Sockets that count against the host's limits; one that has won no longer does."""

    def begin(self, now: float) -> None:
        """Open what there is to be opened."""
        self.ends_at = now + self._seconds
        super().begin(now)

    def _socket_opened(self, socket: int, now: float) -> None:
        self.checks.add_socket(socket, 4)

    def _forget(self, socket: int) -> None:
        super()._forget(socket)
        self._uncount(socket)

    def _uncount(self, socket: int) -> None:
        if socket in self._counted:
            self._counted.discard(socket)
            self.limits.close_socket()

    def _handed_over(self, socket: int) -> None:
        self._uncount(socket)

    def _via(self, pair: PairChosen) -> PathVia:
        return "prediction" if self.strategy.technique is Technique.PREDICTION else "birthday"

    def _time_over(self, now: float) -> None:
        self._lose("no-answer" if self.peer else "no-candidates")

    # -- what the kinds of round use

    def _open_socket(self) -> int | None:
        """Ask for one more, where the host's limits have one."""
        if not self.limits.open_socket():
            return None
        socket = self._open((self._peer_public or self._servers)[0])
        self._counted.add(socket)
        return socket

    def _open_sockets(self, count: int) -> list[int]:
        """So many, or as many as there are; without any the round is lost."""
        opened = [socket for _ in range(count) if (socket := self._open_socket()) is not None]
        if not opened:
            self._lose("no-sockets")
        return opened

    def _ask(self, socket: int, servers: Sequence[Address], now: float) -> None:
        super()._ask(socket, servers, now)
        for request in self.stun[socket][-1].timer(now):
            self.context.sockets.send(request)

    def _observed(self) -> list[Observation]:
        """What servers have answered so far, of all sockets."""
        return [one for clients in self.stun.values() for each in clients for one in each.observations]

    def _is_answered(self) -> bool:
        """No server's answer is waited for."""
        return all(each.done for clients in self.stun.values() for each in clients)

    def _has_answers(self, now: float, *, enough: bool) -> bool:
        """Once: the servers have answered as far as is ``enough``, or had their time."""
        if self._answers_until is None or not (enough or now >= self._answers_until):
            return False
        self._answers_until = None
        return True

    def _open_mapping(self, socket: int, target: Address, now: float) -> None:
        """Toward an address that we cannot check yet, for want of its credentials."""
        if self.limits.allows_mapping(socket, target, now) and self.budget.consume(target, now):
            request = binding_request(self.context.rng.randbytes(TRANSACTION_ID_BYTES))
            self.context.sockets.send(SendDatagram(socket, target, request))

    def _probe(self, socket: int, target: Address, now: float) -> bool:
        """One check, where the limits let it go; returns whether it went."""
        before = self.budget.spent
        if self.limits.allows_mapping(socket, target, now):
            self._carry_out(self.checks.probe(socket, CandidateKind.SERVER_REFLEXIVE, target, now), now)
        return self.budget.spent > before

    def _send_addresses(self, addresses: Sequence[Address], now: float) -> None:
        """Send the peer our credentials and these addresses, the likeliest first."""
        base = priority(CandidateKind.SERVER_REFLEXIVE)
        wire = [
            WireCandidate("server-reflexive", ip, port, base - rank)
            for rank, (ip, port) in enumerate(dict.fromkeys(addresses))
        ]
        self._send_candidates(wire[:MAX_CANDIDATES], now)

    def _addresses(self, message: Candidates) -> list[Address]:
        """Where the peer may be, likeliest first, as far as it may be sent to."""
        own = () if self.our_nat.reflexive is None else (self.our_nat.reflexive[0],)
        accepted = acceptable(message.candidates, self._hosts, own)
        return [(one.ip, one.port) for one in accepted if ":" not in one.ip]

    def _check_all(self, sockets: Sequence[int], targets: Sequence[Address], now: float) -> None:
        """Checks on all pairs of these, in time."""
        times = tuple(now + offset for offset in SCHEDULE_S)
        remotes = [
            (CandidateKind.SERVER_REFLEXIVE, target, priority(CandidateKind.SERVER_REFLEXIVE) - rank)
            for rank, target in enumerate(targets)
            if all(self.limits.allows_mapping(socket, target, now) for socket in sockets)
        ]
        self.checks.add_remote(remotes, Schedule(times, times))
        self._start_checks(now)
        self.ends_at = min(now + CHECKS_S, self.ends_at or now)

    def _retransmit(self, now: float) -> None:
        """Once more on all pairs, in time; their first checks have left."""
        times = tuple(now + offset for offset in SCHEDULE_S[1:])
        self.checks.schedule(Schedule(times, times))
        self._start_checks(now)
        self.ends_at = min(now + CHECKS_S, self.ends_at or now)
