"""The search for a direct path in sentences (pure): what is tried, whose network is the reason, how it ended.

A step has codes and figures (:class:`app.ipc.engine_state.TraversalStep`). The window shows :func:`step_text`, the
command line :func:`step_line`; the report keeps the codes.
"""

from typing import Literal

from app.ipc.engine_state import CallStatus, TraversalStep
from app.model.sanitize import one_line
from app.model.terms import PhaseName, PhaseOutcome
from app.text.catalogue import capital, joined, plural, sentence

# A name is a word within a sentence.
_MAX_NAME_CHARS = 40

PHASE_NAMES: dict[PhaseName, str] = {
    "port_mapping": "Port mapping",
    "punch": "Hole punching",
    "prediction": "Port prediction",
    "birthday": "Birthday search",
    "blocks": "Port block search",
}
NETWORKS: dict[str, tuple[str, str, str]] = {
    "symmetric sequential": (
        "Your network uses a new port for every destination, in sequence.",
        "{name}'s network uses a new port for every destination, in sequence.",
        "Both networks use a new port for every destination, in sequence.",
    ),
    "symmetric": (
        "Your network uses a new port for every destination.",
        "{name}'s network uses a new port for every destination.",
        "Both networks use a new port for every destination.",
    ),
    "symmetric block": (
        "Your network uses a random port from a small block for every destination.",
        "{name}'s network uses a random port from a small block for every destination.",
        "Both networks use a random port from a small block for every destination.",
    ),
    "symmetric random": (
        "Your network uses a random port for every destination.",
        "{name}'s network uses a random port for every destination.",
        "Both networks use a random port for every destination.",
    ),
    "UDP blocked": ("Your network blocks UDP.", "{name}'s network blocks UDP.", "Both networks block UDP."),
}
"""What makes a direct path hard, of ours, theirs and both; from what is predicted to what must be searched for."""
_HARDNESS = tuple(NETWORKS)
NOBODY = "The other person"

REASONS: dict[str, str] = {
    # how a round of checks ends
    "no-answer": "No packet from the other side came through.",
    "no-candidates": "The other side sent no addresses to try.",
    "no-sync": "The two sides could not agree on a moment to start: messages on the relay took too long.",
    "no-sockets": "This computer could not open any more sockets.",
    "nobody-to-ask": "There was no server to ask for your public address.",
    # what the two networks allow
    "udp-blocked": "The call stays on the relay.",
    "both-symmetric": "Hole punching cannot work between two such networks.",
    "symmetric-and-port-restricted": "The other network lets in packets only from a port that it has sent to before, "
    "so hole punching cannot work.",
    "symmetric-and-unknown": "The other network seems to let in packets only from a port that it has sent to before.",
    "same-nat-no-hairpin": "You are both behind the same router, and it does not return packets to its own network.",
    "unknown": "Too little is known about the two networks to choose a technique.",
    "punchable": "Both networks allow hole punching.",
    "prediction/random": "A random port cannot be predicted.",
    "prediction/block": "A random port cannot be predicted.",
    "prediction/both-random": "Random ports cannot be predicted.",
    "prediction/both-blocks": "Random ports cannot be predicted.",
    "prediction/not-opted-in": "Random ports cannot be predicted.",
    "birthday/counted": "The next port can be predicted, so there is nothing to search for.",
    "birthday/both-counted": "The next ports can be predicted, so there is nothing to search for.",
    "birthday/both-blocks": "A search within both port blocks takes its place.",
    "birthday/not-opted-in": "Between two such networks a search takes minutes.",
    "both-random": "A search would not find a common port in any useful time. The call stays on the relay.",
    "counted-and-random": "Neither prediction nor a search would find a common port in any useful time. The call stays "
    "on the relay.",
    "cannot": "Segue has no technique that connects two such networks directly. The call stays on the relay.",
    "not-needed": "Something simpler is enough.",
    # how prediction and search end, and why they are the ones
    "counted": "The next port can be predicted.",
    "both-counted": "The next ports can be predicted.",
    "random": "One of many ports has to be found.",
    "block": "One of many ports has to be found.",
    "both-blocks": "One of many ports has to be found, from both sides.",
    "predicted": "The next port was predicted correctly.",
    "counter-lost": "Too much other traffic came in between, and the count of the ports was lost.",
    "few-sockets": "This computer allows Segue too few sockets at a time. A limit of 512 open files is enough "
    "(ulimit -n).",
    "not-opted-in": "A search takes up to five minutes. Both of you can choose it in the settings: “Try harder on "
    "carrier networks”.",
    "one-at-a-time": "Another call on this computer is searching already, and one search at a time is enough for a "
    "router.",
    "table-full": "The router has no room for more connections, so Segue opened no more.",
    # port mapping
    "mapped": "Your router opened a port for Segue.",
    "silent": "Your router does not open ports on request.",
    "refused": "Your router refused to open a port.",
    "not-public": "Your router opened a port, but another router stands between it and the internet.",
    "permanent-only": "Your router opens ports only permanently, and Segue uses none that would outlive it.",
    "permanent-lease-only": "Your router opens ports only permanently, and Segue uses none that would outlive it.",
    "unsupported": "Your router does not open ports of the kind that Segue needs.",
    "not-authorized": "Your router does not allow Segue to open a port.",
    "no-resources": "Your router has no free port left.",
    "no-external-address": "Your router has no internet address of its own to open a port at.",
    "address-mismatch": "Another router stands between this computer and the one that was asked for a port.",
    "lease-too-short": "Your router opens ports for too short a time.",
    "no-socket": "This computer could not ask the router.",
    "no-gateway": "There is no router here to ask.",
    "conflict": "The port that Segue asked for belongs to another program.",
    "second-nat": "Your router opened a port, but another router stands between it and the internet.",
    "ipv6-only": "Your router opened a port, but for IPv6 only.",
    "other-address": "Your router opened a port, but not at the address that others see.",
    "lost": "Your router closed the port again. Segue is asking for a new one.",
    # why one is stopped
    "relay-trouble": "Stopped, because the call on the relay began to suffer.",
    "network-changed": "Your network changed. Segue is starting over.",
    "restarted": "Segue is starting over.",
    "call-over": "The call ended first.",
}
"""By reason code; a phase's own sentence, where it has one, stands under "phase/code"."""
EXPLAINED = frozenset(
    (
        "no-answer",
        "udp-blocked",
        "both-symmetric",
        "symmetric-and-port-restricted",
        "symmetric-and-unknown",
        "both-random",
        "counted-and-random",
        "cannot",
        "counted",
        "both-counted",
        "random",
        "block",
        "both-blocks",
        "predicted",
        "counter-lost",
        "not-opted-in",
    )
)
"""Reasons that follow from the networks: the sentence about these comes first."""
EASY = "Both routers use one port for all destinations: hole punching is enough."
FASTER = "Another technique was faster."
WON = "A packet from the other side came directly, and was proven to be theirs."
TRYING: dict[str, str] = {
    "port_mapping": "Asking your router to open a port for Segue.",
    "punch": "Both sides send at the same moment, so that each router takes the other's packet for a reply.",
    "prediction": "Trying the port that should come next.",
}
WAITING = "Waiting for the other side's addresses."
WAITING_FOR_ROUTER = "Segue will ask your router to open a port."
GUESSED_ONE = "The predicted port was not the right one."
GUESSED_OTHER = "None of the {count:,} predicted ports was the right one."
NEIGHBOURS = "Trying the port that should come next, {of:,} ports in all."
SEARCH_THEIRS_ONE, SEARCH_THEIRS = "Trying {count} port there.", "Trying {count:,} ports there."
SEARCH_OURS_ONE = "Opening {count} port here, which the other side tries to find."
SEARCH_OURS = "Opening {count:,} ports here, one of which the other side tries to find."
SEARCH_BOTH = "Trying port after port from both sides, until one is found or the time is up."
NOT_FOUND_OURS_ONE = "The other side did not find the port that was opened here."
NOT_FOUND_OURS = "The other side found none of the {count:,} ports that were opened here."
NOT_FOUND_THEIRS_ONE, NOT_FOUND_THEIRS = (
    "The port that was tried was not open.",
    "None of the {count:,} ports tried was open.",
)
NOT_FOUND_ANY = "No open port was found."
FOUND_OURS_ONE = "The other side found the port that was opened here."
FOUND_OURS = "The other side found one of the {count:,} ports that were opened here."
FOUND_THEIRS_ONE, FOUND_THEIRS = "The first port was open.", "An open port was found after {count:,} tries."
FOUND_ANY = "An open port was found."
PROTOCOLS = {"pcp": "PCP", "nat-pmp": "NAT-PMP", "upnp": "UPnP"}
PROTOCOL = "Protocol: {protocol}."
LINE_NAMES: dict[PhaseName, str] = {
    "port_mapping": "port mapping",
    "punch": "punch",
    "prediction": "prediction",
    "birthday": "birthday",
    "blocks": "carrier blocks",
}
LINE_TRYING: dict[PhaseName, str] = {
    "port_mapping": "asking the router for a port",
    "punch": "both sides send at once",
    "prediction": "trying the port that should come next",
    "birthday": "searching",
    "blocks": "searching the ports of both carriers, for minutes",
}
LINES: dict[PhaseOutcome, str] = {
    "trying": "{phase}: {why}",
    "won": "{phase}: worked",
    "failed": "{phase}: did not work. {why}",
    "skipped": "{phase}: not tried. {why}",
    "cancelled": "{phase}: stopped. {why}",
}
TIMED_LINES: dict[PhaseOutcome, str] = {
    "won": "{phase}: worked after {seconds:.1f} s",
    "failed": "{phase}: did not work after {seconds:.1f} s. {why}",
    "cancelled": "{phase}: stopped after {seconds:.1f} s. {why}",
}
LINE_PACKET = "{phase}: worked after {seconds:.1f} s, {count} packet"
LINE_PACKETS = "{phase}: worked after {seconds:.1f} s, {count:,} packets"
_UNREMARKABLE = ("call-over", "restarted", "not-needed")
LINE_THEIRS_ONE, LINE_THEIRS = "trying {count} port on their side", "trying {count:,} ports on their side"
LINE_OURS_ONE = "opening {count} port on our side for theirs to find"
LINE_OURS = "opening {count:,} ports on our side for theirs to find"

Side = Literal["ours", "theirs", "both", "neither"]


def harder_side(call: CallStatus) -> Side:
    """Whose network is the reason that hole punching alone does not do."""
    ours, theirs = (
        _HARDNESS.index(nat.kind) if nat.kind in NETWORKS else -1 for nat in (call.local_nat, call.remote_nat)
    )
    if ours == theirs:
        return "both" if ours >= 0 else "neither"
    return "ours" if ours > theirs else "theirs"


def networks_text(call: CallStatus) -> str:
    """Which network makes a direct path hard, and how; empty where neither does."""
    ours, theirs = call.local_nat.kind, call.remote_nat.kind
    if ours in NETWORKS and ours == theirs:
        return sentence(NETWORKS[ours][2])
    name = (one_line(call.title, _MAX_NAME_CHARS) if call.vouched else "") or sentence(NOBODY)
    return joined(
        sentence(NETWORKS[ours][0]) if ours in NETWORKS else "",
        capital(sentence(NETWORKS[theirs][1], name=name)) if theirs in NETWORKS else "",
    )


def ports_searched(step: TraversalStep, call: CallStatus) -> tuple[int, int]:
    """The ports that a search is about, here and there: the side whose ports are random opens them."""
    if step.name not in ("birthday", "blocks"):
        return 0, 0
    return (step.of, 0) if harder_side(call) == "ours" else (0, step.of)


def step_text(step: TraversalStep, call: CallStatus) -> str:
    """What the step is about, and why it came out as it did."""
    is_search, reason = step.name in ("birthday", "blocks"), step.reason
    match step.outcome:
        case "waiting":
            return sentence(WAITING_FOR_ROUTER if step.name == "port_mapping" else WAITING)
        case "trying":
            if is_search:
                return joined(networks_text(call), _search(step, call))
            if step.name == "prediction":
                return joined(
                    networks_text(call), sentence(NEIGHBOURS if step.of > 1 else TRYING["prediction"], of=step.of)
                )
            return sentence(TRYING[step.name])
        case "won":
            if is_search and reason not in REASONS:
                return joined(networks_text(call), _found(step, call))
            known = {"port_mapping": "mapped", "prediction": "predicted"}.get(step.name, "")
            return _reason(step, reason if reason in REASONS else known, call) or sentence(WON)
        case "cancelled" if reason == "not-needed":
            return sentence(FASTER)
    if is_search and reason == "no-answer":
        return joined(networks_text(call), _not_found(step, call))
    if (step.name, reason) == ("prediction", "no-answer") and step.tried:
        return joined(networks_text(call), plural(step.tried, one=GUESSED_ONE, other=GUESSED_OTHER))
    if reason == "not-needed" and call.local_nat.kind and call.remote_nat.kind and harder_side(call) == "neither":
        return sentence(EASY)
    return _reason(step, reason, call)


def step_line(step: TraversalStep, call: CallStatus) -> str:
    """The step as the command line shows it; empty for what is not worth a line."""
    values = {"phase": sentence(LINE_NAMES[step.name]), "why": step_text(step, call)}
    if step.outcome == "trying":
        return sentence(LINES["trying"], phase=values["phase"], why=_attempt(step, call))
    if (step.outcome, step.name) == ("won", "port_mapping"):
        return sentence(LINES["trying"], **values)
    if step.outcome == "skipped":
        return "" if step.reason == "not-needed" else sentence(LINES["skipped"], **values)
    if step.outcome == "waiting" or (step.outcome == "cancelled" and step.reason in _UNREMARKABLE):
        return ""
    if step.started is None or step.ended is None:
        return sentence(LINES[step.outcome], **values)
    seconds = step.ended - step.started
    if step.outcome == "won" and step.packets:
        return plural(step.packets, one=LINE_PACKET, other=LINE_PACKETS, seconds=seconds, **values)
    return sentence(TIMED_LINES[step.outcome], seconds=seconds, **values)


def mapping_text(outcome: PhaseOutcome | None, reason: str, protocol: str) -> str:
    """Port mapping while nobody calls; empty where none is asked for."""
    if outcome not in ("trying", "won", "failed"):
        return ""
    if outcome == "trying":
        return sentence(TRYING["port_mapping"])
    text = sentence(REASONS.get(reason, REASONS["mapped"] if outcome == "won" else ""))
    named = sentence(PROTOCOL, protocol=PROTOCOLS[protocol]) if outcome == "won" and protocol in PROTOCOLS else ""
    return joined(text, named)


def _reason(step: TraversalStep, reason: str, call: CallStatus) -> str:
    template = REASONS.get(f"{step.name}/{reason}", REASONS.get(reason, ""))
    is_explained = reason in EXPLAINED and f"{step.name}/{reason}" not in REASONS
    return joined(networks_text(call) if is_explained else "", sentence(template))


def _search(step: TraversalStep, call: CallStatus) -> str:
    ours, theirs = ports_searched(step, call)
    if theirs:
        return plural(theirs, one=SEARCH_THEIRS_ONE, other=SEARCH_THEIRS)
    if ours:
        return plural(ours, one=SEARCH_OURS_ONE, other=SEARCH_OURS)
    return sentence(SEARCH_BOTH)


def _not_found(step: TraversalStep, call: CallStatus) -> str:
    if not step.tried:
        return sentence(NOT_FOUND_ANY)
    if harder_side(call) == "ours":
        return plural(step.tried, one=NOT_FOUND_OURS_ONE, other=NOT_FOUND_OURS)
    return plural(step.tried, one=NOT_FOUND_THEIRS_ONE, other=NOT_FOUND_THEIRS)


def _found(step: TraversalStep, call: CallStatus) -> str:
    if not step.tried:
        return sentence(FOUND_ANY)
    if harder_side(call) == "ours":
        return plural(step.tried, one=FOUND_OURS_ONE, other=FOUND_OURS)
    return plural(step.tried, one=FOUND_THEIRS_ONE, other=FOUND_THEIRS)


def _attempt(step: TraversalStep, call: CallStatus) -> str:
    ours, theirs = ports_searched(step, call)
    if theirs:
        return plural(theirs, one=LINE_THEIRS_ONE, other=LINE_THEIRS)
    if ours:
        return plural(ours, one=LINE_OURS_ONE, other=LINE_OURS)
    return sentence(LINE_TRYING[step.name])
