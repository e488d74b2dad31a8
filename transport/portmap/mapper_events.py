"""What the port mapper is fed and what it asks for; see :mod:`transport.portmap.mapper`."""

from dataclasses import dataclass, field

from transport.net.machine import TimerFired
from transport.net.port_mapping import MappedPort
from transport.net.sockets import CloseSocket, DatagramReceived, OpenSocket, SendDatagram, SocketFailed, SocketOpened
from transport.portmap.igd import IgdCommand, IgdEvent
from transport.portmap.lease import LEASE_S
from transport.portmap.status import MappingStatus


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the next run needs to find its mapping again, or to delete it. ``nonce`` is a secret of ours: whoever has
    it may change the mapping (RFC 6887 §11.2)."""

    internal_port: int
    nonce: bytes = field(repr=False)
    external_port: int = 0
    protocol: str = ""
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class MapperConfig:
    """``port`` is our own, free at the moment; ``before`` what the last run remembered."""

    port: int
    before: Remembered | None = None
    lease_s: int = LEASE_S


@dataclass(frozen=True, slots=True)
class DefaultGateways:
    """The default gateways now, and our addresses that lead there; "" where there are none. An IPv6 gateway that is
    link-local has its scope behind it (``fe80::1%eth0``)."""

    gateway: str = ""
    local_ip: str = ""
    gateway6: str = ""
    local_ip6: str = ""


@dataclass(frozen=True, slots=True)
class ReflexiveSeen:
    """A STUN server sees us at this IPv4 address."""

    ip: str


@dataclass(frozen=True, slots=True)
class CheckMappings:
    """A call begins: look whether the routers still know of it."""


@dataclass(frozen=True, slots=True)
class GatewayAnnounced:
    """A packet to all hosts came from this address, on the port where routers say that they have started anew, or
    have another address (RFC 6886 §3.2.1, RFC 6887 §14.1). Anybody can say so; it is a reason to ask."""

    ip: str


@dataclass(frozen=True, slots=True)
class StopMapping:
    """Give everything back; for good."""


MapperEvent = (
    DefaultGateways
    | SocketOpened
    | SocketFailed
    | DatagramReceived
    | IgdEvent
    | ReflexiveSeen
    | CheckMappings
    | GatewayAnnounced
    | StopMapping
    | TimerFired
)


@dataclass(frozen=True, slots=True)
class PortsMapped:
    """All that stands now, the outermost first."""

    ports: tuple[MappedPort, ...]


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep this for the next run."""

    what: Remembered


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """It stands otherwise."""

    status: MappingStatus


@dataclass(frozen=True, slots=True)
class MapperStopped:
    """Everything has been given back, as far as the routers answered. The last command."""


MapperCommand = (
    OpenSocket | CloseSocket | SendDatagram | IgdCommand | PortsMapped | Remember | StatusChanged | MapperStopped
)
