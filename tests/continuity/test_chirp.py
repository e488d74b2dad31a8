"""Opus through both chains, judged every 10 ms; and a judge that hears a hole, a doubled frame and a joint."""

import random
from collections.abc import Callable

import numpy as np
import pytest

from media.codec import OpusDecoder, OpusEncoder
from media.format import FRAME_SAMPLES, Pcm
from tests.continuity.channel import Talk, talk
from tests.continuity.chirp import LEAST_LIKENESS, chirps, compare, compare_around

# Seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow

SECONDS = 7.0
PLACE = 150 * FRAME_SAMPLES


def opus_talk(delay) -> Talk:  # type: ignore[no-untyped-def]
    return talk(chirps(SECONDS), OpusEncoder(), OpusDecoder(), delay)


@pytest.fixture(scope="module")
def clean() -> Pcm:
    return opus_talk(lambda _: [0.04]).recording


def test_opus_on_a_constant_path_is_continuous(clean: Pcm) -> None:
    report = compare(chirps(SECONDS), clean)
    assert report.continuous, report.worst
    assert report.least > LEAST_LIKENESS + 0.1
    assert report.blocks > 600


def test_opus_on_a_jittery_path_is_continuous() -> None:
    rng = random.Random(3)
    report = compare(chirps(SECONDS), opus_talk(lambda _: [0.03 + rng.uniform(0, 0.018)]).recording)
    assert report.continuous, report.worst


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pcm: np.delete(pcm, np.s_[PLACE : PLACE + FRAME_SAMPLES]),
        lambda pcm: np.insert(pcm, PLACE, pcm[PLACE - FRAME_SAMPLES : PLACE]),
        lambda pcm: np.concatenate((pcm[:PLACE], np.zeros(FRAME_SAMPLES, np.int16), pcm[PLACE + FRAME_SAMPLES :])),
        lambda pcm: np.concatenate((pcm[:PLACE], pcm[PLACE - FRAME_SAMPLES : PLACE], pcm[PLACE + FRAME_SAMPLES :])),
        lambda pcm: np.delete(pcm, np.s_[PLACE : PLACE + 48]),
    ],
    ids=["frame missing", "frame doubled", "frame silent", "frame replaced by the one before", "a millisecond missing"],
)
def test_the_judge_hears_it(clean: Pcm, spoil: Callable[[Pcm], Pcm]) -> None:
    report = compare(chirps(SECONDS), spoil(clean))
    assert not report.continuous
    assert report.least < 0.5


def test_the_judge_hears_a_hole_and_a_doubled_frame_before_the_codec() -> None:
    source = chirps(SECONDS)
    for spoilt in (
        np.delete(source, np.s_[PLACE : PLACE + FRAME_SAMPLES]),
        np.insert(source, PLACE, source[PLACE - FRAME_SAMPLES : PLACE])[: source.size],
    ):
        result = talk(spoilt, OpusEncoder(), OpusDecoder(), lambda _: [0.04])
        assert not compare(source, result.recording).continuous


def test_lost_packets_are_noticed_and_the_time_line_stays(clean: Pcm) -> None:
    source = chirps(SECONDS)
    result = opus_talk(lambda number: [] if number in (150, 151) else [0.04])
    assert result.stats.frames_lost == 2
    report = compare(source, result.recording)
    assert not report.continuous
    # Opus's own prediction takes a second or two to forget a loss; the last second is where it belongs again.
    tail = np.s_[source.size - 48_000 : source.size]
    shift = compare(source, clean).shift
    assert report.shift == shift
    received = result.recording[tail.start + shift : tail.stop + shift]
    assert np.corrcoef(source[tail], received)[0, 1] > 0.95


@pytest.mark.parametrize("at_s", [1.0, 5.0])
def test_a_moment_is_judged_by_itself(clean: Pcm, at_s: float) -> None:
    """What was lost long before it, or long after it, is not its fault; what was lost in it is."""
    source, spoilt = chirps(SECONDS), np.delete(clean, np.s_[PLACE : PLACE + FRAME_SAMPLES])
    moment = round(at_s * 48_000)
    assert compare_around(source, spoilt, moment, 24_000, 48_000).continuous
    assert not compare_around(source, spoilt, PLACE - 24_000, 24_000, 48_000).continuous
    assert compare_around(source, clean, PLACE - 24_000, 24_000, 48_000).continuous


def test_silence_is_not_continuous() -> None:
    assert not compare(chirps(SECONDS), np.zeros(400_000, np.int16)).continuous
