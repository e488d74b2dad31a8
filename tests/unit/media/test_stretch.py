"""Time-stretching: how much, and that nobody hears a joint."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.format import FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm, silence
from media.stretch import HURRY_RATIO, MAX_LAG, MAX_RATIO, MIN_LAG, OVERLAP, Stretcher, find_period, is_quiet, joined
from tests.unit.media.voice import frames_of, sine, speech


def stretched(pcm: Pcm, operation: Callable[[Stretcher, Pcm], Pcm]) -> tuple[Pcm, Stretcher]:
    stretcher = Stretcher()
    return np.concatenate([operation(stretcher, frame) for frame in frames_of(pcm)]), stretcher


@pytest.mark.parametrize(("operation", "sign"), [(Stretcher.faster, -1), (Stretcher.slower, 1)])
@pytest.mark.parametrize("material", [speech(), sine(180, 144_000), silence(96_000)])
def test_the_ratio_comes_close_to_five_percent_and_never_above(
    operation: Callable[[Stretcher, Pcm], Pcm], sign: int, material: Pcm
) -> None:
    out, stretcher = stretched(material, operation)
    change = (out.size - material.size) * sign
    assert change == stretcher.changed
    assert change <= MAX_RATIO * material.size + MAX_LAG
    assert change >= 0.7 * MAX_RATIO * material.size - 2 * MAX_LAG


@pytest.mark.parametrize("operation", [Stretcher.faster, Stretcher.slower])
def test_any_second_changes_by_five_percent_at_most(operation: Callable[[Stretcher, Pcm], Pcm]) -> None:
    stretcher = Stretcher()
    changes = [abs(operation(stretcher, frame).size - FRAME_SAMPLES) for frame in frames_of(speech())]
    per_second = [sum(changes[at : at + 50]) for at in range(len(changes) - 50)]
    # What was saved up while no joint was good enough may come on top.
    assert max(per_second) <= MAX_RATIO * SAMPLE_RATE_HZ + 2 * MAX_LAG


@pytest.mark.parametrize("operation", [Stretcher.faster, Stretcher.slower])
@pytest.mark.parametrize("hertz", [82, 131.7, 220, 333.3, 400, 1_000])
def test_a_sine_keeps_its_slope_and_its_pitch(operation: Callable[[Stretcher, Pcm], Pcm], hertz: float) -> None:
    original = sine(hertz, 96_000).astype(float)
    out = stretched(sine(hertz, 96_000), operation)[0].astype(float)
    # A click is a step; the steepest and the most bent place of the sine itself bound what is allowed.
    assert np.abs(np.diff(out)).max() <= 1.03 * np.abs(np.diff(original)).max() + 2
    assert np.abs(np.diff(out, 2)).max() <= 1.5 * np.abs(np.diff(original, 2)).max() + 4
    rising = np.count_nonzero((out[:-1] < 0) & (out[1:] >= 0))
    assert rising / out.size * SAMPLE_RATE_HZ == pytest.approx(hertz, rel=0.01)


@pytest.mark.parametrize("operation", [Stretcher.faster, Stretcher.slower])
def test_speech_gets_no_new_steps(operation: Callable[[Stretcher, Pcm], Pcm]) -> None:
    original = speech().astype(float)
    out = stretched(speech(), operation)[0].astype(float)
    assert np.abs(np.diff(out)).max() <= 1.05 * np.abs(np.diff(original)).max()
    # Beside the joints, too: the loudest step of each 20 ms is distributed as in the original.
    before, after = (
        np.quantile(np.abs(np.diff(signal[: 250 * 960 + 1])).reshape(-1, 960).max(axis=1), [0.5, 0.9, 0.99])
        for signal in (original, out)
    )
    assert np.all(after <= 1.25 * before + 20)


@pytest.mark.parametrize("operation", [Stretcher.faster, Stretcher.slower])
def test_frames_between_operations_pass_unchanged(operation: Callable[[Stretcher, Pcm], Pcm]) -> None:
    stretcher = Stretcher()
    for frame in frames_of(speech()):
        out = operation(stretcher, frame)
        if out.size == FRAME_SAMPLES:
            assert np.array_equal(out, frame)
        else:
            edge = (FRAME_SAMPLES - MAX_LAG) // 2 - 120
            assert np.array_equal(out[:edge], frame[:edge])
            assert np.array_equal(out[out.size - edge :], frame[FRAME_SAMPLES - edge :])


def hurried(stretcher: Stretcher, frame: Pcm) -> Pcm:
    return stretcher.faster(frame, hurry=True)


@pytest.mark.parametrize("material", [speech(), sine(180, 144_000), sine(400, 144_000), silence(96_000)])
def test_in_a_hurry_a_quarter_goes_and_no_more(material: Pcm) -> None:
    out, stretcher = stretched(material, hurried)
    gone = material.size - out.size
    assert gone == stretcher.changed
    assert 0.8 * HURRY_RATIO * material.size - 2 * MAX_LAG <= gone <= HURRY_RATIO * material.size + MAX_LAG


def test_two_hundred_milliseconds_are_gone_within_a_second_wherever_the_hurry_begins() -> None:
    frames = frames_of(speech())
    for begin in range(0, len(frames) - 50, 7):
        stretcher = Stretcher()
        gone = sum(FRAME_SAMPLES - hurried(stretcher, frame).size for frame in frames[begin : begin + 50])
        assert gone >= 0.2 * SAMPLE_RATE_HZ


@pytest.mark.parametrize("hertz", [82, 131.7, 220, 400])
def test_a_sine_keeps_its_slope_in_a_hurry(hertz: float) -> None:
    original = sine(hertz, 96_000).astype(float)
    out = stretched(sine(hertz, 96_000), hurried)[0].astype(float)
    assert np.abs(np.diff(out)).max() <= 1.03 * np.abs(np.diff(original)).max() + 2


def test_after_a_hurry_five_percent_hold_again() -> None:
    stretcher, frames = Stretcher(), frames_of(speech())
    for frame in frames[:100]:
        hurried(stretcher, frame)
    before = stretcher.changed
    for frame in frames[100:200]:
        stretcher.faster(frame)
    assert stretcher.changed - before <= MAX_RATIO * 100 * FRAME_SAMPLES + 2 * MAX_LAG


def test_a_joint_begins_as_the_old_and_goes_on_as_the_new() -> None:
    old, new = sine(220, FRAME_SAMPLES), sine(220, FRAME_SAMPLES, start=90)
    out = joined(old, new)
    steepest = np.abs(np.diff(old.astype(int))).max()
    assert out.size == FRAME_SAMPLES and np.array_equal(out[OVERLAP:], new[OVERLAP:])
    assert abs(int(out[0]) - int(old[0])) <= 2
    # A cut has a step of the difference between both; the fade spreads it over 5 ms.
    assert np.abs(np.diff(out.astype(int))).max() <= 2 * steepest


def test_quiet_is_what_nobody_misses() -> None:
    assert is_quiet(silence()) and is_quiet(sine(300, FRAME_SAMPLES, 40))
    assert not is_quiet(sine(300, FRAME_SAMPLES, 60))


@pytest.mark.parametrize("hertz", [70, 100, 150, 240, 390])
def test_the_period_of_a_voice_is_found(hertz: int) -> None:
    harmonics = sum(sine(hertz * k, FRAME_SAMPLES, 6_000 / k).astype(int) for k in range(1, 8))
    lag, likeness = find_period(np.asarray(harmonics).astype(np.int16))
    periods = lag * hertz / SAMPLE_RATE_HZ
    assert periods == pytest.approx(round(periods), abs=0.01)
    assert likeness > 0.99


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 300, 32_767]), st.lists(st.integers(0, 2), max_size=30))
def test_any_signal_gives_a_frame_of_a_possible_size(seed: int, loudness: int, ways: list[int]) -> None:
    rng = np.random.default_rng(seed)
    stretcher = Stretcher()
    for way in ways:
        frame = rng.integers(-loudness, loudness + 1, FRAME_SAMPLES).astype(np.int16)
        out = stretcher.faster(frame, hurry=way == 2) if way else stretcher.slower(frame)
        change = FRAME_SAMPLES - out.size if way else out.size - FRAME_SAMPLES
        assert change == 0 or MIN_LAG <= change <= MAX_LAG
        assert np.abs(out.astype(int)).max() <= loudness
