"""One probe round whose sockets open and whose servers answer at once; the peer is what a test makes of it."""

import random
from collections.abc import Callable

from transport.ice.candidates import HostAddress
from transport.ice.credentials import make_credentials
from transport.ice.pacing import Budget, HostLimits
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
from transport.traversal import birthday
from transport.traversal.context import TraversalContext
from transport.traversal.events import DirectFound, SendToPeer, TraversalMessage
from transport.traversal.round import Round, RoundLost, RoundPlan, RoundResult
from transport.wire import stun
from transport.wire.call_messages import Candidates, WireCandidate
from transport.wire.stun import IceRole

HOSTS = (HostAddress("192.168.1.20", 24, "eth0"),)
STUN = (("192.0.2.1", 3_478), ("192.0.2.2", 3_478), ("192.0.2.1", 3_479), ("192.0.2.2", 3_479))
OUTSIDE = "198.51.100.1"
PEER = ("203.0.113.1", 5_000)
THEIRS = make_credentials(random.Random(9))


def a_context(
    local: NatProfile, remote: NatProfile, *, controlling: bool = True, limits: HostLimits | None = None
) -> TraversalContext:
    """For a round between such NATs."""
    context = TraversalContext(
        IceRole.CONTROLLING if controlling else IceRole.CONTROLLED,
        *(STUN, HOSTS, iter(range(10**6)).__next__, random.Random(1), True, local, remote),
    )
    context.peer_public, context.limits = (PEER,), limits or HostLimits()
    context.try_harder = context.peer_tries_harder = True
    return context


def candidates(number: int, *ports: int, host: str = PEER[0]) -> Candidates:
    """What a peer tells: these ports, the likeliest first."""
    listed = [WireCandidate("server-reflexive", host, port, 10_000 - rank) for rank, port in enumerate(ports)]
    return Candidates(number, THEIRS.ufrag, THEIRS.password, listed)


Make = Callable[[RoundPlan], Round]


class RoundLab:
    """``make`` makes the round; ``maps`` is our NAT: the outside port of a new flow, by socket and destination."""

    def __init__(
        self,
        make: Make,
        context: TraversalContext,
        maps: Callable[[int, Address], int],
        *,
        max_open: int = 10**6,
        number: int = 4,
        budget: Budget = birthday.BUDGET,
    ) -> None:
        self.context = context
        self.maps = maps
        self.now = 100.0
        self.max_open = max_open
        self.answers = True
        """Whether STUN servers answer."""
        self.opened: set[int] = set()
        self.most_open = 0
        self.flows: dict[tuple[int, Address], int] = {}
        """Outside ports, in the order in which the NAT gave them."""
        self.sent: list[tuple[float, SendDatagram]] = []
        self.messages: list[Candidates] = []
        self.syncs: list[object] = []
        self.won: list[DirectFound] = []
        self.lost: list[str] = []
        self.round = make(RoundPlan(context, number, self, budget))

    def begin(self) -> "RoundLab":
        self.round.begin(self.now)
        self.carry_out()
        return self

    def receive_message(self, message: TraversalMessage) -> None:
        self.round.message(message, self.now)
        self.carry_out()

    def check_from(self, socket: int, source: Address) -> None:
        """An authentic check of the peer's comes in."""
        keys = self.round.credentials
        role = IceRole.CONTROLLED if self.round.leads else IceRole.CONTROLLING
        check = stun.Check(role, 7, 1_000_000, not self.round.leads, None)
        request = stun.connectivity_check(
            self.now.hex().encode()[-12:], f"{keys.ufrag}:{THEIRS.ufrag}", keys.password, check
        )
        self.receive(socket, source, request)

    def answer(self, sent: SendDatagram) -> None:
        """The peer answers this check."""
        mapped = (OUTSIDE, self.flows[sent.socket, sent.destination])
        answer = stun.check_answer(stun.parse(sent.data), mapped, THEIRS.password)
        self.receive(sent.socket, sent.destination, answer)

    def receive(self, socket: int, source: Address, data: bytes) -> None:
        self.round.received(DatagramReceived(socket, source, data), self.now)
        self.carry_out()

    def wait(self, seconds: float) -> None:
        end, late = self.now + seconds, 0
        while (due := self.round.next_deadline()) is not None and due <= end:
            late = late + 1 if due <= self.now else 0
            assert late < 40, "a deadline that has passed is met"
            self.now = max(self.now, due)
            self.round.timer(self.now)
            self.carry_out()
        self.now = end

    @property
    def checks(self) -> list[SendDatagram]:
        return [sent for _, sent in self.sent if sent.destination not in STUN]

    def take(self, source: Round, result: RoundResult, now: float) -> None:
        match result:
            case DirectFound():
                self.won.append(result)
                self.context.sockets.hand_over(result.socket)
            case RoundLost(reason):
                self.lost.append(reason)

    def carry_out(self) -> None:
        commands = self.context.commands
        while commands:
            match commands.pop(0):
                case OpenSocket(socket):
                    self._open(socket)
                case CloseSocket(socket):
                    assert socket in self.opened, "only what is open"
                    self.opened.remove(socket)
                case SendDatagram(socket, destination, data) as sent:
                    assert socket in self.opened
                    self.sent.append((self.now, sent))
                    if (socket, destination) not in self.flows:
                        self.flows[socket, destination] = self.maps(socket, destination)
                    if destination in STUN and self.answers:
                        mapped = (OUTSIDE, self.flows[socket, destination])
                        answer = stun.binding_success(stun.parse(data), mapped)
                        self.round.received(DatagramReceived(socket, destination, answer), self.now)
                case SendToPeer(message):
                    if isinstance(message, Candidates):
                        self.messages.append(message)
                    else:
                        self.syncs.append(message)

    def _open(self, socket: int) -> None:
        if len(self.opened) >= self.max_open:
            self.context.sockets.forget(socket)
            self.round.failed(SocketFailed(socket, "too many open files"), self.now)
        else:
            self.opened.add(socket)
            self.most_open = max(self.most_open, len(self.opened))
            self.round.opened(SocketOpened(socket, ("192.168.1.20", 50_000 + socket % 10_000)), self.now)
