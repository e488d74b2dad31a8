"""Relay sessions in virtual time: the relay's own listener and router at one end, :class:`RelaySession` at the other.

Both speak QUIC over the wires of their hosts.
"""

import random
from collections.abc import Callable, Mapping

from relay.events import DrainRequested, NameStored, SessionClosed, StoreName
from relay.legs import IDLE_S
from relay.limits import Limiter, RelayLimits
from relay.registry import Entry, Registry
from relay.router import Router, RouterConfig
from relay.service import RelayService
from tests.natsim.call import identity
from tests.natsim.clock import VirtualClock
from tests.natsim.driver import TICK_S, SimRunner
from tests.natsim.network import Host
from tests.natsim.relay import MEDIA_PORT, RelayNode
from transport.identity.keys import Identity, certificate_fingerprint
from transport.quic import session_events as events
from transport.quic.relay_channel_server import ControlListener
from transport.quic.relay_session import RelaySession
from transport.wire import relay_messages
from transport.wire.addresses import PIN_HEX, RelayAddress

RELAY_IDENTITY = 1_000
CONTROL_PORT = 7850
RELAY_HOST = "relay.example"


class SimRelay:
    """A relay: everything of the product but its sockets and its store, on one virtual host, with a register that
    survives a restart."""

    def __init__(self, host: Host, names: Mapping[str, Identity], rng: random.Random) -> None:
        self.media = RelayNode(host)
        self.clock: VirtualClock = host.network.clock
        self.rng = rng
        self.identity = identity(RELAY_IDENTITY)
        pin = certificate_fingerprint(self.identity.certificate).hex()[:PIN_HEX]
        self.address = RelayAddress(RELAY_HOST, CONTROL_PORT, pin)
        self._names = {name: Entry(holder.key, holder.certificate) for name, holder in names.items()}
        self.running = False
        host.open(self._receive, CONTROL_PORT)
        self.start()

    # -- life

    def start(self) -> None:
        """Begin, or begin again with nothing but the register."""
        self.media.restart()
        config = RouterConfig(self.identity.certificate, MEDIA_PORT, (("", MEDIA_PORT),), IDLE_S)
        self.router = Router(config, Registry(self._names.items()), Limiter(RelayLimits()), self.rng)
        self.service = RelayService(self.router, self.media.legs, self.clock, self._store, self._stop)
        self.listener = ControlListener(self.identity, self.service, self.clock, self._send)
        self.running = True

    def kill(self) -> None:
        """Gone at once: clients find out by silence."""
        self._stop()
        self.listener.close()
        self.service.cancel_timers()

    def drain(self, seconds: float) -> None:
        """Stop in good order."""
        self.service.post(DrainRequested(seconds))

    def forget(self, key: bytes) -> None:
        """Lose the session of one person, without a message to them."""
        session = self.router._by_key.get(key)
        if session is not None:
            del self.service.channels[session.number]
            self.service.post(SessionClosed(session.number))

    def knows(self, key: bytes) -> bool:
        """Whether the person with this key is logged in."""
        return self.running and key in self.router._by_key

    # -- inside

    def _stop(self) -> None:
        self.running = False
        self.media.stop()

    def _store(self, command: StoreName) -> bool:
        self._names[command.name] = Entry(command.key, command.certificate)
        self.clock.after(TICK_S, lambda: self.service.post(NameStored(command.ticket, "")))
        return True

    def _receive(self, data: bytes, source: tuple[str, int]) -> None:
        if self.running:
            self.listener.receive(data, source)

    def _send(self, data: bytes, destination: tuple[str, int]) -> None:
        if self.running:
            self.media.host.send(CONTROL_PORT, (destination[0], destination[1]), data)


class SimSession(SimRunner):
    """Runs a :class:`RelaySession` on a virtual host. ``on_event`` gets what the session's owner wants to know."""

    def __init__(
        self,
        relay: SimRelay,
        host: Host,
        who: Identity,
        name: str,
        rng: random.Random,
        on_event: Callable[[events.SessionCommand], None],
    ) -> None:
        self.session = RelaySession(events.RelaySessionConfig(relay.address, name), who, rng)
        super().__init__(self.session, host, self._from_session)
        self._relay = relay
        self._key = who.key
        self._on_event = on_event

    @property
    def is_connected(self) -> bool:
        return self.session.is_connected

    @property
    def is_stale(self) -> bool:
        """Whether the relay no longer has this session, which has not noticed yet."""
        return self.is_connected and not self._relay.knows(self._key)

    def start(self) -> None:
        self.submit(events.StartSession())

    def send(self, message: relay_messages.ClientMessage) -> bool:
        """Send now; False when there is no session."""
        is_connected = self.is_connected
        self.submit(events.SendRelayMessage(message))
        return is_connected

    def network_changed(self) -> None:
        self.submit(events.CheckConnection())

    def _from_session(self, command: events.SessionCommand) -> None:
        if isinstance(command, events.ResolveHost):
            resolved = events.HostResolved(((self._relay.media.host.ip, command.port),))
            self.clock.after(0, lambda: self.submit(resolved))
        else:
            self._on_event(command)
