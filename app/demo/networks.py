"""The networks that ``segue demo`` shows: who is where, and what the routers in between do (pure)."""

from dataclasses import dataclass
from enum import StrEnum

# Documentation addresses (RFC 5737): they can stand on a screen and are nobody's.
RELAY_IPS = ("192.0.2.1", "192.0.2.2")


class Nat(StrEnum):
    """What the two routers do with ports. ``NONE``: no routers, both people on loopback."""

    HOME = "home"
    STRICT = "strict"
    BOTH_STRICT = "both-strict"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Household:
    """One person's network. ``inside`` and ``router`` are addresses of the /24 at home, ``outside`` the router's own
    in the internet, reached over ``hop``."""

    name: str
    inside: str
    router: str
    outside: str
    hop: str


HOUSEHOLDS = (
    Household("alice", "192.168.1.23", "192.168.1.1", "203.0.113.10", "203.0.113.1"),
    Household("bob", "192.168.7.42", "192.168.7.1", "198.51.100.20", "198.51.100.1"),
)
