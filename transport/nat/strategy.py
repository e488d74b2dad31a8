"""Which technique can bring two NATs together that punching cannot, and who does what in it (pure).

Both sides come to the same answer from the two profiles, so neither has to ask. What a side is like is said by how
its outside port toward the other one comes about:

========  ===================================================================================================
fixed     one port for all destinations: what a STUN server sees is what the peer will see
pinned    address-dependent and counted: a port for the peer's host, which lies between two others that are seen
counted   a port for every destination, the next one of a counter
random    a port for every destination, any
block     the same within the few ports of a subscriber
========  ===================================================================================================
"""

from dataclasses import dataclass, replace
from enum import Enum

from transport.nat.profile import Allocation, Filtering, Mapping, NatProfile


class MappingBehaviour(Enum):
    """How a side's outside port toward the peer comes about."""

    FIXED = "fixed"
    PINNED = "pinned"
    COUNTED = "counted"
    RANDOM = "random"
    BLOCK = "block"
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


def manner(profile: NatProfile) -> MappingBehaviour:
    """What this NAT is like toward one peer."""
    if profile.mapping in (Mapping.NONE, Mapping.ENDPOINT_INDEPENDENT):
        return MappingBehaviour.FIXED
    if not profile.symmetric:
        return MappingBehaviour.UNKNOWN
    match profile.allocation:
        case Allocation.SEQUENTIAL:
            return MappingBehaviour.PINNED if profile.mapping is Mapping.ADDRESS_DEPENDENT else MappingBehaviour.COUNTED
        case Allocation.RANDOM:
            return MappingBehaviour.RANDOM
        case Allocation.BLOCK:
            return MappingBehaviour.BLOCK
    return MappingBehaviour.UNKNOWN


def strategy(local: NatProfile | None, remote: NatProfile | None, *, try_harder: bool = False) -> Strategy:
    """For two sides; the same technique whichever of them asks. ``try_harder``: both sides' people have opted in."""
    if local is None or remote is None:
        return Strategy(None, "unknown", MappingBehaviour.UNKNOWN, MappingBehaviour.UNKNOWN)
    ours, theirs = manner(local), manner(remote)
    technique, reason = _technique(local, remote, ours, theirs, try_harder)
    fixed = [profile for profile, each in ((local, ours), (remote, theirs)) if each is MappingBehaviour.FIXED]
    is_sure = all(profile.filtering is Filtering.ADDRESS_AND_PORT_DEPENDENT for profile in fixed)
    return Strategy(technique, reason, ours, theirs, is_sure)


def would_help(local: NatProfile | None, remote: NatProfile | None, *, try_harder: bool = False) -> bool:
    """Whether there would be a technique if it were known how a NAT chooses ports, and it is not."""
    if local is None or remote is None or not (local.hides_rule or remote.hides_rule):
        return False
    for rule in (Allocation.SEQUENTIAL, Allocation.BLOCK):
        ours, theirs = (replace(each, allocation=rule) if each.hides_rule else each for each in (local, remote))
        if strategy(ours, theirs, try_harder=try_harder).technique is not None:
            return True
    return False


def _technique(
    local: NatProfile, remote: NatProfile, ours: MappingBehaviour, theirs: MappingBehaviour, try_harder: bool
) -> tuple[Technique | None, str]:
    both = {ours, theirs}
    if local.udp_blocked or remote.udp_blocked:
        return None, "udp-blocked"
    if both == {MappingBehaviour.FIXED}:
        return None, "not-needed"
    if MappingBehaviour.UNKNOWN in both:
        return None, "unknown"
    if (
        MappingBehaviour.FIXED in both
        and (local if ours is MappingBehaviour.FIXED else remote).filtering in _LETS_ANY_PORT_IN
    ):
        return None, "not-needed"
    if not both & {MappingBehaviour.RANDOM, MappingBehaviour.BLOCK}:
        return Technique.PREDICTION, "both-counted" if both == {MappingBehaviour.COUNTED} else "counted"
    if both & {MappingBehaviour.FIXED, MappingBehaviour.PINNED}:
        return Technique.BIRTHDAY, "block" if MappingBehaviour.BLOCK in both else "random"
    if both == {MappingBehaviour.BLOCK}:
        return (Technique.BLOCKS, "both-blocks") if try_harder else (None, "not-opted-in")
    return None, "counted-and-random" if MappingBehaviour.COUNTED in both else "both-random"


_LETS_ANY_PORT_IN = (Filtering.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_DEPENDENT)
