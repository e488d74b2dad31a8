"""One NAT: what leaves with which source address, and what comes in to whom. Pure; RFC 4787 behind every word.

The same class translates packets of the virtual network (``internet.py``) and, in the kernel laboratory, real ones
(``tests/netlab/router.py``). Time is an argument, chance an injected ``random.Random``.
"""

import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.natsim.ports import InBlock, PortRule, Preserving, PreservingElseRandom, Sequential, Uniform

Address = tuple[str, int]
Dependence = Literal["endpoint-independent", "address-dependent", "address-and-port-dependent"]
"""Of mappings RFC 4787 §4.1, of filters §5."""
Allocation = Literal["none", "preserving", "preserving-else-random", "sequential", "random", "block"]
Drop = Literal["udp-blocked", "rate", "table-full", "no-port", "hairpin", "no-mapping", "filtered"]

# The well-known ports are left alone by NATs in the field (RFC 4787 §4.2.1); what remains are the design's 64,512.
FIRST_PORT, LAST_PORT = 1_024, 65_535
# RFC 4787 REQ-5 recommends five minutes or more, demands two; home routers in the field are at the lower end.
IDLE_S = 120.0
# Linux nf_conntrack_udp_timeout: how long a flow lives that only one side has spoken on.
UNANSWERED_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NatKind:
    """How a NAT behaves. Times in seconds, rates per second; ``None`` is no limit.

    ``allocation`` "none" keeps addresses and ports: a stateful firewall, as in front of IPv6. ``is_conntrack`` is
    Linux' table, where a port is taken per remote endpoint only. With ``accepts_input``, its machine takes unsolicited
    packets for its own, and then each of them takes its tuple as well (DESIGN §6.7). ``cross_traffic_per_s`` are flows
    of others behind the same NAT, a Poisson process. ``allowed_udp_ports`` are the remote ports that UDP may go to.
    """

    mapping: Dependence = "endpoint-independent"
    filtering: Dependence = "address-and-port-dependent"
    allocation: Allocation = "preserving"
    delta: int = 1
    keep_parity: bool = False
    block_ports: int = 1_024
    first_port: int = FIRST_PORT
    last_port: int = LAST_PORT
    idle_s: float = IDLE_S
    unanswered_s: float | None = None
    refreshed_by: Literal["outbound", "both"] = "outbound"
    life_s: float | None = None
    max_mappings: int = 65_536
    max_mappings_per_host: int | None = None
    when_full: Literal["drop", "evict-oldest"] = "drop"
    new_mappings_per_s: float | None = None
    new_mappings_burst: int = 10
    cross_traffic_per_s: float = 0.0
    stranger_hold_s: float = UNANSWERED_S
    hairpin: Literal["no", "external-source", "internal-source"] = "no"
    is_conntrack: bool = False
    accepts_input: bool = False
    allowed_udp_ports: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        both = "address-and-port-dependent"
        if self.is_conntrack and (self.mapping != both or self.filtering != both):
            raise ValueError("conntrack tells flows apart by both endpoints: mapping and filtering depend on both")
        if self.accepts_input and not self.is_conntrack:
            raise ValueError("only conntrack's tuples can be taken from outside")
        if self.allocation == "sequential" and not self.delta:
            raise ValueError("a sequential NAT needs a delta")
        if not 0 < self.first_port <= self.last_port <= 65_535:
            raise ValueError(f"no range of ports: {self.first_port}–{self.last_port}")
        if self.allocation == "block" and self.block_ports > self.last_port - self.first_port + 1:
            raise ValueError(f"a block of {self.block_ports} ports does not fit the range")


@dataclass(frozen=True, slots=True)
class Translated:
    """Where a packet goes on, and what it says then."""

    inward: bool
    source: Address
    destination: Address


Slot = Address | tuple[Address, Address]


class _Mapping:
    __slots__ = ("answered", "born_s", "inside", "key", "outside", "permitted", "slot", "used_s")

    def __init__(self, key: object, slot: Slot, inside: Address, outside: Address, now: float) -> None:
        self.key = key
        self.slot = slot
        self.inside = inside
        self.outside = outside
        self.born_s = self.used_s = now
        self.answered = False
        # Remote addresses or endpoints that may answer, and when we last spoke to them.
        self.permitted: dict[object, float] = {}


class Nat:
    """The table of one NAT with the external ``addresses``; each host inside keeps to one of them (RFC 4787 REQ-2)."""

    def __init__(self, kind: NatKind, addresses: tuple[str, ...], rng: random.Random) -> None:
        self.kind = kind
        self.addresses = addresses
        self.drops: Counter[Drop] = Counter()
        self._is_transparent = kind.allocation == "none" and kind.filtering == "endpoint-independent"
        self._rng = rng
        self._rule = _rule(kind, rng)
        self._mappings: dict[object, _Mapping] = {}
        self._taken: dict[Slot, _Mapping] = {}
        self._per_host: Counter[str] = Counter()
        self._paired: dict[str, str] = {}
        # What neither a mapping of ours nor free: tuples taken from outside, and ports of strangers, until when.
        self._clashes: dict[Slot, float] = {}
        self._forwards: dict[Address, Address] = {}
        self._forwarded: dict[tuple[Address, Address], Address] = {}
        self._strangers: set[Address] = set()
        self._stranger_ends: deque[tuple[float, Address]] = deque()
        self._next_stranger_s: float | None = None
        self._tokens = float(kind.new_mappings_burst)
        self._tokens_s: float | None = None

    def __len__(self) -> int:
        """Mappings in the table, expired ones that nobody asked for included."""
        return len(self._mappings)

    def ports_in_use(self, now: float) -> set[int]:
        """Outside ports of the mappings that have not expired."""
        return {mapping.outside[1] for mapping in tuple(self._mappings.values()) if self._live(mapping, now)}

    def forward(self, outside: Address, inside: Address | None) -> None:
        """A port mapping: whatever comes to ``outside`` goes to ``inside``, without any filter; ``None`` ends it.

        Answers leave from ``outside``. What the inside begins itself is translated as if there were no mapping."""
        if inside is None:
            self._forwards.pop(outside, None)
        else:
            self._forwards[outside] = inside
        self._forwarded = {flow: out for flow, out in self._forwarded.items() if out in self._forwards}

    def flush(self) -> None:
        """Forget every mapping, as when the table is cleared; counters and blocks stay, and so do port mappings."""
        self._mappings.clear()
        self._taken.clear()
        self._per_host.clear()
        self._clashes.clear()

    # -- packets

    def from_inside(self, source: Address, destination: Address, now: float) -> Translated | None:
        """A packet from a host behind this NAT; ``None`` when it is dropped."""
        kind = self.kind
        if kind.allowed_udp_ports is not None and destination[1] not in kind.allowed_udp_ports:
            self._drop("udp-blocked")
            return None
        forwarded = self._forwarded.get((source, destination))
        if forwarded is not None:
            return Translated(False, forwarded, destination)
        is_hairpin = destination[0] in self.addresses
        if is_hairpin and kind.hairpin == "no":
            self._drop("hairpin")
            return None
        mapping = self._outbound(source, destination, now)
        if mapping is None:
            return None
        if not is_hairpin:
            return Translated(False, mapping.outside, destination)
        inward = self._inbound(mapping.outside, destination, now)
        if inward is None:
            return None
        return Translated(True, mapping.outside if kind.hairpin == "external-source" else source, inward.inside)

    def from_outside(self, source: Address, destination: Address, now: float) -> Translated | None:
        """A packet to one of the external addresses; ``None`` when it is dropped."""
        if self._is_transparent:
            return Translated(True, source, destination)
        forward = self._forwards.get(destination)
        if forward is not None:
            self._forwarded[forward, source] = destination
            return Translated(True, source, forward)
        mapping = self._inbound(source, destination, now)
        return None if mapping is None else Translated(True, source, mapping.inside)

    # -- inside

    def _outbound(self, source: Address, destination: Address, now: float) -> _Mapping | None:
        kind = self.kind
        key: object = source
        if kind.mapping != "endpoint-independent":
            key = (source, destination[0] if kind.mapping == "address-dependent" else destination)
        mapping = self._live(self._mappings.get(key), now)
        if mapping is None:
            mapping = self._new(key, source, destination, now)
            if mapping is None:
                return None
        mapping.used_s = now
        if kind.filtering == "address-and-port-dependent":
            mapping.permitted[destination] = now
        elif kind.filtering == "address-dependent":
            mapping.permitted[destination[0]] = now
        return mapping

    def _inbound(self, source: Address, destination: Address, now: float) -> _Mapping | None:
        kind = self.kind
        slot: Slot = (destination, source) if kind.is_conntrack else destination
        mapping = self._live(self._taken.get(slot), now)
        if mapping is None:
            if kind.accepts_input:
                # It is taken for a flow to the router itself; our own packet of this tuple will have to step aside.
                self._clashes[slot] = now + UNANSWERED_S
            self._drop("no-mapping")
            return None
        if kind.filtering != "endpoint-independent":
            remote: object = source[0] if kind.filtering == "address-dependent" else source
            spoken_s = mapping.permitted.get(remote)
            if spoken_s is None or now - spoken_s > kind.idle_s:
                self._drop("filtered")
                return None
            if kind.refreshed_by == "both":
                mapping.permitted[remote] = now
        mapping.answered = True
        if kind.refreshed_by == "both":
            mapping.used_s = now
        return mapping

    def _live(self, mapping: _Mapping | None, now: float) -> _Mapping | None:
        if mapping is None:
            return None
        kind = self.kind
        idle_s = kind.idle_s if mapping.answered or kind.unanswered_s is None else kind.unanswered_s
        if now - mapping.used_s > idle_s or (kind.life_s is not None and now - mapping.born_s > kind.life_s):
            self._remove(mapping)
            return None
        return mapping

    def _remove(self, mapping: _Mapping) -> None:
        del self._mappings[mapping.key]
        del self._taken[mapping.slot]
        self._per_host[mapping.inside[0]] -= 1

    def _new(self, key: object, source: Address, destination: Address, now: float) -> _Mapping | None:
        if not self._may_have_one_more(source[0], now):
            return None
        self._let_strangers_come(now)
        host = self._outside_of(source[0])
        if self.kind.allocation == "none":
            return self._add(_Mapping(key, source, source, source, now))
        for port in self._rule.candidates(source, host):
            outside = (host, port)
            slot: Slot = (outside, destination) if self.kind.is_conntrack else outside
            if self._is_free(slot, outside, now):
                return self._add(_Mapping(key, slot, source, outside, now))
        self._drop("no-port")
        return None

    def _add(self, mapping: _Mapping) -> _Mapping:
        self._mappings[mapping.key] = mapping
        self._taken[mapping.slot] = mapping
        self._per_host[mapping.inside[0]] += 1
        return mapping

    def _is_free(self, slot: Slot, outside: Address, now: float) -> bool:
        if self._live(self._taken.get(slot), now) is not None:
            return False
        until = self._clashes.get(slot)
        if until is not None:
            if until >= now:
                return False
            del self._clashes[slot]
        # Strangers' remote endpoints are not ours, so in conntrack's table they are in nobody's way.
        return self.kind.is_conntrack or outside not in self._strangers

    def _may_have_one_more(self, host: str, now: float) -> bool:
        kind = self.kind
        if kind.new_mappings_per_s is not None:
            if self._tokens_s is not None:
                gained = (now - self._tokens_s) * kind.new_mappings_per_s
                self._tokens = min(float(kind.new_mappings_burst), self._tokens + gained)
            self._tokens_s = now
            if self._tokens < 1.0:
                self._drop("rate")
                return False
            self._tokens -= 1.0
        if not self._is_full(host):
            return True
        for mapping in list(self._mappings.values()):
            self._live(mapping, now)
        if not self._is_full(host):
            return True
        if kind.when_full == "drop":
            self._drop("table-full")
            return False
        own_only = len(self._mappings) < kind.max_mappings
        candidates = (m for m in self._mappings.values() if not own_only or m.inside[0] == host)
        self._remove(min(candidates, key=lambda mapping: mapping.used_s))
        return True

    def _is_full(self, host: str) -> bool:
        per_host = self.kind.max_mappings_per_host
        return len(self._mappings) >= self.kind.max_mappings or (
            per_host is not None and self._per_host[host] >= per_host
        )

    def _outside_of(self, host: str) -> str:
        if len(self.addresses) == 1:
            return self.addresses[0]
        if host not in self._paired and self.addresses:
            self._paired[host] = self._rng.choice(self.addresses)
        return self._paired.get(host, host)

    def _let_strangers_come(self, now: float) -> None:
        """The flows of others since the last look, each at its own time, with a port of its own for a while."""
        kind = self.kind
        if not kind.cross_traffic_per_s or kind.allocation in ("none", "block"):
            # In a block-allocating NAT strangers have blocks of their own.
            return
        draw = self._rng.expovariate
        if self._next_stranger_s is None:
            self._next_stranger_s = now + draw(kind.cross_traffic_per_s)
        while self._next_stranger_s <= now:
            came_s = self._next_stranger_s
            self._next_stranger_s += draw(kind.cross_traffic_per_s)
            self._let_strangers_go(came_s)
            host = self._rng.choice(self.addresses)
            their_port = self._rng.randint(32_768, 60_999)  # Linux net.ipv4.ip_local_port_range
            for port in self._rule.candidates(("stranger", their_port), host):
                if (host, port) not in self._strangers and (host, port) not in self._taken:
                    self._strangers.add((host, port))
                    self._stranger_ends.append((came_s + kind.stranger_hold_s, (host, port)))
                    break
        self._let_strangers_go(now)

    def _let_strangers_go(self, now: float) -> None:
        while self._stranger_ends and self._stranger_ends[0][0] <= now:
            self._strangers.discard(self._stranger_ends.popleft()[1])

    def _drop(self, why: Drop) -> None:
        self.drops[why] += 1


def _rule(kind: NatKind, rng: random.Random) -> PortRule:
    first, last = kind.first_port, kind.last_port
    rules: dict[Allocation, Callable[[], PortRule]] = {
        "none": lambda: Preserving(first, last),
        "preserving": lambda: Preserving(first, last),
        "preserving-else-random": lambda: PreservingElseRandom(first, last, rng),
        "sequential": lambda: Sequential(first, last, kind.delta, parity=kind.keep_parity, rng=rng),
        "random": lambda: Uniform(first, last, rng),
        "block": lambda: InBlock(first, last, kind.block_ports, rng),
    }
    return rules[kind.allocation]()
