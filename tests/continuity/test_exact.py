"""Every sample index once and in order, through both chains and both rings, and a checker that would notice."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.format import FRAME_SAMPLES, SAMPLE_RATE_HZ
from tests.continuity.channel import Talk, talk
from tests.continuity.exact import FIRST, IndexDecoder, IndexEncoder, check, numbered

# Seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow

MINUTE = 60 * SAMPLE_RATE_HZ


def _numbered_talk(delay, samples=MINUTE, **options) -> Talk:  # type: ignore[no-untyped-def]
    return talk(numbered(FIRST, samples), IndexEncoder(), IndexDecoder(), delay, **options)


@pytest.mark.parametrize("one_way_s", [0.0, 0.005, 0.060, 0.350])
@pytest.mark.parametrize("phase_s", [0.0, 0.0099, 0.0199])
def test_constant_delay_is_exact(one_way_s: float, phase_s: float) -> None:
    samples = MINUTE if phase_s == 0 else 5 * SAMPLE_RATE_HZ
    result = _numbered_talk(lambda _: [one_way_s], samples, speaker_phase_s=phase_s)
    report = check(result.recording)
    assert report.exact, report.faults
    assert report.first == FIRST
    assert report.samples == samples
    stats = result.stats
    assert stats.frames_lost == stats.frames_late == stats.frames_duplicate == 0
    assert stats.samples_concealed == stats.samples_stretched == stats.underruns == stats.overruns == 0
    assert stats.samples_played == report.samples
    # From the first sample captured to the first one played: the figure of DESIGN §8.
    assert result.first_sample_at is not None
    assert result.first_sample_at <= one_way_s + 0.100 + 1e-9


def test_the_first_sample_is_played_within_100_ms_of_the_path() -> None:
    rng = random.Random(11)
    waits = []
    for _ in range(50):
        one_way_s = rng.uniform(0.001, 0.2)
        result = _numbered_talk(lambda _, one_way_s=one_way_s: [one_way_s], 9_600, speaker_phase_s=rng.uniform(0, 0.02))
        assert result.first_sample_at is not None
        waits.append(result.first_sample_at - one_way_s)
    # From the accept on: the microphone runs already, so a whole frame of the talk takes up to 20 ms more than here.
    waits = sorted(wait + rng.uniform(0, 0.02) for wait in waits)
    assert waits[47] <= 0.100


def test_small_jitter_is_exact() -> None:
    rng = random.Random(7)
    result = _numbered_talk(lambda _: [0.030 + rng.uniform(0, 0.018)])
    report = check(result.recording)
    assert report.exact, report.faults
    assert report.samples == MINUTE
    assert result.stats.samples_concealed == result.stats.samples_stretched == 0


def test_reordering_within_the_buffer_is_exact() -> None:
    result = _numbered_talk(lambda number: [0.050 if number % 5 else 0.074], 10 * SAMPLE_RATE_HZ)
    report = check(result.recording)
    assert report.exact, report.faults
    assert result.stats.frames_late == 0


def test_one_lost_packet_is_noticed() -> None:
    result = _numbered_talk(lambda number: [] if number == 1_500 else [0.040])
    report = check(result.recording)
    assert not report.exact
    (fault,) = report.faults
    assert fault.kind == "invented"
    assert fault.expected == FIRST + 1_500 * FRAME_SAMPLES
    assert fault.found == FIRST + 1_501 * FRAME_SAMPLES
    assert result.stats.frames_lost == 1
    assert result.stats.samples_concealed == FRAME_SAMPLES


def test_a_lost_sample_on_the_capture_side_is_noticed() -> None:
    source = np.delete(numbered(FIRST, 2 * SAMPLE_RATE_HZ), 30_000)[: 99 * FRAME_SAMPLES]
    report = check(talk(source, IndexEncoder(), IndexDecoder(), lambda _: [0.02]).recording)
    assert [fault.kind for fault in report.faults] == ["invented"]


def test_second_copies_on_another_path_change_nothing() -> None:
    result = _numbered_talk(lambda number: [0.060, 0.010] if number % 3 else [0.030, 0.030], 10 * SAMPLE_RATE_HZ)
    report = check(result.recording)
    assert report.exact, report.faults
    assert report.samples == 10 * SAMPLE_RATE_HZ
    assert result.stats.frames_duplicate == 500
    assert result.stats.samples_concealed == result.stats.samples_stretched == 0


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lambda s: np.delete(s, 5_000), "missing"),
        (lambda s: np.delete(s, np.s_[4_800:5_760]), "missing"),
        (lambda s: np.insert(s, 5_001, s[5_000]), "repeated"),
        (lambda s: np.concatenate((s[:5_760], s[4_800:])), "repeated"),
        (lambda s: np.concatenate((s[:4_800], np.zeros(960, np.int16), s[4_800:])), "silence"),
        (lambda s: np.concatenate((s[:4_800], np.zeros(960, np.int16), s[5_760:])), "silence"),
        (lambda s: np.concatenate((s[:5_000], s[5_000:5_001] + 1, s[5_001:])), "foreign"),
    ],
)
def test_the_checker_finds_each_kind_of_fault(spoil, kind: str) -> None:  # type: ignore[no-untyped-def]
    clean = numbered(FIRST, 10_000)
    assert check(clean).exact
    report = check(spoil(clean))
    assert not report.exact
    assert kind in {fault.kind for fault in report.faults}


@given(st.integers(FIRST, 2**31), st.integers(8, 5_000), st.integers(0, 300), st.integers(0, 300))
def test_the_checker_finds_its_signal_anywhere(first: int, count: int, before: int, after: int) -> None:
    recording = np.concatenate((np.zeros(before, np.int16), numbered(first, count), np.zeros(after, np.int16)))
    report = check(recording)
    assert report.exact
    # A zero at the very edge may belong to the signal or to the silence beside it.
    assert abs(count - report.samples) <= 2
    assert report.first is not None
    assert abs(report.first - first) <= 1


@settings(max_examples=300)
@given(st.integers(0, 9_999), st.integers(-32_768, 32_767))
def test_no_changed_sample_escapes_the_checker(at: int, value: int) -> None:
    spoilt = numbered(FIRST, 10_000)
    if spoilt[at] == value:
        return
    spoilt[at] = value
    report = check(spoilt)
    assert not report.exact or report.samples != 10_000


def test_noise_and_silence_are_not_exact() -> None:
    noise = np.random.default_rng(3).integers(-20_000, 20_000, 48_000).astype(np.int16)
    assert not check(noise).exact
    assert not check(np.zeros(48_000, np.int16)).exact
