"""One round of the birthday technique, both sides of it, against each other behind their two NATs, and nothing else.

How often they meet must be what mathematics says, no more and no less: a figure that is too good is a bug in here.
"""

import random
from collections.abc import Callable
from functools import partial

from tests.natsim.clock import Timer, VirtualClock
from tests.natsim.network import Host
from tests.natsim.scenario import build, pair
from tests.natsim.traversal_run import TICK_S
from transport.ice.candidates import HostAddress
from transport.nat.profile import Allocation, Filtering, Mapping, NatProfile
from transport.net.sockets import Address, CloseSocket, DatagramReceived, OpenSocket, SendDatagram, SocketOpened
from transport.traversal import birthday
from transport.traversal.birthday import FixedSide, RandomSide
from transport.traversal.context import TraversalContext
from transport.traversal.events import DirectFound, SendToPeer
from transport.traversal.round import Round, RoundLost, RoundPlan, RoundResult
from transport.wire.stun import IceRole

ONE_WAY_S = 0.02
RANDOM_IP, FIXED_IP = "198.51.100.1", "203.0.113.1"
_STRICT = Filtering.ADDRESS_AND_PORT_DEPENDENT
RANDOM = NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, _STRICT, Allocation.RANDOM, reflexive=(RANDOM_IP, 40_000))
FIXED = NatProfile(Mapping.ENDPOINT_INDEPENDENT, _STRICT, Allocation.PRESERVING, reflexive=(FIXED_IP, 40_000))


class Side:
    """Runs a round on a virtual host, as its technique and the agent do."""

    def __init__(self, host: Host, clock: VirtualClock, context: TraversalContext) -> None:
        self.host = host
        self.clock = clock
        self.context = context
        self.round: Round
        self.send_to_peer: Callable[[SendToPeer], None] = lambda message: None
        self.ports: dict[int, int] = {}
        self.won = False
        self.lost = ""
        self._timer: Timer | None = None

    def take(self, source: Round, result: RoundResult, now: float) -> None:
        match result:
            case DirectFound():
                self.won = True
            case RoundLost(reason):
                self.lost = reason

    def carry_out(self) -> None:
        """What the round has ordered; then call it again in time."""
        commands = self.context.commands.copy()
        self.context.commands.clear()
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
                    self.send_to_peer(command)
        if self._timer is not None:
            self._timer.cancelled = True
        due = self.round.next_deadline()
        self._timer = None if due is None else self.clock.at(max(due, self.clock.now + TICK_S), self._fire)

    def receive_message(self, message: SendToPeer) -> None:
        self.round.message(message.message, self.clock.now)
        self.carry_out()

    def _fire(self) -> None:
        self.round.timer(self.clock.now)
        self.carry_out()

    def _opened(self, socket: int) -> None:
        if socket in self.ports:
            self.round.opened(SocketOpened(socket, (self.host.ip, self.ports[socket])), self.clock.now)
            self.carry_out()

    def _received(self, socket: int, data: bytes, source: Address) -> None:
        if socket in self.ports:
            self.round.received(DatagramReceived(socket, source, data), self.clock.now)
            self.carry_out()


def _context(
    local: NatProfile, remote: NatProfile, role: IceRole, host: Host, stun: tuple[Address, ...], rng: random.Random
) -> TraversalContext:
    context = TraversalContext(
        *(role, stun, (HostAddress(host.ip, 24, "eth0"),), iter(range(10**6)).__next__, rng, True, local, remote)
    )
    context.peer_public = (remote.reflexive,) if remote.reflexive is not None else ()
    return context


def meets(mappings: int, ports: int, seed: int) -> bool:
    """One trial: the random side opens so many sockets, the fixed side tries so many ports. Whether they have met, by
    whichever side's packet: a socket that gets a port which has been tried already finds the way in by itself."""
    rng = random.Random(seed)
    clock = VirtualClock()
    world = build(pair("symmetric-random", "port-restricted"), clock, rng)
    hosts = [side.host for side in world.sides]
    stun = world.stun[:6]
    leads, follows = IceRole.CONTROLLING, IceRole.CONTROLLED
    one = Side(hosts[0], clock, _context(RANDOM, FIXED, leads, hosts[0], stun, rng))
    other = Side(hosts[1], clock, _context(FIXED, RANDOM, follows, hosts[1], stun, rng))
    one.round = RandomSide(RoundPlan(one.context, 8, one, birthday.BUDGET), sockets=mappings, mappings=mappings)
    other.round = FixedSide(RoundPlan(other.context, 8, other, birthday.BUDGET), ports=ports)
    sides = (one, other)
    for side, peer in (sides, sides[::-1]):
        side.send_to_peer = partial(_carry, peer, clock)
    for side in sides:
        side.round.begin(clock.now)
        side.carry_out()
    done = [mappings, ports]

    def over() -> bool:
        return all(side.won for side in sides) or all(side.lost for side in sides)

    clock.run(birthday.SECONDS + 1.0, over)
    won = all(side.won for side in sides)
    assert won or [side.round.tried for side in sides] == done, "all was tried that should be"
    assert won or all(side.lost for side in sides)
    return won


def _carry(to: Side, clock: VirtualClock, message: SendToPeer) -> None:
    clock.after(ONE_WAY_S, lambda: to.receive_message(message))
