"""The profile that STUN observations show (RFC 4787 §4, RFC 5780): right or ``unknown``, never wrong. Pure.

Everything rests on what STUN servers saw of ONE socket. One server address cannot tell endpoint-independent from
address-dependent mapping, and one mapping says nothing about how ports are chosen, save that it kept ours.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

from transport.ice.stun_client import Observation
from transport.nat.port_allocation import MAX_STEP, NewMapping, randomness, track
from transport.nat.profile import MAX_EVIDENCE, SAW, Allocated, Allocation, Mapping, NatProfile
from transport.net.sockets import Address

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
    return f"{SAW}{addresses.index(one.server[0]) + 1} port {one.server[1]}"


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
