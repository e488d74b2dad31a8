"""One round of the birthday technique, both sides of it, against each other behind their two NATs, and nothing else.

How often they meet must be what mathematics says, no more and no less: a figure that is too good is a bug in here.
"""

import random
from collections.abc import Callable
from functools import partial

from tests.natsim.climb import TICK_S
from tests.natsim.clock import Timer, VirtualClock
from tests.natsim.network import Address, Host
from tests.natsim.scenario import build, pair
from transport.ice.candidates import HostAddress
from transport.ice.pacing import HostLimits
from transport.nat.compatibility import strategy
from transport.nat.profile import Allocation, Filtering, Mapping, NatProfile
from transport.net.sockets import CloseSocket, DatagramReceived, OpenSocket, SendDatagram, SocketOpened
from transport.traversal import birthday
from transport.traversal.birthday import FixedSide, RandomSide
from transport.traversal.events import SendToPeer
from transport.traversal.probe_round import ProbePlan, ProbeRound
from transport.traversal.round import RoundCommand, RoundLost, RoundWon
from transport.wire.stun import IceRole

ONE_WAY_S = 0.02
HARD_IP, EASY_IP = "198.51.100.1", "203.0.113.1"
_STRICT = Filtering.ADDRESS_AND_PORT_DEPENDENT
RANDOM = NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, _STRICT, Allocation.RANDOM, reflexive=(HARD_IP, 40_000))
FIXED = NatProfile(Mapping.ENDPOINT_INDEPENDENT, _STRICT, Allocation.PRESERVING, reflexive=(EASY_IP, 40_000))


class Duellist:
    """Runs a round on a virtual host."""

    def __init__(self, made: ProbeRound, host: Host, clock: VirtualClock) -> None:
        self.round = made
        self.host = host
        self.clock = clock
        self.say: Callable[[SendToPeer], None] = lambda said: None
        self.ports: dict[int, int] = {}
        self.won = False
        self.lost = ""
        self._timer: Timer | None = None

    def run(self, commands: list[RoundCommand]) -> None:
        """Carry out what the round says, and call it again in time."""
        for command in commands:
            match command:
                case OpenSocket(socket):
                    self.ports[socket] = self.host.open(partial(self._received, socket))
                    self.clock.after(0, partial(self._opened, socket))
                case CloseSocket(socket):
                    self.host.close(self.ports.pop(socket))
                case SendDatagram(socket, destination, data):
                    self.host.send(self.ports[socket], destination, data)
                case SendToPeer():
                    self.say(command)
                case RoundWon():
                    self.won = True
                case RoundLost(reason):
                    self.lost = reason
        if self._timer is not None:
            self._timer.cancelled = True
        due = self.round.next_deadline()
        self._timer = None if due is None else self.clock.at(max(due, self.clock.now + TICK_S), self._fire)

    def _fire(self) -> None:
        self.run(self.round.timer(self.clock.now))

    def _opened(self, socket: int) -> None:
        if socket in self.ports:
            self.run(self.round.opened(SocketOpened(socket, (self.host.ip, self.ports[socket])), self.clock.now))

    def _received(self, socket: int, data: bytes, source: Address) -> None:
        if socket in self.ports:
            self.run(self.round.received(DatagramReceived(socket, source, data), self.clock.now))


def _plan(local: NatProfile, remote: NatProfile, role: IceRole, host: Host, stun: tuple[Address, ...]) -> ProbePlan:
    return ProbePlan(
        number=8,
        role=role,
        strategy=strategy(local, remote),
        local=local,
        remote=remote,
        stun=stun,
        hosts=(HostAddress(host.ip, 24, "eth0"),),
        peer_public=(remote.reflexive,) if remote.reflexive is not None else (),
        budget=birthday.BUDGET,
        allowance=HostLimits(),
        new_socket=iter(range(10**6)).__next__,
    )


def meets(mappings: int, doors: int, seed: int) -> bool:
    """One trial: the hard side opens so many sockets, the easy side tries so many doors. Whether they have met, by
    whichever side's packet: a socket that gets a port which has been tried already finds the way in by itself."""
    rng = random.Random(seed)
    clock = VirtualClock()
    world = build(pair("symmetric-random", "port-restricted"), clock, rng)
    hosts = [side.host for side in world.sides]
    stun = world.stun[:6]
    leads, follows = IceRole.CONTROLLING, IceRole.CONTROLLED
    rounds: tuple[ProbeRound, ProbeRound] = (
        RandomSide(_plan(RANDOM, FIXED, leads, hosts[0], stun), rng, sockets=mappings, mappings=mappings),
        FixedSide(_plan(FIXED, RANDOM, follows, hosts[1], stun), rng, doors=doors),
    )
    sides = [Duellist(made, host, clock) for made, host in zip(rounds, hosts, strict=True)]
    for one, other in (sides, sides[::-1]):
        one.say = partial(_carry, other, clock)
    for side in sides:
        side.run(side.round.begin(clock.now))
    done = [mappings, doors]

    def over() -> bool:
        return all(side.won for side in sides) or all(side.lost for side in sides)

    clock.run(birthday.SECONDS + 1.0, over)
    won = all(side.won for side in sides)
    assert won or [side.round.tried for side in sides] == done, "all was tried that should be"
    assert won or all(side.lost for side in sides)
    return won


def _carry(to: Duellist, clock: VirtualClock, said: SendToPeer) -> None:
    clock.after(ONE_WAY_S, lambda: to.run(to.round.said(said.message, clock.now)))  # type: ignore[arg-type]
