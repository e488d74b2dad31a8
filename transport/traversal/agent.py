"""The ladder: the ways to a direct path, tried while the relay carries the call.

A climb begins with punching; as soon as both NATs are known, the technique that fits them (where punching does not)
runs beside it, until one of them finds a path. It begins with the call, when the path that was found is lost, when
the network changes, or when the peer begins one; in between it waits longer and longer. What both sides' NATs make
impossible is not tried again.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from random import Random
from typing import Protocol

from msgspec import structs

from transport.ice.candidates import HostAddress, acceptable, is_private, useful_hosts
from transport.ice.pacing import MAPPING_LIFE_S, HostLimits
from transport.nat.profile import NatProfile
from transport.net.machine import TimerFired
from transport.net.port_mapping import MappedPort
from transport.net.sockets import (
    Address,
    CloseSocket,
    DatagramReceived,
    OpenSocket,
    SendDatagram,
    SocketFailed,
    SocketOpened,
)
from transport.traversal import birthday, block_search, hole_punch, port_prediction
from transport.traversal.attempt import Attempt, AttemptCommand, AttemptFailed
from transport.traversal.context import Hints, Recall, TraversalContext
from transport.traversal.events import (
    AgentCommand,
    AgentEvent,
    Begin,
    DirectFound,
    InterfacesChanged,
    PathLost,
    PhaseChanged,
    PhaseStatus,
    PortMappingsChanged,
    Prepare,
    RelayRoundTrip,
    RelayTrouble,
    SendToPeer,
    Stop,
    TraversalMessage,
    TraversalMessageReceived,
)
from transport.traversal.hard_phase import HardKind, ProbeTechnique
from transport.traversal.relay_guard import RelayGuard
from transport.traversal.technique import ROUNDS_PER_ATTEMPT, Phase, PhaseEnded, PhaseEvent, PhaseSpec, PhaseTimer
from transport.wire.call_messages import Candidates, WireProfile
from transport.wire.stun import IceRole


def hard(kind: HardKind, rest_s: float) -> PhaseSpec:
    """The row of a hard technique."""
    return PhaseSpec(
        kind.technique.value,
        lambda know, climb: ProbeTechnique(kind, know, climb),
        kind.budget,
        first=kind.first,
        rounds=kind.rounds,
        technique=kind.technique,
        yields_to_relay=True,
        rest_s=rest_s,
    )


PHASES: tuple[PhaseSpec, ...] = (
    hole_punch.SPEC,
    hard(port_prediction.KIND, rest_s=2.0),
    # Until the NATs have forgotten the last attempt's mappings there is no allowance for another.
    hard(birthday.KIND, rest_s=MAPPING_LIFE_S),
    hard(block_search.KIND, rest_s=MAPPING_LIFE_S),
)
# DESIGN §7: waiting before the next climb; a path that has lasted LASTED_S begins anew with the first.
BACK_OFF_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
LASTED_S = 30.0
# Climbs without success before the relay is settled for. Only a change begins another one then.
MAX_FAILED_ATTEMPTS = 6
# A peer that begins climbs waits as we do ourselves, or it could make us send to addresses of its choice for ever;
# after a minute in which it did not, it begins anew with the shortest wait.
JOINS_FORGOTTEN_S = 60.0
# Interfaces change one after the other when a network does.
NETWORK_SETTLE_S = 0.25
MAX_HELD_MESSAGES = 8
MAX_STATUSES = 16
# A progress of so many doors is worth a line.
TOLD_EACH = 32
# Numbers of rounds end with the type of transport.wire.call_messages.Round.
MAX_ATTEMPT = 2**16 // ROUNDS_PER_ATTEMPT - 1


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """``controlling``: we are the caller. ``stun``: the relay's STUN endpoints, as IP addresses. ``new_socket`` gives
    socket numbers that nobody else uses. ``enabled``: no, where all is to go by the relay. ``low_ttl``: sockets here
    can send a packet with a TTL of its own. ``allowance`` is shared by all calls of the machine. ``try_harder``: the
    person here wants what takes minutes tried as well. ``recall`` is asked what is remembered of the two networks as
    soon as both are known. ``mapped`` is what routers map for us."""

    controlling: bool
    stun: tuple[Address, ...]
    hosts: tuple[HostAddress, ...]
    new_socket: Callable[[], int]
    enabled: bool = True
    profile: NatProfile | None = None
    low_ttl: bool = True
    phases: tuple[PhaseSpec, ...] = PHASES
    allowance: HostLimits | None = None
    try_harder: bool = False
    recall: Recall | None = None
    mapped: tuple[MappedPort, ...] = ()


class AgentMachine(Protocol):
    """What the link needs of a :class:`TraversalAgent`."""

    def handle(self, event: AgentEvent, now: float) -> list[AgentCommand]:
        """Take one event; never raises."""
        ...

    def next_deadline(self) -> float | None:
        """When its timer is due."""
        ...

    def phases(self) -> tuple[PhaseStatus, ...]:
        """All that were tried."""
        ...

    def path_closed(self, socket: int) -> None:
        """A socket that was handed over is no more."""
        ...


MakeAgent = Callable[[AgentConfig, Random], AgentMachine]


class State(Enum):
    """Where the ladder stands."""

    IDLE = "idle"
    PREPARED = "prepared"
    CLIMBING = "climbing"
    DIRECT = "direct"
    RESTING = "resting"
    """The next climb has its time."""
    SETTLED = "settled"
    """On the relay, until something changes."""
    STOPPED = "stopped"


class TraversalAgent:
    """The machine of one call's traversal. ``rng`` must be a :class:`random.SystemRandom` outside simulations."""

    def __init__(self, config: AgentConfig, rng: Random) -> None:
        role = IceRole.CONTROLLING if config.controlling else IceRole.CONTROLLED
        self._know = TraversalContext(
            role,
            config.stun,
            useful_hosts(config.hosts),
            config.new_socket,
            rng,
            config.low_ttl,
            config.profile,
            allowance=config.allowance or HostLimits(),
            try_harder=config.try_harder,
            mapped=config.mapped,
        )
        self._sockets: set[int] = set()
        """Ours: open or being opened, and not handed over."""
        self._handed_over: set[int] = set()
        self._table = config.phases
        self._recall = config.recall
        self._recalled: tuple[str, str] | None = None
        self.state = State.IDLE if config.enabled else State.STOPPED
        self._number = -1
        self._climb: Attempt | None = None
        self._relay = RelayGuard()
        self._winner: Phase | None = None
        self._failed_climbs = 0
        self._climb_at: float | None = None
        self._climbed_at: float | None = None
        self._joins = 0
        self._direct_at: float | None = None
        self._path_stands = False
        self._held: deque[TraversalMessage] = deque(maxlen=MAX_HELD_MESSAGES)
        self._ended: deque[PhaseStatus] = deque(maxlen=MAX_STATUSES)
        self._told: dict[str, PhaseStatus] = {}
        self._out: list[AgentCommand] = []

    @property
    def profile(self) -> NatProfile | None:
        """Of our own NAT, to be kept for the next call."""
        return self._know.local

    def phases(self) -> tuple[PhaseStatus, ...]:
        """All that were tried, the last :data:`MAX_STATUSES` of earlier climbs among them, in order."""
        return (*self._ended, *(() if self._climb is None else self._climb.statuses))

    def next_deadline(self) -> float | None:
        """When :class:`TimerFired` is due."""
        climb = None if self._climb is None else self._climb.next_deadline()
        return min((due for due in (climb, self._climb_at) if due is not None), default=None)

    def handle(self, event: AgentEvent, now: float) -> list[AgentCommand]:
        """Take one event; never raises."""
        if isinstance(event, SocketFailed):
            self.path_closed(event.socket)
            self._sockets.discard(event.socket)
        if self.state is not State.STOPPED:
            match event:
                case SocketOpened() | SocketFailed() | DatagramReceived():
                    self._give(event, now)
                case TraversalMessageReceived(message):
                    self._said(message, now)
                case TimerFired():
                    self._timer(now)
                case _:
                    self._told_by_link(event, now)
            self._report()
        elif isinstance(event, DatagramReceived):
            # The path that was found outlives the looking for it.
            self._give(event, now)
        out, self._out = self._out, []
        return [command for command in out if self._is_valid(command)]

    def path_closed(self, socket: int) -> None:
        """A socket that was handed over is no more."""
        self._handed_over.discard(socket)

    def _is_valid(self, command: AgentCommand) -> bool:
        """Whether it still makes sense: a path that was found may have been closed."""
        match command:
            case OpenSocket(socket):
                self._sockets.add(socket)
            case CloseSocket(socket):
                # One that was handed over is closed with its path.
                if socket not in self._sockets:
                    return False
                self._sockets.discard(socket)
            case DirectFound(socket):
                if socket in self._sockets:
                    self._sockets.discard(socket)
                    self._handed_over.add(socket)
                return socket in self._handed_over
            case SendDatagram(socket):
                return socket in self._sockets or socket in self._handed_over
            case _:
                pass
        return True

    def _told_by_link(self, event: AgentEvent, now: float) -> None:
        match event:
            case Prepare():
                if self.state is State.IDLE:
                    self.state = State.PREPARED
                    self._start(0, now, may_tell=False)
            case Begin():
                self._begin(now)
            case Stop(reason):
                if self._climb is not None:
                    self._take(self._climb.stop(reason, now), now)
                self.state = State.STOPPED
                self._climb_at = None
                self._held.clear()
            case PathLost():
                self._path_lost(now)
            case InterfacesChanged(hosts):
                self._network_changed(hosts, now)
            case PortMappingsChanged(ports):
                self._ports_mapped(ports, now)
            case RelayTrouble():
                if self._climb is not None:
                    self._take(self._climb.relay_trouble(now), now)
            case RelayRoundTrip(rtt_s, variation_s, loss):
                self._know.relay_rtt_s = max(0.0, rtt_s)
                is_busy = self._climb is not None and self._climb.may_harm
                if self._relay.seen(rtt_s, variation_s, loss, is_busy=is_busy) and self._climb is not None:
                    self._take(self._climb.relay_trouble(now), now)

    def _path_lost(self, now: float) -> None:
        self._path_stands = False
        if self.state in (State.DIRECT, State.SETTLED):
            if self._direct_at is not None and now - self._direct_at >= LASTED_S:
                self._failed_climbs = 0
            self._rest(now, 0.0)

    def _begin(self, now: float) -> None:
        if self.state is State.PREPARED and self._climb is not None:
            self.state = State.CLIMBING
            self._climbed_at = now
            self._take(self._climb.permit(now), now)
        elif self.state is State.IDLE:
            self._start_climb(0, now)
        else:
            return
        held = list(self._held)
        self._held.clear()
        for message in held:
            self._said(message, now)

    def _said(self, message: TraversalMessage, now: float) -> None:
        number = message.round // ROUNDS_PER_ATTEMPT
        if self.state in (State.IDLE, State.PREPARED):
            self._held.append(message)
        elif number == self._number:
            self._tell_climb(message, now)
        elif number > self._number:
            self._join(number, message, now)

    def _tell_climb(self, message: TraversalMessage, now: float) -> None:
        if isinstance(message, Candidates):
            if message.profile is not None:
                self._know.peer_tries_harder = message.profile.try_harder
            own = self._know.local
            public = () if own is None or own.reflexive is None else (own.reflexive[0],)
            told = acceptable(message.candidates, self._know.hosts, public)
            seen = tuple((one.ip, one.port) for one in told if one.kind == "server-reflexive" and ":" not in one.ip)
            self._know.peer_public = seen or self._know.peer_public
            self._know.peer_maps = any(one.kind == "mapped" and not is_private(one.ip) for one in told)
        self._give(TraversalMessageReceived(message), now)

    def _join(self, number: int, message: TraversalMessage, now: float) -> None:
        """The peer begins a climb: it has lost the path, or its network has changed."""
        if self._climbed_at is not None:
            if now >= self._climbed_at + JOINS_FORGOTTEN_S:
                self._joins = 0
            due = self._climbed_at + BACK_OFF_S[min(self._joins, len(BACK_OFF_S) - 1)]
            if now < due:
                self._held.append(message)
                self._climb_at = due if self._climb_at is None else min(self._climb_at, due)
                return
        self._joins += 1
        self._start_climb(number, now)
        self._tell_climb(message, now)

    def _timer(self, now: float) -> None:
        if self._climb_at is not None and now >= self._climb_at:
            self._climb_at = None
            newest = max((message.round // ROUNDS_PER_ATTEMPT for message in self._held), default=-1)
            self._joins += newest > self._number
            self._start_climb(max(self._number + 1, newest), now)
            held = list(self._held)
            self._held.clear()
            for message in held:
                self._said(message, now)
        self._give(PhaseTimer(), now)

    def _network_changed(self, hosts: tuple[HostAddress, ...], now: float) -> None:
        useful = useful_hosts(hosts)
        if useful == self._know.hosts:
            return
        self._know.hosts = useful
        self._know.local = None
        self._know.hints, self._recalled = Hints(), None
        self._failed_climbs = 0
        if self.state is State.PREPARED:
            self._start(0, now, may_tell=False)
        elif self.state in (State.CLIMBING, State.RESTING, State.SETTLED):
            self._climb_at = now + NETWORK_SETTLE_S

    def _ports_mapped(self, ports: tuple[MappedPort, ...], now: float) -> None:
        known = {port.external for port in self._know.mapped}
        self._know.mapped = ports
        self._give(PortMappingsChanged(ports), now)
        if self.state in (State.RESTING, State.SETTLED) and {port.external for port in ports} - known:
            # A new door is a new chance.
            self._failed_climbs = 0
            self._climb_at = now + NETWORK_SETTLE_S

    def _start_climb(self, number: int, now: float) -> None:
        if number > MAX_ATTEMPT:
            self.state = State.SETTLED
            return
        self.state = State.CLIMBING
        self._climbed_at = now
        self._climb_at = None
        self._start(number, now, may_tell=True)

    def _start(self, number: int, now: float, *, may_tell: bool) -> None:
        if self._climb is not None:
            self._take(self._climb.stop("climbing-anew", now), now)
            self._ended.extend(self._climb.statuses)
            if self._climb.winner is not None:
                self._winner = self._climb.winner
        self._number = number
        self._climb = Attempt(number, self._table, self._know)
        self._take(self._climb.start(now, may_tell=may_tell), now)

    def _remember(self) -> None:
        """Ask what is known of this pair of networks, once for each pair."""
        local, peer = self._know.local, self._know.peer_public
        if self._recall is None or local is None or local.reflexive is None or not peer:
            return
        pair = (local.reflexive[0], peer[0][0])
        if pair != self._recalled:
            self._recalled = pair
            self._know.hints = self._recall(*pair)

    def _give(self, event: PhaseEvent, now: float) -> None:
        self._remember()
        if self._climb is not None:
            self._take(self._climb.give(event, now), now)
        if self._winner is not None and isinstance(event, DatagramReceived):
            # An earlier climb's path may still be in use: authentic checks on it are answered.
            self._take(self._winner.handle(event, now), now)

    def _take(self, commands: Sequence[AttemptCommand], now: float) -> None:
        for command in commands:
            match command:
                case AttemptFailed(hopeless, rest_s):
                    self._climb_failed(hopeless, rest_s, now)
                case DirectFound():
                    self.state = State.DIRECT
                    self._direct_at = now
                    self._path_stands = True
                    self._climb_at = None
                    self._out.append(command)
                case SendToPeer(Candidates(profile=WireProfile() as profile) as said) if self._know.try_harder:
                    wish = structs.replace(profile, try_harder=True)
                    self._out.append(SendToPeer(structs.replace(said, profile=wish)))
                case PhaseEnded():
                    # An earlier climb's: it had its effect then.
                    pass
                case _:
                    self._out.append(command)

    def _climb_failed(self, hopeless: bool, rest_s: float, now: float) -> None:
        if self.state in (State.IDLE, State.PREPARED):
            # What could not be gathered is gathered when the peer may be told; nothing begins before that.
            self.state = State.IDLE
        elif self._path_stands:
            self.state = State.DIRECT
        elif hopeless or self._failed_climbs >= MAX_FAILED_ATTEMPTS or self._never_worked(now):
            self.state = State.SETTLED
            self._climb_at = None
        else:
            self._rest(now, rest_s)

    def _never_worked(self, now: float) -> bool:
        self._remember()
        until = self._know.hints.hopeless_until
        return until is not None and now < until

    def _rest(self, now: float, at_least_s: float) -> None:
        self.state = State.RESTING
        self._climb_at = now + max(at_least_s, BACK_OFF_S[min(self._failed_climbs, len(BACK_OFF_S) - 1)])
        self._failed_climbs += 1

    def _report(self) -> None:
        """Say what is new about each phase, its counts aside."""
        for status in () if self._climb is None else self._climb.statuses:
            coarse = replace(status, packets=0, tried=status.tried // TOLD_EACH)
            if coarse != self._told.get(status.name):
                self._told[status.name] = coarse
                self._out.append(PhaseChanged(status))
