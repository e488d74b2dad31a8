"""The callbacks of one open device: PortAudio's own threads call them, and they touch only the ring."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import soxr

from media.devices.device_list import Direction
from media.format import FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm, silence
from media.ring import SampleRing


class DevicePort:
    """One open device on one ring.

    ``serving`` says whether it works on the ring: only the clock's thread changes that, so that silence and device
    never write at once.
    """

    def __init__(
        self, ring: SampleRing, direction: Direction, rate_hz: int, channels: int, wake: Callable[[], None]
    ) -> None:
        self._ring = ring
        self._channels = channels
        self._wake = wake
        self._resampler: Any = None
        if rate_hz != SAMPLE_RATE_HZ:
            rates = (rate_hz, SAMPLE_RATE_HZ) if direction == "input" else (SAMPLE_RATE_HZ, rate_hz)
            self._resampler = soxr.ResampleStream(*rates, 1, dtype="int16", quality="MQ")
        self.callback = self._captured if direction == "input" else self._wanted
        """For PortAudio."""
        self._rest = silence(0)
        self.serving = False
        self.closed = False
        self.last_call = time.monotonic()

    def _captured(self, data: Any, frames: int, at: Any, status: Any) -> None:
        self.last_call = time.monotonic()
        if not self.serving:
            return
        samples = np.frombuffer(data, dtype=np.int16)
        if self._channels > 1:
            samples = samples[:: self._channels]
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        self._ring.write(samples)
        self._wake()

    def _wanted(self, data: Any, frames: int, at: Any, status: Any) -> None:
        self.last_call = time.monotonic()
        out = np.frombuffer(data, dtype=np.int16)
        if not self.serving:
            out[:] = 0
            return
        samples = self._ring.read(frames) if self._resampler is None else self._resampled(frames)
        for channel in range(self._channels):
            out[channel :: self._channels] = samples
        self._wake()

    def _resampled(self, frames: int) -> Pcm:
        while self._rest.size < frames:
            part = self._resampler.resample_chunk(self._ring.read(FRAME_SAMPLES // 2))
            self._rest = np.concatenate((self._rest, part))
        samples, self._rest = self._rest[:frames], self._rest[frames:]
        return samples
