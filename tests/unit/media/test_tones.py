"""The sounds: cadence, pitch, loudness, and no clicks anywhere."""

import numpy as np
import pytest

from media.format import FRAME_SAMPLES, FULL_SCALE, SAMPLE_RATE_HZ, Pcm
from media.tones import Sound, TonePlayer


def play(sound: Sound, seconds: float) -> Pcm:
    player = TonePlayer(sound)
    return np.concatenate([player.read() for _ in range(round(seconds * SAMPLE_RATE_HZ / FRAME_SAMPLES))])


@pytest.mark.parametrize(("sound", "on", "off"), [(Sound.RING_BACK, 1.0, 4.0), (Sound.BUSY, 0.5, 0.5)])
def test_cadence_and_pitch(sound: Sound, on: float, off: float) -> None:
    played = play(sound, 2 * (on + off)).astype(float)
    audible = np.abs(played.reshape(-1, 480)).max(axis=1) > 100
    assert np.count_nonzero(audible) == pytest.approx(2 * on * 100, abs=2)
    tone = played[: round(on * SAMPLE_RATE_HZ)]
    peak = np.argmax(np.abs(np.fft.rfft(tone))) / on
    assert peak == pytest.approx(425, abs=2)


@pytest.mark.parametrize("sound", list(Sound))
def test_no_clicks_and_never_loud(sound: Sound) -> None:
    played = play(sound, 11).astype(float)
    assert 200 < np.abs(played).max() < 0.5 * FULL_SCALE
    # A click has energy far above the tones' partials (4 x 880 Hz).
    for block in played[: played.size // 480 * 480].reshape(-1, 480):
        spectrum = np.abs(np.fft.rfft(block * np.hanning(480))) / 120
        assert spectrum[80:].max() < 10
    assert np.abs(np.diff(played)).max() < 0.2 * np.abs(played).max() + 500


@pytest.mark.parametrize("sound", list(Sound))
def test_stopping_fades_out_at_once(sound: Sound) -> None:
    player = TonePlayer(sound)
    player.read()
    player.stop()
    last = player.read()
    assert abs(int(last[-1])) <= 1
    assert player.finished
    assert not player.read().any()


def test_what_does_not_repeat_ends() -> None:
    player = TonePlayer(Sound.HUNG_UP)
    frames = 0
    while not player.finished:
        player.read()
        frames += 1
    assert frames == 35


def test_a_quieter_tone_is_the_same_tone() -> None:
    loud, soft = TonePlayer(Sound.RINGING), TonePlayer(Sound.RINGING, 0.25)
    for _ in range(20):
        assert np.abs(loud.read() * 0.25 - soft.read()).max() <= 1.0
