"""NATs of random parameters, asked by the product's own questions: what is concluded of how they choose ports.

Straight on :class:`~tests.natsim.nat.Nat`, without a network around it, so that a thousand take seconds: packets of
one socket are delayed, overtake each other and are lost on either side of the NAT.
"""

import heapq
import itertools
import random
from dataclasses import dataclass, replace

from tests.natsim.nat import Allocation as Allocated
from tests.natsim.nat import Dependence, Nat, NatKind
from transport.ice.pacing import Budget, PacketBudget
from transport.ice.stun_client import StunClient
from transport.nat.classification import classify
from transport.nat.profile import Allocation, NatProfile
from transport.nat.profiler import SPREAD_S
from transport.net.sockets import Address
from transport.wire import stun

HOST = "192.168.1.20"
OUTSIDE = "203.0.113.1"
SERVER_IPS = ("192.0.2.1", "192.0.2.2")
FIRST_SERVER_PORT = 3_478
BUDGET = Budget(packets=100, packets_per_second=1_000, sockets=1, seconds=5.0)
# Everybody's ports, IANA's dynamic ones, Linux' local ones, and what a NAT may have been given.
RANGES = ((1_024, 65_535), (1_024, 65_535), (49_152, 65_535), (32_768, 60_999), (10_000, 29_999))
MAX_DELTA = 64


@dataclass(frozen=True, slots=True)
class Way:
    """From the host to the NAT and on to the servers: each way so much delay, jitter and loss on either side."""

    delay_s: float = 0.02
    jitter_s: float = 0.0
    loss: float = 0.0


def random_kind(rng: random.Random) -> NatKind:
    """Any NAT but one without translation, with 0 to 20 strangers' flows a second behind it."""
    mappings: tuple[Dependence, ...] = ("endpoint-independent", "address-dependent", "address-and-port-dependent")
    [mapping] = rng.choices(mappings, (1, 1, 6))
    first, last = rng.choice(RANGES)
    kind = NatKind(mapping=mapping, first_port=first, last_port=last, cross_traffic_per_s=rng.uniform(0, 20))
    match rng.choices(("sequential", "random", "block", "preserving", "linux"), (5, 2, 2, 1, 1)):
        case ["sequential"]:
            size = rng.choice((1, 2, rng.randint(1, MAX_DELTA)))
            delta, parity = rng.choice((size, -size)), rng.random() < 0.2
            return replace(kind, allocation="sequential", delta=delta, keep_parity=parity)
        case ["random"]:
            return replace(kind, allocation="random")
        case ["block"]:
            return replace(kind, allocation="block", block_ports=rng.randint(512, 4_096))
        case ["preserving"]:
            # With our port out of its range it would preserve nothing.
            everything = replace(kind, first_port=1_024, last_port=65_535)
            return replace(everything, allocation=rng.choice(("preserving", "preserving-else-random")))
    both: Dependence = "address-and-port-dependent"
    allocation: Allocated = rng.choice(("preserving-else-random", "random"))
    return replace(kind, mapping=both, allocation=allocation, is_conntrack=True)


def right(kind: NatKind) -> set[Allocation]:
    """What may be concluded of it. ``preserving-else-random`` is random for a socket's second mapping, where that has
    to be another one: so both names are right."""
    if kind.allocation == "preserving-else-random":
        return {Allocation.UNKNOWN, Allocation.PRESERVING, Allocation.RANDOM}
    return {Allocation.UNKNOWN, Allocation(kind.allocation)}


def step_of(kind: NatKind) -> int:
    """From one flow of a socket to its next, where nobody comes in between."""
    if kind.keep_parity and kind.delta % 2:
        return kind.delta + (1 if kind.delta > 0 else -1)
    return kind.delta


def profile(kind: NatKind, rng: random.Random, endpoints: int, way: Way) -> NatProfile:
    """One socket asks so many STUN endpoints, by port and then address, as the profiler does."""
    nat = Nat(kind, (OUTSIDE,), rng)
    local = (HOST, rng.randint(32_768, 60_999))
    # Whoever was there before has left his mark on the counter.
    start = rng.uniform(1, 20)
    nat.from_inside((HOST, 1_234), (SERVER_IPS[0], 9), 0.0)
    servers = [(SERVER_IPS[number % 2], FIRST_SERVER_PORT + number // 2) for number in range(endpoints)]
    queries = StunClient(1, servers, PacketBudget(BUDGET), rng, start, spread_s=SPREAD_S)
    number = itertools.count()
    waiting: list[tuple[float, int, bool, Address, bytes]] = []

    def later(now: float, answer: bool, server: Address, data: bytes) -> None:
        if rng.random() >= way.loss:
            arrives = now + way.delay_s / 2 + rng.random() * way.jitter_s
            heapq.heappush(waiting, (arrives, next(number), answer, server, data))

    while not queries.done:
        due = queries.next_deadline()
        if waiting and (due is None or waiting[0][0] <= due):
            now, _, answer, server, data = heapq.heappop(waiting)
            if answer:
                queries.received(server, data, now)
            elif (translated := nat.from_inside(local, server, now)) is not None:
                asked = stun.parse(data)
                later(now, True, server, stun.binding_success(asked, translated.source))
        elif due is not None:
            for sent in queries.timer(due):
                later(due, False, sent.destination, sent.data)
    return classify(queries.observations, local, (HOST,), start)
