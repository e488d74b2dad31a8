"""Which ports a random NAT may map to, from those that it did: a carrier's block, and the order to try its ports in.

Pure functions.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

from transport.nat.port_allocation import BLOCK_SIZES, FIRST_PORT, LAST_PORT, PORTS


@dataclass(frozen=True, slots=True)
class BlockEstimate:
    """``low`` and ``high``: lowest and highest port seen. ``likely_size``: ports of the likeliest block, the full
    range's where no block is likely."""

    low: int
    high: int
    likely_size: int

    @property
    def reach(self) -> tuple[int, int]:
        """Lowest and highest port that the likely block may have."""
        return max(FIRST_PORT, self.high - self.likely_size + 1), min(LAST_PORT, self.low + self.likely_size - 1)


def estimate_block(ports: Iterable[int]) -> BlockEstimate | None:
    """From ports of different mappings of one host (those that come again count once); ``None`` without any."""
    seen = sorted(set(ports))
    if not seen:
        return None
    count, low, high = len(seen), seen[0], seen[-1]
    window = high - low + 1
    # Each size's likelihood: its places around what was seen, among all ports, times each port's probability.
    fitting = [size for size in (*BLOCK_SIZES, PORTS) if size >= window and count > 1]
    likely = max(
        fitting,
        key=lambda size: math.log((size - window + 1) / size) - (count - 1) * math.log(size),
        default=PORTS,
    )
    return BlockEstimate(low, high, likely)


def shuffled(first: int, last: int, rng: Random) -> Iterator[int]:
    """Each of these ports once, in random order, drawn as they are asked for (Fisher and Yates, kept sparse)."""
    moved: dict[int, int] = {}
    for place in range(last - first + 1):
        chosen = rng.randrange(place, last - first + 1)
        yield first + moved.get(chosen, chosen)
        moved[chosen] = moved.pop(place, place)


def all_ports(rng: Random) -> Iterator[int]:
    """Every port that NATs hand out once, in random order."""
    return shuffled(FIRST_PORT, LAST_PORT, rng)


def candidate_ports(estimate: BlockEstimate, rng: Random) -> Iterator[int]:
    """Ports of the likely block, each once: between those seen in random order, then outwards on both sides in turn,
    as a block is the less likely to reach a port the farther away that is."""
    yield from shuffled(estimate.low, estimate.high, rng)
    first, last = estimate.reach
    below, above = range(estimate.low - 1, first - 1, -1), range(estimate.high + 1, last + 1)
    for pair in itertools.zip_longest(below, above):
        yield from (port for port in pair if port is not None)
