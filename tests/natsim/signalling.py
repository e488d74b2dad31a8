"""Control sessions in virtual time: the relay's own router at one end, a client that stays and comes back at the other.

Messages are encoded and decoded as on a wire and arrive in order after a delay; QUIC below them is not simulated.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from relay.events import (
    CloseSession,
    CreateLegs,
    DestroyLegs,
    DrainRequested,
    LegsIdle,
    MessageArrived,
    NameStored,
    RouterEvent,
    SendMessage,
    SessionClosed,
    SessionOpened,
    StopRelay,
    StoreName,
    TimerFired,
)
from relay.legs import IDLE_S
from relay.limits import Limiter, RelayLimits
from relay.registry import Entry, Registry
from relay.router import Router, RouterConfig
from tests.natsim.call import identity
from tests.natsim.clock import Timer, VirtualClock
from tests.natsim.driver import TICK_S
from tests.natsim.network import Host
from tests.natsim.relay import MEDIA_PORT, RelayNode
from transport.identity.keys import Identity
from transport.identity.statements import session_statement
from transport.io.relay_session import MAX_MISSED_PINGS, PROBE_TIMEOUT_S, BackOff
from transport.quic.relay_channel import IDLE_TIMEOUT_S
from transport.quic.relay_channel_client import HANDSHAKE_TIMEOUT_S
from transport.wire import relay_messages

# A handshake with the relay (QUIC, TLS) takes two crossings before the first message.
HANDSHAKE_CROSSINGS = 2
RELAY_IDENTITY = 1_000


@dataclass(slots=True)
class Channel:
    """One control connection. A ``broken`` one carries nothing, and neither end knows it yet."""

    number: int
    client: "ControlClient"
    broken: bool = False
    known_closed: bool = False


class SimRelay:
    """A relay: router and legs of the product on one virtual host, with a register that survives a restart."""

    def __init__(self, host: Host, names: Mapping[str, Identity], rng: random.Random) -> None:
        self.media = RelayNode(host)
        self.clock: VirtualClock = host.network.clock
        self.rng = rng
        self.certificate = identity(RELAY_IDENTITY).certificate
        self._names = {name: Entry(holder.key, holder.certificate) for name, holder in names.items()}
        self._channels: dict[int, Channel] = {}
        self._next_number = 1
        self._timer: Timer | None = None
        self._legs_timer: Timer | None = None
        self.running = False
        self.start()

    # -- life

    def start(self) -> None:
        """Begin, or begin again with nothing but the register."""
        self.media.restart()
        config = RouterConfig(self.certificate, MEDIA_PORT, (("", MEDIA_PORT),), IDLE_S)
        self.router = Router(config, Registry(self._names.items()), Limiter(RelayLimits()), self.rng)
        self.running = True

    def kill(self) -> None:
        """Gone without a word: clients find out by silence."""
        self.running = False
        self.media.stop()
        if self._timer is not None:
            self._timer.cancelled = True
            self._timer = None
        for channel in self._channels.values():
            channel.broken = True
        self._channels.clear()

    def drain(self, seconds: float) -> None:
        """Stop in good order."""
        self.post(DrainRequested(seconds))

    # -- sessions

    def connect(self, client: "ControlClient") -> None:
        """A client's handshake has arrived."""
        if not self.running or client.cut:
            return
        channel = Channel(self._next_number, client)
        self._next_number += 1
        self._channels[channel.number] = channel
        client.channel = channel
        self.post(SessionOpened(channel.number, (client.ip, 40_000 + channel.number)))

    def receive(self, channel: Channel, document: bytes) -> None:
        """A client's message has arrived."""
        if not channel.broken and channel.number in self._channels:
            self.post(MessageArrived(channel.number, relay_messages.decode_client_message(document)))

    def closed(self, channel: Channel) -> None:
        """A client's connection is gone."""
        if self._channels.pop(channel.number, None) is not None:
            self.post(SessionClosed(channel.number))

    # -- the router's driver

    def post(self, event: RouterEvent) -> None:
        """Feed the router."""
        for command in self.router.handle(event, self.clock.now):
            match command:
                case SendMessage(number, message):
                    channel = self._channels.get(number)
                    if channel is not None:
                        channel.client.deliver(channel, relay_messages.encode(message))
                case CloseSession(number):
                    channel = self._channels.pop(number, None)
                    if channel is not None:
                        channel.client.deliver(channel, None)
                case StoreName(ticket, name, key, certificate):
                    self._names[name] = Entry(key, certificate)
                    self.clock.after(TICK_S, lambda ticket=ticket: self.post(NameStored(ticket, "")))
                case CreateLegs(call_id, caller, callee):
                    self.media.legs.create(call_id, caller, callee, self.clock.now)
                    self._watch_legs()
                case DestroyLegs(call_id):
                    self.media.legs.destroy(call_id)
                case StopRelay():
                    self.running = False
                    self.media.stop()
        self._arm()

    def _arm(self) -> None:
        due = self.router.next_deadline()
        if self._timer is not None:
            self._timer.cancelled = True
            self._timer = None
        if due is not None:
            self._timer = self.clock.at(max(due, self.clock.now + TICK_S), self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self.running:
            self.post(TimerFired())

    def _watch_legs(self) -> None:
        due = self.media.legs.next_deadline() if self._legs_timer is None else None
        if due is not None:
            self._legs_timer = self.clock.at(max(due, self.clock.now + TICK_S), self._look_at_legs)

    def _look_at_legs(self) -> None:
        self._legs_timer = None
        if self.running:
            for call_id in self.media.legs.idle(self.clock.now):
                self.post(LegsIdle(call_id))
            self._watch_legs()


class ControlClient:
    """Logs in, stays, pings, comes back: transport.io.relay_session in virtual time, with its own back-off."""

    def __init__(
        self,
        relay: SimRelay,
        who: Identity,
        name: str,
        ip: str,
        delay_s: float,
        rng: random.Random,
        on_connected: Callable[[], None],
        on_lost: Callable[[], None],
        on_message: Callable[[relay_messages.RelayMessage], None],
    ) -> None:
        self.relay = relay
        self.ip = ip
        self.delay_s = delay_s
        self.channel: Channel | None = None
        self.cut = False
        """Whether the way to the relay is."""
        self.is_connected = False
        self.rejected = ""
        self._clock = relay.clock
        self._who = who
        self._name = name
        self._back_off = BackOff(rng)
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._on_message = on_message
        self._joined_at = 0.0
        self._ping = 0
        self._on_pong: Callable[[], None] | None = None
        self._pause: Timer | None = None
        self._hurried = False
        self._missed = 0
        self._attempts = 0
        self._gone = False

    @property
    def is_deceived(self) -> bool:
        """Whether the session is dead and the client has not noticed yet."""
        return self.channel is not None and self.channel.broken

    def dial(self) -> None:
        """Try to get a session; go on trying until :meth:`vanish`."""
        if self._gone or self.rejected:
            return
        self._pause, self._hurried = None, False
        self._attempts += 1
        attempt = self._attempts
        self._clock.after(HANDSHAKE_CROSSINGS * self.delay_s, lambda: self.relay.connect(self))
        self._clock.after(HANDSHAKE_TIMEOUT_S, lambda: self._too_long(attempt))

    def send(self, message: relay_messages.ClientMessage) -> bool:
        """Send now; False when there is no session."""
        channel = self.channel
        if channel is None or not self.is_connected:
            return False
        self._post(channel, message)
        return True

    def vanish(self) -> None:
        """The program is gone without a word; the relay finds out when its idle time-out is over."""
        self._gone = True
        channel, self.channel, self.is_connected = self.channel, None, False
        if channel is not None:
            channel.broken = True
            self._clock.after(IDLE_TIMEOUT_S, lambda: self.relay.closed(channel))

    def deliver(self, channel: Channel, document: bytes | None) -> None:
        """The relay says something, or closes."""
        self._clock.after(self.delay_s, lambda: self._arrived(channel, document))

    def _post(self, channel: Channel, message: relay_messages.ClientMessage) -> None:
        document = relay_messages.encode(message)
        if not self.cut:
            self._clock.after(self.delay_s, lambda: self.relay.receive(channel, document))

    def _arrived(self, channel: Channel, document: bytes | None) -> None:
        if channel is not self.channel or channel.broken or self.cut:
            return
        if document is None:
            self._lost()
            return
        message = relay_messages.decode_relay_message(document)
        match message:
            case relay_messages.Challenge(_, nonce, certificate):
                who = self._who
                signature = who.sign(session_statement(nonce, certificate))
                self._post(
                    channel,
                    relay_messages.Authenticate(
                        relay_messages.CONTROL_VERSION, who.key, who.certificate, signature, self._name
                    ),
                )
            case relay_messages.Welcome():
                self.is_connected = True
                self._joined_at = self._clock.now
                self._missed = 0
                self._ping_on(channel, message.ping_every_s)
                self._on_connected()
            case relay_messages.Pong(request):
                if request == self._ping and self._on_pong is not None:
                    self._on_pong()
            case relay_messages.Refused(0, code) if not self.is_connected:
                self.rejected = code
            case relay_messages.Replaced():
                self.rejected = "replaced"
                self._lost()
            case _:
                self._on_message(message)

    def _ping_on(self, channel: Channel, every_s: float) -> None:
        if channel is not self.channel:
            return
        hurried, self._hurried, self._pause = self._hurried, False, None
        self._ping += 1
        number, sent_at = self._ping, self._clock.now
        self._post(channel, relay_messages.Ping(number))

        def ponged() -> None:
            self._missed = 0
            self._on_pong = None
            wait_s = 0.0 if self._hurried else max(0.0, sent_at + every_s - self._clock.now)
            self._pause = self._clock.after(wait_s, lambda: self._ping_on(channel, every_s))

        def missed() -> None:
            if channel is not self.channel or self._on_pong is not ponged or self._ping != number:
                return
            self._missed += 1
            if not hurried and self._missed < MAX_MISSED_PINGS:
                self._ping_on(channel, every_s)
                return
            # The relay, if it lives, hears of it after its own idle time-out.
            channel.broken = True
            self._clock.after(IDLE_TIMEOUT_S, lambda: self.relay.closed(channel))
            self._lost()

        self._on_pong = ponged
        self._clock.after(PROBE_TIMEOUT_S if hurried else every_s, missed)

    def network_changed(self) -> None:
        """Find out at once whether the session still stands; or try at once to have one."""
        self._hurried = True
        if self._pause is not None and not self._pause.cancelled:
            self._pause.cancelled = True
            self._clock.after(0, self._pause.action)

    def _too_long(self, attempt: int) -> None:
        if attempt == self._attempts and not self.is_connected:
            self._lost()

    def _lost(self) -> None:
        was_up, self.is_connected, self.channel, self._on_pong = self.is_connected, False, None, None
        if self._gone:
            return
        self._hurried = False
        if not self.rejected:
            session_s = self._clock.now - self._joined_at if was_up else 0.0
            self._pause = self._clock.after(self._back_off.after(session_s, 0.0), self.dial)
        if was_up:
            self._on_lost()
