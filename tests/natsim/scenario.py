"""Two sides, what stands between them and what happens to it: one description for both laboratories.

``build`` makes the virtual network of a scenario; ``tests/netlab/lab.py`` makes the same one of kernel namespaces.
docs/laboratories.md says how to write one.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from tests.natsim.clock import VirtualClock
from tests.natsim.internet import NatGateway, StunServer
from tests.natsim.kinds import STACKS
from tests.natsim.nat import Nat, NatKind
from tests.natsim.network import Address, Host, Network
from tests.natsim.relay import RelayNode
from tests.natsim.wire import Wire, WireSpec

LEAST_STUN_ADDRESSES, LEAST_STUN_PORTS = 2, 5
# The middle of the internet; few enough that an opener's TTL must be chosen with care.
HOPS = 3
ACCESS = WireSpec()


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A person's host behind NATs, from the host outwards; none where it shares a LAN with the other side.

    ``up`` and ``down`` are the wires outside the outermost of them. ``ipv6`` is a second way out, behind a firewall.
    """

    nats: tuple[NatKind, ...] = ()
    up: WireSpec = field(default_factory=WireSpec)
    down: WireSpec = field(default_factory=WireSpec)
    ipv6: NatKind | None = None
    isolated: bool = False
    """Hosts of one LAN do not see each other, as guests of a Wi-Fi."""
    public_ip: str = ""
    """Of the outermost NAT of its own, where a program in it knows that the usual one is for documentation only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySpec:
    """The relay: STUN on every address and each port."""

    addresses: tuple[str, ...] = ("192.0.2.1", "192.0.2.2")
    stun_ports: tuple[int, ...] = (3478, 3479, 3480, 3481, 3482)

    def __post_init__(self) -> None:
        if len(self.addresses) < LEAST_STUN_ADDRESSES or len(self.stun_ports) < LEAST_STUN_PORTS:
            raise ValueError(f"at least {LEAST_STUN_ADDRESSES} addresses and {LEAST_STUN_PORTS} STUN ports")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something happens to a side's NAT (0 is the one next to the host, shared ones last) ``at_s`` into the call."""

    at_s: float
    what: Literal["flush", "swap", "cut", "heal"]
    side: int
    nat: int = 0
    to: NatKind | None = None

    def __post_init__(self) -> None:
        if (self.what == "swap") != (self.to is not None):
            raise ValueError("a swap, and only a swap, says what it is swapped `to`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """``shared`` NATs stand between both sides and the internet, from the hosts outwards.

    Where the sides have none of their own, the outermost shared one has the wires of side 0.
    """

    name: str
    sides: tuple[Side, Side]
    shared: tuple[NatKind, ...] = ()
    relay: RelaySpec = field(default_factory=RelaySpec)
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        if not self.stack(0) or not self.stack(1):
            raise ValueError("between a host and the internet stands something, at least an “open” router")
        if bool(self.sides[0].nats) != bool(self.sides[1].nats):
            raise ValueError("either both sides have NATs of their own, or both are on the shared one's LAN")
        for fault in self.faults:
            if fault.side not in (0, 1) or not 0 <= fault.nat < len(self.stack(fault.side)):
                raise ValueError(f"no NAT {fault.nat} on side {fault.side}")

    def stack(self, side: int) -> tuple[NatKind, ...]:
        """All NATs of one side, from its host outwards."""
        return (*self.sides[side].nats, *self.shared)


# -- addresses, the same in both laboratories

SHARED_PREFIX = "198.18.0"
OUTSIDE_PREFIXES = ("198.51.100", "203.0.113")
RELAY_IPV6 = ("2001:db8::1", "2001:db8::2")
IPV6_PREFIXES = ("2001:db8:a", "2001:db8:b")


def outside_ip(scenario: Scenario, side: int, nat: int) -> str:
    """The external address of a NAT of :meth:`Scenario.stack`."""
    own = len(scenario.sides[side].nats)
    if nat >= own:
        # The outermost shared one is public, those within have a carrier's addresses (RFC 6598).
        inward = len(scenario.shared) - 1 - (nat - own)
        return f"{SHARED_PREFIX}.1" if inward == 0 else f"100.{64 + inward}.9.1"
    inward = own - 1 - nat + len(scenario.shared)
    if inward == 0:
        return scenario.sides[side].public_ip or f"{OUTSIDE_PREFIXES[side]}.1"
    return f"100.{64 + inward}.{side}.2"


def host_ip(scenario: Scenario, side: int) -> str:
    """A side's host: behind its own NAT on a LAN of its own, behind a shared one alone on the common LAN."""
    if not scenario.sides[side].nats:
        return f"192.168.0.{10 + side}"
    if scenario.sides[side].nats[0].allocation == "none":
        return f"{OUTSIDE_PREFIXES[side]}.10"
    return f"192.168.{1 + side}.10"


def ipv6_ip(side: int) -> str:
    """A side's host on its IPv6 network."""
    return f"{IPV6_PREFIXES[side]}::10"


def pair(one: str, other: str, wire: WireSpec = ACCESS) -> Scenario:
    """Two named stacks, each with such wires up and down."""
    sides = (Side(nats=STACKS[one], up=wire, down=wire), Side(nats=STACKS[other], up=wire, down=wire))
    return Scenario(name=f"{one} × {other}", sides=sides)


# -- the virtual network

RelayT = TypeVar("RelayT")


@dataclass(slots=True)
class SimSide:
    """``gateways`` from the host outwards, shared ones last."""

    host: Host
    gateways: tuple[NatGateway, ...]


@dataclass(slots=True)
class World(Generic[RelayT]):
    """A scenario in virtual time. ``stun`` are the servers' endpoints, by port and then address."""

    scenario: Scenario
    clock: VirtualClock
    rng: random.Random
    internet: Network
    relay: RelayT
    stun_server: StunServer
    sides: tuple[SimSide, SimSide]

    @property
    def stun(self) -> tuple[Address, ...]:
        return self.stun_server.endpoints

    def schedule_faults(self) -> None:
        """The call begins now: let the scenario's faults happen in their time."""
        for fault in self.scenario.faults:
            self.clock.after(fault.at_s, lambda fault=fault: self.carry_out(fault))  # type: ignore[misc]

    def carry_out(self, fault: Fault) -> None:
        """Do it to the NAT now."""
        gateway = self.sides[fault.side].gateways[fault.nat]
        if fault.what == "flush":
            gateway.nat.flush()
        elif fault.what == "swap" and fault.to is not None:
            gateway.replace(Nat(fault.to, gateway.nat.addresses, _fork(self.rng)))
        else:
            gateway.cut(fault.what == "cut")


def build_with(
    scenario: Scenario,
    clock: VirtualClock,
    rng: random.Random,
    make_relay: Callable[[Host], RelayT],
    *,
    capture: bool = False,
) -> World[RelayT]:
    """The scenario's network with a relay of one's own making on its host."""
    internet = Network(clock, _fork(rng), capture=capture, hops=HOPS)
    relay_host = internet.host(scenario.relay.addresses[0], Wire(delay=0), Wire(delay=0))
    for ip in scenario.relay.addresses[1:]:
        relay_host.join(internet, ip, Wire(delay=0), Wire(delay=0))
    if any(side.ipv6 is not None for side in scenario.sides):
        for ip in RELAY_IPV6:
            relay_host.join(internet, ip, Wire(delay=0), Wire(delay=0))
    stun = StunServer(relay_host, scenario.relay.stun_ports)
    realm, shared = internet, list[NatGateway]()
    for number in reversed(range(len(scenario.shared))):
        gateway = _gateway(scenario, realm, 0, len(scenario.sides[0].nats) + number, rng)
        shared.insert(0, gateway)
        realm = gateway.inside
    one, other = (_side_of(scenario, number, internet, realm, tuple(shared), rng) for number in (0, 1))
    if shared and not scenario.sides[0].nats:
        shared[-1].up, shared[-1].down = scenario.sides[0].up.wire(), scenario.sides[0].down.wire()
    return World(scenario, clock, rng, internet, make_relay(relay_host), stun, (one, other))


def build(scenario: Scenario, clock: VirtualClock, rng: random.Random, *, capture: bool = False) -> World[RelayNode]:
    """The scenario's network with a relay that has the product's own legs."""
    return build_with(scenario, clock, rng, RelayNode, capture=capture)


def _side_of(
    scenario: Scenario, side: int, internet: Network, realm: Network, shared: tuple[NatGateway, ...], rng: random.Random
) -> SimSide:
    spec, gateways = scenario.sides[side], list[NatGateway]()
    for number in reversed(range(len(spec.nats))):
        gateway = _gateway(scenario, realm, side, number, rng)
        if number == len(spec.nats) - 1:
            gateway.up, gateway.down = spec.up.wire(), spec.down.wire()
        gateways.insert(0, gateway)
        realm = gateway.inside
    realm.isolated = realm.isolated or spec.isolated
    host = realm.host(host_ip(scenario, side), Wire(delay=0), Wire(delay=0))
    if spec.nats and spec.nats[0].allocation == "none":
        gateways[0].route(host.ip)
    if spec.ipv6 is not None:
        six = Network(internet.clock, internet.rng)
        firewall = NatGateway(Nat(spec.ipv6, (), _fork(rng)), six, internet, spec.up.wire(), spec.down.wire())
        host.join(six, ipv6_ip(side), Wire(delay=0), Wire(delay=0))
        firewall.route(ipv6_ip(side))
    return SimSide(host, (*gateways, *shared))


def _gateway(scenario: Scenario, outside: Network, side: int, number: int, rng: random.Random) -> NatGateway:
    kind = scenario.stack(side)[number]
    inside = Network(outside.clock, outside.rng)
    addresses = () if kind.allocation == "none" else (outside_ip(scenario, side, number),)
    return NatGateway(Nat(kind, addresses, _fork(rng)), inside, outside)


def _fork(rng: random.Random) -> random.Random:
    return random.Random(rng.getrandbits(64))
