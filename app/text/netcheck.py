"""What ``segue netcheck`` found, line by line (pure)."""

from typing import Protocol

from app.ipc.engine_state import CallFeasibility, NatSummary
from app.text.catalogue import plural, sentence
from app.text.networks import chance_text, own_network, peer_text

ADDRESSES = "This computer's addresses: {addresses}"
NO_ADDRESSES = "This computer has no address but loopback."
RELAY = "Relay {relay} at {ip}: reachable, round trip {rtt_ms:.0f} ms"
RELAY_WITHOUT_RTT = "Relay {relay} at {ip}: reachable, round trip not measured"
OBSERVED = "The relay sees this computer as {ip} (port {port})"
NETWORK = "Your network: {network}"
NO_ROUTER = "No router in between. Nothing changes your address on the way to this relay."
CALLS = "Calls with somebody behind"
CHANCE = "{peer}: {chance}"
BETTER = "(on one network, or with IPv6 at both ends, more is possible)"
MEASURED_ONE = "Measured against {count} STUN endpoint of the relay:"
MEASURED_OTHER = "Measured against {count} STUN endpoints of the relay:"
SEEN, NOTHING_SEEN = "seen: {evidence}", "seen: nothing conclusive"
UNKNOWN: dict[str, str] = {
    "mapping": "not known: whether your router uses one port for everybody (that takes a relay with two addresses)",
    "filtering": "not known: whom your router or firewall lets in (that takes a relay with two addresses)",
    "allocation": "not known: how your router chooses its ports",
    "hairpin": "not known: whether your router returns packets to its own network",
    "relay-on-this-machine": "not known: your router, since the relay runs on this computer",
    "relay-in-private-network": "not known: the way to the internet, since the relay is in a private network",
    "no-ipv4-stun": "not known: your IPv4 router, since the relay offers no IPv4 address to measure against",
    "contradicting-answers": "not known: what to believe, since answers contradict each other or cannot be true",
    "out-of-time": "not known: the rest, since measuring took too long",
}


class Facts(Protocol):
    """What of :class:`app.network.netcheck.NetworkFacts` is shown."""

    interfaces: list[tuple[str, str]]
    relay: str
    relay_ip: str
    rtt_ms: float | None
    observed: tuple[str, int] | None
    stun: list[tuple[str, int]]
    problem: str
    caveats: tuple[str, ...]

    @property
    def evidence(self) -> tuple[str, ...] | None:
        """What the profile rests on; ``None`` where none was made."""

    @property
    def unknowns(self) -> tuple[str, ...]:
        """Codes for all that is not known."""


def lines(facts: Facts, nat: NatSummary, chances: tuple[CallFeasibility, ...]) -> list[str]:
    """A line each; what belongs to the line above is indented."""
    addresses = ", ".join(ip for _, ip in facts.interfaces)
    found = [sentence(ADDRESSES, addresses=addresses) if addresses else sentence(NO_ADDRESSES)]
    if facts.problem:
        return [*found, facts.problem]
    relay = RELAY_WITHOUT_RTT if facts.rtt_ms is None else RELAY
    found.append(sentence(relay, relay=facts.relay, ip=facts.relay_ip, rtt_ms=facts.rtt_ms))
    if facts.observed is not None:
        found.append(sentence(OBSERVED, ip=facts.observed[0], port=facts.observed[1]))
    if facts.evidence is None:
        return found
    is_private = nat.kind == "no NAT" and "relay-in-private-network" in facts.caveats
    found += [sentence(NETWORK, network=sentence(NO_ROUTER) if is_private else own_network(nat)), sentence(CALLS)]
    found += [f"  {sentence(CHANCE, peer=peer_text(one), chance=chance_text(one))}" for one in chances]
    found += [f"  {sentence(BETTER)}", plural(len(facts.stun), one=MEASURED_ONE, other=MEASURED_OTHER)]
    seen = sentence(SEEN, evidence="; ".join(facts.evidence)) if facts.evidence else sentence(NOTHING_SEEN)
    return [*found, f"  {seen}", *(f"  {sentence(UNKNOWN[code])}" for code in facts.unknowns)]
