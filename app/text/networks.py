"""Networks in sentences (pure). The small print may use the engineers' words."""

from typing import Literal

from app.ipc.engine_state import CallFeasibility, NatSummary, NetworkState
from app.text.catalogue import joined, sentence
from app.text.traversal import mapping_text

EASE = Literal["", "easy", "hard", "blocked"]

KINDS: dict[str, tuple[str, str]] = {
    "open": ("Open network", "Anybody can reach this computer directly."),
    "no NAT": ("Public address", "No router changes the address: easy to connect."),
    "full cone": ("Open home router", "It uses one port for all destinations and lets anybody in: easy to connect."),
    "address-restricted": ("Home router", "It uses one port for all destinations: easy to connect."),
    "port-restricted": ("Home router", "It uses one port for all destinations: easy to connect."),
    "cone": ("Home router", "It uses one port for all destinations: easy to connect."),
    "symmetric sequential": ("Strict router", "A new port for each destination, in sequence: hard to connect."),
    "symmetric random": ("Strict router", "A random port for each destination: very hard to connect."),
    "symmetric block": (
        "Carrier network",
        "A random port from a small block for each destination: hard to connect.",
    ),
    "symmetric": ("Strict router", "A new port for each destination: hard to connect."),
    "UDP blocked": ("UDP is blocked", "This network allows calls only over the relay."),
    "unknown": ("Not known", "The measurements do not tell."),
}
"""Headline and detail by :class:`transport.nat.profile.NatKind`."""
PEERS: dict[str, str] = {
    "open": "An open network",
    "full cone": "An open home router",
    "address-restricted": "A lenient home router",
    "port-restricted": "A home router",
    "symmetric sequential": "A strict router with sequential ports",
    "symmetric random": "A strict router with random ports",
    "symmetric block": "A carrier network with few ports",
    "UDP blocked": "A network that blocks UDP",
}
# The times of a search are the limits of DESIGN §5.
CHANCES: dict[str, str] = {
    "direct": "Direct",
    "maybe": "Direct if the routers allow it, otherwise on the relay",
    "relay": "On the relay",
    "prediction": "Direct, after a guess or two",
    "birthday": "Direct, after a few seconds of searching",
    "blocks": "Direct, after minutes of searching, if both have chosen to try harder",
}
ONE_PORT = "port {low} in all answers (answers: {answers}, servers: {servers})"
MANY_PORTS = "{ports} ports, {low} to {high} (answers: {answers}, servers: {servers})"


def headline(kind: str) -> str:
    """A network in two words; empty while it is not known at all."""
    return sentence(KINDS[kind][0]) if kind else ""


def detail(kind: str) -> str:
    """What the network does, in a sentence."""
    return sentence(KINDS[kind][1]) if kind else ""


def ease(kind: str) -> EASE:
    """How a direct path takes it; empty where that is not known."""
    if kind in ("", "unknown"):
        return ""
    if kind == "UDP blocked":
        return "blocked"
    return "hard" if kind.startswith("symmetric") else "easy"


def small_print(nat: NatSummary) -> str:
    """The kind, and what it rests on."""
    parts = [nat.kind] if nat.kind not in ("", "unknown") else []
    if nat.ports:
        template = ONE_PORT if nat.ports == 1 else MANY_PORTS
        low, high = nat.port_range
        seen = {"ports": nat.ports, "low": low, "high": high, "answers": nat.answers, "servers": nat.servers}
        parts.append(sentence(template, **seen))
    return " · ".join([*parts, *nat.notes])


def peer_text(chance: CallFeasibility) -> str:
    """The kind of network that the other person may have."""
    return sentence(PEERS[chance.peer])


def chance_text(chance: CallFeasibility) -> str:
    """What to expect of a call with it."""
    return sentence(CHANCES[chance.technique or chance.chance])


def port_text(network: NetworkState) -> str:
    """Port mapping while nobody calls; empty where none is asked for."""
    return mapping_text(network.mapping, network.mapping_reason, network.mapping_protocol)


def own_network(nat: NatSummary) -> str:
    """Headline and detail in one text."""
    return joined(f"{headline(nat.kind)}.", detail(nat.kind)) if nat.kind else ""
