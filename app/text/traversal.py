"""The phases of the ladder in words for a person (pure): what is tried, whose network is the reason, how it ended.

A phase comes with codes and figures (:class:`transport.traversal.events.PhaseStatus`). The window shows the
sentences,
the command line the lines; the report keeps the codes.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from app.ipc.messages import TraversalStep
from app.model.sanitize import one_line
from app.model.terms import PhaseName
from app.report.trace import PhaseBecame
from transport.nat.profile import NatKind, NatProfile
from transport.portmap.mapper import MappingStatus
from transport.traversal.events import PhaseStatus

NAMES: frozenset[str] = frozenset(get_args(PhaseName))
Side = Literal["ours", "theirs", "both", "neither"]

# A name is a word within a sentence.
_MAX_PEER_CHARS = 40
# Four rounds of two seconds: how long a punch goes on at the most, for its progress.
_PUNCH_S = 8.0
# Under this the bar would say that it is done.
_MAX_PROGRESS = 0.95

# What a network does that makes a direct path hard: of one, and of both.
_DOES: dict[NatKind, tuple[str, str]] = {
    NatKind.SYMMETRIC_SEQUENTIAL: (
        "gives every destination another port, counting up",
        "give every destination another port, counting up",
    ),
    NatKind.SYMMETRIC: ("gives every destination another port", "give every destination another port"),
    NatKind.SYMMETRIC_BLOCK: (
        "gives every destination a random port out of a small block",
        "give every destination a random port out of a small block",
    ),
    NatKind.SYMMETRIC_RANDOM: ("gives every destination a random port", "give every destination a random port"),
    NatKind.UDP_BLOCKED: ("lets no UDP through", "let no UDP through"),
}
# From what is guessed to what must be searched for.
_HARDNESS = tuple(_DOES)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both networks as far as they are known, and how the other person is called."""

    local: NatProfile | None = None
    remote: NatProfile | None = None
    peer: str = ""

    @property
    def theirs(self) -> str:
        """“Bob's”."""
        named = one_line(self.peer, _MAX_PEER_CHARS)
        return f"{named}'s" if named else "the other side's"

    @property
    def harder(self) -> Side:
        """Whose network is the reason that a plain punch does not do."""
        ours, theirs = _hardness(self.local), _hardness(self.remote)
        if ours == theirs:
            return "both" if ours >= 0 else "neither"
        return "ours" if ours > theirs else "theirs"

    def reason(self) -> str:
        """Which network makes it hard and how, without a full stop; empty where neither does."""
        ours, theirs = _does(self.local), _does(self.remote)
        if self.local is not None and ours and ours == theirs:
            return f"Both networks {_DOES[self.local.kind][1]}"
        parts = [f"your network {ours}"] if ours else []
        if theirs:
            parts.append(f"{self.theirs} {theirs}" if parts else f"{self.theirs} network {theirs}")
        return _capital(" and ".join(parts))


def _hardness(profile: NatProfile | None) -> int:
    return _HARDNESS.index(profile.kind) if profile is not None and profile.kind in _DOES else -1


def _does(profile: NatProfile | None) -> str:
    if profile is None or profile.kind not in _DOES:
        return ""
    return _DOES[profile.kind][0]


# Sentences by reason code; a phase's own one, where it has one, stands under "phase/code". {because}: whose network is
# the reason, and a semicolon; {doors}: how many were tried.
REASONS: dict[str, str] = {
    "": "",
    # how a round of checks ends
    "no-answer": "{because}no packet came through from the other side.",
    "no-candidates": "The other side did not say where it can be reached.",
    "no-sync": "The two sides could not agree on a moment to begin: messages took too long on the relay.",
    "no-sockets": "This machine could open no more sockets.",
    "nobody-to-ask": "There was nobody to ask for your outside address.",
    # what the two networks allow
    "udp-blocked": "{because}the relay carries the call.",
    "both-symmetric": "{because}a punch cannot meet.",
    "symmetric-and-port-restricted": "{because}the other network lets in only the port that it knows. A punch cannot "
    "meet.",
    "symmetric-and-unknown": "{because}the other network seems to let in only the port that it knows.",
    "same-nat-no-hairpin": "You are both behind the same router, and it does not pass on what one side sends to the "
    "other.",
    "unknown": "Too little is known of the two networks to choose what to try.",
    "punchable": "Both networks let a punch through.",
    "prediction/random": "A random port cannot be guessed.",
    "prediction/block": "A random port cannot be guessed.",
    "prediction/both-random": "Random ports cannot be guessed.",
    "prediction/both-blocks": "Random ports cannot be guessed.",
    "prediction/not-opted-in": "Random ports cannot be guessed.",
    "birthday/counted": "The next port can be guessed, so there is nothing to search for.",
    "birthday/both-counted": "The next ports can be guessed, so there is nothing to search for.",
    "birthday/both-blocks": "A search within both blocks takes its place.",
    "birthday/not-opted-in": "With two such networks a search takes minutes.",
    "both-random": "{because}a search would find no common door in any useful time. The relay carries the call.",
    "counted-and-random": "{because}neither a guess nor a search would find a common door in any useful time. The "
    "relay carries the call.",
    "cannot": "{because}no technique that Segue has can join them. The relay carries the call.",
    "not-needed": "{easy}",
    # how a hard technique ends, and why it is the one
    "counted": "{because}the next one can be guessed.",
    "both-counted": "{because}the next ones can be guessed.",
    "random": "{because}one of many doors has to be found.",
    "block": "{because}one of many doors has to be found.",
    "both-blocks": "{because}one of many doors has to be found, from both sides.",
    "predicted": "{because}the next port was guessed right.",
    "prediction/no-answer": "{because}none of the {doors} that were guessed was the right one.",
    "counter-lost": "{because}too much other traffic went through in between, and the count was lost.",
    "birthday/no-answer": "{because}{nothing}.",
    "blocks/no-answer": "{because}{nothing}.",
    "few-sockets": "This computer lets Segue have too few sockets at a time. A limit of 512 open files is enough "
    "(ulimit -n).",
    "not-opted-in": "{because}that takes up to five minutes of searching. Both of you can choose it in the settings: "
    "“Try harder on carrier networks”.",
    "one-at-a-time": "Another call on this computer is searching already, and one at a time is enough for a router.",
    "table-full": "The router has no room for more connections, so Segue opened no further ones.",
    # port mapping
    "mapped": "Your router opened a door for Segue.",
    "silent": "Your router does not open doors on request.",
    "refused": "Your router was asked for a door and refused.",
    "not-public": "Your router opened a door, but another router stands between it and the internet.",
    "permanent-only": "Your router opens doors only for good. Segue wants none that would stay open without it.",
    "permanent-lease-only": "Your router opens doors only for good. Segue wants none that would stay open without it.",
    "unsupported": "Your router does not open doors of the kind that Segue needs.",
    "not-authorized": "Your router was asked for a door and does not allow it.",
    "no-resources": "Your router has no door left.",
    "no-external-address": "Your router has no connection to the internet of its own to open a door in.",
    "address-mismatch": "Another router stands between this computer and the one that was asked for a door.",
    "lease-too-short": "Your router opens doors for too short a time.",
    "no-socket": "This computer could not ask the router.",
    "no-gateway": "There is no router here to ask.",
    "conflict": "The door that Segue asked for belongs to another program.",
    "second-nat": "Your router opened a door, but another router stands between it and the internet.",
    "ipv6-only": "Your router opened a door, for IPv6 alone.",
    "other-address": "Your router opened a door, but not at the address that others see of you.",
    "lost": "Your router closed the door again. Segue asks for a new one.",
    # why one is stopped
    "relay-trouble": "Stopped, because the call on the relay began to suffer.",
    "network-changed": "Your network changed. It is tried anew.",
    "climbing-anew": "It is tried anew.",
    "call-over": "The call ended first.",
}
_WON: dict[str, str] = {
    "port_mapping": "Your router opened a door for Segue.",
    "prediction": "{because}the next port was guessed right.",
    "birthday": "{because}{found}.",
    "blocks": "{because}{found}.",
}
_TRYING: dict[str, str] = {
    "port_mapping": "Your router is asked to open a door for Segue.",
    "punch": "Both sides send at the same moment, so that both routers take the answer for one.",
    "prediction": "{because}the next port is guessed{of_doors}.",
    "birthday": "{because}{search}.",
    "blocks": "{because}{search}.",
}
_WAITING = {"port_mapping": "Your router will be asked to open a door for Segue."}
_PROTOCOLS = {"pcp": "PCP", "nat-pmp": "NAT-PMP", "upnp": "UPnP"}
_LINE_NAMES: dict[str, str] = {"port_mapping": "port mapping", "blocks": "carrier blocks"}


def phase_reason(status: PhaseStatus, pair: Pair) -> str:
    """One sentence for the panel: what it is about, and why it came out as it did."""
    match status.outcome:
        case "won":
            found = "A packet of the other side came through directly, and was proven to be theirs."
            template = (status.reason and REASONS.get(status.reason)) or _WON.get(status.name, found)
        case "trying":
            template = _TRYING.get(status.name, "")
        case "waiting":
            template = _WAITING.get(status.name, "Waiting for the other side's addresses.")
        case "cancelled" if status.reason == "not-needed":
            template = "Another way to a direct path was faster."
        case _:
            template = REASONS.get(f"{status.name}/{status.reason}", REASONS.get(status.reason, ""))
    return _capital(_fill(template, status, pair))


def _fill(template: str, status: PhaseStatus, pair: Pair) -> str:
    reason = pair.reason()
    nothing, found = _search_ended(status.tried, pair)
    return template.format(
        because=f"{reason}; " if reason else "",
        doors=doors(status.tried) if status.tried else "the doors that were tried",
        of_doors=f", with {doors(status.of)} around it" if status.of > 1 else "",
        search=_search(status, pair),
        nothing=nothing,
        found=found,
        easy=_easy(pair),
    )


def _easy(pair: Pair) -> str:
    if pair.local is not None and pair.remote is not None and pair.harder == "neither":
        return "Both routers keep one port for everybody: a punch is enough."
    return "Something simpler is enough."


def _search(status: PhaseStatus, pair: Pair) -> str:
    ours, theirs = searched(status, pair)
    if theirs:
        return f"trying {doors(theirs)} there"
    if ours:
        return f"opening {doors(ours)} here, and {pair.theirs} side tries to find one"
    return "trying door after door, from both sides, for as long as it takes or the time is over"


def _search_ended(tried: int, pair: Pair) -> tuple[str, str]:
    """For nothing, and with success."""
    if pair.harder == "ours":
        opened = f"{doors(tried)} that {'was' if tried == 1 else 'were'} opened here" if tried else "the doors here"
        return f"nobody found one of the {opened}", f"{pair.theirs} side found one of the {opened}"
    return f"none of {doors(tried) if tried else 'the doors there'} was open", (
        f"door {tried:,} was open" if tried else "an open door was found"
    )


def searched(status: PhaseStatus, pair: Pair) -> tuple[int, int]:
    """Doors on our side and on theirs that a search is about. The side whose ports are random opens them."""
    return (status.of, 0) if pair.harder == "ours" else (0, status.of)


def door_in_words(mapping: MappingStatus | None) -> str:
    """Port mapping while nobody calls; empty where none is asked for."""
    if mapping is None or mapping.outcome == "waiting":
        return ""
    if mapping.outcome == "trying":
        return _TRYING["port_mapping"]
    if mapping.outcome == "failed":
        return REASONS.get(mapping.reason, "")
    text = (mapping.reason and REASONS.get(mapping.reason)) or _WON["port_mapping"]
    by = _PROTOCOLS.get(mapping.protocol or "", "")
    return f"{text.rstrip('.')} ({by})." if by else text


def progress(status: PhaseStatus, now: float) -> float:
    """How far a phase is, 0 to 1: by what it counts, else by its time."""
    if status.outcome == "won":
        return 1.0
    if status.of > 0:
        share = status.tried / status.of
    else:
        until = status.until if status.until is not None else status.started + _PUNCH_S
        at = status.ended if status.ended is not None else now
        share = (at - status.started) / max(until - status.started, 1e-3)
    return min(_MAX_PROGRESS, max(0.0, share))


def phase_in_words(status: PhaseStatus, answered: float | None, now: float, pair: Pair) -> TraversalStep | None:
    """One rung for the panel, with times since the answer; ``None`` for a name that the panel has no rung for."""
    if status.name not in NAMES:
        return None
    name: PhaseName = status.name  # type: ignore[assignment]
    zero = answered if answered is not None else now
    runs = status.outcome == "trying"
    is_search = status.name in ("birthday", "blocks")
    ours, theirs = searched(status, pair) if is_search else (0, 0)
    return TraversalStep(
        name=name,
        outcome=status.outcome,
        progress=progress(status, now),
        started=status.started - zero if status.outcome not in ("waiting", "skipped") else None,
        ended=None if status.ended is None else status.ended - zero,
        packets=status.packets,
        sockets=status.sockets,
        why=phase_reason(status, pair),
        reason=status.reason,
        tried=status.tried,
        of=status.of,
        until=status.until - zero if runs and status.until is not None else None,
        doors_here=ours,
        doors_there=theirs,
    )


def phase_mark(phase: PhaseBecame | None) -> str:
    """What the strip tells when a phase has begun or ended."""
    if phase is None:
        return ""
    name = _capital(_LINE_NAMES.get(phase.name, phase.name))
    what = {"trying": "began", "won": "worked", "failed": "did not work", "cancelled": "was stopped"}.get(phase.outcome)
    return f"{name} {what}" if what else ""


def phase_line(phase: TraversalStep) -> str:
    """The phase as the command line tells of it; empty for what is not worth a line."""
    name = _LINE_NAMES.get(phase.name, phase.name)
    took = f" after {phase.ended - phase.started:.1f} s" if None not in (phase.started, phase.ended) else ""  # type: ignore[operator]
    match phase.outcome:
        case "trying":
            return f"{name}: {_attempt(phase)}"
        case "won" if phase.name == "port_mapping":
            return f"{name}: {phase.why}"
        case "won":
            packets = f", {phase.packets:,} packets" if phase.packets else ""
            return f"{name}: worked{took}{packets}"
        case "failed":
            return f"{name}: did not work{took}. {phase.why}"
        case "skipped" if phase.reason != "not-needed":
            return f"{name}: not tried. {phase.why}"
        case "cancelled" if phase.reason not in ("call-over", "climbing-anew", "not-needed"):
            return f"{name}: stopped{took}. {phase.why}"
    return ""


def _attempt(phase: TraversalStep) -> str:
    if phase.doors_there:
        return f"trying {doors(phase.doors_there)} on their side"
    if phase.doors_here:
        return f"opening {doors(phase.doors_here)} on our side, theirs looks for one"
    return {
        "port_mapping": "asking the router for a door",
        "punch": "both sides send at once",
        "prediction": "guessing the next port",
        "blocks": "searching the ports of both carriers, for minutes",
    }.get(phase.name, "searching")


def doors(count: int) -> str:
    """“1,024 doors”."""
    return "1 door" if count == 1 else f"{count:,} doors"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
