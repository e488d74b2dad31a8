"""Time-stretching of voice without changing its pitch: WSOLA on single frames (pure).

One pitch period is taken out of a frame, or played twice, where two stretches of the signal one period apart are
alike; they are cross-faded (Verhelst and Roelands, "An overlap-add technique based on waveform similarity", ICASSP
1993). Between such operations frames pass unchanged, bit for bit, and without delay.
"""

from dataclasses import dataclass

import numpy as np

from media.format import FRAME_SAMPLES, Pcm, Samples, to_pcm

# 2.5 ms to 15 ms: pitch of 67 to 400 Hz, the range of adult voices; children's pitch is met by two periods.
MIN_LAG = 120
MAX_LAG = 720
# 5 ms: long enough that the fade itself is no click, short enough that it fits beside the longest lag.
OVERLAP = FRAME_SAMPLES - MAX_LAG
MAX_RATIO = 0.05
# To catch up after a stall: speech at 5/4 of its speed is still understood without effort, and the 200 ms that are left
# to it (JitterConfig.skip_above_s) are gone within a second.
HURRY_RATIO = 0.25
# Pitch is searched at 8 kHz first, as speech codecs do: its fundamental lies far below 4 kHz.
_COARSE = 6
# Normalised cross-correlation above which two periods count as alike; voiced speech reaches 0.9.
_ALIKE = 0.8
# In a hurry a joint may be audible; WebRTC's fast accelerate (accelerate.cc) goes as low and takes out several periods.
_ALIKE_IN_A_HURRY = 0.5
# Below this RMS (about -60 dBFS) nobody hears a joint.
_QUIET_RMS = 33.0


@dataclass(slots=True)
class _Budget:
    """Samples that may be added or removed: a share of what has passed, saved up for two longest periods at most.

    It starts with one longest period, so that the first joint need not wait."""

    samples: float = float(MAX_LAG)

    def earn(self, passed: int, ratio: float) -> None:
        self.samples = min(self.samples + ratio * passed, 2.0 * MAX_LAG)

    @property
    def full(self) -> bool:
        return self.samples >= 2.0 * MAX_LAG


class Stretcher:
    """Shortens or lengthens a stream of frames by at most 5 %, in a hurry by 25 %. State: the budget, no samples."""

    def __init__(self) -> None:
        self._budget = _Budget()
        self._changed = 0

    @property
    def changed(self) -> int:
        """Samples removed plus samples added so far."""
        return self._changed

    def faster(self, frame: Pcm, *, hurry: bool = False) -> Pcm:
        """``frame`` (960 samples), or the same with one pitch period fewer; in a hurry with as many as fit."""
        lag = self._plan(frame, hurry=hurry)
        if lag is None:
            return frame
        start = (FRAME_SAMPLES - lag - OVERLAP) // 2
        signal = frame.astype(np.float64)
        joint = _fade(signal[start : start + OVERLAP], signal[start + lag : start + lag + OVERLAP])
        return np.concatenate((frame[:start], to_pcm(joint), frame[start + lag + OVERLAP :]))

    def slower(self, frame: Pcm) -> Pcm:
        """``frame`` (960 samples), or the same with one pitch period played twice."""
        lag = self._plan(frame, hurry=False)
        if lag is None:
            return frame
        start = (FRAME_SAMPLES - lag - OVERLAP) // 2
        signal = frame.astype(np.float64)
        joint = _fade(signal[start + lag : start + lag + OVERLAP], signal[start : start + OVERLAP])
        return np.concatenate((frame[: start + lag], to_pcm(joint), frame[start + OVERLAP :]))

    def _plan(self, frame: Pcm, *, hurry: bool) -> int | None:
        """The period to change by, or a multiple, if one is affordable and good enough; pays for it."""
        self._budget.earn(frame.size, HURRY_RATIO if hurry else MAX_RATIO)
        # The whole range of pitch must be affordable, or a low voice would be cut at half its period.
        if frame.size != FRAME_SAMPLES or self._budget.samples < MAX_LAG:
            return None
        lag, likeness = find_period(frame)
        # Noise has no period; when the budget has been full in vain the best joint there is has to do.
        if likeness < (_ALIKE_IN_A_HURRY if hurry else _ALIKE) and not self._budget.full:
            return None
        if hurry:
            lag *= MAX_LAG // lag
        self._budget.samples -= lag
        self._changed += lag
        return lag


def find_period(frame: Pcm) -> tuple[int, float]:
    """The lag in samples (:data:`MIN_LAG` to :data:`MAX_LAG`) at which ``frame`` is most like itself, and how much.

    Likeness is the normalised cross-correlation of what overlaps, 1 for equal up to loudness; silence counts as 1.
    """
    if is_quiet(frame):
        return MAX_LAG, 1.0
    signal = frame.astype(np.float64)
    coarse = signal[: signal.size // _COARSE * _COARSE].reshape(-1, _COARSE).mean(axis=1)
    lags = range(MIN_LAG // _COARSE, MAX_LAG // _COARSE + 1)
    best = max(lags, key=lambda lag: _likeness(coarse, lag)) * _COARSE
    near = range(max(MIN_LAG, best - _COARSE), min(MAX_LAG, best + _COARSE) + 1)
    lag = max(near, key=lambda lag: _likeness(signal, lag))
    return lag, _likeness(signal, lag)


def is_quiet(frame: Pcm) -> bool:
    """Nobody hears a joint in it, nor that it is missing."""
    return bool(np.sqrt(np.mean(frame.astype(np.float64) ** 2)) < _QUIET_RMS)


def joined(old: Pcm, new: Pcm) -> Pcm:
    """``new``, faded in over 5 ms from ``old``, which would have come in its place (both at least that long)."""
    joint = _fade(old[:OVERLAP].astype(np.float64), new[:OVERLAP].astype(np.float64))
    return np.concatenate((to_pcm(joint), new[OVERLAP:]))


def _likeness(signal: Samples, lag: int) -> float:
    early, late = signal[:-lag], signal[lag:]
    energy = float(np.dot(early, early)) * float(np.dot(late, late))
    return float(np.dot(early, late)) / energy**0.5 if energy > 0 else 0.0


def _fade(old: Samples, new: Samples) -> Samples:
    """From ``old`` to ``new`` by a raised cosine whose two halves add up to one."""
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(old.size) + 0.5) / old.size)
    return old * (1.0 - rise) + new * rise
