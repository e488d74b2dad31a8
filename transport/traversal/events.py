"""What the link tells the traversal agent, and what the agent asks of it: the border of the package."""

from dataclasses import dataclass
from typing import Literal

from transport.ice.candidates import HostAddress
from transport.ice.credentials import CheckKeys
from transport.ice.start_sync import SyncMessage
from transport.nat.profile import NatProfile
from transport.net import sockets
from transport.net.machine import TimerFired
from transport.net.port_mapping import MappedPort
from transport.path.stats import PathVia
from transport.wire.call_messages import Candidates

PhaseOutcome = Literal["waiting", "trying", "won", "failed", "skipped", "cancelled"]
TraversalMessage = Candidates | SyncMessage


@dataclass(frozen=True, slots=True)
class Prepare:
    """Gather now, and send the peer nothing: only the relay, which knows our address, is asked."""


@dataclass(frozen=True, slots=True)
class Begin:
    """The peer may learn our addresses: go."""


@dataclass(frozen=True, slots=True)
class Stop:
    """No more of this; for good. A path that was found stays."""

    reason: str


@dataclass(frozen=True, slots=True)
class PathLost:
    """The direct path that was found is dead."""


@dataclass(frozen=True, slots=True)
class InterfacesChanged:
    """Our interfaces have other addresses now."""

    hosts: tuple[HostAddress, ...]


@dataclass(frozen=True, slots=True)
class PortMappingsChanged:
    """Routers map these ports for us now, all of them, and no others (any more)."""

    ports: tuple[MappedPort, ...]


@dataclass(frozen=True, slots=True)
class RelayTrouble:
    """The relay leg loses packets, or they take longer: techniques that could be the cause stop."""


@dataclass(frozen=True, slots=True)
class RelayRoundTrip:
    """Time to the peer over the relay and back, smoothed, with its variation (RFC 6298 §2), and the share of the last
    seconds' frames that were lost on the way to us, where known."""

    rtt_s: float
    variation_s: float = 0.0
    loss: float | None = None


@dataclass(frozen=True, slots=True)
class TraversalMessageReceived:
    """A message of the traversal came on the control stream."""

    message: TraversalMessage


SocketEvent = sockets.SocketOpened | sockets.SocketFailed | sockets.DatagramReceived
CallEvent = Prepare | Begin | Stop | PathLost | RelayTrouble | RelayRoundTrip | TraversalMessageReceived | TimerFired
AgentEvent = SocketEvent | CallEvent | InterfacesChanged | PortMappingsChanged


@dataclass(frozen=True, slots=True)
class SendToPeer:
    """Send this on the control stream of the call."""

    message: TraversalMessage


@dataclass(frozen=True, slots=True)
class DirectFound:
    """A pair is valid and nominated. The socket now is the path manager's, which closes it.

    Comes again for the same socket when the controlling side chose another remote address in the end; among several
    the highest ``nomination`` wins. ``keys`` make and check further authenticated checks on this path. ``mapped`` is
    our address as the peer sees it."""

    socket: int
    local: sockets.Address
    remote: sockets.Address
    via: PathVia
    rtt_s: float
    keys: CheckKeys
    nomination: int
    mapped: sockets.Address


@dataclass(frozen=True, slots=True)
class ProfileKnown:
    """What is now known of our own NAT, or of the peer's by its own word."""

    whose: Literal["local", "remote"]
    profile: NatProfile


@dataclass(frozen=True, slots=True)
class PhaseStatus:
    """How one technique stands in one attempt, for the panel and the report. Times in the machine's clock; ``reason``
    is a code, "" while there is none.

    Where there is something to count, ``tried`` ``of`` so many ports have been tried (the peer's ports or own
    sockets, whatever this side varies), and by ``until`` the technique gives up."""

    name: str
    outcome: PhaseOutcome
    started: float
    ended: float | None = None
    packets: int = 0
    sockets: int = 0
    rounds: int = 0
    reason: str = ""
    tried: int = 0
    of: int = 0
    until: float | None = None


@dataclass(frozen=True, slots=True)
class PhaseChanged:
    """Something about a technique is new."""

    status: PhaseStatus


SocketCommand = sockets.OpenSocket | sockets.CloseSocket | sockets.SendDatagram
AgentCommand = SocketCommand | SendToPeer | DirectFound | PhaseChanged | ProfileKnown
