"""What the engine's core takes and asks for, and what it knows of the world: see :mod:`app.engine.core`."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from app.call import events as ev
from app.call.media import MediaConfig
from app.call.session import CallSession
from app.ipc import messages
from app.store.blocked_keys import BlockedKeys
from app.store.calls import Calls
from app.store.documents import Documents
from app.store.people import People
from app.store.relays import RelayCertificates
from media.pump import AudioPump
from transport.ice.candidates import HostAddress
from transport.ice.pacing import HostLimits
from transport.identity.keys import Identity
from transport.nat.profile import NatProfile
from transport.net.port_mapping import MappedPort
from transport.portmap.status import MappingStatus
from transport.quic.relay_session import RelaySession
from transport.quic.session_events import RelayEvent
from transport.quic.work import Cpu, uncharged
from transport.wire import relay_messages
from transport.wire.addresses import RelayAddress


class LocalData(Protocol):
    """What is remembered, as :class:`app.store.Store` holds it."""

    people: People
    blocked_keys: BlockedKeys
    calls: Calls
    documents: Documents
    relays: RelayCertificates


class RelayRoute(Protocol):
    """A way to a relay. ``is_home``: logged in with the user's own name."""

    @property
    def address(self) -> RelayAddress: ...
    @property
    def is_home(self) -> bool: ...
    @property
    def session(self) -> RelaySession: ...


@dataclass(frozen=True, slots=True)
class LocalNetwork:
    """What is known of the network that this machine is in."""

    hosts: tuple[HostAddress, ...] = ()
    profile: NatProfile | None = None
    mapped: tuple[MappedPort, ...] = ()
    mapping: MappingStatus | None = None


@dataclass(frozen=True, slots=True)
class CoreConfig:
    """``always_relay`` overrides the setting. ``route_to(relay, home)`` gives the way to a relay, as a guest whose own
    address is ``home`` where it is not the user's own relay. ``network`` is asked when a call begins. ``wall_offset_s``
    turns the clock of :meth:`EngineCore.handle` into Unix seconds."""

    identity: Identity
    pump: AudioPump
    rng: random.Random = field(repr=False)
    route_to: Callable[[RelayAddress, str], RelayRoute]
    network: Callable[[], LocalNetwork]
    media: MediaConfig = field(default_factory=MediaConfig)
    limits: HostLimits | None = None
    cpu: Cpu = uncharged
    always_relay: bool = False
    wall_offset_s: float = 0.0


# -- events --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FromRelay:
    """What a relay session says."""

    route: RelayRoute
    event: RelayEvent


@dataclass(frozen=True, slots=True)
class FromCall:
    """What the running call says of itself."""

    session: CallSession
    event: ev.Finished | ev.ViewChanged


CallCommand = (
    messages.PlaceCall
    | messages.AnswerCall
    | messages.DeclineCall
    | messages.HangUpCall
    | messages.DismissCall
    | messages.SetMuted
    | messages.TrustKey
    | messages.BlockCaller
)
"""What windows ask about calls."""

CoreEvent = CallCommand | FromRelay | FromCall

# -- commands ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BeginCall:
    """Run this session, over this route; :class:`FromCall` says what becomes of it."""

    session: CallSession
    route: RelayRoute


@dataclass(frozen=True, slots=True)
class ToCall:
    """Give the session this event."""

    session: CallSession
    event: ev.SessionEvent


@dataclass(frozen=True, slots=True)
class ToRelay:
    """Send this on the route's session."""

    route: RelayRoute
    message: relay_messages.ClientMessage


@dataclass(frozen=True, slots=True)
class ReleaseRoute:
    """No call needs it any more: a guest logs out."""

    route: RelayRoute


@dataclass(frozen=True, slots=True)
class RelayReached:
    """Logged in at a relay: routers between it and us may map ports, and it can tell about our NAT."""

    host_ip: str


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """Somebody in the user's list has come or gone."""

    short_address: str
    online: bool


@dataclass(frozen=True, slots=True)
class CallOver:
    """Keep report and trace of the call."""

    session: CallSession
    finished: ev.Finished


CoreCommand = (
    BeginCall
    | ToCall
    | ToRelay
    | ReleaseRoute
    | RelayReached
    | PresenceChanged
    | CallOver
    | messages.CommandFailed
    | ev.ViewChanged
)
