"""``segue netcheck``: what can be told of this machine's network and its way to the relay before a call."""

import asyncio
import ipaddress
import random
from dataclasses import dataclass, field

import ifaddr

from app.home import Home, HomeLock, prepare
from app.keyplace import load_identity_of
from app.relays import Relays
from app.store import Store
from transport.io.relay_client import Connected, Disconnected, Rejected, RelayEvent
from transport.wire.address import PersonAddress, parse_name, parse_relay

CONNECT_TIMEOUT_S = 10.0
# One ping leaves with the login; its answer takes a round trip.
RTT_WAIT_S = 2.0


@dataclass(slots=True)
class NetworkFacts:
    """What was found. ``problem`` says why the relay cannot be used, or is empty."""

    interfaces: list[tuple[str, str]] = field(default_factory=list)
    relay: str = ""
    relay_ip: str = ""
    rtt_ms: float | None = None
    observed: tuple[str, int] | None = None
    stun: list[tuple[str, int]] = field(default_factory=list)
    problem: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether a call would find its relay."""
        return not self.problem

    @property
    def behind_nat(self) -> bool | None:
        """Whether the relay sees another address than this machine has; ``None`` when that is not known."""
        if self.observed is None:
            return None
        return self.observed[0] not in {ip for _, ip in self.interfaces} and not _is_loopback(self.observed[0])

    def for_programs(self) -> dict[str, object]:
        """The same as JSON has it."""
        return {
            "version": 1,
            "interfaces": [{"name": name, "address": ip} for name, ip in self.interfaces],
            "relay": {"address": self.relay, "ip": self.relay_ip, "reachable": self.is_usable, "rtt_ms": self.rtt_ms},
            "observed": list(self.observed) if self.observed is not None else None,
            "stun": [list(endpoint) for endpoint in self.stun],
            "behind_nat": self.behind_nat,
            "problem": self.problem,
        }

    def for_people(self) -> list[str]:
        """The same in words, a line each."""
        lines = ["This machine's addresses: " + (", ".join(ip for _, ip in self.interfaces) or "none but loopback")]
        if self.problem:
            return [*lines, self.problem]
        rtt = f"{self.rtt_ms:.0f} ms there and back" if self.rtt_ms is not None else "no round trip measured"
        lines.append(f"Relay {self.relay} at {self.relay_ip}: reachable, {rtt}")
        if self.observed is not None:
            lines.append(f"The relay sees this machine as {self.observed[0]} (port {self.observed[1]})")
        lines.append(
            "There is a NAT in between; what kind of NAT decides whether calls can go direct."
            if self.behind_nat
            else "There is no NAT in between."
        )
        lines.append(f"STUN answers at {len(self.stun)} place{'' if len(self.stun) == 1 else 's'} of this relay.")
        return lines


async def look_at_network(home: Home) -> NetworkFacts:
    """Find out. Raises :class:`app.errors.AppError` when the home cannot be used."""
    facts = NetworkFacts(interfaces=_interfaces())
    prepare(home)
    with HomeLock(home):
        store = Store(home.database)
        try:
            profile = store.documents.profile
            if not profile.name:
                facts.problem = "No relay is set up here: run “segue register NAME@HOST[:PORT][#PIN]” first."
                return facts
            person = PersonAddress(parse_name(profile.name), parse_relay(profile.relay))
            await _visit(home, store, person, facts)
        finally:
            store.close()
    return facts


async def _visit(home: Home, store: Store, person: PersonAddress, facts: NetworkFacts) -> None:
    facts.relay = str(person.relay)
    told: asyncio.Future[RelayEvent] = asyncio.get_running_loop().create_future()

    def hear(_: object, event: RelayEvent) -> None:
        if not told.done() and isinstance(event, Connected | Disconnected | Rejected):
            told.set_result(event)

    relays = Relays(load_identity_of(home).identity, store, random.SystemRandom(), hear)
    try:
        await relays.go_home(person)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            event = await told
        match event:
            case Connected(welcome, host_ip):
                facts.relay_ip, facts.observed = host_ip, welcome.observed
                facts.stun = [(host or host_ip, port) for host, port in welcome.stun]
                await _await_rtt(relays, facts)
            case Disconnected(reason, _):
                facts.problem = f"The relay cannot be reached: {reason}."
            case Rejected(_, text):
                facts.problem = f"The relay turned us away: {text}."
    except TimeoutError:
        facts.problem = "The relay does not answer."
    finally:
        await relays.close()


async def _await_rtt(relays: Relays, facts: NetworkFacts) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + RTT_WAIT_S
    while relays.home is not None and loop.time() < until:
        facts.rtt_ms = relays.home.client.rtt_ms
        if facts.rtt_ms is not None:
            return
        await asyncio.sleep(0.02)


def _interfaces() -> list[tuple[str, str]]:
    found = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            if not _is_loopback(text):
                found.append((adapter.nice_name, text))
    return found


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False
