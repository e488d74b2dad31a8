"""Real microphones and speakers.

Three kinds of threads. PortAudio's own run the callbacks of :mod:`media.devices.device_port`. The *clock* supplies
silence for a direction whose device is missing or silent, at the pace of a sound card, so that a call never depends on
devices. The *worker* does everything that may block: listing, opening, closing, trying again.
"""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from media.devices.device_list import Device, DeviceList, Direction
from media.devices.device_port import DevicePort
from media.devices.frame_clock import FrameClock
from media.devices.stream_state import (
    CloseStream,
    Opened,
    OpenFailed,
    OpenStream,
    Release,
    RetryDue,
    StreamEvent,
    StreamMachine,
    StreamStatus,
    Vanished,
    Want,
)
from media.devices.streams import AudioStreams, DevicesListed, StreamChanged
from media.format import FRAME_SAMPLES, SAMPLE_RATE_HZ, silence
from media.ring import SampleRing

if TYPE_CHECKING:
    from media.devices.portaudio import PortAudio

# Silence steps in when a device has not called for so long; PulseAudio calls every 10 to 40 ms.
QUIET_S = 0.2
# A device that has not called for so long is gone: a driver that only moves a stream needs less.
VANISHED_S = 2.0
NOT_INSTALLED = "PortAudio is not installed (on Debian: apt install libportaudio2)"
_JOIN_S = 5.0
_MAX_JOBS = 256


def load_portaudio() -> "PortAudio | str":
    """PortAudio, or the reason why it cannot be used.

    Importing it initialises it, which takes up to seconds and belongs on the thread that will use it.
    """
    try:
        from media.devices.portaudio import PortAudio  # noqa: PLC0415
    except OSError:
        return NOT_INSTALLED
    except Exception as error:
        # PortAudioError cannot be named before the import that raises it has succeeded.
        return f"PortAudio does not start: {error}"
    return PortAudio()


@dataclass(slots=True)
class _Side:
    """What the worker and the clock know of one direction."""

    direction: Direction
    ring: SampleRing
    machine: StreamMachine
    stream: Any = None
    port: DevicePort | None = None


class DeviceStreams(AudioStreams):
    """PortAudio devices. At most one of these in a process: PortAudio's list of devices belongs to all of it."""

    # One that the device takes at any moment, and one for the time until the engine wakes up.
    ring_frames = 2

    def __init__(self, wake: Callable[[], None], load: "Callable[[], PortAudio | str]" = load_portaudio) -> None:
        super().__init__(wake)
        self._load = load
        self._sides: dict[Direction, _Side] = {
            "input": _Side("input", self.capture_ring, StreamMachine()),
            "output": _Side("output", self.playout_ring, StreamMachine()),
        }
        self._devices = DeviceList()
        self._jobs: queue.Queue[Callable[[], None]] = queue.Queue(_MAX_JOBS)
        self._library: PortAudio | str
        self._closed = False
        self._worker = threading.Thread(target=self._work, name="segue-audio-devices", daemon=True)
        self._clock = FrameClock(self._tick)
        self._worker.start()
        self._clock.start()

    # --- for the engine --------------------------------------------------------------------------------------

    def open(self, direction: Direction, device_id: str | None = None) -> None:
        self._post(direction, Want(device_id))

    def release(self, direction: Direction) -> None:
        self._post(direction, Release())

    def status(self, direction: Direction) -> StreamStatus:
        return self._sides[direction].machine.status

    def refresh_devices(self) -> None:
        """See :class:`AudioStreams`. New devices are seen while no stream runs."""
        self._ask(self._scan)

    def close(self) -> None:
        """See :class:`AudioStreams`. A driver that hangs is left behind after five seconds."""
        if not self._closed:
            self._closed = True
            self._ask(lambda: None)
        self._worker.join(_JOIN_S)
        self._clock.close()

    # --- the clock's thread ----------------------------------------------------------------------------------

    def _tick(self) -> None:
        supplied = [self._supply(side) for side in self._sides.values()]
        if any(supplied):
            self._wake()

    def _supply(self, side: _Side) -> bool:
        """Stand in for a device that does not serve; whether that was needed."""
        port = side.port
        if port is not None:
            quiet_s = time.monotonic() - port.last_call
            port.serving = quiet_s < QUIET_S and not port.closed
            if quiet_s > VANISHED_S and not port.closed:
                port.closed = True
                self._post(side.direction, Vanished("the device has stopped"), port)
            if port.serving:
                return False
        if side.direction == "input":
            side.ring.write(silence())
        else:
            side.ring.discard(FRAME_SAMPLES)
        return True

    # --- the worker's thread ---------------------------------------------------------------------------------

    def _post(self, direction: Direction, event: StreamEvent, port: DevicePort | None = None) -> None:
        """Hand an event to the worker; with a port, only if that is still the one in use when the event is handled."""
        side = self._sides[direction]

        def handle() -> None:
            if port is None or port is side.port:
                self._handle(side, event)

        self._ask(handle)

    def _ask(self, job: Callable[[], None]) -> None:
        while True:
            try:
                self._jobs.put_nowait(job)
                return
            except queue.Full:
                # The worker hangs in a driver: the oldest request is dropped, since the newest ones are what is meant.
                with suppress(queue.Empty):
                    self._jobs.get_nowait()

    def _work(self) -> None:
        self._library = self._load()
        self._scan()
        while not self._closed:
            deadlines = [side.machine.next_deadline() for side in self._sides.values()]
            due = min((deadline for deadline in deadlines if deadline is not None), default=None)
            with suppress(queue.Empty):
                self._jobs.get(timeout=None if due is None else max(0.0, due - time.monotonic()))()
            for side in self._sides.values():
                self._handle(side, RetryDue())
        for side in self._sides.values():
            self._close_stream(side)

    def _handle(self, side: _Side, event: StreamEvent) -> None:
        before = side.machine.status
        commands = side.machine.handle(event, time.monotonic())
        if side.machine.status != before:
            self._report(StreamChanged(side.direction, side.machine.status))
        for command in commands:
            match command:
                case CloseStream():
                    self._close_stream(side)
                case OpenStream(device_id=device_id):
                    self._handle(side, self._open_stream(side, device_id))

    def _open_stream(self, side: _Side, device_id: str | None) -> StreamEvent:
        self._scan()
        device = self._devices.find(side.direction, device_id)
        if device is None or isinstance(self._library, str):
            reason = self._devices.problem or f"{device_id or 'a device'} is not there"
            return OpenFailed(reason, missing=True)
        reason = ""
        for rate_hz, channels in _settings(device):
            port = DevicePort(side.ring, side.direction, rate_hz, channels, self._wake)
            ended = partial(self._ended, side.direction, port)
            try:
                side.stream = self._library.open_stream(side.direction, device, rate_hz, channels, port.callback, ended)
            except self._library.error as error:
                reason = str(error)
                continue
            side.port = port
            return Opened(device.name)
        return OpenFailed(f"{device.name} cannot be opened: {reason}", missing=False)

    def _ended(self, direction: Direction, port: DevicePort) -> None:
        # PortAudio calls this for streams that we close, too.
        if not port.closed:
            self._post(direction, Vanished("the device has gone"), port)

    def _close_stream(self, side: _Side) -> None:
        port, stream = side.port, side.stream
        side.port = side.stream = None
        if port is not None:
            port.closed = True
            port.serving = False
        if stream is not None:
            # Stopping would wait until everything has been played, and a dead device plays nothing any more.
            stream.abort()
            stream.close()

    def _scan(self) -> None:
        running = any(side.stream is not None for side in self._sides.values())
        before, library = self._devices, self._library
        self._devices = (
            DeviceList(problem=library) if isinstance(library, str) else library.scan(streams_running=running)
        )
        if self._devices != before:
            self._report(DevicesListed(self._devices))


def _settings(device: Device) -> list[tuple[int, int]]:
    """(rate, channels) to try, the best first: what Segue needs, then what the device prefers."""
    channels = sorted({1, min(2, device.channels)})
    rates = [SAMPLE_RATE_HZ] + ([device.rate_hz] if device.rate_hz != SAMPLE_RATE_HZ else [])
    return [(rate_hz, count) for rate_hz in rates for count in channels]
