"""How often a spray of doors meets open mappings, straight on the tables of two NATs: what mathematics allows.

No phase of the product is in it: that is measured against this. One trial gives every number of mappings and of doors,
as the first ones of more are a trial of their own.
"""

import itertools
import random
from collections.abc import Sequence

from tests.natsim.nat import Nat, NatKind
from transport.nat.port_allocation import PORTS
from transport.nat.port_blocks import all_ports

MAPPINGS = (64, 128, 256)
DOORS = (128, 256, 512, 1_024)
_HARD = NatKind(mapping="address-and-port-dependent", allocation="random")
_EASY = NatKind()
_HARD_HOST, _EASY_HOST = ("192.168.1.20", 40_000), ("192.168.2.20", 50_000)
_HARD_IP, _EASY_IP = "203.0.113.1", "203.0.113.2"


def chance(mappings: int, doors: int) -> float:
    """That one of so many distinct doors leads to one of so many mappings, among the ports that NATs hand out; with
    doors drawn one by one from all of them. As each is tried once, the truth is better by up to 0.3 %."""
    return 1 - (1 - mappings / PORTS) ** doors


def first_hits(rng: random.Random, mappings: Sequence[int] = MAPPINGS, doors: int = DOORS[-1]) -> dict[int, int | None]:
    """How many doors it took to meet one of the first so many mappings; ``None``: none of ``doors`` did.

    The hard side's sockets each send to the easy side's one address, which their NAT then lets in; the easy side
    knocks from one socket, at one door after the other in an order of chance."""
    hard, easy = Nat(_HARD, (_HARD_IP,), rng), Nat(_EASY, (_EASY_IP,), rng)
    anchor = easy.from_inside(_EASY_HOST, (_HARD_IP, 9), 0.0)
    assert anchor is not None
    opened = {}
    for number in range(max(mappings)):
        inside = (_HARD_HOST[0], _HARD_HOST[1] + number)
        assert hard.from_inside(inside, anchor.source, 0.0) is not None
        opened[inside] = number
    met: dict[int, int | None] = dict.fromkeys(mappings)
    for knocked, door in enumerate(itertools.islice(all_ports(rng), doors), 1):
        packet = easy.from_inside(_EASY_HOST, (_HARD_IP, door), 1.0)
        assert packet is not None
        arrived = hard.from_outside(packet.source, packet.destination, 1.0)
        if arrived is None:
            continue
        number = opened[arrived.destination]
        for wanted in mappings:
            if number < wanted and met[wanted] is None:
                met[wanted] = knocked
        if None not in met.values():
            break
    return met


def successes(trials: int, seed: int = 1) -> dict[tuple[int, int], int]:
    """(mappings, doors) → in how many of the trials they met."""
    found = dict.fromkeys(itertools.product(MAPPINGS, DOORS), 0)
    for trial in range(trials):
        met = first_hits(random.Random(seed * 1_000_003 + trial))
        for wanted, doors in found:
            at = met[wanted]
            found[wanted, doors] += at is not None and at <= doors
    return found
