"""Bob's engine core at a desk of its own: a route that does nothing, and a call without sockets."""

import random
from dataclasses import dataclass, field

from app.account.status import AccountStatus
from app.call import events as ev
from app.engine.core import EngineCore
from app.engine.events import CoreCommand, CoreConfig, FromCall, FromRelay, LocalNetwork, ToCall
from app.network.recall import KnownNetworks
from app.store.documents import Profile
from media.pump import AudioPump
from media.ring import SampleRing
from tests.natsim.call import identity
from tests.natsim.clock import VirtualClock
from tests.natsim.people import Memory
from transport.quic.relay_session import RelaySession
from transport.quic.session_events import RelayMessageReceived, RelaySessionConfig
from transport.wire import relay_messages
from transport.wire.addresses import PersonAddress, RelayAddress, parse_relay

HOME = parse_relay("relay.example")
ELSEWHERE = parse_relay("elsewhere.example")
ANN = PersonAddress("ann", HOME)
LEG = relay_messages.LegCredentials("username-of-a-leg", "password-of-a-leg", 7851, 60.0)
WELCOME = relay_messages.Welcome("bob", ("198.51.100.2", 40_000), [], 20.0)
NOW = 1_000.0


def caller(number: int, name: str = "ann", home: str = "") -> relay_messages.DirectoryEntry:
    return relay_messages.DirectoryEntry(name, home, identity(number).key, identity(number).certificate)


@dataclass(frozen=True)
class Way:
    """A route whose session stands, or not, as the test wants."""

    address: RelayAddress = HOME
    is_home: bool = True
    session: RelaySession = field(
        default_factory=lambda: RelaySession(RelaySessionConfig(HOME, "bob"), identity(2), random.Random(1))
    )


class Desk:
    """Bob's core, and what it has asked for."""

    def __init__(self) -> None:
        self.way = Way()
        self.way.session.host_ip = "192.0.2.1"
        self.asked: list[tuple[RelayAddress, str]] = []
        self.memory = Memory(VirtualClock())
        self.memory.documents.change_profile(Profile("bob", str(HOME)))
        self.account = AccountStatus()
        config = CoreConfig(
            identity(2), AudioPump(SampleRing(), SampleRing()), random.Random(1), self._route_to, LocalNetwork
        )
        known = KnownNetworks(self.memory.networks, identity(2).secret, 0.0)
        self.core = EngineCore(config, self.memory, known, self.account)

    def _route_to(self, relay: RelayAddress, home: str) -> Way:
        self.asked.append((relay, home))
        return self.way

    def do(self, event: object, now: float = NOW) -> list[CoreCommand]:
        """What the core asks for; what it asks of its call is done."""
        commands = self.core.handle(event, now)  # type: ignore[arg-type]
        for command in commands:
            if isinstance(command, ToCall):
                for answer in command.session.handle(command.event, now):
                    if isinstance(answer, ev.Finished):
                        commands += self.core.handle(FromCall(command.session, answer), now)
        return commands

    def hear(self, message: relay_messages.RelayMessage) -> list[CoreCommand]:
        return self.do(FromRelay(self.way, RelayMessageReceived(message)))

    def ring(self, call_id: str = "a" * 32, who: relay_messages.DirectoryEntry | None = None) -> list[CoreCommand]:
        return self.hear(relay_messages.Incoming(call_id, who or caller(1), LEG))
