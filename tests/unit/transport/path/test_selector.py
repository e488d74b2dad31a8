import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.path.selector import (
    LAG_FRAMES,
    LOSSY_TRIAL_FRAMES,
    MAX_OVERLAP_S,
    MAX_PARK_S,
    OVERLAP_S,
    PARK_S,
    RTT_MARGIN_S,
    TRIAL_ECHOES,
    TRIAL_FRAMES,
    TRIAL_LASTS_S,
    TRIAL_S,
    PathEvaluation,
    Seen,
    Verdict,
    is_better,
    overlap_s,
    park_s,
)

RELAY, DIRECT = Seen("relay", 0.080), Seen("direct", 0.020)


def test_direct_comes_before_relayed_unless_it_is_slower_by_the_margin() -> None:
    assert is_better(DIRECT, RELAY) and not is_better(RELAY, DIRECT)
    assert is_better(Seen("direct", 0.080 + RTT_MARGIN_S), RELAY)
    assert not is_better(Seen("direct", 0.081 + RTT_MARGIN_S), RELAY)
    assert is_better(Seen("direct", None), RELAY) and is_better(DIRECT, Seen("relay", None))


def test_of_two_of_a_kind_the_faster_one_is_better_beyond_the_hysteresis() -> None:
    assert is_better(Seen("direct", 0.010), DIRECT)
    assert not is_better(Seen("direct", 0.016), DIRECT)
    assert not is_better(Seen("direct", None), DIRECT)


SEEN = st.builds(Seen, st.sampled_from(["relay", "direct"]), st.one_of(st.none(), st.floats(0, 2)))


@given(SEEN, SEEN)
def test_two_paths_are_never_each_better_than_the_other(one: Seen, other: Seen) -> None:
    assert not (is_better(one, other) and is_better(other, one))


def test_the_overlap_lets_the_jitter_buffer_grow() -> None:
    assert overlap_s(0.0) == overlap_s(-0.2) == OVERLAP_S
    # 50 ms at 5 % take a second.
    assert overlap_s(0.05) == pytest.approx(1.4)
    assert overlap_s(60.0) == MAX_OVERLAP_S


def test_a_path_that_fails_rests_twice_as_long_each_time() -> None:
    assert [park_s(failures) for failures in (1, 2, 3)] == [PARK_S, 2 * PARK_S, 4 * PARK_S]
    assert park_s(1_000) == MAX_PARK_S


def talking() -> PathEvaluation:
    trial = PathEvaluation(1, 0, 0.0, talking=True)
    trial.report({0: (100, 100), 1: (1, 1)})
    return trial


def verdict(trial: PathEvaluation, now: float, candidate: Seen = DIRECT) -> Verdict:
    return trial.verdict(candidate, RELAY, now)


def test_a_clean_path_passes_after_300_ms_and_15_frames() -> None:
    trial = talking()
    trial.report({0: (114, 114), 1: (15, 15)})
    assert verdict(trial, 1.0) is Verdict.GOING, "14 frames since the first report"
    trial.report({0: (115, 115), 1: (16, 16)})
    assert verdict(trial, TRIAL_S - 0.01) is Verdict.GOING
    assert verdict(trial, TRIAL_S) is Verdict.PASSED
    assert TRIAL_FRAMES == 15


def test_nothing_is_passed_without_a_count_of_the_peer() -> None:
    trial = PathEvaluation(1, 0, 0.0, talking=True)
    for _ in range(100):
        trial.echoed(1)
    assert verdict(trial, TRIAL_LASTS_S - 0.01) is Verdict.GOING
    assert verdict(trial, TRIAL_LASTS_S) is Verdict.FAILED


def test_a_path_that_has_fallen_behind_in_the_count_does_not_pass() -> None:
    trial = talking()
    trial.report({0: (120 + LAG_FRAMES, 120 + LAG_FRAMES), 1: (18, 18)})
    assert verdict(trial, 1.0) is Verdict.GOING


def test_a_path_that_loses_takes_longer_and_must_lose_no_more_than_the_other() -> None:
    trial = talking()
    trial.report({0: (120, 120), 1: (20, 21)})
    assert verdict(trial, 1.0) is Verdict.GOING
    count = LOSSY_TRIAL_FRAMES + 1
    trial.report({0: (100 + count - 8, 100 + count), 1: (count - 8, count + 1)})
    assert verdict(trial, 1.6) is Verdict.PASSED
    worse = talking()
    worse.report({0: (100 + count, 100 + count), 1: (count - 8, count + 1)})
    assert verdict(worse, 1.6) is Verdict.GOING


def test_a_slow_path_does_not_pass_however_clean() -> None:
    trial = talking()
    trial.report({0: (200, 200), 1: (101, 101)})
    assert verdict(trial, 1.0, Seen("direct", 0.2)) is Verdict.GOING
    assert verdict(trial, 1.0, Seen("direct", None)) is Verdict.GOING


def test_in_silence_echoes_pass_a_path_until_somebody_talks() -> None:
    trial = PathEvaluation(1, 0, 0.0, talking=False)
    for _ in range(TRIAL_ECHOES - 1):
        trial.echoed(1)
    trial.echoed(0)
    assert verdict(trial, 1.0) is Verdict.GOING
    trial.echoed(1)
    assert verdict(trial, 1.0) is Verdict.PASSED
    trial.talk(1.0)
    assert verdict(trial, 1.5) is Verdict.GOING


COUNTS = st.dictionaries(st.integers(0, 3), st.tuples(st.integers(0, 2**53), st.integers(0, 2**53)))


@given(st.lists(COUNTS), st.booleans(), SEEN, SEEN)
def test_whatever_the_peer_counts_there_is_a_verdict_in_time(
    counts: list[dict[int, tuple[int, int]]], is_talking: bool, candidate: Seen, other: Seen
) -> None:
    trial = PathEvaluation(1, 0, 0.0, talking=is_talking)
    for count in counts:
        trial.report(count)
    assert trial.verdict(candidate, other, TRIAL_LASTS_S) is not Verdict.GOING
