"""Real microphones and speakers.

Three kinds of threads. PortAudio's own call :class:`_Port` and touch only its ring. The *clock* supplies silence for
a direction whose device is missing or silent, at the pace of a sound card, so that a talk never depends on devices.
The *worker* does everything that may block: listing, opening, closing, trying again.
"""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import soxr

from media.devices.frame_clock import FrameClock
from media.devices.portaudio import Device, DeviceList, PortAudio
from media.devices.stream_state import (
    CloseStream,
    Opened,
    OpenFailed,
    OpenStream,
    StreamCommand,
    StreamEvent,
    StreamMachine,
    StreamState,
    Tick,
    Unwant,
    Vanished,
    Want,
)
from media.devices.streams import AudioStreams, DevicesListed, Direction, StreamChanged
from media.format import FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm, silence
from media.ring import SampleRing

# Silence steps in when a device has not called for so long; PulseAudio calls every 10 to 40 ms.
QUIET_S = 0.2
# A device that has not called for so long is gone: a driver that only moves a stream needs less.
VANISHED_S = 2.0
_JOIN_S = 5.0
_MAX_COMMANDS = 256


class _Port:
    """One open device on one ring: its callbacks, and the turn-taking with the clock.

    ``serving`` says whether the device works on the ring; only the clock's thread changes it, so that silence and
    device never write at once.
    """

    def __init__(self, ring: SampleRing, rate_hz: int, channels: int, wake: Callable[[], None]) -> None:
        self._ring = ring
        self._channels = channels
        self._wake = wake
        self._resampler: Any = None
        self._rate_hz = rate_hz
        self._rest = silence(0)
        self.serving = False
        self.closed = False
        self.last_call = time.monotonic()

    def use_for(self, direction: Direction) -> Callable[..., None]:
        """The callback for PortAudio."""
        if self._rate_hz != SAMPLE_RATE_HZ:
            rates = (self._rate_hz, SAMPLE_RATE_HZ) if direction == "input" else (SAMPLE_RATE_HZ, self._rate_hz)
            self._resampler = soxr.ResampleStream(*rates, 1, dtype="int16", quality="MQ")
        return self._captured if direction == "input" else self._wanted

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


@dataclass(slots=True)
class _Way:
    """What the worker and the clock know of one direction."""

    direction: Direction
    ring: SampleRing
    machine: StreamMachine
    stream: Any = None
    port: _Port | None = None


@dataclass(frozen=True, slots=True)
class _Post:
    """To the worker: an event for a direction; with a port, only if that is still the one in use."""

    direction: Direction
    event: StreamEvent
    port: _Port | None = None


class DeviceStreams(AudioStreams):
    """PortAudio devices. At most one of these in a process: PortAudio's list of devices belongs to all of it."""

    # One that the device takes at any moment, and one for the time until the engine wakes up.
    ring_frames = 2

    def __init__(self, wake: Callable[[], None], make_portaudio: Callable[[], PortAudio] = PortAudio) -> None:
        super().__init__(wake)
        self._make_portaudio = make_portaudio
        self._ways: dict[Direction, _Way] = {
            "input": _Way("input", self.capture_ring, StreamMachine()),
            "output": _Way("output", self.playout_ring, StreamMachine()),
        }
        self._devices = DeviceList()
        self._posts: queue.Queue[_Post | str | None] = queue.Queue(_MAX_COMMANDS)
        self._portaudio: PortAudio
        self._closed = False
        self._worker = threading.Thread(target=self._work, name="segue-audio-devices", daemon=True)
        self._clock = FrameClock(self._tick)
        self._worker.start()
        self._clock.start()

    # --- for the engine --------------------------------------------------------------------------------------

    def open_input(self, device_id: str | None = None) -> None:
        """See :class:`AudioStreams`."""
        self._post(_Post("input", Want(device_id)))

    def open_output(self, device_id: str | None = None) -> None:
        """See :class:`AudioStreams`."""
        self._post(_Post("output", Want(device_id)))

    def close_input(self) -> None:
        """See :class:`AudioStreams`."""
        self._post(_Post("input", Unwant()))

    def close_output(self) -> None:
        """See :class:`AudioStreams`."""
        self._post(_Post("output", Unwant()))

    def begin_talk(self) -> None:
        """Devices run already."""

    @property
    def input_state(self) -> StreamState:
        """See :class:`AudioStreams`."""
        return self._ways["input"].machine.state

    @property
    def output_state(self) -> StreamState:
        """See :class:`AudioStreams`."""
        return self._ways["output"].machine.state

    def refresh_devices(self) -> None:
        """See :class:`AudioStreams`. New devices are seen while no stream runs."""
        self._post("refresh")

    def close(self) -> None:
        """See :class:`AudioStreams`. A driver that hangs is left behind after five seconds."""
        if not self._closed:
            self._closed = True
            self._post(None)
        self._worker.join(_JOIN_S)
        self._clock.close()

    # --- the clock's thread ----------------------------------------------------------------------------------

    def _tick(self) -> None:
        supplied = [self._supply(way) for way in self._ways.values()]
        if any(supplied):
            self._wake()

    def _supply(self, way: _Way) -> bool:
        """Stand in for a device that does not serve; whether that was needed."""
        port = way.port
        if port is not None:
            quiet_s = time.monotonic() - port.last_call
            port.serving = quiet_s < QUIET_S and not port.closed
            if quiet_s > VANISHED_S and not port.closed:
                port.closed = True
                self._post(_Post(way.direction, Vanished("the device has stopped"), port))
            if port.serving:
                return False
        if way.direction == "input":
            way.ring.write(silence())
        else:
            way.ring.discard(FRAME_SAMPLES)
        return True

    # --- the worker's thread ---------------------------------------------------------------------------------

    def _post(self, post: _Post | str | None) -> None:
        while True:
            try:
                self._posts.put_nowait(post)
                return
            except queue.Full:
                # The worker hangs in a driver: the oldest wish is dropped, the newest ones are what is meant.
                with suppress(queue.Empty):
                    self._posts.get_nowait()

    def _work(self) -> None:
        self._portaudio = self._make_portaudio()
        self._scan()
        while True:
            post = self._next_post()
            if post is None:
                break
            if post == "refresh":
                self._scan()
            elif isinstance(post, _Post):
                way = self._ways[post.direction]
                if post.port is None or post.port is way.port:
                    self._handle(way, post.event)
            for way in self._ways.values():
                deadline = way.machine.next_deadline()
                if deadline is not None and time.monotonic() >= deadline:
                    self._handle(way, Tick())
        for way in self._ways.values():
            self._close_stream(way)

    def _next_post(self) -> _Post | str | None:
        deadlines = [way.machine.next_deadline() for way in self._ways.values()]
        due = min((deadline for deadline in deadlines if deadline is not None), default=None)
        timeout = None if due is None else max(0.0, due - time.monotonic())
        try:
            return self._posts.get(timeout=timeout)
        except queue.Empty:
            return "tick"

    def _handle(self, way: _Way, event: StreamEvent) -> None:
        before = way.machine.state
        commands = way.machine.handle(event, time.monotonic())
        if way.machine.state != before:
            self._tell(StreamChanged(way.direction, way.machine.state))
        for command in commands:
            answer = self._carry_out(way, command)
            if answer is not None:
                self._handle(way, answer)

    def _carry_out(self, way: _Way, command: StreamCommand) -> StreamEvent | None:
        match command:
            case CloseStream():
                self._close_stream(way)
                return None
            case OpenStream(device_id=device_id):
                return self._open_stream(way, device_id)

    def _open_stream(self, way: _Way, device_id: str | None) -> StreamEvent:
        self._scan()
        device = self._devices.find(way.direction, device_id)
        if device is None:
            reason = self._devices.problem or f"{device_id or 'a device'} is not there"
            return OpenFailed(reason, missing=True)
        reason = ""
        for rate_hz, channels in _settings(device):
            port = _Port(way.ring, rate_hz, channels, self._wake)
            callback = port.use_for(way.direction)
            ended = partial(self._ended, _Post(way.direction, Vanished("the device has gone"), port))
            try:
                way.stream = self._portaudio.open_stream(way.direction, device, rate_hz, channels, callback, ended)
            except self._portaudio.error as error:
                reason = str(error)
                continue
            way.port = port
            return Opened(device.name)
        return OpenFailed(f"{device.name} cannot be opened: {reason}", missing=False)

    def _ended(self, post: _Post) -> None:
        # PortAudio calls this for streams that we close, too; the worker knows which port is in use.
        if post.port is not None and not post.port.closed:
            self._post(post)

    def _close_stream(self, way: _Way) -> None:
        port, stream = way.port, way.stream
        way.port = way.stream = None
        if port is not None:
            port.closed = True
            port.serving = False
        if stream is not None:
            # Stopping would wait until everything has been played, and a dead device plays nothing any more.
            stream.abort()
            stream.close()

    def _scan(self) -> None:
        running = any(way.stream is not None for way in self._ways.values())
        before, self._devices = self._devices, self._portaudio.scan(streams_running=running)
        if self._devices != before:
            gone, new = before.ids - self._devices.ids, self._devices.ids - before.ids
            self._tell(DevicesListed(self._devices, gone, new))


def _settings(device: Device) -> list[tuple[int, int]]:
    """(rate, channels) to try, the best first: what Segue needs, then what the device prefers."""
    channels = sorted({1, min(2, device.channels)})
    rates = [SAMPLE_RATE_HZ] + ([device.rate_hz] if device.rate_hz != SAMPLE_RATE_HZ else [])
    return [(rate_hz, count) for rate_hz in rates for count in channels]
