"""Networks and the ladder in words for a person (pure). The small print may say what engineers call it."""

from app.protocol import LadderPhase, NatProfile, PhaseName, PhaseOutcome
from app.report import NatReport
from transport.traverse import nat_profile
from transport.traverse.nat_profile import Mapping, NatKind
from transport.traverse.outlook import Chance, chances
from transport.traverse.phase import PhaseStatus

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
_REASONS: dict[str, str] = {
    "no-answer": "No packet came through from the other side.",
    "no-sockets": "This machine could open no more sockets.",
    "nobody-to-ask": "There was nobody to ask for your outside address.",
    "udp-blocked": "One of the two networks blocks UDP, so the relay carries the call.",
    "both-symmetric": "Both routers use a new port for each destination: a punch cannot meet.",
    "symmetric-and-port-restricted": "One router changes its port, the other lets in only what it knows.",
    "symmetric-and-unknown": "One router changes its port, and the other seems to let in only what it knows.",
    "relay-trouble": "Stopped, because the call on the relay began to suffer.",
    "network-changed": "Your network changed; it is tried anew.",
    "climbing-anew": "It is tried anew.",
}
_NAMES: frozenset[str] = frozenset(("port_mapping", "punch", "prediction", "birthday"))


def nat_in_words(profile: nat_profile.NatProfile | None) -> NatProfile:
    """One side's network for the panel; empty while nothing is known."""
    if profile is None:
        return NatProfile()
    headline, detail = _HEADLINES[profile.kind]
    return NatProfile(headline, detail, profile.kind.value, "; ".join(profile.evidence))


def chances_in_words(profile: nat_profile.NatProfile) -> tuple[str, ...]:
    """What to expect of a call, a line for each kind of network that the other person may have."""
    is_known = profile.mapping is not Mapping.UNKNOWN or profile.udp_blocked
    lines = []
    for kind, chance in chances(profile).items():
        # Not knowing our own side is a reason to try, and none to promise anything.
        expected = _CHANCES[chance if is_known or chance is Chance.NONE else Chance.DOUBTFUL]
        lines.append(f"{_PEERS[kind]}: {expected}")
    return tuple(lines)


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


def phase_in_words(status: PhaseStatus, answered: float | None, now: float) -> LadderPhase | None:
    """One rung for the panel, with times since the answer; ``None`` for a name that the panel has no rung for."""
    if status.name not in _NAMES:
        return None
    name: PhaseName = status.name  # type: ignore[assignment]
    outcome: PhaseOutcome = status.outcome
    zero = answered if answered is not None else now
    ended = status.ended if status.ended is not None else now
    return LadderPhase(
        name=name,
        outcome=outcome,
        progress=1.0 if outcome == "won" else min(0.95, (ended - status.started) / PUNCH_S),
        started=status.started - zero if outcome != "waiting" else None,
        ended=None if status.ended is None else status.ended - zero,
        packets=status.packets,
        sockets=status.sockets,
        why=phase_reason(status),
    )


# Four rounds of two seconds: how long a punch goes on at the most, for its progress.
PUNCH_S = 8.0


def phase_reason(status: PhaseStatus) -> str:
    """One sentence why."""
    if status.outcome == "won":
        return "A packet of the other side came through directly, and was proven to be theirs."
    if status.outcome == "trying":
        return "Both sides send at the same moment, so that both routers take the answer for one."
    if status.outcome == "waiting":
        return "Waiting for the other side's addresses."
    return _REASONS.get(status.reason, "")
