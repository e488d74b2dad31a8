"""Which pairs of NATs hole punching can bring together, from what is known of both (RFC 5128 §3)."""

from dataclasses import dataclass
from enum import Enum

from transport.nat.profile import Filtering, Mapping, NatKind, NatProfile


class Feasibility(Enum):
    """What to expect of server-reflexive IPv4 candidates."""

    NONE = "none"
    """Not by punching: nothing is sent."""
    DOUBTFUL = "doubtful"
    """Only if a filter that is not known lets it: one round shows."""
    GOOD = "good"


@dataclass(frozen=True, slots=True)
class Compatibility:
    """``reason`` is a code for people's words: "udp-blocked", "both-symmetric", "symmetric-and-port-restricted",
    "symmetric-and-unknown", "same-nat-no-hairpin", "unknown", "punchable"."""

    chance: Feasibility
    reason: str


def outlook(one: NatProfile | None, other: NatProfile | None, *, same_nat: bool = False) -> Compatibility:
    """For two sides; the order does not matter. ``same_nat``: both have the same outside address, so that what one
    sends to the other's has to be turned around by their outermost NAT (hairpin, RFC 4787 §6)."""
    apart = _apart(one, other)
    hairpins = {profile.hairpin for profile in (one, other) if profile is not None}
    if not same_nat or apart.chance is Feasibility.NONE or True in hairpins:
        return apart
    # Where nobody has measured it, the checks of a round from either side do.
    return Compatibility(Feasibility.NONE if False in hairpins else Feasibility.DOUBTFUL, "same-nat-no-hairpin")


def _apart(one: NatProfile | None, other: NatProfile | None) -> Compatibility:
    if one is None or other is None:
        return Compatibility(Feasibility.GOOD, "unknown")
    if one.udp_blocked or other.udp_blocked:
        return Compatibility(Feasibility.NONE, "udp-blocked")
    if one.symmetric and other.symmetric:
        return Compatibility(Feasibility.NONE, "both-symmetric")
    if one.symmetric or other.symmetric:
        return _with_symmetric(other if one.symmetric else one)
    if Mapping.UNKNOWN in (one.mapping, other.mapping):
        return Compatibility(Feasibility.GOOD, "unknown")
    return Compatibility(Feasibility.GOOD, "punchable")


def _with_symmetric(easy: NatProfile) -> Compatibility:
    """The symmetric side comes from a port that nobody knows: does the other side's filter mind?"""
    if easy.filtering in (Filtering.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_DEPENDENT):
        return Compatibility(Feasibility.GOOD, "punchable")
    if easy.filtering is Filtering.ADDRESS_AND_PORT_DEPENDENT:
        return Compatibility(Feasibility.NONE, "symmetric-and-port-restricted")
    return Compatibility(Feasibility.DOUBTFUL, "symmetric-and-unknown")


_EIM, _APDM = Mapping.ENDPOINT_INDEPENDENT, Mapping.ADDRESS_AND_PORT_DEPENDENT
PEERS = {
    NatKind.OPEN: NatProfile(Mapping.NONE, Filtering.ENDPOINT_INDEPENDENT),
    NatKind.FULL_CONE: NatProfile(_EIM, Filtering.ENDPOINT_INDEPENDENT),
    NatKind.ADDRESS_RESTRICTED: NatProfile(_EIM, Filtering.ADDRESS_DEPENDENT),
    NatKind.PORT_RESTRICTED: NatProfile(_EIM, Filtering.ADDRESS_AND_PORT_DEPENDENT),
    NatKind.SYMMETRIC: NatProfile(_APDM, Filtering.ADDRESS_AND_PORT_DEPENDENT),
    NatKind.UDP_BLOCKED: NatProfile(udp_blocked=True),
}


def chances(profile: NatProfile) -> dict[NatKind, Feasibility]:
    """For each kind of peer: the chance of a direct call by punching, where IPv6 and a common network do not help."""
    return {kind: outlook(profile, peer).chance for kind, peer in PEERS.items()}
