"""What goes into a :class:`transport.link.link.Link` and what comes out of it."""

import ipaddress
from dataclasses import dataclass, field
from typing import Literal

from transport.ice.candidates import HostAddress
from transport.ice.pacing import HostLimits
from transport.identity.keys import Identity
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
from transport.path.events import CopyArrived, PathChanged, Reconnected, Reconnecting
from transport.path.relay_leg import LegAccess
from transport.path.stats import PathStats
from transport.quic.work import Cpu, uncharged
from transport.traversal.context import Recall
from transport.traversal.events import InterfacesChanged, PhaseChanged, PhaseStatus, PortMappingsChanged, ProfileKnown
from transport.wire.call_messages import Bye, PeerMessage

LinkEndReason = Literal["closed", "peer-left", "lost", "wrong-certificate", "bad-proof", "protocol", "leg-refused"]


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """One side of one call.

    ``peer_key`` is the Ed25519 key that the peer must have; ``peer_certificate`` the DER certificate that the
    directory (caller) or the relay (callee) gave for it. Raises :class:`ValueError` when the relay's endpoint in
    ``leg`` is no IP address.

    ``stun`` (the relay's STUN endpoints, as IP addresses) and ``hosts`` are what a direct path is looked for with;
    without ``hosts`` none is. ``early``: the peer may learn our addresses as soon as it is proven, not only when the
    call is answered. ``always_relay``: it never does, and no socket but the relay leg's is ever opened. ``profile`` is
    what is known of our own NAT from before; ``low_ttl``: sockets here can send a packet with a TTL of its own.
    ``limits`` is what all calls of this machine may cost the network together. ``try_harder``: the person here
    wants what takes minutes, and many ports, tried as well. ``recall`` knows what earlier calls between two networks
    have shown. ``mapped`` is what routers map for us; :class:`PortMappingsChanged` says when that changes.
    """

    role: Literal["caller", "callee"]
    call_id: str
    identity: Identity
    peer_key: bytes = field(repr=False)
    peer_certificate: bytes = field(repr=False)
    leg: LegAccess
    always_relay: bool = False
    early: bool = False
    stun: tuple[Address, ...] = ()
    hosts: tuple[HostAddress, ...] = ()
    profile: NatProfile | None = None
    low_ttl: bool = True
    limits: HostLimits | None = None
    try_harder: bool = False
    recall: Recall | None = None
    mapped: tuple[MappedPort, ...] = ()
    cpu: Cpu = uncharged
    """What the peer's packets cost is measured by this; in the product ``time.thread_time``."""

    def __post_init__(self) -> None:
        ipaddress.ip_address(self.leg.relay[0])


# -- events ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Open:
    """Begin; the first event."""


@dataclass(frozen=True, slots=True)
class SendMedia:
    """Send one RTP packet now or never."""

    data: bytes


@dataclass(frozen=True, slots=True)
class SendPeerMessage:
    """Send a message to the peer; before the proof it is kept until then."""

    message: PeerMessage


@dataclass(frozen=True, slots=True)
class Close:
    """Send the goodbye and end."""

    message: Bye


@dataclass(frozen=True, slots=True)
class LegReplaced:
    """The relay gave a new grant for this call. Its endpoint is an IP address."""

    leg: LegAccess


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """The call is answered: both may learn each other's addresses now."""


Event = (
    Open
    | SocketOpened
    | SocketFailed
    | DatagramReceived
    | SendMedia
    | SendPeerMessage
    | Close
    | LegReplaced
    | CallAnswered
    | InterfacesChanged
    | PortMappingsChanged
    | TimerFired
)


# -- commands ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PeerProven:
    """Both sides have proven who they are."""


@dataclass(frozen=True, slots=True)
class MediaReceived:
    """One RTP packet of the peer; never the same twice."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PeerMessageReceived:
    """One message of the peer, in order. A :class:`Bye` is followed by :class:`LinkEnded`."""

    message: PeerMessage


@dataclass(frozen=True, slots=True)
class CandidatesSignalled:
    """A side has sent the other its candidates; of each only the kind."""

    whose: Literal["local", "remote"]
    round: int
    kinds: tuple[Literal["host", "server-reflexive", "mapped"], ...]


@dataclass(frozen=True, slots=True)
class LinkEnded:
    """The last command of every link, exactly once. ``text`` is for a log, in words."""

    reason: LinkEndReason
    text: str


Command = (
    OpenSocket
    | CloseSocket
    | SendDatagram
    | PeerProven
    | MediaReceived
    | PeerMessageReceived
    | CandidatesSignalled
    | CopyArrived
    | PathChanged
    | PhaseChanged
    | ProfileKnown
    | Reconnecting
    | Reconnected
    | LinkEnded
)


@dataclass(frozen=True, slots=True)
class LinkStats:
    """A link at one moment. Counters count from its beginning."""

    rtt_ms: float | None
    """End to end, on the path in use."""
    paths: tuple[PathStats, ...]
    phases: tuple[PhaseStatus, ...]
    """What the traversal agent has tried, in order; none where no direct path is looked for."""
    stale_dropped: int
    """Media given up at the sender: it would have left too late."""
    unsent_dropped: int
    """Media and messages that could not be sent: no proven peer, or too long."""
    early_dropped: int
    """Datagrams of a peer that was not yet proven."""
    foreign_dropped: int
    """UDP payloads from addresses that are no part of this call."""
    garbage_dropped: int
    """UDP payloads and QUIC datagrams that are nothing of this protocol."""
    attempts_refused: int
    """Callee: packets that were not let in as the beginning of a connection."""
