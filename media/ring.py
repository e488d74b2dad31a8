"""A ring of int16 samples between exactly one producer thread and one consumer thread; never blocks, never grows.

Each side moves only its own counter, and moves it after the samples are copied. CPython stores an attribute
atomically, so the other side sees either the old or the new count and never a sample that is not there yet.
When full the *newest* samples are dropped (the consumer owns the old ones and may be copying them this instant);
when short the consumer is given zeros.
"""

import numpy as np

from media.format import FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm

# One second: ten times what a healthy engine ever leaves in it, and 96 kB.
DEFAULT_CAPACITY_SAMPLES = SAMPLE_RATE_HZ


class SampleRing:
    """``write`` belongs to the producer, ``read`` and ``discard`` to the consumer, ``level`` to both.

    Counted for whoever wants to know: writes that did not fit (``overruns``) and their samples (``dropped``, the newest
    ones); reads that found too little (``underruns``).
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY_SAMPLES) -> None:
        if capacity < FRAME_SAMPLES:
            raise ValueError(f"a ring holds at least one frame of {FRAME_SAMPLES} samples, not {capacity}")
        self._samples = np.zeros(capacity, dtype=np.int16)
        self._written = 0
        self._read = 0
        self.overruns = 0
        self.dropped = 0
        self.underruns = 0

    @property
    def level(self) -> int:
        """Samples held now."""
        return self._written - self._read

    def write(self, samples: Pcm) -> int:
        """Append as many of ``samples`` as fit and return how many those were."""
        written = self._written
        count = min(samples.size, self._samples.size - (written - self._read))
        at = written % self._samples.size
        first = min(count, self._samples.size - at)
        self._samples[at : at + first] = samples[:first]
        self._samples[: count - first] = samples[first:count]
        self._written = written + count
        if count < samples.size:
            self.overruns += 1
            self.dropped += samples.size - count
        return count

    def read(self, count: int = FRAME_SAMPLES) -> Pcm:
        """The next ``count`` samples as an array of their own, with zeros at its end when there are too few."""
        out = np.zeros(count, dtype=np.int16)
        read = self._read
        held = min(count, self._written - read)
        at = read % self._samples.size
        first = min(held, self._samples.size - at)
        out[:first] = self._samples[at : at + first]
        out[first:held] = self._samples[: held - first]
        self._read = read + held
        if held < count:
            self.underruns += 1
        return out

    def discard(self, count: int) -> int:
        """Throw away the oldest ``count`` samples, or what there is; return how many those were."""
        read = self._read
        gone = min(count, self._written - read)
        self._read = read + gone
        return gone
