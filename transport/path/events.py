"""What :class:`transport.path.paths.Multipath` tells the link above it."""

from dataclasses import dataclass

from transport.net.sockets import Address, CloseSocket, OpenSocket, SendDatagram
from transport.path.stats import PathKind, PathVia
from transport.wire import call_messages as messages
from transport.wire.datagrams import RtpPosition


@dataclass(frozen=True, slots=True)
class PathChanged:
    """A path is in another state (:class:`transport.path.path.State`, by value)."""

    kind: PathKind
    via: PathVia
    remote: Address
    state: str


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """Nothing of the peer has been received since ``since`` (in the machine's clock) on any path."""

    since: float


@dataclass(frozen=True, slots=True)
class Reconnected:
    """Traffic of the peer comes again."""


@dataclass(frozen=True, slots=True)
class CopyArrived:
    """A frame of voice that came before has come by another path: that is when it would have come by that one."""

    position: RtpPosition


@dataclass(frozen=True, slots=True)
class LegBound:
    """There is a path to send on. Comes each time that the leg is bound anew."""


@dataclass(frozen=True, slots=True)
class LegRefused:
    """The relay does not accept the grant (STUN error ``code``); it is asked again until it does."""

    code: int


@dataclass(frozen=True, slots=True)
class DirectLost:
    """No direct path is usable any more."""


@dataclass(frozen=True, slots=True)
class SendControl:
    """Send this to the peer, reliably and in order."""

    message: messages.PathInUse


@dataclass(frozen=True, slots=True)
class SendUnreliable:
    """Send this to the peer now or never: a newer one will follow."""

    message: messages.PathQuality | messages.PathSilent


MultipathCommand = (
    OpenSocket
    | CloseSocket
    | SendDatagram
    | PathChanged
    | Reconnecting
    | Reconnected
    | CopyArrived
    | LegBound
    | LegRefused
    | DirectLost
    | SendControl
    | SendUnreliable
)
