"""Blocks behind ports, and the order of ports: against draws of chance, by count and interval."""

import itertools
import random
from collections import Counter as Count

from hypothesis import given, settings
from hypothesis import strategies as st

from transport.nat.port_allocation import BLOCK_SIZES, FIRST_PORT, LAST_PORT, PORTS
from transport.nat.port_blocks import BlockEstimate, all_ports, candidate_ports, estimate_block


def estimated(ports: list[int]) -> BlockEstimate:
    estimate = estimate_block(ports)
    assert estimate is not None
    return estimate


def share(estimate: BlockEstimate) -> float:
    """Of all ports, those that the likely block may have."""
    first, last = estimate.reach
    return (last - first + 1) / PORTS


def test_eight_ports_tell_a_block_from_the_full_range() -> None:
    rng = random.Random(1)
    for _ in range(300):
        size = rng.choice(BLOCK_SIZES)
        low = rng.randint(FIRST_PORT, LAST_PORT - size + 1)
        estimate = estimated(rng.sample(range(low, low + size), 8))
        assert low <= estimate.low <= estimate.high < low + size
        assert estimate.likely_size <= 4_096 and share(estimate) < 0.13
        full = estimated(rng.sample(range(FIRST_PORT, LAST_PORT + 1), 8))
        assert full.likely_size == PORTS and share(full) == 1.0


def test_the_size_is_mostly_right_and_the_block_within_reach() -> None:
    rng = random.Random(3)
    right = within = 0
    for _ in range(400):
        size = rng.choice(BLOCK_SIZES)
        low = rng.randint(FIRST_PORT, LAST_PORT - size + 1)
        estimate = estimated(rng.choices(range(low, low + size), k=12))
        right += estimate.likely_size == size
        first, last = estimate.reach
        within += first <= low and low + size - 1 <= last
    assert right > 0.9 * 400 and within > 0.9 * 400


def test_one_port_says_nothing_and_none_even_less() -> None:
    assert estimate_block([]) is None
    estimate = estimated([5_000])
    assert estimate.likely_size == PORTS and share(estimate) == 1.0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(FIRST_PORT, LAST_PORT), min_size=1, max_size=12), st.integers(0, 9))
def test_ports_are_tried_once_each_those_between_the_seen_ones_first(ports: list[int], seed: int) -> None:
    estimate = estimated(ports)
    first, last = estimate.reach
    listed = list(candidate_ports(estimate, random.Random(seed)))
    assert sorted(listed) == list(range(first, last + 1))
    assert len(listed) == round(share(estimate) * PORTS)
    inner = estimate.high - estimate.low + 1
    assert sorted(listed[:inner]) == list(range(estimate.low, estimate.high + 1))
    far = [max(estimate.low - port, port - estimate.high) for port in listed[inner:]]
    assert far == sorted(far)


def test_all_ports_are_every_port_once_in_an_order_of_chance() -> None:
    one, other = list(all_ports(random.Random(1))), list(all_ports(random.Random(2)))
    assert one != other and sorted(one) == sorted(other) == list(range(FIRST_PORT, LAST_PORT + 1))
    assert one == list(all_ports(random.Random(1)))
    # Each port is as likely to be among the first: 1,000 of 64,512 draws for each of 400 seeds, in 8 parts.
    parts: Count[int] = Count()
    for seed in range(400):
        parts.update((port - FIRST_PORT) * 8 // PORTS for port in itertools.islice(all_ports(random.Random(seed)), 100))
    assert all(abs(parts[part] - 5_000) < 5 * 5_000**0.5 for part in range(8))
