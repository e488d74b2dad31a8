"""High-pass, limiter, fades and meter against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.format import FRAME_SAMPLES, FULL_SCALE, Pcm, silence
from media.processing import (
    HIGH_PASS_HZ,
    LIMIT_FROM,
    SILENCE_DBFS,
    CaptureProcessing,
    HighPass,
    LevelDetector,
    MuteFader,
    soft_limit,
)
from tests.unit.media.voice import frames_of, sine, speech


def filtered(pcm: Pcm) -> np.ndarray:
    high_pass = HighPass()
    return np.concatenate([high_pass.process(frame.astype(float)) for frame in frames_of(pcm)])


def gain_db(hertz: float) -> float:
    tone = sine(hertz, 96_000)
    return float(20 * np.log10(np.std(filtered(tone)[48_000:]) / np.std(tone[48_000:])))


@pytest.mark.parametrize(
    ("hertz", "decibel", "within"),
    [(HIGH_PASS_HZ, -3.01, 0.1), (HIGH_PASS_HZ / 4, -24.1, 0.5), (300, 0.0, 0.05), (3_400, 0.0, 0.05)],
)
def test_the_high_pass_is_a_second_order_butterworth(hertz: float, decibel: float, within: float) -> None:
    assert gain_db(hertz) == pytest.approx(decibel, abs=within)


def test_blocks_give_what_the_recursion_gives() -> None:
    signal = np.random.default_rng(2).normal(0, 5_000, 2 * FRAME_SAMPLES)
    w = np.tan(np.pi * HIGH_PASS_HZ / 48_000)
    norm = 1 + np.sqrt(2) * w + w * w
    b = np.array([1, -2, 1]) / norm
    a = np.array([norm, 2 * (w * w - 1), 1 - np.sqrt(2) * w + w * w]) / norm
    x1 = x2 = y1 = y2 = 0.0
    expected = []
    for x in signal:
        y = b[0] * x + b[1] * x1 + b[2] * x2 - a[1] * y1 - a[2] * y2
        x1, x2, y1, y2 = x, x1, y, y1
        expected.append(y)
    high_pass = HighPass()
    halves = [high_pass.process(half) for half in np.split(signal, 2)]
    assert np.allclose(np.concatenate(halves), expected, atol=1e-6)


def test_dc_disappears() -> None:
    assert np.abs(filtered(np.full(96_000, 8_000, np.int16))[48_000:]).max() < 1


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_the_limiter_never_reaches_full_scale_and_keeps_order(values: list[float]) -> None:
    signal = np.sort(np.array(values))
    limited = soft_limit(signal)
    assert np.abs(limited).max() <= FULL_SCALE - 1
    assert np.all(np.diff(limited) >= 0)
    quiet = np.abs(signal) <= LIMIT_FROM
    assert np.array_equal(limited[quiet], signal[quiet])


def test_muting_fades_and_unmuting_too() -> None:
    fader = MuteFader()
    steady = np.full(FRAME_SAMPLES, 10_000.0)
    assert fader.process(steady) is steady
    fader.muted = True
    down = fader.process(steady)
    assert down[0] == 10_000 and down[240:].max() == 0
    assert np.abs(np.diff(down)).max() < 10_000 / 200
    assert not fader.process(steady).any()
    fader.muted = False
    assert fader.process(steady)[-1] == 10_000


def test_the_meter_reads_a_sine() -> None:
    meter = LevelDetector()
    meter.measure(sine(1_000, FRAME_SAMPLES, FULL_SCALE / 2))
    assert meter.level.peak_dbfs == pytest.approx(-6.02, abs=0.02)
    assert meter.level.rms_dbfs == pytest.approx(-9.03, abs=0.02)
    meter.measure(silence())
    assert meter.level.rms_dbfs == SILENCE_DBFS
    assert meter.level.peak_dbfs == pytest.approx(-6.42, abs=0.02)
    for _ in range(500):
        meter.measure(silence())
    assert meter.level.peak_dbfs == SILENCE_DBFS


def test_a_muted_microphone_sends_silence_and_shows_its_level() -> None:
    capture = CaptureProcessing()
    voice = frames_of(speech())[20:40]
    assert all(capture.process(frame).any() for frame in voice)
    capture.set_muted(True)
    capture.process(voice[0])
    assert not any(capture.process(frame).any() for frame in voice)
    assert capture.level.rms_dbfs > -50
