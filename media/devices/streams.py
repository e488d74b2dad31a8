"""The two rings that join sound cards with the engine, and the interface of all that fills and empties them.

Real devices are in :mod:`media.devices.hardware`; :mod:`media.devices.clocked` has files and an echo instead. The
threads of sound touch nothing but the rings, and call ``wake`` when there is something to do.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from media.devices.device_list import DeviceList, Direction
from media.devices.stream_state import StreamStatus
from media.ring import SampleRing

# Far more than happens between two wake-ups; the oldest are dropped, because the status can also be asked for.
_MAX_EVENTS = 64


@dataclass(frozen=True, slots=True)
class StreamChanged:
    """A direction has a new status."""

    direction: Direction
    status: StreamStatus


@dataclass(frozen=True, slots=True)
class DevicesListed:
    """The devices as they are now."""

    devices: DeviceList


@dataclass(frozen=True, slots=True)
class RecordingEnded:
    """The file takes no more; the call goes on."""

    reason: str


AudioEvent = StreamChanged | DevicesListed | RecordingEnded


class AudioStreams(ABC):
    """Microphone ("input") and speaker ("output"), independent of each other. No method blocks, except ``close``.

    ``wake`` is called from threads of sound, after every 20 ms or so: hand in something thread-safe and cheap, such
    as ``lambda: loop.call_soon_threadsafe(pump)``, and close the streams before the loop.
    """

    ring_frames = 1
    """What :class:`media.pump.AudioPump` should keep in the speaker's ring at least."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.capture_ring = SampleRing()
        self.playout_ring = SampleRing()
        self._wake = wake
        self._events: deque[AudioEvent] = deque(maxlen=_MAX_EVENTS)

    @abstractmethod
    def open(self, direction: Direction, device_id: str | None = None) -> None:
        """Use this device from now on, or the default one."""

    @abstractmethod
    def release(self, direction: Direction) -> None:
        """Use none: the microphone gives silence from now on, and the speaker's sound goes nowhere."""

    @abstractmethod
    def status(self, direction: Direction) -> StreamStatus:
        """As it is now."""

    @abstractmethod
    def refresh_devices(self) -> None:
        """List the devices anew; a :class:`DevicesListed` follows."""

    @abstractmethod
    def close(self) -> None:
        """End all threads and files; waits for them. May be called twice."""

    def begin_call(self) -> None:  # noqa: B027 - devices run already
        """The call is accepted: files start playing and recording here."""

    def take_events(self) -> list[AudioEvent]:
        """What has happened since the last call, oldest first. Call it after a wake-up."""
        events = []
        while self._events:
            events.append(self._events.popleft())
        return events

    def _report(self, event: AudioEvent) -> None:
        self._events.append(event)
        self._wake()
