"""A simulated sound card: takes and gives samples by the period, on a clock of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np

from media.format import FRAME_S, FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm, silence
from media.ring import SampleRing
from tests.continuity.exact import FIRST, numbered
from tests.natsim.clock import Timer, VirtualClock

# 40 dB below full scale is a whisper, and far above what Opus makes of silence.
WHISPER = 328
# 2.5 s: one glide up and down, and a whole number of periods, so that the end joins the beginning.
VOWEL_SAMPLES = 120_000


class Voice(Protocol):
    """What goes into a microphone. ``audible``: the amplitude from which on the other end counts as audible."""

    audible: int

    def start(self) -> None:
        """The talk begins."""
        ...

    def read(self, count: int) -> Pcm:
        """The next ``count`` samples."""
        ...


class Numbers:
    """Silence, then from ``start`` on the numbers of :mod:`tests.continuity.exact`: so many frames, then silence."""

    audible = 1

    def __init__(self, frames: int | None = None) -> None:
        self._left = None if frames is None else frames * FRAME_SAMPLES
        self._next: int | None = None

    def start(self) -> None:
        self._next = FIRST

    def read(self, count: int) -> Pcm:
        if self._next is None:
            return silence(count)
        spoken = count if self._left is None else min(count, self._left)
        block = numbered(self._next, spoken)
        self._next += spoken
        if self._left is not None:
            self._left -= spoken
        return block if spoken == count else np.concatenate((block, silence(count - spoken)))


@cache
def _vowel() -> Pcm:
    time = np.arange(VOWEL_SAMPLES) / SAMPLE_RATE_HZ
    phase = 2 * np.pi * (150 * time - 5 * np.cos(2 * np.pi * 0.4 * time))
    wave: Pcm = (4_000 * sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 12))).astype(np.int16)
    return wave


class Vowel:
    """A sung vowel, always: harmonics of a pitch that glides around 150 Hz, at the loudness of a voice."""

    audible = WHISPER

    def __init__(self) -> None:
        self._at = 0

    def start(self) -> None:
        """Has been singing all the time."""

    def read(self, count: int) -> Pcm:
        at = np.arange(self._at, self._at + count) % VOWEL_SAMPLES
        self._at += count
        return _vowel()[at]


@dataclass(frozen=True, slots=True)
class CardConfig:
    """``period_s`` of audio is taken and given at a time; the first period ends ``mic_phase_s`` or
    ``speaker_phase_s`` after opening, plus ``opening_s``. ``drift_ppm``: how much too fast its clock runs."""

    period_s: float = 0.01
    mic_phase_s: float = 0.0031
    speaker_phase_s: float = 0.0073
    drift_ppm: float = 0.0
    opening_s: float = 0.0

    @property
    def ring_frames(self) -> int:
        """What the speaker's ring must hold at least, as the product's streams tell the pump."""
        return max(1, round(self.period_s / FRAME_S))


class Card:
    """Microphone and speaker of one person, on one crystal. ``wake`` is called after each period, as threads do."""

    def __init__(
        self, config: CardConfig, clock: VirtualClock, voice: Voice, wake: Callable[[], None], *, record: bool
    ) -> None:
        self.config = config
        self.voice = voice
        self.capture_ring = SampleRing()
        self.playout_ring = SampleRing()
        self.audible_at: float | None = None
        """When the first sample that anybody would hear leaves the speaker."""
        self._clock = clock
        self._wake = wake
        self._record = record
        self._played_blocks: list[Pcm] = []
        self._period_s = config.period_s / (1 + config.drift_ppm * 1e-6)
        self._samples = round(config.period_s * SAMPLE_RATE_HZ)
        self._timers: dict[str, Timer] = {}

    @property
    def recording(self) -> Pcm:
        """All that the speaker has played."""
        return np.concatenate(self._played_blocks) if self._played_blocks else silence(0)

    def open_mic(self) -> None:
        """From now on; nothing when it is open."""
        self._open("mic", self.config.mic_phase_s, self._captured)

    def open_speaker(self) -> None:
        """From now on; nothing when it is open."""
        self._open("speaker", self.config.speaker_phase_s, self._played)

    def close(self) -> None:
        """Both."""
        for timer in self._timers.values():
            timer.cancelled = True
        self._timers.clear()

    def _open(self, name: str, phase_s: float, work: Callable[[], None]) -> None:
        if name not in self._timers:
            first = self._clock.now + self.config.opening_s + phase_s
            self._tick(name, first, 0, work)

    def _tick(self, name: str, first: float, number: int, work: Callable[[], None]) -> None:
        def tick() -> None:
            # From the first one on, so that no rounding adds up to a drift.
            self._tick(name, first, number + 1, work)
            work()
            self._wake()

        self._timers[name] = self._clock.at(first + number * self._period_s, tick)

    def _captured(self) -> None:
        self.capture_ring.write(self.voice.read(self._samples))

    def _played(self) -> None:
        block = self.playout_ring.read(self._samples)
        if self._record:
            self._played_blocks.append(block)
        if self.audible_at is None:
            loud = np.flatnonzero(np.abs(block.astype(np.int32)) >= self.voice.audible)
            if loud.size:
                self.audible_at = self._clock.now + int(loud[0]) / SAMPLE_RATE_HZ
