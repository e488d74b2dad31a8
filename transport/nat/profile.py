"""How our NAT behaves (RFC 4787 §4–§6): what is known, what the peer is sent, how a new look adds to it. Pure."""

import math
from dataclasses import dataclass, replace
from enum import Enum

from transport.net.sockets import Address
from transport.wire.call_messages import MAX_CROSS_TRAFFIC_PER_S, WireProfile

# Older profiles are renewed before a call (DESIGN §4).
FRESH_S = 60.0
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
    evidence = dict.fromkeys((*new.evidence, *(text for text in filtered if not text.startswith(SAW))))
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
SAW = "server "
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
