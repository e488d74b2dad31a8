"""Networks in words for a person (pure). The small print may say what engineers call it."""

import re
from typing import Literal

from app.ipc.messages import CallFeasibility, NatProfile, NetworkState
from app.text.traversal import door_in_words
from transport.nat import profile as nat_profile
from transport.nat.compatibility import PEERS, Feasibility, Technique, compatibility, feasibilities, strategy
from transport.nat.profile import Allocation, Filtering, Mapping, NatKind
from transport.portmap.mapper import MappingStatus

_HEADLINES: dict[NatKind, tuple[str, str]] = {
    NatKind.OPEN: ("Open network", "Anybody can be reached directly from here."),
    NatKind.NO_NAT: ("Public address", "No router changes your address; easy."),
    NatKind.FULL_CONE: ("Home router, open to all", "It keeps one port for everybody and lets anybody in: easy."),
    NatKind.ADDRESS_RESTRICTED: ("Home router", "It keeps one port for everybody: easy."),
    NatKind.PORT_RESTRICTED: ("Home router", "It keeps one port for everybody: easy."),
    NatKind.CONE: ("Home router", "It keeps one port for everybody: easy."),
    NatKind.SYMMETRIC_SEQUENTIAL: ("Strict router", "A new port for each destination, counted up: hard."),
    NatKind.SYMMETRIC_RANDOM: ("Strict router", "A random port for each destination: very hard."),
    NatKind.SYMMETRIC_BLOCK: ("Carrier network", "A random port of a small block for each destination: hard."),
    NatKind.SYMMETRIC: ("Strict router", "A new port for each destination: hard."),
    NatKind.UDP_BLOCKED: ("UDP is blocked", "This network lets no calls out but over the relay."),
    NatKind.UNKNOWN: ("Not known", "What could be measured does not tell."),
}
_PEERS: dict[NatKind, str] = {
    NatKind.OPEN: "an open network",
    NatKind.FULL_CONE: "a home router that is open to all",
    NatKind.ADDRESS_RESTRICTED: "a lenient home router",
    NatKind.PORT_RESTRICTED: "a home router",
    NatKind.SYMMETRIC_SEQUENTIAL: "a strict router that counts its ports up",
    NatKind.SYMMETRIC_RANDOM: "a strict router with random ports",
    NatKind.SYMMETRIC_BLOCK: "a carrier network with few ports",
    NatKind.UDP_BLOCKED: "a network that blocks UDP",
}
_CHANCES: dict[Feasibility, str] = {
    Feasibility.GOOD: "direct",
    Feasibility.DOUBTFUL: "direct if the routers let it, else over the relay",
    Feasibility.NONE: "over the relay",
}


_SHORT: dict[Feasibility, Literal["direct", "maybe", "relay"]] = {
    Feasibility.GOOD: "direct",
    Feasibility.DOUBTFUL: "maybe",
    Feasibility.NONE: "relay",
}
# What a technique beyond punching makes of a pair: seconds are the time limits of DESIGN §5.
_TECHNIQUES: dict[Technique, str] = {
    Technique.PREDICTION: "direct, after a guess or two",
    Technique.BIRTHDAY: "direct, after some seconds of searching",
    Technique.BLOCKS: "direct, after minutes of searching, if both have chosen to try harder",
}
# As transport.nat.profile notes an observation.
_SAW = re.compile(r"server (\d+) port \d+ saw port (\d+)")
_APDM, _APDF = Mapping.ADDRESS_AND_PORT_DEPENDENT, Filtering.ADDRESS_AND_PORT_DEPENDENT
# A peer whose router is strict, by the way it takes its ports.
_STRICT: dict[NatKind, nat_profile.NatProfile] = {
    NatKind.SYMMETRIC_SEQUENTIAL: nat_profile.NatProfile(_APDM, _APDF, Allocation.SEQUENTIAL, delta=1),
    NatKind.SYMMETRIC_RANDOM: nat_profile.NatProfile(_APDM, _APDF, Allocation.RANDOM),
    NatKind.SYMMETRIC_BLOCK: nat_profile.NatProfile(_APDM, _APDF, Allocation.BLOCK, block=(1, 2_048)),
}


def headline(kind: NatKind) -> str:
    """A network in two words."""
    return _HEADLINES[kind][0]


def nat_in_words(profile: nat_profile.NatProfile | None) -> NatProfile:
    """One side's network for the panel; empty while nothing is known."""
    if profile is None:
        return NatProfile()
    headline, detail = _HEADLINES[profile.kind]
    # In small print "unknown" would only say the headline again.
    kind = "" if profile.kind is NatKind.UNKNOWN else profile.kind.value
    return NatProfile(headline, detail, kind, _evidence(profile), _ease(profile))


def _evidence(profile: nat_profile.NatProfile) -> str:
    """What the verdict rests on; what a dozen servers saw, which the report has one by one, in a few words."""
    seen = [match for line in profile.evidence if (match := _SAW.fullmatch(line))]
    rest = [line for line in profile.evidence if not _SAW.fullmatch(line)]
    if not seen:
        return "; ".join(rest)
    servers, ports = {match[1] for match in seen}, [int(match[2]) for match in seen]
    told = f"{_counted(len(seen), 'answer')} of {_counted(len(servers), 'server')} "
    if len(set(ports)) == 1:
        told += f"saw port {ports[0]}"
    else:
        told += f"saw {len(set(ports))} ports, {min(ports)} to {max(ports)}"
    return "; ".join([told, *rest])


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _ease(profile: nat_profile.NatProfile) -> Literal["", "easy", "hard", "blocked"]:
    if profile.udp_blocked:
        return "blocked"
    if profile.symmetric:
        return "hard"
    return "" if profile.mapping is Mapping.UNKNOWN else "easy"


def chances_in_words(profile: nat_profile.NatProfile) -> tuple[str, ...]:
    """What to expect of a call, a line for each kind of network that the other person may have."""
    return tuple(f"{chance.peer}: {chance.text}" for chance in call_chances(profile))


def call_chances(profile: nat_profile.NatProfile) -> tuple[CallFeasibility, ...]:
    """What to expect of a call, for each kind of network that the other person may have."""
    found: list[CallFeasibility] = []
    for kind, chance in feasibilities(profile).items():
        if kind is NatKind.SYMMETRIC:
            found += [_strict_chance(profile, strict) for strict in _STRICT]
        else:
            found.append(_chance(profile, kind, chance))
    return tuple(found)


def _strict_chance(profile: nat_profile.NatProfile, kind: NatKind) -> CallFeasibility:
    return _chance(profile, kind, compatibility(profile, _STRICT[kind]).feasibility)


def _chance(profile: nat_profile.NatProfile, kind: NatKind, chance: Feasibility) -> CallFeasibility:
    is_known = profile.mapping is not Mapping.UNKNOWN or bool(profile.udp_blocked)
    peer = _STRICT.get(kind, PEERS.get(kind))
    technique = None if peer is None else strategy(profile, peer, try_harder=True).technique
    if technique is not None and chance is not Feasibility.GOOD:
        return CallFeasibility(_PEERS[kind], "search", _TECHNIQUES[technique])
    # Not knowing our own side is a reason to try, and none to promise anything.
    expected = chance if is_known or chance is Feasibility.NONE else Feasibility.DOUBTFUL
    return CallFeasibility(_PEERS[kind], _SHORT[expected], _CHANCES[expected])


def network_in_words(
    profile: nat_profile.NatProfile | None, wall_offset_s: float, mapping: MappingStatus | None = None
) -> NetworkState:
    """The user's own network for the idle page; empty while nothing is known. ``wall_offset_s`` turns the clock of
    the profile into Unix seconds."""
    door, is_open = door_in_words(mapping), mapping is not None and mapping.outcome == "won"
    if profile is None:
        return NetworkState(door=door, door_open=is_open)
    measured = profile.made_at + wall_offset_s
    # A public door is open to everybody who can send at all.
    through_door = is_open and mapping is not None and not mapping.reason
    expected = tuple(_through_door(one) if through_door else one for one in call_chances(profile))
    return NetworkState(nat_in_words(profile), measured, expected, door, is_open)


def _through_door(chance: CallFeasibility) -> CallFeasibility:
    if chance.chance == "direct" or chance.peer == _PEERS[NatKind.UDP_BLOCKED]:
        return chance
    return CallFeasibility(chance.peer, "direct", _CHANCES[Feasibility.GOOD])
