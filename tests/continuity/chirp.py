"""Continuity through a real codec: chirps, compared with the reference every 10 ms.

Each chirp sweeps from 400 Hz to somewhere between 2,400 and 3,400 Hz in 0.7 s, so no two stretches of 10 ms within it
are alike, no two neighbours among the chirps either, and a lost, doubled or shifted 20 ms cannot hide: from there on
the recording runs beside the reference. PESQ is no judge here: it can
give a lost 20 ms a 4.6 (DESIGN §9).

    report = compare(reference, recording)
    assert report.continuous, report.worst
"""

from dataclasses import dataclass

import numpy as np

from media.format import SAMPLE_RATE_HZ, Pcm

CHIRP_SAMPLES = SAMPLE_RATE_HZ * 7 // 10
BLOCK_SAMPLES = SAMPLE_RATE_HZ // 100
LEAST_LIKENESS = 0.8
"""Opus at 32 kbit/s stays above 0.95 on chirps; a block that is shifted by 20 ms is anything between -1 and 1."""
_BEGINS_WITHIN_SAMPLES = 5 * SAMPLE_RATE_HZ
"""A recording has begun by then; chirps repeat themselves after 7.7 s, so it must not be looked for later."""
# Chirps meet at this many samples; Opus smears a jump of frequency, so the blocks beside it are not judged.
_EDGE_BLOCKS = 2
# Opus takes this long to settle on a signal that starts from silence.
_SETTLE_BLOCKS = 6


def chirps(seconds: float, amplitude: float = 9_000) -> Pcm:
    """Chirps one after the other; the phase goes on through the joints."""
    count = round(seconds * SAMPLE_RATE_HZ)
    number, within = np.divmod(np.arange(count), CHIRP_SAMPLES)
    hertz = 400 + (2_000 + 100 * (number * 4 % 11)) * within / CHIRP_SAMPLES
    phase = 2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE_HZ
    return np.rint(amplitude * np.sin(phase)).astype(np.int16)


@dataclass(frozen=True, slots=True)
class ChirpReport:
    """``shift``: samples by which the recording is late. ``worst``: (block number, likeness), the worst first."""

    shift: int
    blocks: int
    least: float
    worst: tuple[tuple[int, float], ...]

    @property
    def continuous(self) -> bool:
        """Every judged block is where it belongs."""
        return self.blocks > 0 and self.least >= LEAST_LIKENESS


def find_shift(reference: Pcm, recording: Pcm) -> int:
    """By how many samples the recording's first second is late against the reference (cross-correlation)."""
    return _place(reference[: 2 * CHIRP_SAMPLES], recording, min(recording.size, _BEGINS_WITHIN_SAMPLES))


def _place(wanted: Pcm, around: Pcm, places: int) -> int:
    """Where of the first so many places of ``around`` it is most like ``wanted`` (cross-correlation)."""
    length = 1 << (around.size + wanted.size).bit_length()
    product = np.fft.rfft(around.astype(float), length) * np.conj(np.fft.rfft(wanted.astype(float), length))
    return int(np.argmax(np.fft.irfft(product, length)[:places]))


def compare(reference: Pcm, recording: Pcm) -> ChirpReport:
    """Compare every 10 ms of the reference with what is at the same place of the recording."""
    return _judge(reference, recording, find_shift(reference, recording), _SETTLE_BLOCKS, reference.size)


def compare_around(reference: Pcm, recording: Pcm, at: int, before: int, after: int) -> ChirpReport:
    """The same for a moment: what follows must lie where that before it lies. Samples: ``at`` is a place in the
    reference, found from the ``before`` in front of it, and judged from there to ``after`` behind it."""
    first = max(0, at - before) // BLOCK_SAMPLES
    # Since the beginning, the buffer may have grown or shrunk by all it can be.
    start = max(0, first * BLOCK_SAMPLES + find_shift(reference, recording) - SAMPLE_RATE_HZ)
    known = reference[first * BLOCK_SAMPLES : at]
    place = _place(known, recording[start : start + known.size + 2 * SAMPLE_RATE_HZ], 2 * SAMPLE_RATE_HZ)
    shift = start + place - first * BLOCK_SAMPLES
    return _judge(reference, recording, shift, first, at + after)


def _judge(reference: Pcm, recording: Pcm, shift: int, first_block: int, end: int) -> ChirpReport:
    received = recording[max(0, shift) : shift + min(end, reference.size)].astype(float)
    blocks = received.size // BLOCK_SAMPLES
    one = reference[: blocks * BLOCK_SAMPLES].astype(float).reshape(blocks, BLOCK_SAMPLES)
    other = received[: blocks * BLOCK_SAMPLES].reshape(blocks, BLOCK_SAMPLES)
    energy = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    likeness = np.divide((one * other).sum(axis=1), energy, out=np.zeros(blocks), where=energy > 0)
    in_chirp = np.arange(blocks) % (CHIRP_SAMPLES // BLOCK_SAMPLES)
    inside = (in_chirp >= _EDGE_BLOCKS) & (in_chirp < CHIRP_SAMPLES // BLOCK_SAMPLES - _EDGE_BLOCKS)
    judged = np.flatnonzero(inside & (np.arange(blocks) >= max(first_block, _SETTLE_BLOCKS)))
    order = judged[np.argsort(likeness[judged])]
    worst = tuple((int(block), round(float(likeness[block]), 3)) for block in order[:5])
    return ChirpReport(shift, judged.size, worst[0][1] if worst else 0.0, worst)
