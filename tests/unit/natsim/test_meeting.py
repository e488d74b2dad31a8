"""Which pairs plain hole punching joins: the table that every text on NATs has, found by sending packets."""

import random
from itertools import combinations_with_replacement

import pytest

from tests.natsim.clock import VirtualClock
from tests.natsim.prober import SimBench, meet
from tests.natsim.scenario import Scenario, build, pair
from tests.natsim.scenario_file import load

# From the one that lets most in to the one that lets least in.
OPEN = ("open", "full-cone")
CONES = ("address-restricted", "port-restricted", "linux", "cgn-over-home")
SYMMETRIC = ("symmetric-sequential", "symmetric-random", "block", "linux-random", "symmetric-cgn-over-home")
PAIRS = list(combinations_with_replacement((*OPEN, *CONES, *SYMMETRIC), 2))


def joins(one: str, other: str) -> bool:
    """A symmetric side is reached by nobody first, and its port is news: the other side's filter must look at addresses
    alone, or not at all. Any two others meet."""
    if other not in SYMMETRIC:
        return True
    return one in OPEN or one == "address-restricted"


def met(scenario: Scenario) -> bool:
    world = build(scenario, VirtualClock(), random.Random(1))
    one, other = (
        SimBench(world.clock, side.host, world.stun_server, 20_000 + 10_000 * number)
        for number, side in enumerate(world.sides)
    )
    return meet(one, other)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_the_table(one: str, other: str) -> None:
    assert met(pair(one, other)) is met(pair(other, one)) is joins(one, other)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("same-nat-hairpin", True),
        ("same-nat-no-hairpin", False),
        ("same-cgn-hairpin", True),
        ("same-cgn-no-hairpin", False),
        ("guests-hairpin", True),
        ("udp-blocked", False),
        ("udp-to-relay-only", False),
    ],
)
def test_one_nat_for_both_joins_by_mapped_addresses_where_it_hairpins(name: str, expected: bool) -> None:
    assert met(load(name)) is expected
