"""What the rounds of the hard techniques have in common: sockets, credentials, checks, questions, an end.

Each side opens IPv4 sockets of its own, tells the other what it must check with and what it knows of its ports, and
sends authenticated checks. Whoever wins hands its socket over; every other one is closed at once.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from transport.ice.candidates import CandidateKind, HostAddress, acceptable, priority
from transport.ice.checklist import CheckCommand, CheckList, Schedule
from transport.ice.credentials import Credentials, make_credentials
from transport.ice.pacing import Budget, HostLimits, PacketBudget
from transport.ice.start_sync import SyncMessage
from transport.ice.stun_client import Observation, StunClient
from transport.nat.compatibility import Strategy
from transport.nat.profile import NatProfile
from transport.net.sockets import (
    Address,
    CloseSocket,
    DatagramReceived,
    OpenSocket,
    SendDatagram,
    SocketFailed,
    SocketOpened,
)
from transport.traversal.events import SendToPeer
from transport.traversal.round import INSIST_S, RoundCommand, RoundLost, RoundWon
from transport.wire.call_messages import MAX_CANDIDATES, Candidates, WireCandidate, WireProfile
from transport.wire.stun import TRANSACTION_ID_BYTES, IceRole, binding_request

# Pairs of these rounds are many and each is tried a few times: twenty of them are through in a tenth of a second,
# and the allowance of the machine holds the rate.
TA_S = 0.005
# As in punching; the first check of a pair leaves at once.
SCHEDULE_S = (0.0, 0.1, 0.3, 0.7)
# Both have told, and both have sent: a check and its answer need 0.6 s where a call is any good.
CHECKS_S = 1.3
# Beside what the round is for: STUN questions, and triggered checks.
BURST_PACKETS = 30
MAX_TELLINGS = 4


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """What one round works with. ``local`` and ``remote`` are the profiles, ``strategy`` what follows from them.
    ``peer_public``: the peer's IPv4 addresses as servers see them, told while punching. ``stun`` is IPv4 only."""

    number: int
    role: IceRole
    strategy: Strategy
    local: NatProfile
    remote: NatProfile
    stun: tuple[Address, ...]
    hosts: tuple[HostAddress, ...]
    peer_public: tuple[Address, ...]
    budget: Budget
    allowance: HostLimits
    new_socket: Callable[[], int]

    @property
    def leads(self) -> bool:
        """The caller's side begins where one must."""
        return self.role is IceRole.CONTROLLING


class ProbeRound(ABC):
    """One round. Subclasses say what happens when a socket is open, when the peer has told, and in time."""

    def __init__(self, plan: ProbePlan, rng: Random, *, max_pairs: int) -> None:
        self.plan = plan
        self.rng = rng
        self.local: dict[int, Address | None] = {}
        """Our sockets: ``None`` until they are open. Those that were lost or given up are no longer here."""
        self.credentials: Credentials = make_credentials(rng)
        self.purse = PacketBudget(plan.budget, BURST_PACKETS, allowance=plan.allowance, is_focused=True)
        self.checks = CheckList(
            self.credentials, plan.role, self.purse, rng, plan.number + 1, max_pairs=max_pairs, ta_s=TA_S
        )
        self.queries: dict[int, list[StunClient]] = {}
        self.peer: Candidates | None = None
        self.won = False
        self.over = False
        self.opened_sockets = 0
        self.tried = 0
        self.of = 0
        self.ends_at: float | None = None
        self._told: list[WireCandidate] | None = None
        self._tellings = 0
        self._drawn: set[int] = set()
        """Sockets that count against the machine's allowance; one that has won no longer does."""
        self._out: list[RoundCommand] = []

    # -- for subclasses

    @abstractmethod
    def _begin(self, now: float) -> None:
        """Ask for the first sockets."""

    @abstractmethod
    def _is_open(self, socket: int, now: float) -> None:
        """One that was asked for is there."""

    def _is_lost(self, socket: int, now: float) -> None:  # noqa: B027 - not everybody has something to do
        """It could not be opened, or has died."""

    @abstractmethod
    def _peer_told(self, message: Candidates, now: float) -> None:
        """The peer said where it can be reached."""

    def _heard(self, message: SyncMessage, now: float) -> None:  # noqa: B027
        """The peer said when to start."""

    def _tick(self, now: float) -> None:  # noqa: B027
        """Time has passed, or something has come."""

    def _due(self) -> list[float | None]:
        """When :meth:`_tick` has something to do."""
        return []

    # -- from the phase

    @property
    def packets(self) -> int:
        """Sent so far, answers included."""
        return self.purse.spent + self.checks.answers_sent

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        if self.over:
            return None
        deadlines = [self.ends_at, self.checks.next_deadline()]
        if not self.won:
            deadlines += self._due()
            deadlines += [each.next_deadline() for queries in self.queries.values() for each in queries]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def begin(self, now: float) -> list[RoundCommand]:
        """Open what there is to be opened."""
        self.ends_at = now + self.plan.budget.seconds
        self._begin(now)
        return self._take()

    def opened(self, event: SocketOpened, now: float) -> list[RoundCommand]:
        """A socket of this round is there."""
        if not self.over and event.socket in self.local and self.local[event.socket] is None:
            self.local[event.socket] = event.local
            self.checks.add_socket(event.socket, 4)
            self._is_open(event.socket, now)
            self._settle(now)
        return self._take()

    def failed(self, event: SocketFailed, now: float) -> list[RoundCommand]:
        """A socket of this round could not be opened, or has died."""
        if event.socket in self.local:
            self._forget(event.socket)
            if not self.over and not self.won:
                self._is_lost(event.socket, now)
            if not self.over:
                if not self.local and not self.won:
                    self._lose("no-sockets")
                self._settle(now)
        return self._take()

    def received(self, event: DatagramReceived, now: float) -> list[RoundCommand]:
        """A STUN packet came on a socket of this round."""
        if self.local.get(event.socket) is not None:
            queries = self.queries.get(event.socket, [])
            if not any(each.received(event.source, event.data, now) for each in queries):
                self._run(self.checks.received(event.socket, event.source, event.data, now), now)
            if not self.over:
                self._settle(now)
        return self._take()

    def said(self, message: Candidates | SyncMessage, now: float) -> list[RoundCommand]:
        """The peer said this, about this round."""
        if message.round != self.plan.number or self.over:
            return []
        if not isinstance(message, Candidates):
            self._heard(message, now)
        elif self.peer is None or message.ufrag == self.peer.ufrag:
            self.peer = message
            self.checks.set_remote(Credentials(message.ufrag, message.password))
            self._peer_told(message, now)
        self._settle(now)
        return self._take()

    def timer(self, now: float) -> list[RoundCommand]:
        """Do what is due; harmless when nothing is."""
        if not self.over:
            if not self.won:
                for queries in self.queries.values():
                    for each in queries:
                        self._out += each.timer(now)
            self._settle(now)
            self._run(self.checks.timer(now), now)
            if self.ends_at is not None and now >= self.ends_at:
                self._end()
        return self._take()

    def stop(self) -> list[RoundCommand]:
        """Close what is ours and send nothing more."""
        if not self.over:
            self.over = True
            self.checks.stop()
            if not self.won:
                self._close(tuple(self.local))
        return self._take()

    # -- what subclasses use

    def _open_socket(self) -> int | None:
        """Ask for one more, where the machine's allowance has one."""
        if not self.plan.allowance.open_socket():
            return None
        socket = self.plan.new_socket()
        self._drawn.add(socket)
        self.local[socket] = None
        self.opened_sockets += 1
        toward = self.plan.peer_public[0] if self.plan.peer_public else self.plan.stun[0]
        self._out.append(OpenSocket(socket, "0.0.0.0", toward))  # noqa: S104
        return socket

    def _close(self, sockets: Sequence[int]) -> None:
        for socket in sockets:
            if socket in self.local:
                self._forget(socket)
                self._out.append(CloseSocket(socket))

    def _ask(self, socket: int, servers: Sequence[Address], now: float) -> None:
        queries = StunClient(socket, servers, self.purse, self.rng, now)
        self.queries.setdefault(socket, []).append(queries)
        self._out += queries.timer(now)

    def _observed(self) -> list[Observation]:
        """What servers have said so far, of all sockets."""
        return [one for queries in self.queries.values() for each in queries for one in each.observations]

    def _answered(self) -> bool:
        """No answer of theirs is waited for."""
        return all(each.done for queries in self.queries.values() for each in queries)

    def _knock(self, socket: int, target: Address, now: float) -> None:
        """Make the mapping toward an address that we cannot check yet, for want of its credentials."""
        if self.plan.allowance.map(socket, target, now) and self.purse.pay(target, now):
            self._out.append(SendDatagram(socket, target, binding_request(self.rng.randbytes(TRANSACTION_ID_BYTES))))

    def _probe(self, socket: int, target: Address, now: float) -> bool:
        """One check, where the allowances let it go; returns whether it went."""
        before = self.purse.spent
        if self.plan.allowance.map(socket, target, now):
            self._run(self.checks.probe(socket, CandidateKind.SERVER_REFLEXIVE, target, now), now)
        return self.purse.spent > before

    def _tell(self, addresses: Sequence[Address]) -> None:
        """Say what we are to be checked with, and these addresses, the likeliest first; nothing if already said."""
        base = priority(CandidateKind.SERVER_REFLEXIVE)
        wire = [
            WireCandidate("server-reflexive", ip, port, base - rank)
            for rank, (ip, port) in enumerate(dict.fromkeys(addresses))
        ][:MAX_CANDIDATES]
        if wire == self._told or self._tellings >= MAX_TELLINGS:
            return
        self._told = wire
        self._tellings += 1
        own = self.credentials
        self._say(Candidates(self.plan.number, own.ufrag, own.password, wire, self._profile()))

    @property
    def told(self) -> bool:
        """The peer has our credentials, or will have them soon."""
        return self._told is not None

    def _say(self, *messages: Candidates | SyncMessage) -> None:
        self._out += [SendToPeer(message) for message in messages]

    def _addresses(self, message: Candidates) -> list[Address]:
        """Where the peer may be, likeliest first, as far as it may be sent to."""
        own = {self.plan.local.reflexive[0]} if self.plan.local.reflexive is not None else set()
        told = acceptable(message.candidates, self.plan.hosts, own)
        return [(one.ip, one.port) for one in told if ":" not in one.ip]

    def _check_all(self, sockets: Sequence[int], targets: Sequence[Address], now: float) -> None:
        """Checks on all pairs of these, in time."""
        times = tuple(now + offset for offset in SCHEDULE_S)
        remotes = [
            (CandidateKind.SERVER_REFLEXIVE, target, priority(CandidateKind.SERVER_REFLEXIVE) - rank)
            for rank, target in enumerate(targets)
            if all(self.plan.allowance.map(socket, target, now) for socket in sockets)
        ]
        self.checks.add_remote(remotes, Schedule(times, times))
        self._run(self.checks.run(now), now)
        self.ends_at = min(now + CHECKS_S, self.ends_at or now)

    def _insist(self, now: float) -> None:
        """Once more on all pairs, in time; their first checks have left."""
        times = tuple(now + offset for offset in SCHEDULE_S[1:])
        self.checks.schedule(Schedule(times, times))
        self._run(self.checks.run(now), now)
        self.ends_at = min(now + CHECKS_S, self.ends_at or now)

    def _lose(self, reason: str) -> None:
        self.over = True
        self.checks.stop()
        self._close(tuple(self.local))
        self._out.append(RoundLost(reason))

    # -- inside

    def _profile(self) -> WireProfile:
        return self.plan.local.to_wire()

    def _forget(self, socket: int) -> None:
        del self.local[socket]
        self.queries.pop(socket, None)
        self.checks.remove_socket(socket)
        self._give_back(socket)

    def _give_back(self, socket: int) -> None:
        if socket in self._drawn:
            self._drawn.discard(socket)
            self.plan.allowance.close_socket()

    def _settle(self, now: float) -> None:
        if not self.over and not self.won:
            self._tick(now)

    def _run(self, commands: Sequence[CheckCommand], now: float) -> None:
        for command in commands:
            if isinstance(command, SendDatagram):
                self._out.append(command)
                continue
            local = self.local.get(command.socket)
            if local is None or self.checks.keys is None:
                continue
            if not self.won:
                self.won = True
                self.ends_at = now + INSIST_S
                self.queries.clear()
                self._close([socket for socket in self.local if socket != command.socket])
                self._give_back(command.socket)
            self._out.append(RoundWon(command.socket, local, command, self.checks.keys))

    def _end(self) -> None:
        """The time is over. What was won is no longer ours to close; authentic checks on it are answered still."""
        self.ends_at = None
        if self.won:
            self.checks.stop()
        else:
            self._lose(self._reason())

    def _reason(self) -> str:
        return "no-candidates" if self.peer is None else "no-answer"

    def _take(self) -> list[RoundCommand]:
        out, self._out = self._out, []
        return out
