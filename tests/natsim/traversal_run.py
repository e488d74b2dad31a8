"""Two agents, untouched, behind the NATs of a scenario: candidates travel on a stream that never loses anything."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from tests.natsim.clock import Timer, VirtualClock
from tests.natsim.network import TTL_HOPS, Address, Host
from tests.natsim.profiler_host import ProfilerHost
from tests.natsim.relay import RelayNode
from tests.natsim.scenario import Scenario, World, build
from transport.ice.candidates import HostAddress
from transport.ice.pacing import HostLimits
from transport.nat import mapping_lifetime
from transport.nat.profile import NatProfile
from transport.net.machine import TimerFired
from transport.net.sockets import CloseSocket, DatagramReceived, OpenSocket, SendDatagram, SocketOpened
from transport.traversal.agent import TECHNIQUES, AgentConfig, TraversalAgent
from transport.traversal.events import (
    AgentCommand,
    AgentEvent,
    Begin,
    DirectFound,
    PhaseChanged,
    Prepare,
    ProfileKnown,
    RelayRoundTrip,
    SendToPeer,
    TraversalMessageReceived,
)
from transport.traversal.technique import TechniqueSpec
from transport.wire import call_messages, stun
from transport.wire.errors import WireError

# A real timer never fires in the very instant that it was set for.
TICK_S = 1e-6
LIFE_TESTED_S = mapping_lifetime.BUDGET.seconds


@dataclass(slots=True)
class Sent:
    """A packet that an agent sent. ``is_check``: with credentials, so not a question to a STUN server;
    ``is_answer``: to a check of the peer's."""

    at_s: float
    destination: Address
    ttl: int | None
    is_check: bool
    is_answer: bool = False


@dataclass(slots=True)
class Log:
    """What one side's agent did, by the clock."""

    sent: list[Sent] = field(default_factory=list)
    messages: list[call_messages.PeerMessage] = field(default_factory=list)
    found: list[tuple[float, DirectFound]] = field(default_factory=list)
    profiles: list[ProfileKnown] = field(default_factory=list)
    phases: list[PhaseChanged] = field(default_factory=list)
    most_open: int = 0
    """Sockets at one time."""

    @property
    def direct_at(self) -> float | None:
        """When this side had a direct path."""
        return self.found[0][0] if self.found else None

    @property
    def first_check_at(self) -> float | None:
        """When it sent its first packet with credentials, of whatever TTL."""
        return next((sent.at_s for sent in self.sent if sent.is_check), None)

    def busiest_second(self) -> int:
        """The most packets that left unasked within any second."""
        times = [sent.at_s for sent in self.sent if not sent.is_answer]
        most, first = 0, 0
        for number, at in enumerate(times):
            while times[first] <= at - 1.0:
                first += 1
            most = max(most, number - first + 1)
        return most


class TraversalSide:
    """One side: an agent with real sockets' habits on a virtual host."""

    def __init__(self, host: Host, config: AgentConfig, rng: random.Random, clock: VirtualClock) -> None:
        self.host = host
        self.clock = clock
        self.log = Log()
        self.limits = config.limits or HostLimits()
        self.agent = TraversalAgent(replace(config, limits=self.limits), rng)
        self.send_to_peer: Callable[[call_messages.PeerMessage], None] = lambda message: None
        self.ports: dict[int, int] = {}
        self._timer: Timer | None = None
        self._overdue = 0

    def submit(self, event: AgentEvent) -> None:
        for command in self.agent.handle(event, self.clock.now):
            self._carry_out(command)
        self._arm()

    def _carry_out(self, command: AgentCommand) -> None:
        match command:
            case SendDatagram(socket, destination, data, ttl):
                self.log.sent.append(Sent(self.clock.now, destination, ttl, has_credentials(data), is_answer(data)))
                self.host.send(self.ports[socket], destination, data, ttl=ttl or TTL_HOPS)
            case OpenSocket(socket, _, toward, wished):
                is_free = wished not in self.host.open_ports
                port = self.host.open(
                    lambda data, source: self._received(socket, source, data), wished if is_free else 0
                )
                self.ports[socket] = port
                self.log.most_open = max(self.log.most_open, len(self.ports))
                interface = self.host.toward(toward[0])
                local = (interface.ip if interface is not None else "0.0.0.0", port)
                self.clock.after(0, lambda: self.submit(SocketOpened(socket, local)))
            case CloseSocket(socket):
                self.host.close(self.ports.pop(socket))
            case SendToPeer(message):
                self.log.messages.append(message)
                self.send_to_peer(call_messages.decode(call_messages.encode(message)))
            case DirectFound():
                self.log.found.append((self.clock.now, command))
            case ProfileKnown():
                self.log.profiles.append(command)
            case PhaseChanged():
                self.log.phases.append(command)

    def _received(self, socket: int, source: Address, data: bytes) -> None:
        if socket in self.ports:
            self.submit(DatagramReceived(socket, source, data))

    def _arm(self) -> None:
        due = self.agent.next_deadline()
        if self._timer is not None:
            self._timer.cancelled = True
            self._timer = None
        if due is not None:
            late = due < self.clock.now - TICK_S / 2
            self._overdue = self._overdue + 1 if late else 0
            assert self._overdue < 20, "a deadline that has passed is not met, however often the timer fires"
            self._timer = self.clock.at(max(due, self.clock.now + TICK_S), lambda: self.submit(TimerFired()))


class TraversalRun:
    """A call's two agents. ``caller`` is side 0; the relay's own delay each way is ``relay_s``, beside the wires'."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int = 1,
        *,
        relay_s: float = 0.0,
        knows_rtt: bool = True,
        low_ttl: bool = True,
        stun_endpoints: int | None = None,
        profile: NatProfile | None = None,
        profiled_s: float | None = None,
        life_tested: bool = False,
        try_harder: bool = False,
        phases: tuple[TechniqueSpec, ...] = TECHNIQUES,
    ) -> None:
        """``profile``: what both know of their NATs from before; or with ``profiled_s`` what their programs found out
        so long before the call. ``life_tested``: they have also been running for long enough to know how long block
        NATs remember."""
        self._techniques = phases
        self.rng = random.Random(seed)
        self.clock = VirtualClock()
        self.world: World[RelayNode] = build(scenario, self.clock, self.rng)
        wires = [(side.up.delay_ms + side.down.delay_ms) / 1000 for side in scenario.sides]
        self.one_way_s = sum(wires) / 2 + relay_s
        self.direct_rtt_s = sum(wires)
        lives = self._lives(stun_endpoints) if life_tested else [None, None]
        profiles = [
            profile if profiled_s is None else replace(self._profile(side, stun_endpoints), life_s=lives[side])
            for side in (0, 1)
        ]
        self.clock.run(profiled_s or 0.0)
        self.sides = (
            self._side(0, stun_endpoints, low_ttl, profiles[0], try_harder),
            self._side(1, stun_endpoints, low_ttl, profiles[1], try_harder),
        )
        for side, other in (self.sides, reversed(self.sides)):
            side.send_to_peer = partial(self._carry, other)
            if knows_rtt:
                side.submit(RelayRoundTrip(2 * self.one_way_s))
        self.asked: list[call_messages.PeerMessage] = []

    @property
    def caller(self) -> TraversalSide:
        return self.sides[0]

    @property
    def callee(self) -> TraversalSide:
        return self.sides[1]

    @property
    def is_direct(self) -> bool:
        """Both sides have a path, and each the one that the other has."""
        return all(side.log.found for side in self.sides)

    def answer(self, prepared_s: float = 1.0) -> float:
        """The callee answers; both have gathered for a while, as while it rings. Returns when that was."""
        for side in self.sides:
            side.submit(Prepare())
        self.clock.run(prepared_s)
        answered_at = self.clock.now
        self.callee.submit(Begin())
        self.clock.after(self.one_way_s, lambda: self.caller.submit(Begin()))
        return answered_at

    def until_direct(self, seconds: float) -> bool:
        """Until both are direct, or for so long; then a little more, so that late packets come."""
        done = self.clock.run(seconds, lambda: self.is_direct)
        return done

    def _lives(self, stun_endpoints: int | None) -> list[float | None]:
        hosts = [
            ProfilerHost(side.host, self.world.stun[:stun_endpoints], self.clock, self.rng.getrandbits(32))
            for side in self.world.sides
        ]
        for host in hosts:
            host.be_silent()
        self.clock.run(LIFE_TESTED_S)
        return [host.lives[0] for host in hosts]

    def _profile(self, side: int, stun_endpoints: int | None) -> NatProfile:
        host = self.world.sides[side].host
        return ProfilerHost(host, self.world.stun[:stun_endpoints], self.clock, self.rng.getrandbits(32)).profile()

    def _side(
        self, side: int, stun_endpoints: int | None, low_ttl: bool, profile: NatProfile | None, try_harder: bool
    ) -> TraversalSide:
        host = self.world.sides[side].host
        hosts = tuple(HostAddress(ip, 64 if ":" in ip else 24, "eth0") for ip in host.addresses)
        numbers = iter(range(1_000_000))
        config = AgentConfig(
            controlling=side == 0,
            stun=self.world.stun[:stun_endpoints],
            hosts=hosts,
            new_socket=lambda: next(numbers),
            low_ttl=low_ttl,
            profile=profile,
            techniques=self._techniques,
            try_harder=try_harder,
        )
        return TraversalSide(host, config, random.Random(self.rng.getrandbits(64)), self.clock)

    def _carry(self, to: TraversalSide, message: call_messages.PeerMessage) -> None:
        if isinstance(
            message, call_messages.Candidates | call_messages.Connect | call_messages.ConnectAck | call_messages.Sync
        ):
            received = TraversalMessageReceived(message)
            self.clock.after(self.one_way_s, lambda: to.submit(received))


def is_answer(data: bytes) -> bool:
    """Whether a STUN packet of ours answers a check."""
    try:
        return stun.parse(data).kind is stun.StunClass.SUCCESS
    except WireError:
        return False


def has_credentials(data: bytes) -> bool:
    """Whether a STUN packet of ours is a connectivity check or an answer to one."""
    try:
        message = stun.parse(data)
    except WireError:
        return False
    return message.raw.attributes.get("MESSAGE-INTEGRITY") is not None
