"""What :class:`transport.path.paths.Multipath` tells the link above it."""

from dataclasses import dataclass

from transport.net.sockets import Address, CloseSocket, OpenSocket, SendDatagram
from transport.path.stats import PathKind, PathVia
from transport.wire import call_messages as messages
from transport.wire.datagrams import EchoRequest, RtpPosition


@dataclass(frozen=True, slots=True)
class PathChanged:
    """A path is in another state (:class:`transport.path.state.PathState`, by value)."""

    kind: PathKind
    via: PathVia
    remote: Address
    state: str


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """The peer has not been heard since ``since`` (in the machine's clock) on any path."""

    since: float


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The peer is heard again."""


@dataclass(frozen=True, slots=True)
class PacketReceived:
    """A packet for QUIC came by this path. Whether it is authentic, QUIC finds out."""

    path: int
    data: bytes


@dataclass(frozen=True, slots=True)
class MultipathReady:
    """There is a path to send on. Said each time that the leg is bound."""


@dataclass(frozen=True, slots=True)
class MultipathRefused:
    """The relay does not accept the grant (STUN error ``code``); it is asked again until it does."""

    code: int


@dataclass(frozen=True, slots=True)
class AskEcho:
    """Send the request by this path alone; None is whatever carries the call."""

    path: int | None
    request: EchoRequest


@dataclass(frozen=True, slots=True)
class SendControl:
    """Say this to the peer, end to end."""

    message: messages.PeerMessage


@dataclass(frozen=True, slots=True)
class SendUnreliable:
    """Say this to the peer now or never: a newer one will follow."""

    message: messages.PathQuality | messages.PathSilent


@dataclass(frozen=True, slots=True)
class CopyArrived:
    """A frame of voice that came before has come by another path: that is when it would have come by that one."""

    position: RtpPosition


@dataclass(frozen=True, slots=True)
class DirectLost:
    """There is no direct path any more."""


MultipathCommand = (
    OpenSocket
    | CloseSocket
    | SendDatagram
    | PathChanged
    | Reconnecting
    | Reconnected
    | PacketReceived
    | MultipathReady
    | MultipathRefused
    | AskEcho
    | SendControl
    | SendUnreliable
    | CopyArrived
    | DirectLost
)
