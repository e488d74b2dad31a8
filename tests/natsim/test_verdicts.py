"""A thousand NATs of random parameters: how they choose ports is named right or not at all. And the odds of a spray
of ports are those of mathematics: better ones would be a defect of the laboratory."""

import random
from collections import Counter

import pytest

from tests.bench.bench_traverse import wilson
from tests.natsim.birthday import MAPPINGS, chance, first_hits, successes
from tests.natsim.verdicts import Way, profile, random_kind, right, step_of
from transport.nat.profile import Allocation

NATS = 1_000
TRIALS = 2_000


@pytest.mark.slow
@pytest.mark.parametrize("way", [Way(), Way(jitter_s=0.01, loss=0.02)], ids=["calm", "jitter and loss"])
def test_a_thousand_nats_are_named_right_or_not_at_all(way: Way) -> None:
    named: Counter[tuple[str, str]] = Counter()
    steps: Counter[bool] = Counter()
    for seed in range(NATS):
        rng = random.Random(seed)
        kind = random_kind(rng)
        made = profile(kind, rng, rng.choice((8, 10)), way)
        assert made.allocation in right(kind), (seed, kind, made.evidence)
        if kind.mapping != "address-and-port-dependent":
            # One or two mappings show no rule.
            assert made.allocation in (Allocation.UNKNOWN, Allocation.PRESERVING)
            continue
        named[kind.allocation, made.allocation.value] += 1
        if kind.allocation == "sequential":
            steps[made.delta == step_of(kind)] += 1
    assert steps[True] >= 0.99 * steps.total() and steps.total() > 300
    for allocation in ("sequential", "random", "block"):
        unknown = named[allocation, "unknown"]
        # Ports of a block that happen to rise could be those of an irregular counter.
        assert unknown <= 0.04 * (unknown + named[allocation, allocation]), named


@pytest.mark.slow
def test_ports_meet_mappings_as_often_as_mathematics_says() -> None:
    for (mappings, ports), met in successes(TRIALS).items():
        low, high = wilson(met, TRIALS)
        assert low <= chance(mappings, ports) <= high, (mappings, ports, met)


def test_the_figures_of_the_design_are_those_of_the_formula() -> None:
    for ports, expected in ((174, 0.5), (580, 0.9), (1_024, 0.983), (1_159, 0.99), (2_048, 0.9997)):
        assert chance(256, ports) == pytest.approx(expected, abs=0.001)


def test_more_mappings_are_met_no_later() -> None:
    for seed in range(10):
        met = first_hits(random.Random(seed), ports=512)
        after = [met[wanted] or 513 for wanted in MAPPINGS]
        assert after == sorted(after, reverse=True)
