"""Counters behind ports and what they will do next: against NATs of the simulator, by count and interval."""

import itertools
import random
from collections import Counter as Count
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.bench_traverse import wilson
from tests.natsim.nat import Nat, NatKind
from transport.nat.next_port import Guess, between
from transport.nat.port_allocation import (
    BLOCK_SIZES,
    FIRST_PORT,
    LAST_PORT,
    MAX_STEP,
    MIN_GAP_S,
    ORDERED,
    NewMapping,
    track,
    wrapped,
)

HOST = "192.168.1.20"
OUTSIDE = "203.0.113.1"


def made(ports: list[int], gap_s: float = 0.0) -> list[NewMapping]:
    return [NewMapping(number * gap_s, port, number, True) for number, port in enumerate(ports)]


def counting(rng: random.Random, delta: int, **more: Any) -> Nat:
    kind = NatKind(mapping="address-and-port-dependent", allocation="sequential", delta=delta, **more)
    return Nat(kind, (OUTSIDE,), rng)


def flow(nat: Nat, number: int, now: float, inside: int = 50_000) -> int:
    """The outside port of a new flow."""
    translated = nat.from_inside((HOST, inside), ("192.0.2.1", 1_000 + number), now)
    assert translated is not None
    return translated.source[1]


def asked(
    nat: Nat, count: int, gap_s: float, *, jitter_s: float = 0.0, sockets: int = 1, rng: random.Random
) -> list[NewMapping]:
    """What is seen of flows that leave so far apart, and overtake each other on the way to the NAT."""
    order = sorted((number * gap_s + rng.random() * jitter_s, number) for number in range(count))
    listed = []
    for arrives, number in order:
        inside = 50_000 + number // 2 % sockets
        answered_at = arrives + rng.random() * jitter_s
        listed.append(NewMapping(number * gap_s, flow(nat, number, arrives, inside), number, True, inside, answered_at))
    return listed


def step_of(delta: int, keeps_parity: bool) -> int:
    """What a flow of the same socket moves the counter by."""
    return delta + (1 if delta > 0 else -1) if keeps_parity and delta % 2 else delta


def any_delta(rng: random.Random) -> int:
    return rng.choice([1, -1, 2, -2, rng.randint(1, MAX_STEP), -rng.randint(1, MAX_STEP)])


# -- counters


@pytest.mark.parametrize(
    ("ports", "step"),
    [
        ([4_000, 4_001, 4_002], 1),
        ([4_008, 4_006, 4_004, 4_002, 4_000], -2),
        ([65_534, 65_535, 1_024, 1_025], 1),
        ([1_026, 1_024, 65_534, 65_532], -2),
        ([4_000, 4_002, 4_004, 4_008, 4_010], 2),
        # The range ends at 60,999 and begins at 32,768, which nobody knows here.
        ([60_996, 60_997, 60_998, 60_999, 32_768, 32_769], 1),
        # A stranger, or a port in use.
        ([4_000, 4_001, 4_003, 4_004, 4_009, 4_010, 4_011, 4_012], 1),
        ([4_000, 4_037, 4_074, 4_111], 37),
        ([4_000, 9_000, 4_001, 9_001, 4_002], None),
        ([4_000, 4_001], None),
        ([40_001, 52_847, 19_432, 61_203, 8_847], None),
        ([4_000, 4_065, 4_130, 4_195], None),
        ([4_000] * 8, None),
    ],
)
def test_counters_are_recognised(ports: list[int], step: int | None) -> None:
    counter = track(made(ports))
    assert (counter and counter.step) == step
    if counter:
        assert counter.confidence >= 0.8


def test_a_flow_whose_moment_is_not_known_is_left_out_and_may_have_taken_a_step() -> None:
    ports = [4_000 + 3 * number for number in range(8)]
    seen = made(ports)
    seen[3] = replace(seen[3], first_try=False, port=ports[-1] + 3)
    counter = track(seen)
    assert counter is not None and counter.step == 3
    assert track([one for one in made(ports) if one.order not in (2, 5)]) is not None


def test_packets_that_overtake_each_other_leave_the_counter_but_may_take_its_direction() -> None:
    ports = [4_002, 4_000, 4_003, 4_001, 4_005, 4_004]
    assert track(made(ports)) is None
    answered_at = [replace(one, answered_at=one.port / 1e5) for one in made(ports)]
    counter = track(answered_at)
    assert counter is not None and counter.step == 1
    later = [*made(ports), NewMapping(0.2, 4_007, 6, True)]
    counter = track(later)
    assert counter is not None and counter.step == 1
    # Half a second apart nothing overtakes.
    assert track(made(ports, 0.5)) is None


@pytest.mark.parametrize(("gap_s", "jitter_s", "named"), [(0.0, 0.0, 0.99), (0.1, 0.01, 0.97), (0.0, 0.01, 0.9)])
def test_steps_of_random_counters_are_right_or_unknown(gap_s: float, jitter_s: float, named: float) -> None:
    verdicts: Count[str] = Count()
    for seed in range(250):
        rng = random.Random(seed)
        delta, parity = any_delta(rng), rng.random() < 0.3
        nat = counting(rng, delta, keep_parity=parity, cross_traffic_per_s=rng.uniform(0, 20))
        sockets = rng.choice([1, 1, 2])
        counter = track(asked(nat, 8, gap_s, jitter_s=jitter_s, sockets=sockets, rng=rng))
        right = {step_of(delta, parity)}
        if counter is None:
            verdicts["unknown"] += 1
        else:
            verdicts["right" if counter.step in right else f"wrong: {delta} {parity} {counter}"] += 1
    wrong = [verdict for verdict in verdicts if verdict not in ("right", "unknown")]
    # What is undecidable is claimed with less than certainty.
    assert len(wrong) <= (0.02 * 250 if jitter_s else 0), wrong
    assert verdicts["right"] >= named * 250


def test_ports_at_random_are_no_counter() -> None:
    for seed in range(300):
        rng = random.Random(seed)
        kind = NatKind(
            mapping="address-and-port-dependent",
            allocation=rng.choice(["random", "block"]),
            block_ports=rng.choice(BLOCK_SIZES),
        )
        nat = Nat(kind, (OUTSIDE,), rng)
        assert track(asked(nat, rng.randint(4, 10), 0.0, jitter_s=0.01, rng=rng)) is None


def test_the_rate_of_strangers_is_measured() -> None:
    for rate in (1.0, 5.0, 20.0):
        rates = []
        for seed in range(40):
            rng = random.Random(seed)
            counter = track(asked(counting(rng, 1, cross_traffic_per_s=rate), 12, 0.25, rng=rng))
            assert counter is not None and counter.step == 1
            rates.append(counter.rate_per_s)
        # Forty times 2.75 s of a Poisson process: within four standard errors, and the prior's pull.
        assert abs(sum(rates) / 40 - rate) < 4 * (rate / 110) ** 0.5 + 0.02 * (10 + rate)


@given(
    st.lists(
        st.builds(
            NewMapping,
            st.floats(0, 1e6),
            st.integers(0, 65_535),
            st.integers(0, 20),
            st.booleans(),
            st.integers(0, 65_535),
            st.none() | st.floats(0, 1e6),
        ),
        max_size=10,
    ),
)
def test_whatever_was_seen_there_is_an_answer(seen: list[NewMapping]) -> None:
    counter = track(seen)
    assert counter is None or (1 <= abs(counter.step) <= MAX_STEP + 1 and 0 <= counter.confidence <= 1 + 1e-9)
    assert counter is None or counter.rate_per_s > 0


def is_ranked(guesses: tuple[Guess, ...]) -> bool:
    ports = [one.port for one in guesses]
    return (
        len(set(ports)) == len(ports)
        and all(FIRST_PORT <= port <= LAST_PORT for port in ports)
        and all(a.probability >= b.probability >= 0 for a, b in itertools.pairwise(guesses))
        and sum(one.probability for one in guesses) <= 1 + 1e-9
    )


@given(st.integers(1_024, 65_535), st.sampled_from([1, -1, 2, -2, 7, 64, -64]), st.integers(3, 12))
def test_a_counter_alone_is_recognised(start: int, delta: int, count: int) -> None:
    counter = track(made([wrapped(start + delta * number) for number in range(count)], 0.01))
    if count == 3 and counter is None:
        return  # three ports around the end of the range
    assert counter is not None and counter.step == delta


# -- between two questions


@pytest.mark.parametrize("step", [1, -1, 2, 5, -64])
def test_a_mapping_between_two_questions(step: int) -> None:
    for before in (30_000, 65_535, 1_024, 1_030):
        at = [wrapped(before + step * steps) for steps in range(6)]
        assert between(at[0], at[2], step) == (Guess(at[1], 1.0),)
        assert between(at[2], at[0], step) == (Guess(at[1], 1.0),), "the questions overtook each other"
        outside = {guess.port for guess in between(at[1], at[2], step)}
        assert outside == {at[0], at[3]} == {guess.port for guess in between(at[2], at[1], step)}
        assert {guess.port for guess in between(at[1], at[4], step)[:2]} == {at[2], at[3]}, "one stranger"
        assert between(at[3], None, step)[0].port == at[4]
        assert between(None, at[3], step)[0].port == at[2]
        assert between(None, None, step) == () == between(before, before, step)
        for guesses in (between(at[0], at[5], step), between(at[0], None, step)):
            assert is_ranked(guesses) and sum(guess.probability for guess in guesses) == pytest.approx(1)


def test_a_mapping_between_two_questions_and_strangers_is_among_the_guesses() -> None:
    claimed, right = 0.0, 0
    for seed in range(400):
        rng = random.Random(seed)
        delta, parity = rng.choice([1, -1, 2, -2, 8]), rng.random() < 0.3
        nat = counting(rng, delta, keep_parity=parity, cross_traffic_per_s=20)
        first, middle, last = (flow(nat, number, number * 0.03) for number in range(3))
        guesses = between(first, last, step_of(delta, parity))
        claimed += sum(guess.probability for guess in guesses)
        right += middle in {guess.port for guess in guesses}
    assert right >= 0.98 * 400 and claimed <= 400


@pytest.mark.parametrize("lost", [0, 1, None])
def test_probabilities_between_two_questions_are_what_they_say(lost: int | None) -> None:
    """Three packets 2 ms apart, one time in ten in any order; ``lost``: the answer to the one or the other question."""
    claimed, right, first_claimed, first_right, trials = 0.0, 0, 0.0, 0, 2_000
    for seed in range(trials):
        rng = random.Random(seed)
        delta = rng.choice([1, -1, 2, 5])
        nat = counting(rng, delta, cross_traffic_per_s=10)
        order = [0, 1, 2]
        if rng.random() < 1 - ORDERED:
            rng.shuffle(order)
        flow(nat, 9, 0.0)
        ports = {packet: flow(nat, packet, 1.0 + place * MIN_GAP_S) for place, packet in enumerate(order)}
        before, after = (None if lost == 0 else ports[0]), (None if lost == 1 else ports[2])
        guesses = between(before, after, delta)
        claimed += sum(guess.probability for guess in guesses) / trials
        first_claimed += guesses[0].probability / trials
        right += ports[1] in {guess.port for guess in guesses}
        first_right += ports[1] == guesses[0].port
    low, high = wilson(first_right, trials)
    assert low <= first_claimed <= high
    assert abs(claimed - right / trials) < 0.005
