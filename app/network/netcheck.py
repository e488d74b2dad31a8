"""``segue netcheck``: what is known of this machine's network and its path to the relay before a call.

It looks as a guest with a key of its own that is thrown away, and only reads the home: a second session of the home's
key would end that of an engine which is running there.
"""

import asyncio
import contextlib
import ipaddress
import random
import secrets
from dataclasses import dataclass, field, replace

from app.store.profile_snapshot import ProfileSnapshot, read_profile
from app.system.data_dir import Home, check
from transport.ice.candidates import HostAddress
from transport.identity.keys import SECRET_BYTES, Identity, new_identity
from transport.io.nat_measurement import measure_profile
from transport.io.network_watch import host_addresses
from transport.io.relay_session import RelayClient
from transport.io.tasks import Tasks
from transport.nat.compatibility import feasibilities
from transport.nat.profile import NatProfile
from transport.quic.session_events import Connected, Disconnected, Rejected, RelayEvent
from transport.wire.addresses import RelayAddress, parse_relay

# Both together, with the start of the program, stay under the 8 s that somebody waits for a verdict. Two handshakes
# (one to learn the certificate) on a satellite link take 2.5 s; what does not answer by then is reported as such.
CONNECT_TIMEOUT_S = 3.2
# The profiler asks about the filter for 0.6 s and then for 2 s at the most what its mappings are, and may need another
# 1.2 s for packets to its own outside address and for its control.
MEASURE_TIMEOUT_S = 3.7
# One ping leaves with the login; its answer takes a round trip. It is waited for beside the measuring.
RTT_WAIT_S = 2.0
# What X.509 allows for a serial number (RFC 5280 §4.1.2.2), less the sign.
_SERIAL_BITS = 158

# Networks whose addresses mean nothing beyond them (RFC 1918, RFC 3927, RFC 6598, RFC 1122).
_INSIDE = tuple(
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "127.0.0.0/8")
)


@dataclass(slots=True)
class NetworkFacts:
    """What was found. ``problem`` says why the relay cannot be used, or is empty. ``nat`` is ``None`` where nothing
    was measured; ``caveats`` are codes for what could not be, beside the profile's own unknowns."""

    interfaces: list[tuple[str, str]] = field(default_factory=list)
    relay: str = ""
    relay_ip: str = ""
    rtt_ms: float | None = None
    observed: tuple[str, int] | None = None
    stun: list[tuple[str, int]] = field(default_factory=list)
    nat: NatProfile | None = None
    caveats: tuple[str, ...] = ()
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

    @property
    def unknowns(self) -> tuple[str, ...]:
        """Codes for all that is not known."""
        return (*self.caveats, *(self.nat.unknowns if self.nat is not None else ()))

    @property
    def evidence(self) -> tuple[str, ...] | None:
        """What the profile rests on; ``None`` where none was made."""
        return None if self.nat is None else self.nat.evidence

    def for_programs(self) -> dict[str, object]:
        """The same as JSON has it. ``nat`` and ``chances`` are null where nothing was measured."""
        expected = None if self.nat is None else feasibilities(self.nat)
        return {
            "version": 1,
            "interfaces": [{"name": name, "address": ip} for name, ip in self.interfaces],
            "relay": {"address": self.relay, "ip": self.relay_ip, "reachable": self.is_usable, "rtt_ms": self.rtt_ms},
            "observed": list(self.observed) if self.observed is not None else None,
            "stun": [list(endpoint) for endpoint in self.stun],
            "behind_nat": self.behind_nat,
            "nat": None if self.nat is None else self._nat_for_programs(self.nat),
            "chances": None if expected is None else {kind.value: chance.value for kind, chance in expected.items()},
            "problem": self.problem,
        }

    def _nat_for_programs(self, nat: NatProfile) -> dict[str, object]:
        return {
            "kind": nat.kind.value,
            "mapping": nat.mapping.value,
            "filtering": nat.filtering.value,
            "allocation": nat.allocation.value,
            "delta": nat.delta or None,
            "block": list(nat.block) if nat.block is not None else None,
            "hairpin": nat.hairpin,
            "evidence": list(nat.evidence),
            "unknowns": list(self.unknowns),
        }


async def look_at_network(home: Home) -> NetworkFacts:
    """Find out, in 8 s at the most. Changes nothing in the home, where an engine may be running.

    Raises :class:`app.system.errors.AppError` when the home cannot be read.
    """
    if home.folder.exists():
        check(home)
    hosts = host_addresses()
    facts = NetworkFacts(interfaces=[(host.interface, host.ip) for host in hosts if not _is_loopback(host.ip)])
    known = read_profile(home.database)
    if not known.profile.name:
        facts.problem = "No relay is set up here: run “segue register NAME@HOST[:PORT][#PIN]” first."
        return facts
    await _visit(parse_relay(known.profile.relay), known, hosts, facts)
    return facts


async def _visit(
    relay: RelayAddress, known: ProfileSnapshot, hosts: tuple[HostAddress, ...], facts: NetworkFacts
) -> None:
    facts.relay = str(relay)
    connected: asyncio.Future[RelayEvent] = asyncio.get_running_loop().create_future()

    def on_event(event: RelayEvent) -> None:
        if not connected.done() and isinstance(event, Connected | Disconnected | Rejected):
            connected.set_result(event)

    rng = random.SystemRandom()
    client = RelayClient(relay, _throw_away_identity(), on_event, rng=rng, certificate=known.certificate_of(relay))
    client.start()
    tasks = Tasks("network-check")
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            event = await connected
        match event:
            case Connected(welcome, host_ip):
                facts.relay_ip, facts.observed = host_ip, welcome.observed
                facts.stun = list(client.stun)
                waiting = tasks.start(_await_rtt(client, facts), name="round-trip")
                await _measure(hosts, rng, facts)
                await waiting
            case Disconnected(reason, _):
                facts.problem = f"The relay cannot be reached: {reason}."
            case Rejected(_, text):
                facts.problem = f"The relay turned us away: {text}."
    except TimeoutError:
        facts.problem = f"The relay does not answer within {CONNECT_TIMEOUT_S:g} s."
    finally:
        await tasks.close()
        await client.close()


async def _measure(hosts: tuple[HostAddress, ...], rng: random.Random, facts: NetworkFacts) -> None:
    """Fill in the NAT's profile, and what stood in the way of a better one."""
    caveats = []
    profile = NatProfile()
    try:
        async with asyncio.timeout(MEASURE_TIMEOUT_S):
            # The session is there, and it is UDP too: endpoints that stay silent are blocked.
            profile = await measure_profile(tuple(facts.stun), hosts, rng, online=True)
    except TimeoutError:
        caveats.append("out-of-time")
    if not any(":" not in host for host, _ in facts.stun):
        caveats.append("no-ipv4-stun")
    if _is_loopback(facts.relay_ip) or facts.relay_ip in {host.ip for host in hosts}:
        caveats.append("relay-on-this-machine")
        if profile.suspicious:
            # A server on this machine sees no outside address; that is no sign of anybody inventing answers.
            profile = replace(profile, suspicious=False, evidence=())
    if profile.suspicious:
        caveats.append("contradicting-answers")
    if profile.reflexive is not None and _is_inside(profile.reflexive[0]):
        caveats.append("relay-in-private-network")
    facts.nat, facts.caveats = profile, tuple(caveats)


async def _await_rtt(client: RelayClient, facts: NetworkFacts) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(RTT_WAIT_S):
            while client.rtt_ms is None:  # noqa: ASYNC110 - the client tells of no event for it
                await asyncio.sleep(0.02)
    facts.rtt_ms = client.rtt_ms


def _throw_away_identity() -> Identity:
    return new_identity(secrets.token_bytes(SECRET_BYTES), secrets.randbits(_SERIAL_BITS) + 1)


def _is_inside(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    return any(address.version == network.version and address in network for network in _INSIDE)


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False
