"""How our NAT behaves (RFC 4787 §4–§6, RFC 5780), as far as the evidence goes: right or ``unknown``, never wrong.

Everything rests on what STUN servers saw of ONE socket. One server address cannot tell endpoint-independent from
address-dependent mapping, and one mapping says nothing about how ports are chosen, save that it kept ours.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from transport.ice.stun_client import Observation
from transport.nat.port_allocation import MAX_STEP, NewMapping, randomness, track
from transport.net.sockets import Address
from transport.wire.call_messages import MAX_CROSS_TRAFFIC_PER_S, WireProfile

# Older profiles are renewed before a call (DESIGN §4).
FRESH_S = 60.0
MIN_ENDPOINTS = 3
# One server may be down; each of two is asked five times.
MIN_SILENT = 2
# With fewer mappings there is no verdict on how ports are chosen, and none that is less certain than this.
MIN_SEQUENTIAL = 5
CERTAIN = 0.99
# As many ports above our own as one profile asks for.
MAX_BESIDE_OWN = 24
# Steps between flows that leave within a millisecond: so many foreign flows in between are not believable.
MAX_FOREIGN_FLOWS = 16
# Eight random ports of 64,512 all fall within 4,096 in one of 30 million cases: fewer observations do not tell.
MIN_BLOCK = 8
MAX_BLOCK_PORTS = 4_096
MAX_EVIDENCE = 24


class Mapping(Enum):
    """RFC 4787 §4.1. ``NONE``: there is no NAT."""

    NONE = "none"
    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"
    UNKNOWN = "unknown"


class Filtering(Enum):
    """RFC 4787 §5."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"
    UNKNOWN = "unknown"


class Allocation(Enum):
    """How outside ports are chosen (RFC 4787 §4.2)."""

    PRESERVING = "preserving"
    SEQUENTIAL = "sequential"
    RANDOM = "random"
    BLOCK = "block"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Allocated:
    """The rule; of a sequential one the step, and how much cross traffic, in flows a second, it was seen to count;
    lowest and highest port seen of a block."""

    allocation: Allocation = Allocation.UNKNOWN
    delta: int = 0
    cross_traffic_per_s: float | None = None
    block: tuple[int, int] | None = None


class NatKind(Enum):
    """The names that people know; the window's words for them are its own job."""

    OPEN = "open"
    NO_NAT = "no NAT"
    """Our own address is public; whether a firewall filters is unknown."""
    FULL_CONE = "full cone"
    ADDRESS_RESTRICTED = "address-restricted"
    PORT_RESTRICTED = "port-restricted"
    CONE = "cone"
    """Endpoint-independent mapping; filtering unknown."""
    SYMMETRIC_SEQUENTIAL = "symmetric sequential"
    SYMMETRIC_RANDOM = "symmetric random"
    SYMMETRIC_BLOCK = "symmetric block"
    SYMMETRIC = "symmetric"
    """Allocation unknown."""
    UDP_BLOCKED = "UDP blocked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class NatProfile:
    """What is known, and by which evidence. ``made_at`` in seconds of the machine's clock. ``reflexive``: our IPv4
    address as most servers saw it. ``delta``: the step of a sequential allocation, which other people's flows,
    ``cross_traffic_per_s``, advance as well. ``block``: lowest and highest port seen of a block allocation.
    ``life_s``: so long at most the NAT remembers a mapping that nobody uses, where that has been seen."""

    mapping: Mapping = Mapping.UNKNOWN
    filtering: Filtering = Filtering.UNKNOWN
    allocation: Allocation = Allocation.UNKNOWN
    delta: int = 0
    cross_traffic_per_s: float | None = None
    block: tuple[int, int] | None = None
    hairpin: bool | None = None
    udp_blocked: bool | None = None
    suspicious: bool = False
    """Answers contradicted each other, or named addresses that cannot be: somebody in between invents them."""
    reflexive: Address | None = None
    life_s: float | None = None
    made_at: float = 0.0
    evidence: tuple[str, ...] = ()

    @property
    def kind(self) -> NatKind:
        """The verdict in one word."""
        if self.udp_blocked:
            return NatKind.UDP_BLOCKED
        match self.mapping:
            case Mapping.NONE:
                return NatKind.OPEN if self.filtering is Filtering.ENDPOINT_INDEPENDENT else NatKind.NO_NAT
            case Mapping.ENDPOINT_INDEPENDENT:
                return _CONES[self.filtering]
            case Mapping.ADDRESS_DEPENDENT | Mapping.ADDRESS_AND_PORT_DEPENDENT:
                return _SYMMETRICS[self.allocation]
        return NatKind.UNKNOWN

    @property
    def symmetric(self) -> bool:
        """Known to take another outside port toward another address."""
        return self.mapping in (Mapping.ADDRESS_DEPENDENT, Mapping.ADDRESS_AND_PORT_DEPENDENT)

    @property
    def hides_rule(self) -> bool:
        """Symmetric, and it is not known how it chooses ports."""
        return self.symmetric and self.allocation is Allocation.UNKNOWN

    @property
    def unknowns(self) -> tuple[str, ...]:
        """What the evidence does not tell."""
        if self.udp_blocked:
            return ()
        if self.mapping is Mapping.NONE:
            return ("filtering",) if self.filtering is Filtering.UNKNOWN else ()
        facts = {
            "mapping": self.mapping is Mapping.UNKNOWN,
            "filtering": self.filtering is Filtering.UNKNOWN,
            "allocation": self.allocation is Allocation.UNKNOWN,
            "hairpin": self.hairpin is None,
        }
        return tuple(name for name, missing in facts.items() if missing)

    def with_allocation(self, found: "Allocated | NatProfile") -> "NatProfile":
        """With the rule for ports that was found."""
        return replace(
            self,
            allocation=found.allocation,
            delta=found.delta,
            cross_traffic_per_s=found.cross_traffic_per_s,
            block=found.block,
        )

    def fresh(self, now: float) -> bool:
        """Young enough for a call to begin with."""
        return now - self.made_at <= FRESH_S

    def to_wire(self) -> WireProfile:
        """For the peer, without addresses."""
        block = 0 if self.block is None else self.block[1] - self.block[0] + 1
        rate = self.cross_traffic_per_s
        return WireProfile(
            self.mapping.value,
            self.filtering.value,
            self.allocation.value,
            delta=self.delta,
            cross_traffic_per_s=None if rate is None else min(MAX_CROSS_TRAFFIC_PER_S, math.ceil(rate)),
            block=block,
            udp_blocked=bool(self.udp_blocked),
        )


def from_wire(wire: WireProfile, now: float) -> NatProfile:
    """What the peer says of itself. Believed no further than for choosing what to try."""
    return NatProfile(
        mapping=Mapping(wire.mapping),
        filtering=Filtering(wire.filtering),
        allocation=Allocation(wire.allocation),
        delta=wire.delta,
        cross_traffic_per_s=wire.cross_traffic_per_s,
        block=(0, wire.block - 1) if wire.block else None,
        udp_blocked=wire.udp_blocked,
        made_at=now,
        evidence=("sent by the peer",),
    )


def renewed(old: NatProfile | None, new: NatProfile, now: float) -> NatProfile:
    """What is known after another look, ``new``, from the network that ``old`` tells of.

    A look from a call asks few servers and no filter at all. What it does not tell and what it does not contradict
    stays, and with it, while it is fresh, its age; a NAT with another outside address is another NAT."""
    if old is None or old.suspicious:
        return new
    if new.reflexive is None:
        # Nothing was seen, or nothing to be believed: silence that means something says so.
        return old if old.fresh(now) and not new.udp_blocked else new
    if old.reflexive is None or old.reflexive[0] != new.reflexive[0] or _contradict(old, new):
        return new
    full = new.mapping is not Mapping.UNKNOWN or not old.fresh(now)
    # Beside what servers saw of one socket there is evidence of the filter alone.
    filtered = old.evidence if new.filtering is Filtering.UNKNOWN else ()
    evidence = dict.fromkeys((*new.evidence, *(text for text in filtered if not text.startswith(_SAW))))
    made = replace(
        new,
        mapping=old.mapping if new.mapping is Mapping.UNKNOWN else new.mapping,
        filtering=old.filtering if new.filtering is Filtering.UNKNOWN else new.filtering,
        hairpin=old.hairpin if new.hairpin is None else new.hairpin,
        udp_blocked=False,
        life_s=old.life_s if new.life_s is None else new.life_s,
        made_at=new.made_at if full else old.made_at,
        evidence=tuple(evidence)[:MAX_EVIDENCE],
    )
    return made.with_allocation(old) if new.allocation is Allocation.UNKNOWN else made


def _contradict(old: NatProfile, new: NatProfile) -> bool:
    """A mapping that is another one now, beyond knowing more: other tests of the old one then prove nothing."""
    return Mapping.UNKNOWN not in (old.mapping, new.mapping) and old.mapping is not new.mapping


# Begins what is known of one socket's mappings; other evidence is of the NAT itself.
_SAW = "server "
_CONES = {
    Filtering.ENDPOINT_INDEPENDENT: NatKind.FULL_CONE,
    Filtering.ADDRESS_DEPENDENT: NatKind.ADDRESS_RESTRICTED,
    Filtering.ADDRESS_AND_PORT_DEPENDENT: NatKind.PORT_RESTRICTED,
    Filtering.UNKNOWN: NatKind.CONE,
}
_SYMMETRICS = {
    Allocation.SEQUENTIAL: NatKind.SYMMETRIC_SEQUENTIAL,
    Allocation.RANDOM: NatKind.SYMMETRIC_RANDOM,
    Allocation.BLOCK: NatKind.SYMMETRIC_BLOCK,
    Allocation.PRESERVING: NatKind.SYMMETRIC,
    Allocation.UNKNOWN: NatKind.SYMMETRIC,
}


def classify(
    seen: Sequence[Observation],
    local: Address,
    host_ips: Iterable[str],
    now: float,
    *,
    unanswered: int = 0,
    unbelievable: int = 0,
) -> NatProfile:
    """The profile from what servers saw of one socket whose interface address and port is ``local``.

    ``unanswered`` servers were asked in vain, to the end; that none answers is taken for blocked UDP, so the caller
    gives none when the network or the relay may be down."""
    if not seen:
        silent = unanswered >= MIN_SILENT and not unbelievable
        evidence = (f"none of {unanswered} servers answered",) if silent else ()
        return NatProfile(udp_blocked=silent or None, made_at=now, suspicious=unbelievable > 0, evidence=evidence)
    noted = [f"{_place(seen, one)} saw port {one.mapped[1]}" for one in seen][:MAX_EVIDENCE]
    suspicious = unbelievable > 0 or any(one.varied for one in seen) or _servers_see_themselves(seen)
    reflexive = max((one.mapped for one in seen), key=[one.mapped for one in seen].count)
    if suspicious:
        noted.append("answers contradict themselves")
        return NatProfile(suspicious=True, reflexive=None, made_at=now, evidence=tuple(noted))
    mapping = _mapping(seen, local, set(host_ips))
    # Without a NAT a firewall may still filter: that is for the checks to find out.
    made = NatProfile(mapping, udp_blocked=False, reflexive=reflexive, made_at=now, evidence=tuple(noted))
    return made.with_allocation(_allocation(seen, local, mapping))


def allocation_of_sockets(sockets: Sequence[tuple[int, Sequence[Observation]]], mapping: Mapping) -> Allocated:
    """How a symmetric NAT chooses ports, from several sockets (inside port, and answers) in the order in which they
    asked. With address-dependent mapping each shows one port for each server address, however many ports it asked
    there."""
    firsts: list[Observation] = []
    insides: list[int] = []
    for inside, seen in sockets:
        by_mapping: dict[object, Observation] = {}
        for one in sorted(seen, key=lambda one: one.order):
            by_mapping.setdefault(one.server[0] if mapping is Mapping.ADDRESS_DEPENDENT else one.server, one)
        firsts += by_mapping.values()
        insides += [inside] * len(by_mapping)
    if not firsts or {one.mapped[1] for one in firsts} & {inside for inside, _ in sockets}:
        return Allocated()
    in_order = [replace(one, order=number) for number, one in enumerate(firsts)]
    return _allocation(in_order, ("", 0), mapping, insides)


def _place(seen: Sequence[Observation], one: Observation) -> str:
    """Names a server without its address: which one of ours, and which port of it."""
    addresses = list(dict.fromkeys(other.server[0] for other in seen))
    return f"{_SAW}{addresses.index(one.server[0]) + 1} port {one.server[1]}"


def _servers_see_themselves(seen: Sequence[Observation]) -> bool:
    """A captive network that answers in the servers' names knows no address of ours."""
    return any(one.mapped[0] == other.server[0] for one in seen for other in seen)


def _mapping(seen: Sequence[Observation], local: Address, host_ips: set[str]) -> Mapping:
    by_address: dict[str, set[Address]] = {}
    ports: dict[str, set[int]] = {}
    for one in seen:
        by_address.setdefault(one.server[0], set()).add(one.mapped)
        ports.setdefault(one.server[0], set()).add(one.server[1])
    mapped = {one.mapped for one in seen}
    if all(address[0] in host_ips and address[1] == local[1] for address in mapped):
        return Mapping.NONE
    if any(len(each) > 1 for each in by_address.values()):
        return Mapping.ADDRESS_AND_PORT_DEPENDENT
    if len(by_address) < 2 or len(seen) < MIN_ENDPOINTS:
        return Mapping.UNKNOWN
    if len(mapped) == 1:
        return Mapping.ENDPOINT_INDEPENDENT
    # Several ports of one address saw the same, and another address saw something else.
    several = [address for address, asked in ports.items() if len(asked) > 1]
    return Mapping.ADDRESS_DEPENDENT if several else Mapping.UNKNOWN


def _allocation(
    seen: Sequence[Observation], local: Address, mapping: Mapping, insides: Sequence[int] = ()
) -> Allocated:
    """``insides``: the inside port of each, where there are several sockets; NATs that keep its parity step by it."""
    unknown = Allocated()
    if mapping is Mapping.NONE:
        return unknown
    mapped = list(dict.fromkeys(one.mapped for one in sorted(seen, key=lambda one: one.order)))
    kept = sum(address[1] == local[1] for address in mapped)
    if kept == len(mapped):
        return Allocated(Allocation.PRESERVING)
    if len(mapped) < MIN_SEQUENTIAL or kept or len({address[0] for address in mapped}) > 1:
        return unknown
    ports = [address[1] for address in mapped]
    if any(0 < port - local[1] <= MAX_BESIDE_OWN for port in ports):
        # Our own port and, as that was taken, those beside it: a NAT that preserves, though it looks like a counter.
        return unknown
    ports_inside = insides or [local[1]] * len(seen)
    asked = [
        NewMapping(one.asked_s, one.mapped[1], one.order, one.first_try, inside, one.asked_s + one.rtt_s)
        for one, inside in zip(seen, ports_inside, strict=True)
    ]
    counter = track(asked)
    if counter is not None and counter.confidence >= CERTAIN:
        return Allocated(Allocation.SEQUENTIAL, counter.step, counter.rate_per_s)
    if randomness(asked) < CERTAIN or _counts(ports):
        return unknown
    if max(ports) - min(ports) >= MAX_BLOCK_PORTS:
        return Allocated(Allocation.RANDOM)
    # A counter whose order is not known looks like a small block.
    ordered = sum(one.first_try for one in seen) >= MIN_SEQUENTIAL
    if len(ports) < MIN_BLOCK or not ordered:
        return unknown
    return Allocated(Allocation.BLOCK, block=(min(ports), max(ports)))


def _counts(ports: Sequence[int]) -> bool:
    """Whether this looks like a counter, if not a regular one: small steps for the most part, in one direction."""
    steps = [after - before for before, after in itertools.pairwise(ports)]
    small = sum(abs(step) <= MAX_STEP * MAX_FOREIGN_FLOWS for step in steps) * 2 > len(steps)
    up = sum(step > 0 for step in steps)
    return small and min(up, len(steps) - up) <= 1
