import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.path.stats import LOSS_BUCKET_S, LOSS_BUCKETS, Jitter, Loss, RoundTrip, Tally


def test_the_first_sample_is_the_round_trip_and_later_ones_move_it_by_an_eighth() -> None:
    trip = RoundTrip()
    trip.sample(0.1)
    assert (trip.smoothed, trip.variation) == (0.1, 0.05)
    trip.sample(0.18)
    # RFC 6298 §2.3: RTTVAR = 3/4 * 0.05 + 1/4 * |0.1 - 0.18|, then SRTT = 7/8 * 0.1 + 1/8 * 0.18
    assert trip.variation == pytest.approx(0.0575)
    assert trip.smoothed == pytest.approx(0.11)


@given(st.lists(st.floats(-1, 10), min_size=1))
def test_a_round_trip_lies_between_what_was_seen(samples: list[float]) -> None:
    trip = RoundTrip()
    for sample in samples:
        trip.sample(sample)
    seen = [max(0.0, sample) for sample in samples]
    assert trip.smoothed is not None
    assert min(seen) - 1e-9 <= trip.smoothed <= max(seen) + 1e-9


def test_even_arrivals_have_no_jitter_also_where_the_timestamp_wraps() -> None:
    jitter = Jitter()
    for index in range(20):
        jitter.arrived((2**32 - 5 * 960 + index * 960) % 2**32, 10 + index * 0.02)
    assert jitter.value == pytest.approx(0, abs=1e-9)


def test_jitter_settles_at_the_mean_difference() -> None:
    jitter, rng = Jitter(), random.Random(1)
    for index in range(4_000):
        jitter.arrived(index * 960, index * 0.02 + rng.uniform(0, 0.01))
    # The mean distance of two uniform numbers from 0 to 10 ms is 3.3 ms.
    assert jitter.value == pytest.approx(0.0033, rel=0.35)


def test_a_pause_of_the_sender_is_no_jitter() -> None:
    jitter = Jitter()
    jitter.arrived(0, 0.0)
    jitter.arrived(960, 60.0)
    assert jitter.value == 0


def arrivals(loss: Loss, sequences: list[int], start: float = 0.0) -> None:
    for index, sequence in enumerate(sequences):
        loss.arrived(sequence % 2**16, start + index * 0.02)


def test_loss_is_what_is_missing_also_where_the_sequence_wraps() -> None:
    loss = Loss()
    assert loss.share() is None
    arrivals(loss, [65_500 + index for index in range(200) if index % 10])
    assert loss.share() == pytest.approx(0.1, abs=0.01)


def test_reordering_is_no_loss() -> None:
    loss = Loss()
    arrivals(loss, [index ^ 1 for index in range(500)])
    assert loss.share() == pytest.approx(0, abs=0.005)


def test_old_loss_is_forgotten() -> None:
    loss = Loss()
    arrivals(loss, list(range(0, 100, 2)))
    assert loss.share() == pytest.approx(0.5, abs=0.02)
    arrivals(loss, list(range(100, 600)), start=1.0)
    assert loss.share() == 0


def test_a_new_stream_is_no_loss() -> None:
    loss = Loss()
    arrivals(loss, list(range(10)))
    arrivals(loss, list(range(30_000, 30_010)), start=1.0)
    assert loss.share() == 0


@given(st.lists(st.tuples(st.integers(0, 2**16 - 1), st.floats(0, 3))))
def test_loss_is_a_share_whatever_arrives(packets: list[tuple[int, float]]) -> None:
    loss, now = Loss(), 0.0
    for sequence, pause in packets:
        now += pause
        loss.arrived(sequence, now)
        share = loss.share()
        # Nothing but copies and late ones may come for as long as is remembered; before that something is expected.
        assert (share is None and now >= LOSS_BUCKETS * LOSS_BUCKET_S) or (share is not None and 0 <= share <= 1)


@given(st.lists(st.tuples(st.integers(1, 200), st.floats(0, 10))))
def test_a_stream_that_goes_on_always_has_a_share(packets: list[tuple[int, float]]) -> None:
    loss, now, sequence = Loss(), 0.0, 65_000
    for ahead, pause in packets:
        now, sequence = now + pause, (sequence + ahead) % 2**16
        loss.arrived(sequence, now)
        share = loss.share()
        assert share is not None and 0 <= share <= 1


def test_nothing_but_copies_tell_nothing() -> None:
    loss = Loss()
    assert loss.share() is None
    loss.arrived(7, 0.0)
    assert loss.share() == 0
    for second in range(1, LOSS_BUCKETS + 2):
        loss.arrived(7, float(second))
    assert loss.share() is None


def test_a_tally_counts_what_came_and_what_should_have() -> None:
    tally = Tally()
    assert (tally.frames, tally.expected) == (0, 0)
    for index in range(100):
        if index % 10:
            tally.arrived((65_500 + index) % 2**16, index * 0.02)
    assert (tally.frames, tally.expected) == (90, 99)


def test_a_tally_expects_nothing_while_the_path_carries_nothing() -> None:
    tally = Tally()
    for index in range(10):
        tally.arrived(index, index * 0.02)
    for index in range(500, 510):
        tally.arrived(index, index * 0.02)
    assert (tally.frames, tally.expected) == (20, 20)


def test_frames_that_overtake_each_other_are_not_lost() -> None:
    tally = Tally()
    for index in (1, 0, 3, 2, 5, 4):
        tally.arrived(index, index * 0.02)
    assert (tally.frames, tally.expected) == (6, 6)


@given(st.lists(st.tuples(st.integers(0, 2**16 - 1), st.floats(0, 3))))
def test_a_tally_only_grows_and_never_counts_more_than_it_expects(packets: list[tuple[int, float]]) -> None:
    tally, now, before = Tally(), 0.0, 0
    seen: set[int] = set()
    for sequence, pause in packets:
        if sequence in seen:
            continue
        seen.add(sequence)
        now += pause
        tally.arrived(sequence, now)
        assert before <= tally.expected
        assert tally.frames <= tally.expected
        before = tally.expected
