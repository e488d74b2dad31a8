"""What happens to the signal between ring and codec: high-pass, soft limiter, level detector, mute (pure).

Everything works on frames of 960 samples and keeps its state between them. There is no echo canceller and no noise
suppressor yet: on loudspeakers the peer hears himself, so a headset is needed for now. There is no automatic gain
either: one without a voice detector pumps up room noise, which is worse than a quiet voice.
"""

import math
from dataclasses import dataclass

import numpy as np

from media.format import FRAME_S, FULL_SCALE, SAMPLE_RATE_HZ, Pcm, Samples, to_pcm

# Below the lowest voice (67 Hz); removes DC, most of a 50 Hz hum and the rumble of a hand on the table. At 80 Hz the
# filter's phase already bends a deep voice: its likeness to the original after Opus falls from 0.96 to 0.93.
HIGH_PASS_HZ = 60.0
# Short enough to feel immediate, long enough that the step is no click.
MUTE_FADE_SAMPLES = SAMPLE_RATE_HZ * 5 // 1000
# -3 dBFS: below this nothing is changed.
LIMIT_FROM = 0.7079 * FULL_SCALE
# What a meter shows for silence; int16 has no more than 96 dB.
SILENCE_DBFS = -96.0
# Slow enough to be read, fast enough that the next word shows.
PEAK_DECAY_DB_PER_S = 20.0

# Divides a frame; about where the loop over blocks and the matrix products cost the same.
_BLOCK = 32


class HighPass:
    """Second-order Butterworth high-pass at 60 Hz, run as blocks of 32 samples in state-space form.

    A recursive filter needs a loop over samples, which costs Python 1.5 % of a core; between blocks only the two
    state variables are carried, and within a block the response is one small matrix product.
    """

    def __init__(self) -> None:
        omega = np.tan(np.pi * HIGH_PASS_HZ / SAMPLE_RATE_HZ)
        norm = 1.0 + np.sqrt(2.0) * omega + omega**2
        b0 = 1.0 / norm
        a1 = 2.0 * (omega**2 - 1.0) / norm
        a2 = (1.0 - np.sqrt(2.0) * omega + omega**2) / norm
        # Transposed direct form II with b1 = -2 b0 and b2 = b0: s' = A s + B x, y = s[0] + b0 x.
        step = np.array([[-a1, 1.0], [-a2, 0.0]])
        drive = np.array([-2.0 * b0 - a1 * b0, b0 - a2 * b0])
        powers = [np.linalg.matrix_power(step, n) for n in range(_BLOCK + 1)]
        impulse = np.array([b0] + [(powers[n] @ drive)[0] for n in range(_BLOCK - 1)])
        lag = np.subtract.outer(np.arange(_BLOCK), np.arange(_BLOCK))
        self._within = np.where(lag >= 0, impulse[np.maximum(lag, 0)], 0.0).T
        self._from_state = np.array([powers[n][0] for n in range(_BLOCK)]).T
        self._to_state = np.array([powers[_BLOCK - 1 - n] @ drive for n in range(_BLOCK)])
        self._across = powers[_BLOCK].tolist()
        self._state = (0.0, 0.0)

    def process(self, signal: Samples) -> Samples:
        """Filter a multiple of 32 samples."""
        blocks = signal.reshape(-1, _BLOCK)
        (a, b), (c, d) = self._across
        first, second = self._state
        states = []
        for push_first, push_second in (blocks @ self._to_state).tolist():
            states.append((first, second))
            first, second = a * first + b * second + push_first, c * first + d * second + push_second
        self._state = (first, second)
        out: Samples = (blocks @ self._within + np.array(states) @ self._from_state).reshape(-1)
        return out


def soft_limit(signal: Samples) -> Samples:
    """Leave all below -3 dBFS alone and bend what is above it towards full scale, which it never reaches."""
    size = np.abs(signal)
    if float(size.max(initial=0.0)) <= LIMIT_FROM:
        return signal
    room = FULL_SCALE - 1.0 - LIMIT_FROM
    bent = LIMIT_FROM + room * np.tanh((size - LIMIT_FROM) / room)
    limited: Samples = np.where(size > LIMIT_FROM, np.copysign(bent, signal), signal)
    return limited


class MuteFader:
    """Mutes and unmutes without a click: any change is a straight ramp of 5 ms."""

    def __init__(self) -> None:
        self.muted = False
        self._gain = 1.0

    def process(self, signal: Samples) -> Samples:
        """Apply the gain to at least 240 samples."""
        wanted = 0.0 if self.muted else 1.0
        if self._gain == wanted:
            return signal * 0.0 if self.muted else signal
        gains = np.full(signal.size, wanted)
        gains[:MUTE_FADE_SAMPLES] = np.linspace(self._gain, wanted, MUTE_FADE_SAMPLES)
        self._gain = wanted
        faded: Samples = signal * gains
        return faded


@dataclass(frozen=True, slots=True)
class Level:
    """dBFS, where a full-scale square wave is 0; :data:`SILENCE_DBFS` at least."""

    rms_dbfs: float = SILENCE_DBFS
    peak_dbfs: float = SILENCE_DBFS


def to_dbfs(amplitude: float) -> float:
    """An amplitude on the int16 scale in dBFS."""
    return max(SILENCE_DBFS, 20.0 * math.log10(max(amplitude, 1e-9) / FULL_SCALE))


class LevelDetector:
    """RMS of the last frame, and a peak that falls slowly enough to be seen: ``level``."""

    def __init__(self) -> None:
        self.level = Level()

    def measure(self, signal: Samples | Pcm) -> None:
        """Take one frame."""
        fallen = self.level.peak_dbfs - PEAK_DECAY_DB_PER_S * FRAME_S
        if not signal.size:
            self.level = Level(SILENCE_DBFS, max(fallen, SILENCE_DBFS))
            return
        values = signal.astype(np.float64, copy=False)
        peak = to_dbfs(max(float(values.max()), -float(values.min())))
        rms = math.sqrt(float(np.dot(values, values)) / values.size)
        self.level = Level(to_dbfs(rms), max(peak, fallen, SILENCE_DBFS))


class CaptureProcessing:
    """High-pass, limiter, level, mute: in this order, so that a muted microphone still shows its level."""

    def __init__(self) -> None:
        self._high_pass = HighPass()
        self._mute = MuteFader()
        self._detector = LevelDetector()

    @property
    def level(self) -> Level:
        """Of the microphone, muted or not."""
        return self._detector.level

    def set_muted(self, muted: bool) -> None:
        """Send silence, or the voice again."""
        self._mute.muted = muted

    def process(self, frame: Pcm) -> Pcm:
        """One frame of 960 samples."""
        limited = soft_limit(self._high_pass.process(frame.astype(np.float64)))
        self._detector.measure(limited)
        return to_pcm(self._mute.process(limited))
