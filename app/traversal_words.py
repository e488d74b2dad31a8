"""Networks in words for a person (pure). The small print may say what engineers call it."""

from typing import Literal

from app.protocol import CallChance, NatProfile, NetworkState
from app.report import NatReport
from transport.traverse import nat_profile
from transport.traverse.nat_profile import Mapping, NatKind
from transport.traverse.outlook import Chance, chances

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
    NatKind.SYMMETRIC: "a strict router",
    NatKind.UDP_BLOCKED: "a network that blocks UDP",
}
_CHANCES: dict[Chance, str] = {
    Chance.GOOD: "direct",
    Chance.DOUBTFUL: "direct if the routers let it, else over the relay",
    Chance.NONE: "over the relay",
}


_SHORT: dict[Chance, Literal["direct", "maybe", "relay"]] = {
    Chance.GOOD: "direct",
    Chance.DOUBTFUL: "maybe",
    Chance.NONE: "relay",
}


def nat_in_words(profile: nat_profile.NatProfile | None) -> NatProfile:
    """One side's network for the panel; empty while nothing is known."""
    if profile is None:
        return NatProfile()
    headline, detail = _HEADLINES[profile.kind]
    return NatProfile(headline, detail, profile.kind.value, "; ".join(profile.evidence), _ease(profile))


def _ease(profile: nat_profile.NatProfile) -> Literal["", "easy", "hard", "blocked"]:
    if profile.udp_blocked:
        return "blocked"
    if profile.symmetric:
        return "hard"
    return "" if profile.mapping is Mapping.UNKNOWN else "easy"


def chances_in_words(profile: nat_profile.NatProfile) -> tuple[str, ...]:
    """What to expect of a call, a line for each kind of network that the other person may have."""
    return tuple(f"{chance.peer}: {chance.text}" for chance in call_chances(profile))


def call_chances(profile: nat_profile.NatProfile) -> tuple[CallChance, ...]:
    """What to expect of a call, for each kind of network that the other person may have."""
    is_known = profile.mapping is not Mapping.UNKNOWN or bool(profile.udp_blocked)
    found = []
    for kind, chance in chances(profile).items():
        # Not knowing our own side is a reason to try, and none to promise anything.
        expected = chance if is_known or chance is Chance.NONE else Chance.DOUBTFUL
        found.append(CallChance(_PEERS[kind], _SHORT[expected], _CHANCES[expected]))
    return tuple(found)


def network_in_words(profile: nat_profile.NatProfile | None, wall_offset_s: float) -> NetworkState:
    """The user's own network for the idle page; empty while nothing is known. ``wall_offset_s`` turns the clock of
    the profile into Unix seconds."""
    if profile is None:
        return NetworkState()
    return NetworkState(nat_in_words(profile), profile.made_at + wall_offset_s, call_chances(profile))


def nat_for_report(profile: nat_profile.NatProfile) -> NatReport:
    """One side's network for the report."""
    none = profile.mapping is nat_profile.Mapping.NONE
    return NatReport(
        mapping="endpoint-independent" if none else profile.mapping.value,  # type: ignore[arg-type]
        filtering=profile.filtering.value,
        allocation="preserving" if none else profile.allocation.value,
        delta=profile.delta or None,
        block=profile.block if profile.block is not None and profile.block[0] > 0 else None,
        address=profile.reflexive[0] if profile.reflexive is not None else "",
        evidence=profile.evidence,
        unknowns=profile.unknowns,
    )
