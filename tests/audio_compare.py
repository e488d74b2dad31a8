"""Compare a recording with what was played: find where it lies, and how alike each voiced second is.

Opus is no wave-form codec above 8 kHz and adds a look-ahead of a few milliseconds, so samples are never equal; but each
second of voice must lie where the one before it lay, to the millisecond, and correlate.
"""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

RATE_HZ = 48_000
# Below this RMS a second is a pause: noise correlates with nothing.
VOICED_RMS = 300.0
# Within a second the alignment may be off by this much from that of the whole: the codec's phase, no more.
SLACK_S = 0.005

Signal = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Comparison:
    """``offset_s``: where the source begins in the recording. ``correlations``: one for each voiced second."""

    offset_s: float
    correlations: tuple[float, ...]

    @property
    def worst(self) -> float:
        """The least alike voiced second."""
        return min(self.correlations)


def read_wav(path: Path) -> Signal:
    """A mono 48 kHz 16-bit WAV as floats."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE_HZ, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16).astype(np.float64)


def compare(source: Signal, recording: Signal, *, slack_s: float = SLACK_S, pieces: int = 1) -> Comparison:
    """Align ``source`` in ``recording`` once, as a whole, and correlate each voiced second at that place.

    Where the playout may stretch time, so that a second moves against the others and its end against its beginning,
    ``slack_s`` says how far, and each second is compared in so many ``pieces``: their mean, weighted by their energy.
    """
    offset = _best_offset(source, recording)
    correlations = []
    for start in range(0, source.size - RATE_HZ + 1, RATE_HZ):
        second = source[start : start + RATE_HZ]
        if np.sqrt(np.mean(second**2)) >= VOICED_RMS:
            correlations.append(_likeness(second, recording, offset + start, round(slack_s * RATE_HZ), pieces))
    return Comparison(offset / RATE_HZ, tuple(correlations))


def _likeness(second: Signal, recording: Signal, place: int, slack: int, pieces: int) -> float:
    found, energies = [], []
    size = second.size // pieces
    for start in range(0, size * pieces, size):
        piece = second[start : start + size]
        begin = place + start - slack
        around = recording[max(begin, 0) : begin + size + 2 * slack]
        found.append(_best_correlation(piece, around) if around.size >= size else 0.0)
        energies.append(float(np.sum(piece**2)))
    return float(np.average(found, weights=energies))


def _best_offset(source: Signal, recording: Signal) -> int:
    size = 1 << (source.size + recording.size - 1).bit_length()
    spectrum = np.fft.rfft(recording, size) * np.conj(np.fft.rfft(source, size))
    products = np.fft.irfft(spectrum, size)
    # Only places at which the source begins within the recording.
    return int(np.argmax(products[: recording.size]))


def _best_correlation(second: Signal, around: Signal) -> float:
    size = 1 << (around.size - 1).bit_length()
    spectrum = np.fft.rfft(around, size) * np.conj(np.fft.rfft(second, size))
    # Only places at which the second lies within what is around it.
    products = np.fft.irfft(spectrum, size)[: around.size - second.size + 1]
    sums = np.cumsum(np.concatenate(([0.0], around**2)))
    # An RMS of one step of 16 bit at least: in silence the sums' rounding would otherwise be all there is.
    energies = np.maximum(sums[second.size :] - sums[: -second.size], second.size)
    return float(np.max(products / np.sqrt(energies * np.sum(second**2))))
