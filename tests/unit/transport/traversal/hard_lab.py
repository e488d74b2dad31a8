"""One hard round whose sockets open and whose servers answer at once; the peer is what a test makes of it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from transport.ice.candidates import HostAddress
from transport.ice.credentials import make_credentials
from transport.ice.pacing import HostLimits
from transport.nat.compatibility import strategy
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
from transport.traversal.hard_phase import HardKind
from transport.traversal.probe_round import ProbePlan, ProbeRound
from transport.traversal.round import RoundCommand, RoundLost, RoundWon
from transport.wire import stun
from transport.wire.call_messages import Candidates, WireCandidate
from transport.wire.stun import IceRole

HOSTS = (HostAddress("192.168.1.20", 24, "eth0"),)
STUN = (("192.0.2.1", 3_478), ("192.0.2.2", 3_478), ("192.0.2.1", 3_479), ("192.0.2.2", 3_479))
OUTSIDE = "198.51.100.1"
PEER = ("203.0.113.1", 5_000)
THEIRS = make_credentials(random.Random(9))


def plan(
    kind: HardKind,
    local: NatProfile,
    remote: NatProfile,
    *,
    controlling: bool = True,
    allowance: HostLimits | None = None,
    number: int = 4,
) -> ProbePlan:
    """For a round between such NATs."""
    numbers = iter(range(10**6))
    return ProbePlan(
        number=number,
        role=IceRole.CONTROLLING if controlling else IceRole.CONTROLLED,
        strategy=strategy(local, remote, try_harder=True),
        local=local,
        remote=remote,
        stun=STUN,
        hosts=HOSTS,
        peer_public=(PEER,),
        budget=kind.budget,
        allowance=allowance or HostLimits(),
        new_socket=lambda: next(numbers),
    )


def told(number: int, *ports: int, host: str = PEER[0]) -> Candidates:
    """What a peer tells: these ports, the likeliest first."""
    listed = [WireCandidate("server-reflexive", host, port, 10_000 - rank) for rank, port in enumerate(ports)]
    return Candidates(number, THEIRS.ufrag, THEIRS.password, listed)


@dataclass
class RoundLab:
    """``maps`` is our NAT: the outside port of a new flow, by socket and destination."""

    round: ProbeRound
    maps: Callable[[int, Address], int]
    now: float = 100.0
    max_open: int = 10**6
    opened: set[int] = field(default_factory=set)
    most_open: int = 0
    flows: dict[tuple[int, Address], int] = field(default_factory=dict)
    """Outside ports, in the order in which the NAT gave them."""
    sent: list[tuple[float, SendDatagram]] = field(default_factory=list)
    said: list[Candidates] = field(default_factory=list)
    syncs: list[object] = field(default_factory=list)
    won: list[RoundWon] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def begin(self) -> "RoundLab":
        self.carry_out(self.round.begin(self.now))
        return self

    def hear(self, message: object) -> None:
        self.carry_out(self.round.said(message, self.now))  # type: ignore[arg-type]

    def check_from(self, socket: int, source: Address) -> None:
        """An authentic check of the peer's comes in."""
        keys = self.round.credentials
        role = IceRole.CONTROLLED if self.round.plan.leads else IceRole.CONTROLLING
        check = stun.Check(role, 7, 1_000_000, not self.round.plan.leads, None)
        request = stun.connectivity_check(
            self.now.hex().encode()[-12:], f"{keys.ufrag}:{THEIRS.ufrag}", keys.password, check
        )
        self.carry_out(self.round.received(DatagramReceived(socket, source, request), self.now))

    def answer(self, sent: SendDatagram) -> None:
        """The peer answers this check."""
        mapped = (OUTSIDE, self.flows[sent.socket, sent.destination])
        answer = stun.check_answer(stun.parse(sent.data), mapped, THEIRS.password)
        self.carry_out(self.round.received(DatagramReceived(sent.socket, sent.destination, answer), self.now))

    def wait(self, seconds: float) -> None:
        end, late = self.now + seconds, 0
        while (due := self.round.next_deadline()) is not None and due <= end:
            late = late + 1 if due <= self.now else 0
            assert late < 40, "a deadline that has passed is met"
            self.now = max(self.now, due)
            self.carry_out(self.round.timer(self.now))
        self.now = end

    @property
    def checks(self) -> list[SendDatagram]:
        return [sent for _, sent in self.sent if sent.destination not in STUN]

    def carry_out(self, commands: list[RoundCommand]) -> None:
        pending = list(commands)
        while pending:
            match pending.pop(0):
                case OpenSocket(socket):
                    pending += self._open(socket)
                case CloseSocket(socket):
                    assert socket in self.opened, "only what is open"
                    self.opened.remove(socket)
                case SendDatagram(socket, destination, data) as sent:
                    assert socket in self.opened
                    self.sent.append((self.now, sent))
                    if (socket, destination) not in self.flows:
                        self.flows[socket, destination] = self.maps(socket, destination)
                    if destination in STUN:
                        mapped = (OUTSIDE, self.flows[socket, destination])
                        answer = stun.binding_success(stun.parse(data), mapped)
                        pending += self.round.received(DatagramReceived(socket, destination, answer), self.now)
                case SendToPeer(message):
                    if isinstance(message, Candidates):
                        self.said.append(message)
                    else:
                        self.syncs.append(message)
                case RoundWon() as won:
                    self.won.append(won)
                case RoundLost(reason):
                    self.lost.append(reason)

    def _open(self, socket: int) -> list[RoundCommand]:
        if len(self.opened) >= self.max_open:
            return self.round.failed(SocketFailed(socket, "too many open files"), self.now)
        self.opened.add(socket)
        self.most_open = max(self.most_open, len(self.opened))
        return self.round.opened(SocketOpened(socket, ("192.168.1.20", 50_000 + socket % 10_000)), self.now)
