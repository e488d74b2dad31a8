"""Which pairs of NATs can be brought together, and by which technique (RFC 5128 §3, RFC 4787 §4-§5). Pure.

:func:`compatibility` says whether hole punching can succeed. Where it cannot, :func:`strategy` names the technique that
can, and who does what in it. Both sides come to the same answer from the two profiles, so neither has to ask. What
counts is how a side's outside port toward the peer comes about (:class:`MappingBehaviour`).
"""

from dataclasses import dataclass, replace
from enum import Enum

from transport.nat.profile import Allocation, Filtering, Mapping, NatKind, NatProfile


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

    feasibility: Feasibility
    reason: str


def compatibility(one: NatProfile | None, other: NatProfile | None, *, same_nat: bool = False) -> Compatibility:
    """For two sides; the order does not matter. ``same_nat``: both have the same outside address, so that what one
    sends to the other's has to be turned around by their outermost NAT (hairpin, RFC 4787 §6)."""
    apart = _apart(one, other)
    hairpins = {profile.hairpin for profile in (one, other) if profile is not None}
    if not same_nat or apart.feasibility is Feasibility.NONE or True in hairpins:
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


def feasibilities(profile: NatProfile) -> dict[NatKind, Feasibility]:
    """For each kind of peer: the chance of a direct call by punching, where IPv6 and a common network do not help."""
    return {kind: compatibility(profile, peer).feasibility for kind, peer in PEERS.items()}


class MappingBehaviour(Enum):
    """How a side's outside port toward the peer comes about (RFC 4787 §4)."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    """One port for all destinations: the peer sees what a STUN server sees."""
    ADDRESS_DEPENDENT_SEQUENTIAL = "address-dependent, sequential"
    """One port for each host, the next one of a counter: it lies between two others that servers see."""
    SEQUENTIAL = "sequential"
    """A port for every destination, the next one of a counter."""
    RANDOM = "random"
    """A port for every destination, any."""
    BLOCK = "block"
    """A port for every destination, any of the few that the subscriber has."""
    UNKNOWN = "unknown"


class Technique(Enum):
    """Beyond punching. The value is the phase's name."""

    PREDICTION = "prediction"
    BIRTHDAY = "birthday"
    BLOCKS = "blocks"


@dataclass(frozen=True, slots=True)
class Strategy:
    """``technique`` is ``None`` where there is none, or none is needed; ``reason`` is a code for people's words:
    "not-needed", "unknown", "udp-blocked", "both-random", "counted-and-random", "not-opted-in", and for a technique
    "counted", "both-counted", "random", "block", "both-blocks"."""

    technique: Technique | None
    reason: str
    local: MappingBehaviour
    remote: MappingBehaviour
    is_sure: bool = True
    """Punching cannot do it; not sure where a filter is not known."""


def mapping_behaviour(profile: NatProfile) -> MappingBehaviour:
    """How this NAT maps toward one peer."""
    if profile.mapping in (Mapping.NONE, Mapping.ENDPOINT_INDEPENDENT):
        return MappingBehaviour.ENDPOINT_INDEPENDENT
    if not profile.symmetric:
        return MappingBehaviour.UNKNOWN
    if profile.allocation is Allocation.SEQUENTIAL and profile.mapping is Mapping.ADDRESS_DEPENDENT:
        return MappingBehaviour.ADDRESS_DEPENDENT_SEQUENTIAL
    return _BY_ALLOCATION.get(profile.allocation, MappingBehaviour.UNKNOWN)


def strategy(local: NatProfile | None, remote: NatProfile | None, *, try_harder: bool = False) -> Strategy:
    """For two sides; the same technique whichever of them asks. ``try_harder``: both sides' people have opted in."""
    if local is None or remote is None:
        return Strategy(None, "unknown", MappingBehaviour.UNKNOWN, MappingBehaviour.UNKNOWN)
    ours, theirs = mapping_behaviour(local), mapping_behaviour(remote)
    filters = {
        profile.filtering
        for profile, behaviour in ((local, ours), (remote, theirs))
        if behaviour is MappingBehaviour.ENDPOINT_INDEPENDENT
    }
    if local.udp_blocked or remote.udp_blocked:
        technique, reason = None, "udp-blocked"
    else:
        technique, reason = _technique({ours, theirs}, filters, try_harder)
    return Strategy(technique, reason, ours, theirs, filters <= {Filtering.ADDRESS_AND_PORT_DEPENDENT})


def would_help(local: NatProfile | None, remote: NatProfile | None, *, try_harder: bool = False) -> bool:
    """Whether there would be a technique if it were known how a NAT chooses ports, and it is not."""
    if local is None or remote is None or not (local.hides_rule or remote.hides_rule):
        return False
    for rule in (Allocation.SEQUENTIAL, Allocation.BLOCK):
        ours, theirs = (replace(each, allocation=rule) if each.hides_rule else each for each in (local, remote))
        if strategy(ours, theirs, try_harder=try_harder).technique is not None:
            return True
    return False


def _technique(both: set[MappingBehaviour], filters: set[Filtering], try_harder: bool) -> tuple[Technique | None, str]:
    """``filters``: of the sides with endpoint-independent mapping."""
    one_port = MappingBehaviour.ENDPOINT_INDEPENDENT
    sequential, pinned = MappingBehaviour.SEQUENTIAL, MappingBehaviour.ADDRESS_DEPENDENT_SEQUENTIAL
    if both == {one_port}:
        return None, "not-needed"
    if MappingBehaviour.UNKNOWN in both:
        return None, "unknown"
    if filters & {Filtering.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_DEPENDENT}:
        return None, "not-needed"
    if not both & {MappingBehaviour.RANDOM, MappingBehaviour.BLOCK}:
        return Technique.PREDICTION, "both-counted" if both == {sequential} else "counted"
    if both & {one_port, pinned}:
        return Technique.BIRTHDAY, "block" if MappingBehaviour.BLOCK in both else "random"
    if both == {MappingBehaviour.BLOCK}:
        return (Technique.BLOCKS, "both-blocks") if try_harder else (None, "not-opted-in")
    return None, "counted-and-random" if sequential in both else "both-random"


_BY_ALLOCATION = {
    Allocation.SEQUENTIAL: MappingBehaviour.SEQUENTIAL,
    Allocation.RANDOM: MappingBehaviour.RANDOM,
    Allocation.BLOCK: MappingBehaviour.BLOCK,
}
