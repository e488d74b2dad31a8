"""How often a spray of ports meets open mappings, straight on the tables of two NATs: what mathematics allows.

No phase of the product is in it: that is measured against this. One trial gives every number of mappings and of ports,
as the first ones of more are a trial of their own.
"""

import itertools
import random
from collections.abc import Sequence

from tests.natsim.nat import Nat, NatKind
from transport.nat.port_allocation import PORTS as ALL_PORTS
from transport.nat.port_blocks import all_ports

MAPPINGS = (64, 128, 256)
PORTS = (128, 256, 512, 1_024)
_RANDOM = NatKind(mapping="address-and-port-dependent", allocation="random")
_FIXED = NatKind()
_RANDOM_HOST, _FIXED_HOST = ("192.168.1.20", 40_000), ("192.168.2.20", 50_000)
_RANDOM_IP, _FIXED_IP = "203.0.113.1", "203.0.113.2"


def chance(mappings: int, ports: int) -> float:
    """That one of so many distinct ports leads to one of so many mappings, among the ports that NATs hand out; with
    ports drawn one by one from all of them. As each is tried once, the truth is better by up to 0.3 %."""
    return 1 - (1 - mappings / ALL_PORTS) ** ports


def first_hits(rng: random.Random, mappings: Sequence[int] = MAPPINGS, ports: int = PORTS[-1]) -> dict[int, int | None]:
    """How many ports it took to meet one of the first so many mappings; ``None``: none of ``ports`` did.

    The random side's sockets each send to the fixed side's one address, which their NAT then lets in; the fixed side
    sends from one socket, to one port after the other in an order of chance."""
    random_side, fixed = Nat(_RANDOM, (_RANDOM_IP,), rng), Nat(_FIXED, (_FIXED_IP,), rng)
    anchor = fixed.from_inside(_FIXED_HOST, (_RANDOM_IP, 9), 0.0)
    assert anchor is not None
    opened = {}
    for number in range(max(mappings)):
        inside = (_RANDOM_HOST[0], _RANDOM_HOST[1] + number)
        assert random_side.from_inside(inside, anchor.source, 0.0) is not None
        opened[inside] = number
    met: dict[int, int | None] = dict.fromkeys(mappings)
    for sent, port in enumerate(itertools.islice(all_ports(rng), ports), 1):
        packet = fixed.from_inside(_FIXED_HOST, (_RANDOM_IP, port), 1.0)
        assert packet is not None
        arrived = random_side.from_outside(packet.source, packet.destination, 1.0)
        if arrived is None:
            continue
        number = opened[arrived.destination]
        for wanted in mappings:
            if number < wanted and met[wanted] is None:
                met[wanted] = sent
        if None not in met.values():
            break
    return met


def successes(trials: int, seed: int = 1) -> dict[tuple[int, int], int]:
    """(mappings, ports) → in how many of the trials they met."""
    found = dict.fromkeys(itertools.product(MAPPINGS, PORTS), 0)
    for trial in range(trials):
        met = first_hits(random.Random(seed * 1_000_003 + trial))
        for wanted, ports in found:
            at = met[wanted]
            found[wanted, ports] += at is not None and at <= ports
    return found
