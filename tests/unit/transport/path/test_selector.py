import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.path.path import Path
from transport.path.selector import (
    BACKOFF_S,
    EVALUATION_ECHOES,
    EVALUATION_FRAMES,
    EVALUATION_S,
    LAG_FRAMES,
    LOSSY_EVALUATION_FRAMES,
    MAX_BACKOFF_S,
    MAX_EVALUATION_S,
    MAX_OVERLAP_S,
    OVERLAP_S,
    RTT_MARGIN_S,
    PathEvaluation,
    PathMetrics,
    PathVerdict,
    backoff_s,
    is_better,
    overlap_s,
)
from transport.path.stats import PathKind

RELAY, DIRECT = PathMetrics("relay", 0.080), PathMetrics("direct", 0.020)


def test_direct_comes_before_relayed_unless_it_is_slower_by_the_margin() -> None:
    assert is_better(DIRECT, RELAY) and not is_better(RELAY, DIRECT)
    assert is_better(PathMetrics("direct", 0.080 + RTT_MARGIN_S), RELAY)
    assert not is_better(PathMetrics("direct", 0.081 + RTT_MARGIN_S), RELAY)
    assert is_better(PathMetrics("direct", None), RELAY) and is_better(DIRECT, PathMetrics("relay", None))


def test_of_two_of_a_kind_the_faster_one_is_better_beyond_the_hysteresis() -> None:
    assert is_better(PathMetrics("direct", 0.010), DIRECT)
    assert not is_better(PathMetrics("direct", 0.016), DIRECT)
    assert not is_better(PathMetrics("direct", None), DIRECT)


METRICS = st.builds(PathMetrics, st.sampled_from(["relay", "direct"]), st.one_of(st.none(), st.floats(0, 2)))


@given(METRICS, METRICS)
def test_two_paths_are_never_each_better_than_the_other(one: PathMetrics, other: PathMetrics) -> None:
    assert not (is_better(one, other) and is_better(other, one))


def test_the_overlap_lets_the_jitter_buffer_grow() -> None:
    assert overlap_s(0.0) == overlap_s(-0.2) == OVERLAP_S
    # 50 ms at 5 % take a second.
    assert overlap_s(0.05) == pytest.approx(1.4)
    assert overlap_s(60.0) == MAX_OVERLAP_S


def test_a_path_that_fails_is_left_alone_twice_as_long_each_time() -> None:
    assert [backoff_s(failures) for failures in (1, 2, 3)] == [BACKOFF_S, 2 * BACKOFF_S, 4 * BACKOFF_S]
    assert backoff_s(1_000) == MAX_BACKOFF_S


def path(number: int, kind: PathKind, rtt_s: float | None) -> Path:
    made = Path(number, kind, "relay" if kind == "relay" else "punch", ("192.0.2.1", 7851))
    if rtt_s is not None:
        made.measured.round_trip.sample(rtt_s)
    return made


def evaluate(*, talking: bool, rtt_s: float | None = 0.020) -> PathEvaluation:
    """A direct path against the relay, which has a round trip of 80 ms."""
    return PathEvaluation(path(1, "direct", rtt_s), path(0, "relay", 0.080), 0.0, talking=talking)


def talking(rtt_s: float | None = 0.020) -> PathEvaluation:
    evaluation = evaluate(talking=True, rtt_s=rtt_s)
    evaluation.report({0: (100, 100), 1: (1, 1)})
    return evaluation


def test_a_clean_path_passes_after_300_ms_and_15_frames() -> None:
    evaluation = talking()
    evaluation.report({0: (114, 114), 1: (15, 15)})
    assert evaluation.verdict(1.0) is PathVerdict.PENDING, "14 frames since the first report"
    evaluation.report({0: (115, 115), 1: (16, 16)})
    assert evaluation.verdict(EVALUATION_S - 0.01) is PathVerdict.PENDING
    assert evaluation.verdict(EVALUATION_S) is PathVerdict.PASSED
    assert EVALUATION_FRAMES == 15


def test_nothing_is_passed_without_a_count_of_the_peer() -> None:
    evaluation = evaluate(talking=True)
    for _ in range(100):
        evaluation.echoed(evaluation.candidate)
    assert evaluation.verdict(MAX_EVALUATION_S - 0.01) is PathVerdict.PENDING
    assert evaluation.verdict(MAX_EVALUATION_S) is PathVerdict.FAILED


def test_a_path_that_has_fallen_behind_in_the_count_does_not_pass() -> None:
    evaluation = talking()
    evaluation.report({0: (120 + LAG_FRAMES, 120 + LAG_FRAMES), 1: (18, 18)})
    assert evaluation.verdict(1.0) is PathVerdict.PENDING


def test_a_path_that_loses_takes_longer_and_must_lose_no_more_than_the_other() -> None:
    evaluation = talking()
    evaluation.report({0: (120, 120), 1: (20, 21)})
    assert evaluation.verdict(1.0) is PathVerdict.PENDING
    count = LOSSY_EVALUATION_FRAMES + 1
    evaluation.report({0: (100 + count - 8, 100 + count), 1: (count - 8, count + 1)})
    assert evaluation.verdict(1.6) is PathVerdict.PASSED
    worse = talking()
    worse.report({0: (100 + count, 100 + count), 1: (count - 8, count + 1)})
    assert worse.verdict(1.6) is PathVerdict.PENDING


@pytest.mark.parametrize("rtt_s", [0.2, None])
def test_a_slow_path_does_not_pass_however_clean(rtt_s: float | None) -> None:
    evaluation = talking(rtt_s)
    evaluation.report({0: (200, 200), 1: (101, 101)})
    assert evaluation.verdict(1.0) is PathVerdict.PENDING


def test_in_silence_echoes_pass_a_path_until_somebody_talks() -> None:
    evaluation = evaluate(talking=False)
    for _ in range(EVALUATION_ECHOES - 1):
        evaluation.echoed(evaluation.candidate)
    evaluation.echoed(evaluation.other)
    assert evaluation.verdict(1.0) is PathVerdict.PENDING
    evaluation.echoed(evaluation.candidate)
    assert evaluation.verdict(1.0) is PathVerdict.PASSED
    evaluation.talk(1.0)
    assert evaluation.verdict(1.5) is PathVerdict.PENDING


COUNTS = st.dictionaries(st.integers(0, 3), st.tuples(st.integers(0, 2**53), st.integers(0, 2**53)))


@given(st.lists(COUNTS), st.booleans(), METRICS, METRICS)
def test_whatever_the_peer_counts_there_is_a_verdict_in_time(
    counts: list[dict[int, tuple[int, int]]], is_talking: bool, candidate: PathMetrics, other: PathMetrics
) -> None:
    paths = path(1, candidate.kind, candidate.rtt_s), path(0, other.kind, other.rtt_s)
    evaluation = PathEvaluation(*paths, 0.0, talking=is_talking)
    for count in counts:
        evaluation.report(count)
    assert evaluation.verdict(MAX_EVALUATION_S) is not PathVerdict.PENDING
