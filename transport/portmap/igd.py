"""UPnP IGD (WANIPConnection:1 and :2): what its client asks, what comes back, and the error codes.

Each question has a number, and its answer has the same. Discovery and SOAP are the driver's (``transport.io.upnp``).
"""

from dataclasses import dataclass

# Search, description and a service's description each are a round trip in the LAN, and some routers take a second.
SEARCH_S = 6.0
ASK_S = 3.0

# WANIPConnection:2 §2.5 and UPnP Device Architecture 1.1 §3.2.5.
NOT_AUTHORIZED = (401, 606)
NO_SUCH_ENTRY = 714
CONFLICT_IN_MAPPING_ENTRY = 718
SAME_PORT_VALUES_REQUIRED = 724
ONLY_PERMANENT_LEASES_SUPPORTED = 725
NO_PORT_MAPS_AVAILABLE = 728
CONFLICT_WITH_OTHER_MECHANISMS = 729


@dataclass(frozen=True, slots=True)
class IgdSearch:
    """Find the gateway ``gateway`` by SSDP, from our address ``local_ip``; forget what was found before."""

    number: int
    local_ip: str
    gateway: str


@dataclass(frozen=True, slots=True)
class IgdAskAddress:
    """GetExternalIPAddress."""

    number: int


@dataclass(frozen=True, slots=True)
class IgdAdd:
    """AddPortMapping for UDP, for ``lease_s``, which never is 0: that would be for ever."""

    number: int
    external_port: int
    internal_port: int
    internal_client: str
    lease_s: int


@dataclass(frozen=True, slots=True)
class IgdLookUp:
    """GetSpecificPortMappingEntry."""

    number: int
    external_port: int


@dataclass(frozen=True, slots=True)
class IgdDelete:
    """DeletePortMapping."""

    number: int
    external_port: int


IgdCommand = IgdSearch | IgdAskAddress | IgdAdd | IgdLookUp | IgdDelete


@dataclass(frozen=True, slots=True)
class IgdFound:
    """A gateway with a WAN connection has answered."""

    number: int


@dataclass(frozen=True, slots=True)
class IgdAddress:
    """Its external address, as it says."""

    number: int
    ip: str


@dataclass(frozen=True, slots=True)
class IgdDone:
    """:class:`IgdAdd` or :class:`IgdDelete` succeeded, as it says."""

    number: int


@dataclass(frozen=True, slots=True)
class IgdEntry:
    """An entry of its table; ``lease_s`` 0 is for ever."""

    number: int
    internal_client: str
    internal_port: int
    lease_s: int


@dataclass(frozen=True, slots=True)
class IgdFailed:
    """``code`` is UPnP's error code; 0 where there was no answer, or none that makes sense."""

    number: int
    code: int


IgdEvent = IgdFound | IgdAddress | IgdDone | IgdEntry | IgdFailed
