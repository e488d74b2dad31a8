"""Traversal agent of one call.

Looks for a direct path while the relay carries the call. An attempt begins with hole punching; as soon as both NATs are
known, the technique that fits them (where punching does not) runs beside it, until one of them finds a path. Attempts
begin with the call, when the path that was found is lost, when the network changes, or when the peer begins one; in
between the agent waits longer and longer. What both sides' NATs make impossible is not tried again.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final, Protocol

from transport.ice.candidates import HostAddress, useful_hosts
from transport.ice.pacing import HostLimits
from transport.nat.profile import NatProfile
from transport.net.machine import Machine, TimerFired
from transport.net.port_mapping import MappedPort
from transport.net.sockets import Address, DatagramReceived, SocketFailed, SocketOpened
from transport.traversal import birthday, block_search, events, hole_punch, port_prediction
from transport.traversal.attempt import Attempt, AttemptFailed
from transport.traversal.context import ROUNDS_PER_ATTEMPT, Hints, Recall, TraversalContext
from transport.traversal.events import AgentCommand, AgentEvent, DirectFound, PhaseChanged, PhaseStatus
from transport.traversal.relay_guard import RelayGuard
from transport.traversal.technique import TechniqueSpec
from transport.wire.call_messages import Candidates
from transport.wire.stun import IceRole

TECHNIQUES: tuple[TechniqueSpec, ...] = (
    hole_punch.SPEC,
    port_prediction.SPEC,
    birthday.SPEC,
    block_search.SPEC,
)
# DESIGN §7: waiting before the next attempt; a path that has lasted LASTED_S begins anew with the first.
BACK_OFF_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
LASTED_S = 30.0
# Attempts without success before the relay is settled for. Only a change begins another one then.
MAX_FAILED_ATTEMPTS = 6
# A peer that begins attempts waits as we do ourselves, or it could make us send to addresses of its choice for ever;
# after a minute in which it did not, it begins anew with the shortest wait.
JOINS_FORGOTTEN_S = 60.0
# Interfaces change one after the other when a network does.
NETWORK_SETTLE_S = 0.25
MAX_HELD_MESSAGES = 8
MAX_STATUSES = 16
# Numbers of rounds end with the type of transport.wire.call_messages.Round.
MAX_ATTEMPT = 2**16 // ROUNDS_PER_ATTEMPT - 1


class State(Enum):
    """Where the agent stands."""

    IDLE = "idle"
    PREPARED = "prepared"
    ATTEMPTING = "attempting"
    DIRECT = "direct"
    BACKING_OFF = "backing off"
    """The next attempt has its time."""
    SETTLED = "settled"
    """On the relay, until something changes."""
    STOPPED = "stopped"


class Trigger(Enum):
    """What moves the agent on."""

    PREPARE = "prepare"
    BEGIN = "begin"
    NOTHING_GATHERED = "nothing could be gathered"
    ATTEMPT = "another attempt begins"
    PATH_FOUND = "path found"
    PATH_LOST = "path lost"
    FAILED_BESIDE_PATH = "failed, an earlier path stands"
    FAILED = "failed, worth another attempt"
    GAVE_UP = "failed for good"
    STOP = "stop"


TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    (State.IDLE, Trigger.PREPARE): State.PREPARED,
    (State.IDLE, Trigger.BEGIN): State.ATTEMPTING,
    (State.PREPARED, Trigger.BEGIN): State.ATTEMPTING,
    (State.PREPARED, Trigger.NOTHING_GATHERED): State.IDLE,
    (State.ATTEMPTING, Trigger.PATH_FOUND): State.DIRECT,
    (State.ATTEMPTING, Trigger.FAILED_BESIDE_PATH): State.DIRECT,
    (State.ATTEMPTING, Trigger.FAILED): State.BACKING_OFF,
    (State.ATTEMPTING, Trigger.GAVE_UP): State.SETTLED,
    (State.DIRECT, Trigger.PATH_LOST): State.BACKING_OFF,
    (State.DIRECT, Trigger.ATTEMPT): State.ATTEMPTING,
    (State.BACKING_OFF, Trigger.ATTEMPT): State.ATTEMPTING,
    (State.BACKING_OFF, Trigger.GAVE_UP): State.SETTLED,
    # By a round that the peer has begun late.
    (State.BACKING_OFF, Trigger.PATH_FOUND): State.DIRECT,
    (State.SETTLED, Trigger.PATH_FOUND): State.DIRECT,
    (State.SETTLED, Trigger.ATTEMPT): State.ATTEMPTING,
    (State.IDLE, Trigger.STOP): State.STOPPED,
    (State.PREPARED, Trigger.STOP): State.STOPPED,
    (State.ATTEMPTING, Trigger.STOP): State.STOPPED,
    (State.DIRECT, Trigger.STOP): State.STOPPED,
    (State.BACKING_OFF, Trigger.STOP): State.STOPPED,
    (State.SETTLED, Trigger.STOP): State.STOPPED,
}


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """``controlling``: we are the caller. ``stun``: the relay's STUN endpoints, as IP addresses. ``new_socket`` gives
    socket numbers that nobody else uses. ``enabled``: no, where all is to go by the relay. ``low_ttl``: sockets here
    can send a packet with a TTL of its own. ``limits`` are shared by all calls of the host. ``try_harder``: the person
    here wants what takes minutes tried as well. ``recall`` is asked what is remembered of the two networks as soon as
    both are known. ``mapped`` is what routers map for us."""

    controlling: bool
    stun: tuple[Address, ...]
    hosts: tuple[HostAddress, ...]
    new_socket: Callable[[], int]
    enabled: bool = True
    profile: NatProfile | None = None
    low_ttl: bool = True
    techniques: tuple[TechniqueSpec, ...] = TECHNIQUES
    limits: HostLimits | None = None
    try_harder: bool = False
    recall: Recall | None = None
    mapped: tuple[MappedPort, ...] = ()


class AgentMachine(Machine[AgentEvent, AgentCommand], Protocol):
    """What the link needs of a :class:`TraversalAgent`."""

    def phases(self) -> tuple[PhaseStatus, ...]:
        """All that were tried."""
        ...

    def path_closed(self, socket: int) -> None:
        """A socket that was handed over is no more."""
        ...


MakeAgent = Callable[[AgentConfig, Random], AgentMachine]


class TraversalAgent:
    """The machine of one call's traversal. ``rng`` must be a :class:`random.SystemRandom` outside simulations."""

    def __init__(self, config: AgentConfig, rng: Random) -> None:
        self._context = TraversalContext(
            IceRole.CONTROLLING if config.controlling else IceRole.CONTROLLED,
            config.stun,
            useful_hosts(config.hosts),
            config.new_socket,
            rng,
            config.low_ttl,
            config.profile,
            limits=config.limits or HostLimits(),
            try_harder=config.try_harder,
            mapped=config.mapped,
        )
        self._commands = self._context.commands
        self._sockets = self._context.sockets
        self._table = config.techniques
        self._recall = config.recall
        self._recalled: tuple[str, str] | None = None
        self.state = State.IDLE if config.enabled else State.STOPPED
        self._attempt: Attempt | None = None
        self._relay = RelayGuard()
        self._failed_attempts = 0
        self._attempt_at: float | None = None
        self._attempted_at: float | None = None
        self._joins = 0
        self._direct_at: float | None = None
        self._path_stands = False
        self._held: deque[events.TraversalMessage] = deque(maxlen=MAX_HELD_MESSAGES)
        self._past: deque[PhaseStatus] = deque(maxlen=MAX_STATUSES)

    @property
    def profile(self) -> NatProfile | None:
        """Of our own NAT, to be kept for the next call."""
        return self._context.local

    def phases(self) -> tuple[PhaseStatus, ...]:
        """All that were tried, the last :data:`MAX_STATUSES` of earlier attempts among them, in order."""
        return (*self._past, *(() if self._attempt is None else self._attempt.statuses))

    def next_deadline(self) -> float | None:
        """When :class:`transport.net.machine.TimerFired` is due."""
        running = None if self._attempt is None else self._attempt.next_deadline()
        return min((due for due in (running, self._attempt_at) if due is not None), default=None)

    def path_closed(self, socket: int) -> None:
        """A socket that was handed over is no more."""
        self._sockets.forget(socket)

    def handle(self, event: AgentEvent, now: float) -> list[AgentCommand]:
        """Take one event; never raises."""
        match event:
            case DatagramReceived(socket):
                # Also after the stop: the path that was found outlives the search for it.
                owner = self._sockets.owner(socket)
                if owner is not None:
                    owner.received(event, now)
            case SocketOpened(socket):
                owner = self._sockets.owner(socket)
                if owner is not None:
                    owner.opened(event, now)
            case SocketFailed(socket):
                owner = self._sockets.owner(socket)
                self._sockets.forget(socket)
                if owner is not None:
                    owner.failed(event, now)
            case _ if self.state is not State.STOPPED:
                self._handle_call(event, now)
        if self.state is not State.STOPPED:
            self._advance(now)
        commands = self._commands.copy()
        self._commands.clear()
        return commands

    def _handle_call(self, event: AgentEvent, now: float) -> None:
        match event:
            case TimerFired():
                self._timer(now)
            case events.TraversalMessageReceived(message):
                self._message(message, now)
            case events.Prepare():
                if self._move(Trigger.PREPARE):
                    self._start(0, now, may_send=False)
            case events.Begin():
                self._begin(now)
            case events.Stop(reason):
                self._move(Trigger.STOP)
                if self._attempt is not None:
                    self._attempt.stop(reason, now)
                    self._commands += [PhaseChanged(status) for status in self._attempt.news()]
                self._attempt_at = None
                self._held.clear()
            case events.PathLost():
                self._path_stands = False
                if self._move(Trigger.PATH_LOST):
                    if self._direct_at is not None and now - self._direct_at >= LASTED_S:
                        self._failed_attempts = 0
                    self._back_off(now, 0.0)
            case events.InterfacesChanged(hosts):
                self._interfaces_changed(hosts, now)
            case events.PortMappingsChanged(ports):
                self._port_mappings_changed(ports, now)
            case events.RelayTrouble():
                if self._attempt is not None:
                    self._attempt.relay_trouble(now)
            case events.RelayRoundTrip(rtt_s, variation_s, loss):
                self._context.relay_rtt_s = max(0.0, rtt_s)
                may_harm = self._attempt is not None and self._attempt.may_harm
                if self._relay.is_worse(rtt_s, variation_s, loss, is_busy=may_harm) and self._attempt is not None:
                    self._attempt.relay_trouble(now)

    def _move(self, trigger: Trigger) -> bool:
        after = TRANSITIONS.get((self.state, trigger))
        if after is not None:
            self.state = after
        return after is not None

    # -- attempts

    def _begin(self, now: float) -> None:
        was_prepared = self.state is State.PREPARED
        if not self._move(Trigger.BEGIN):
            return
        if was_prepared and self._attempt is not None:
            self._attempted_at = now
            self._attempt.permit(now)
        else:
            self._start_attempt(0, now)
        self._read_held(now)

    def _read_held(self, now: float) -> None:
        held = list(self._held)
        self._held.clear()
        for message in held:
            self._message(message, now)

    def _message(self, message: events.TraversalMessage, now: float) -> None:
        number = message.round // ROUNDS_PER_ATTEMPT
        current = -1 if self._attempt is None else self._attempt.number
        if self.state in (State.IDLE, State.PREPARED) or (number > current and not self._may_join(now)):
            self._held.append(message)
        elif number >= current:
            if number > current:
                self._joins += 1
                self._start_attempt(number, now)
            if self._attempt is not None:
                if isinstance(message, Candidates):
                    self._context.note_candidates(message)
                self._remember()
                self._attempt.message(message, now)

    def _may_join(self, now: float) -> bool:
        """The peer begins an attempt, as it has lost the path or its network has changed: now, or after a while."""
        if self._attempted_at is None:
            return True
        if now >= self._attempted_at + JOINS_FORGOTTEN_S:
            self._joins = 0
        due = self._attempted_at + BACK_OFF_S[min(self._joins, len(BACK_OFF_S) - 1)]
        if now < due:
            self._attempt_at = due if self._attempt_at is None else min(self._attempt_at, due)
        return now >= due

    def _timer(self, now: float) -> None:
        if self._attempt_at is not None and now >= self._attempt_at:
            self._attempt_at = None
            newest = max((message.round // ROUNDS_PER_ATTEMPT for message in self._held), default=-1)
            current = -1 if self._attempt is None else self._attempt.number
            self._joins += newest > current
            self._start_attempt(max(current + 1, newest), now)
            self._read_held(now)
        if self._attempt is not None:
            self._attempt.timer(now)

    def _start_attempt(self, number: int, now: float) -> None:
        if number > MAX_ATTEMPT:
            self._move(Trigger.GAVE_UP)
            return
        self._move(Trigger.ATTEMPT)
        self._attempted_at = now
        self._attempt_at = None
        self._start(number, now, may_send=True)

    def _start(self, number: int, now: float, *, may_send: bool) -> None:
        if self._attempt is not None:
            self._attempt.stop("restarted", now)
            self._past.extend(self._attempt.statuses)
        self._attempt = Attempt(number, self._table, self._context, self._path_found)
        self._attempt.start(now, may_send=may_send)

    def _advance(self, now: float) -> None:
        """Whatever has happened: go on with the attempt, and report what is new of it."""
        self._remember()
        if self._attempt is not None:
            failed = self._attempt.advance(now)
            if failed is not None:
                self._attempt_failed(failed, now)
            self._commands += [PhaseChanged(status) for status in self._attempt.news()]

    def _path_found(self, found: DirectFound, now: float) -> None:
        """By the attempt, or by the winner of an earlier one, whose path the controlling side has moved."""
        if self._sockets.hand_over(found.socket):
            self._move(Trigger.PATH_FOUND)
            self._direct_at = now
            self._path_stands = True
            self._attempt_at = None
            self._commands.append(found)

    def _attempt_failed(self, failed: AttemptFailed, now: float) -> None:
        # What could not be gathered is gathered when the peer may be sent it; nothing begins before that.
        if self._move(Trigger.NOTHING_GATHERED) or self.state is not State.ATTEMPTING:
            return
        if self._path_stands:
            self._move(Trigger.FAILED_BESIDE_PATH)
        elif failed.is_hopeless or self._failed_attempts >= MAX_FAILED_ATTEMPTS or self._never_worked(now):
            self._move(Trigger.GAVE_UP)
            self._attempt_at = None
        else:
            self._move(Trigger.FAILED)
            self._back_off(now, failed.rest_s)

    def _back_off(self, now: float, at_least_s: float) -> None:
        self._attempt_at = now + max(at_least_s, BACK_OFF_S[min(self._failed_attempts, len(BACK_OFF_S) - 1)])
        self._failed_attempts += 1

    # -- what is known

    def _interfaces_changed(self, hosts: tuple[HostAddress, ...], now: float) -> None:
        useful = useful_hosts(hosts)
        if useful == self._context.hosts:
            return
        self._context.hosts = useful
        self._context.local = None
        self._context.hints, self._recalled = Hints(), None
        self._failed_attempts = 0
        if self.state is State.PREPARED:
            self._start(0, now, may_send=False)
        elif self.state in (State.ATTEMPTING, State.BACKING_OFF, State.SETTLED):
            self._attempt_at = now + NETWORK_SETTLE_S

    def _port_mappings_changed(self, ports: tuple[MappedPort, ...], now: float) -> None:
        known = {port.external for port in self._context.mapped}
        self._context.mapped = ports
        if self._attempt is not None:
            self._attempt.ports_mapped(now)
        if self.state in (State.BACKING_OFF, State.SETTLED) and {port.external for port in ports} - known:
            # A new port is a new chance.
            self._failed_attempts = 0
            self._attempt_at = now + NETWORK_SETTLE_S

    def _remember(self) -> None:
        """Ask what is known of this pair of networks, once for each pair."""
        ours, peer = self._context.public_ips, self._context.peer_public
        if self._recall is not None and ours and peer and (ours[0], peer[0][0]) != self._recalled:
            self._recalled = (ours[0], peer[0][0])
            self._context.hints = self._recall(*self._recalled)

    def _never_worked(self, now: float) -> bool:
        until = self._context.hints.hopeless_until
        return until is not None and now < until
