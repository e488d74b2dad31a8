"""transport.traversal.relay_guard: what is worse than before counts, what was so before does not."""

import random

from hypothesis import given
from hypothesis import strategies as st

from transport.traversal.relay_guard import RelayGuard

finite = st.floats(0, 10, allow_nan=False)


def test_a_round_trip_that_grows_under_load_is_trouble() -> None:
    guard = RelayGuard()
    assert not guard.is_worse(0.08, 0.002, 0.01, is_busy=False)
    assert not guard.is_worse(0.09, 0.002, 0.01, is_busy=True), "no more than it may vary"
    assert guard.is_worse(0.11, 0.002, 0.01, is_busy=True)


def test_loss_that_grows_under_load_is_trouble() -> None:
    guard = RelayGuard()
    guard.is_worse(0.08, 0.002, 0.10, is_busy=False)
    assert not guard.is_worse(0.08, 0.002, 0.12, is_busy=True), "it was as bad before"
    assert guard.is_worse(0.08, 0.002, 0.14, is_busy=True)


def test_a_leg_that_varies_by_itself_is_not_blamed_on_us() -> None:
    guard = RelayGuard()
    guard.is_worse(0.2, 0.05, None, is_busy=False)
    assert not guard.is_worse(0.38, 0.05, None, is_busy=True)
    assert guard.is_worse(0.41, 0.05, None, is_busy=True)


def test_what_begins_before_anything_was_measured_has_its_first_measurement_as_the_measure() -> None:
    guard = RelayGuard()
    assert not guard.is_worse(0.5, 0.1, 0.2, is_busy=True)
    assert guard.is_worse(1.0, 0.1, 0.2, is_busy=True)


@given(st.lists(st.tuples(finite, finite, st.none() | st.floats(0, 1), st.booleans())))
def test_nothing_upsets_it(seen: list[tuple[float, float, float | None, bool]]) -> None:
    guard = RelayGuard()
    for rtt_s, variation_s, loss, is_busy in seen:
        assert not guard.is_worse(rtt_s, variation_s, loss, is_busy=is_busy) or is_busy


def test_an_ordinary_leg_raises_no_alarm() -> None:
    rng = random.Random(1)
    alarms = 0
    for _ in range(300):
        guard, smoothed, variation = RelayGuard(), 0.1, 0.05
        for step in range(80):
            sample = 0.1 + rng.uniform(0, 0.02)
            variation += (abs(smoothed - sample) - variation) / 4
            smoothed += (sample - smoothed) / 8
            alarms += guard.is_worse(smoothed, variation, 0.01, is_busy=step >= 40)
    assert alarms == 0
