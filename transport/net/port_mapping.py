"""A port that a router maps to this machine: reachable from everywhere, whatever the filters."""

from dataclasses import dataclass
from typing import Literal

from transport.net.sockets import Address

MappingProtocol = Literal["pcp", "nat-pmp", "upnp"]


@dataclass(frozen=True, slots=True)
class MappedPort:
    """What comes to ``external`` reaches ``internal_port`` of this machine until ``expires_at`` (s of the clock of
    the machines), as far as the router keeps to its word.

    ``is_public``: the external address is a public one, and what STUN servers see, where that is known. Otherwise
    another NAT stands in front of the router. An IPv6 pinhole has our own address as the external one.
    """

    internal_port: int
    external: Address
    protocol: MappingProtocol
    expires_at: float
    is_public: bool
