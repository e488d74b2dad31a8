"""Relay session: find the relay, log in, ping, and come back after a failure; without I/O.

:class:`RelaySession` keeps one session for as long as it lives. What a relay refuses for good (another pin, another
version, a name that is not ours) ends it with :class:`Rejected`; everything else is waited out, 0.5 s at first and
30 s at most. Media and STUN go to the address that the session stands on (:attr:`RelaySession.host_ip`), so that a
host name with several addresses cannot send the parts of a call to different machines.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final

from transport.identity.keys import Identity
from transport.identity.statements import registration_statement, session_statement
from transport.net.machine import TimerFired
from transport.net.sockets import (
    Address,
    CloseSocket,
    DatagramReceived,
    OpenSocket,
    SendDatagram,
    SocketFailed,
    SocketOpened,
)
from transport.quic import session_events as ev
from transport.quic.relay_channel_client import Failure, RelayConnection, matches_pin
from transport.wire import relay_messages as wire

# Doubling from what a person does not notice to what does not burden a relay that has just come back.
BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# A session that lasted this long was a good one: the next failure starts from the beginning of the list.
GOOD_SESSION_S = 30.0
# A satellite link, and one retransmission of each flight. For each connection, and once more for the log-in.
HANDSHAKE_TIMEOUT_S = 6.0
# A ping that has no answer by then is missed; two in a row, and the relay counts as gone.
PING_TIMEOUT_S = 5.0
MAX_MISSED_PINGS = 2
# After a change of networks the old path is dead or answers within any plausible round trip.
PROBE_TIMEOUT_S = 2.0
# What a relay may ask for at the shortest.
MIN_PING_INTERVAL_S = 1.0


class State(Enum):
    """Where the session is."""

    IDLE = "not started"
    RESOLVING = "resolving the host name"
    READING = "reading the certificate"
    CONNECTING = "connecting"
    LOGGING_IN = "logging in"
    CONNECTED = "connected"
    WAITING = "waiting to try again"
    REJECTED = "rejected"
    CLOSED = "closed"


class Trigger(Enum):
    """What moves it on."""

    STARTED = "started"
    RESOLVED = "host resolved"
    RESOLVED_FIRST_TIME = "host resolved, certificate unknown"
    READ = "certificate matches the pin"
    VERIFIED = "relay verified"
    WELCOMED = "welcomed"
    FAILED = "failed"
    RETRY = "back-off over"
    REJECTED = "rejected"
    CLOSED = "closed"


TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    (State.IDLE, Trigger.STARTED): State.RESOLVING,
    (State.RESOLVING, Trigger.RESOLVED): State.CONNECTING,
    (State.RESOLVING, Trigger.RESOLVED_FIRST_TIME): State.READING,
    (State.RESOLVING, Trigger.FAILED): State.WAITING,
    (State.READING, Trigger.READ): State.CONNECTING,
    (State.READING, Trigger.FAILED): State.WAITING,
    (State.READING, Trigger.REJECTED): State.REJECTED,
    (State.CONNECTING, Trigger.VERIFIED): State.LOGGING_IN,
    (State.CONNECTING, Trigger.FAILED): State.WAITING,
    (State.CONNECTING, Trigger.REJECTED): State.REJECTED,
    (State.LOGGING_IN, Trigger.WELCOMED): State.CONNECTED,
    (State.LOGGING_IN, Trigger.FAILED): State.WAITING,
    (State.LOGGING_IN, Trigger.REJECTED): State.REJECTED,
    (State.CONNECTED, Trigger.FAILED): State.WAITING,
    (State.CONNECTED, Trigger.REJECTED): State.REJECTED,
    (State.WAITING, Trigger.RETRY): State.RESOLVING,
    **{(state, Trigger.CLOSED): State.CLOSED for state in State if state is not State.CLOSED},
}


class BackOff:
    """How long to wait before the next attempt. Jitter takes off up to half, so that a relay's clients spread."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._failures = 0

    def after(self, session_s: float, asked_s: float) -> float:
        """The wait after a session of ``session_s`` seconds (0 for none); a relay may ask for longer."""
        if session_s >= GOOD_SESSION_S:
            self._failures = 0
        base_s = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
        self._failures += 1
        return max(base_s * self._rng.uniform(0.5, 1.0), asked_s)


@dataclass(slots=True)
class _Request:
    event: ev.ClaimName | ev.LookUpName
    deadline: float
    sent: bool = False


@dataclass(slots=True)
class _Pings:
    """Pings of one session. ``number`` is that of the ping under way, or None between two."""

    interval_s: float = 0.0
    due: float | None = None
    number: int | None = None
    sent_at: float = 0.0
    is_probe: bool = False
    missed: int = 0


@dataclass(frozen=True, slots=True)
class _Dial:
    """One connection to one of the relay's addresses, on one socket."""

    socket: int
    remote: Address
    connection: RelayConnection


class RelaySession:
    """See the module's text. Feed it every event of its sockets; it uses one socket at a time."""

    def __init__(self, config: ev.RelaySessionConfig, identity: Identity, rng: Random) -> None:
        self.address = config.address
        self.name = config.name
        self.certificate = config.certificate
        self.state = State.IDLE
        self.host_ip = ""
        self.rtt_ms: float | None = None
        self.welcome: wire.Welcome | None = None
        self._config = config
        self._identity = identity
        self._back_off = BackOff(rng)
        self._addresses: list[Address] = []
        """Those of the relay's host that have not been tried in this attempt."""
        self._dial: _Dial | None = None
        self._sockets_opened = 0
        self._due: float | None = None
        self._pings = _Pings()
        self._connected_at: float | None = None
        self._probe_first = False
        self._watch: wire.Watch | None = None
        self._requests: dict[int, _Request] = {}
        self._last_number = 0
        self._rejection: Failure | None = None
        self._out: list[ev.SessionCommand] = []

    @property
    def is_connected(self) -> bool:
        """Whether the session stands."""
        return self.state is State.CONNECTED

    @property
    def stun(self) -> tuple[Address, ...]:
        """The relay's STUN endpoints, as far as they are IP addresses; none without a session."""
        endpoints = self.welcome.stun if self.welcome is not None else []
        return tuple((host or self.host_ip, port) for host, port in endpoints if _is_ip(host or self.host_ip))

    def handle(self, event: ev.SessionEvent, now: float) -> list[ev.SessionCommand]:
        """Take one event at ``now`` seconds; returns the commands that follow from it, in order."""
        self._out = []
        match event:
            case ev.StartSession():
                if self._move(Trigger.STARTED):
                    self._resolve()
            case ev.HostResolved(addresses):
                self._on_resolved(addresses, now)
            case SocketOpened() | SocketFailed() | DatagramReceived():
                if self._dial is not None and event.socket == self._dial.socket:
                    self._on_socket(self._dial, event, now)
            case ev.SendRelayMessage(message):
                if isinstance(message, wire.Watch):
                    self._watch = message
                if self.state is State.CONNECTED:
                    self._send(message)
            case ev.ClaimName() | ev.LookUpName():
                self._on_request(event, now)
            case ev.CheckConnection():
                self._check(now)
            case TimerFired():
                self._on_timer(now)
            case ev.LogOut():
                if self._move(Trigger.CLOSED):
                    self._disconnect(now, "the connection to the relay is closed")
                    self._fail_requests(Failure("unreachable", "the connection to the relay is closed"))
        self._take_from_connection(now)
        if self._dial is not None:
            self._flush(self._dial, now)
        return self._out

    def next_deadline(self) -> float | None:
        """When a :class:`TimerFired` is due."""
        due = [request.deadline for request in self._requests.values()]
        quic_due = self._dial.connection.channel.next_deadline() if self._dial is not None else None
        due += [at for at in (self._due, self._pings.due, quic_due) if at is not None]
        return min(due, default=None)

    def _move(self, trigger: Trigger) -> bool:
        after = TRANSITIONS.get((self.state, trigger))
        if after is None:
            return False
        self.state = after
        return True

    # -- connecting

    def _resolve(self) -> None:
        self._out.append(ev.ResolveHost(self.address.host, self.address.port))

    def _on_resolved(self, addresses: tuple[Address, ...], now: float) -> None:
        if self.state is not State.RESOLVING:
            return
        if not addresses:
            self._fail(Failure("unreachable", f"the relay's host “{self.address.host}” cannot be found"), now)
            return
        pin = self.address.pin
        if self.certificate is not None and not matches_pin(self.certificate, pin):
            self.certificate = None
        is_known = not pin or self.certificate is not None
        self._move(Trigger.RESOLVED if is_known else Trigger.RESOLVED_FIRST_TIME)
        self._addresses = list(addresses[1:])
        self._connect(addresses[0], now)

    def _connect(self, remote: Address, now: float) -> None:
        self._sockets_opened += 1
        connection = RelayConnection(self.address, self.certificate, self._config.authorities)
        self._dial = _Dial(self._sockets_opened, remote, connection)
        self._due = now + HANDSHAKE_TIMEOUT_S
        self._out.append(OpenSocket(self._dial.socket, "::" if ":" in remote[0] else "0.0.0.0", remote))  # noqa: S104

    def _on_socket(self, dial: _Dial, event: SocketOpened | SocketFailed | DatagramReceived, now: float) -> None:
        connection = dial.connection
        match event:
            case SocketOpened():
                connection.connect(dial.remote, now)
            case SocketFailed(reason=reason):
                # Later than that QUIC decides: an ICMP error may be forged, or pass.
                if not connection.channel.is_open:
                    self._fail(Failure("unreachable", reason), now)
            case DatagramReceived(data=data):
                # The socket is for the relay alone; its own name for the relay may lack the scope (RFC 4007 §11).
                connection.channel.receive(data, dial.remote, now)

    def _take_from_connection(self, now: float) -> None:
        """Act on what the connection has come to."""
        while (dial := self._dial) is not None:
            connection, challenge = dial.connection, dial.connection.challenge
            if self.state is State.READING and challenge is not None:
                self._on_certificate(dial, challenge, now)
            elif self.state is State.CONNECTING and challenge is not None:
                self._log_in(challenge, now)
            elif connection.messages:
                self._on_message(dial, connection.messages.popleft(), now)
            elif connection.failure is not None:
                self._fail(connection.failure, now)
            else:
                return

    def _on_certificate(self, dial: _Dial, challenge: wire.Challenge, now: float) -> None:
        self.certificate = challenge.certificate
        self._hang_up(now)
        self._move(Trigger.READ)
        self._connect(dial.remote, now)

    def _log_in(self, challenge: wire.Challenge, now: float) -> None:
        self.certificate = challenge.certificate
        signature = self._identity.sign(session_statement(challenge.nonce, challenge.certificate))
        key, certificate = self._identity.key, self._identity.certificate
        self._send(wire.Authenticate(wire.CONTROL_VERSION, key, certificate, signature, self.name, self._config.home))
        self._move(Trigger.VERIFIED)
        self._due = now + HANDSHAKE_TIMEOUT_S

    def _on_log_in_answer(self, dial: _Dial, answer: wire.RelayMessage, now: float) -> None:
        if isinstance(answer, wire.Refused):
            self._fail(Failure.of(answer), now)
        elif not isinstance(answer, wire.Welcome):
            self._fail(Failure("protocol", "the relay answered something else than a login"), now)
        elif self._move(Trigger.WELCOMED):
            self.welcome = answer
            self.host_ip = dial.remote[0].partition("%")[0]
            self._due = None
            self._connected_at = now
            self._pings = _Pings(max(MIN_PING_INTERVAL_S, answer.ping_every_s))
            if self._watch is not None:
                self._send(self._watch)
            self._send_ping(now, is_probe=self._probe_first)
            self._out.append(ev.Connected(answer, self.host_ip))
            for number, request in self._requests.items():
                self._send_request(number, request, now)

    # -- connected

    def _on_message(self, dial: _Dial, message: wire.RelayMessage, now: float) -> None:
        if self.state is State.LOGGING_IN:
            self._on_log_in_answer(dial, message, now)
            return
        match message:
            case wire.Pong(request):
                self._on_pong(request, now)
            case wire.Replaced():
                self._fail(Failure("replaced", "you are logged in elsewhere now"), now)
            case wire.Registered(request) | wire.Found(request) | wire.Refused(request) if request in self._requests:
                self._on_answer(message, self._requests.pop(request))
            case wire.Refused() if Failure.of(message).is_final:
                self._fail(Failure.of(message), now)
            case _:
                self._out.append(ev.RelayMessageReceived(message))

    def _send_ping(self, now: float, *, is_probe: bool) -> None:
        pings = self._pings
        self._probe_first = False
        pings.number, pings.sent_at, pings.is_probe = self._next_number(), now, is_probe
        pings.due = now + (PROBE_TIMEOUT_S if is_probe else PING_TIMEOUT_S)
        self._send(wire.Ping(pings.number))

    def _on_pong(self, number: int, now: float) -> None:
        pings = self._pings
        if pings.number == number:
            self.rtt_ms = (now - pings.sent_at) * 1000.0
            pings.number, pings.missed = None, 0
            pings.due = pings.sent_at + pings.interval_s

    def _on_ping_due(self, now: float) -> None:
        pings = self._pings
        if pings.number is not None:
            pings.missed += 1
            if pings.is_probe or pings.missed >= MAX_MISSED_PINGS:
                self._fail(Failure("unreachable", "the relay does not answer any more"), now)
                return
        self._send_ping(now, is_probe=False)

    def _check(self, now: float) -> None:
        if self.state is State.CONNECTED:
            self._send_ping(now, is_probe=True)
        elif self.state is State.WAITING:
            self._retry()
        else:
            self._probe_first = True

    # -- requests

    def _on_request(self, event: ev.ClaimName | ev.LookUpName, now: float) -> None:
        if self._rejection is not None or self.state is State.CLOSED:
            closed = Failure("unreachable", "the connection to the relay is closed")
            self._out.append(ev.RequestAnswered(event.ticket, self._rejection or closed))
            return
        number = self._next_number()
        request = self._requests[number] = _Request(event, now + event.timeout_s)
        if self.state is State.CONNECTED:
            self._send_request(number, request, now)

    def _send_request(self, number: int, request: _Request, now: float) -> None:
        name, challenge = request.event.name, self._dial.connection.challenge if self._dial is not None else None
        if challenge is None:
            return
        request.sent = True
        request.deadline = now + request.event.timeout_s
        if isinstance(request.event, ev.LookUpName):
            self._send(wire.Lookup(number, name))
            return
        certificate = self._identity.certificate
        statement = registration_statement(challenge.nonce, challenge.certificate, name, certificate)
        self._send(wire.Register(number, name, certificate, self._identity.sign(statement)))

    def _on_answer(self, message: wire.Registered | wire.Found | wire.Refused, request: _Request) -> None:
        result: wire.Registered | wire.Found | Failure
        match request.event, message:
            case ev.ClaimName(name=name), wire.Registered():
                self.name = name
                result = message
            case ev.LookUpName(), wire.Found():
                result = message
            case _, wire.Refused():
                result = Failure.of(message)
            case _:
                result = Failure("bad-message", "the relay answered something else than it was asked")
        self._out.append(ev.RequestAnswered(request.event.ticket, result))

    def _fail_requests(self, failure: Failure, *, only_sent: bool = False) -> None:
        for number, request in list(self._requests.items()):
            if request.sent or not only_sent:
                del self._requests[number]
                self._out.append(ev.RequestAnswered(request.event.ticket, failure))

    def _expire_requests(self, now: float) -> None:
        for number, request in list(self._requests.items()):
            if request.deadline <= now:
                del self._requests[number]
                text = "the relay did not answer in time"
                if not request.sent:
                    text = f"the relay at {self.address.host} is not reachable"
                self._out.append(ev.RequestAnswered(request.event.ticket, Failure("unreachable", text)))

    # -- failing, and trying again

    def _on_timer(self, now: float) -> None:
        self._expire_requests(now)
        if self._dial is not None:
            self._dial.connection.channel.advance(now)
            self._take_from_connection(now)
        if self._due is not None and now >= self._due:
            self._on_timeout(now)
        if self._pings.due is not None and now >= self._pings.due:
            self._on_ping_due(now)

    def _on_timeout(self, now: float) -> None:
        if self.state is State.WAITING:
            self._retry()
        elif self.state is State.LOGGING_IN:
            self._fail(Failure("unreachable", "the relay did not answer the login in time"), now)
        else:
            host = self._dial.remote[0] if self._dial is not None else self.address.host
            self._fail(Failure("unreachable", f"the relay at {host} does not answer"), now)

    def _retry(self) -> None:
        self._due = None
        if self._move(Trigger.RETRY):
            self._resolve()

    def _fail(self, failure: Failure, now: float) -> None:
        """The attempt or the session is over; where it is an attempt, the host's next address may answer."""
        is_dialling = self.state in (State.READING, State.CONNECTING)
        if is_dialling and failure.code == "unreachable" and self._addresses:
            self._hang_up(now)
            self._connect(self._addresses.pop(0), now)
            return
        session_s = now - self._connected_at if self._connected_at is not None else 0.0
        self._disconnect(now, failure.text)
        if failure.is_final and self._move(Trigger.REJECTED):
            self._rejection = failure
            self._fail_requests(failure)
            self._out.append(ev.Rejected(failure.code, failure.text))
        elif self._move(Trigger.FAILED):
            self._fail_requests(Failure("unreachable", failure.text), only_sent=True)
            wait_s = self._back_off.after(session_s, failure.retry_after_s)
            self._due = now + wait_s
            self._probe_first = False
            self._out.append(ev.Disconnected(failure.text, wait_s))

    def _disconnect(self, now: float, reason: str) -> None:
        self._hang_up(now, reason)
        self._addresses = []
        self._pings = _Pings()
        self._due = self._connected_at = self.welcome = None

    def _hang_up(self, now: float, reason: str = "") -> None:
        dial, self._dial = self._dial, None
        if dial is not None:
            dial.connection.close(reason)
            self._flush(dial, now)
            self._out.append(CloseSocket(dial.socket))

    # -- sending

    def _next_number(self) -> int:
        self._last_number = self._last_number % (2**32 - 1) + 1
        return self._last_number

    def _send(self, message: wire.ClientMessage) -> None:
        if self._dial is not None:
            self._dial.connection.send(message)

    def _flush(self, dial: _Dial, now: float) -> None:
        for data, destination in dial.connection.channel.datagrams_to_send(now):
            self._out.append(SendDatagram(dial.socket, (destination[0], destination[1]), data))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
