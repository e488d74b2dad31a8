"""Where sound enters and leaves: the interface that the engine uses, and the clock that all streams share.

Two rings join a stream with the engine: the microphone's, which the stream fills, and the speaker's, which it
empties. Real devices are in :mod:`media.devices.hardware`, files in :mod:`media.devices.files`. In both the threads of
sound touch nothing but the rings, and call ``wake`` when there is something to do.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from media.devices.portaudio import DeviceList
from media.devices.stream_state import StreamState
from media.ring import SampleRing

# Far more than happens between two wake-ups; the oldest are dropped, because states can also be asked for.
_MAX_EVENTS = 64

Direction = Literal["input", "output"]


@dataclass(frozen=True, slots=True)
class StreamChanged:
    """A direction has a new state."""

    direction: Direction
    state: StreamState


@dataclass(frozen=True, slots=True)
class DevicesListed:
    """The devices as they are now; ``vanished`` and ``returned`` are ids, against the list before."""

    devices: DeviceList
    vanished: frozenset[str] = frozenset()
    returned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RecordingEnded:
    """The file takes no more; the talk goes on."""

    reason: str


AudioEvent = StreamChanged | DevicesListed | RecordingEnded


class AudioStreams(ABC):
    """Microphone and speaker, independent of each other. No method blocks, except ``close``.

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
    def open_input(self, device_id: str | None = None) -> None:
        """Use this microphone from now on, or the default one."""

    @abstractmethod
    def open_output(self, device_id: str | None = None) -> None:
        """Use this speaker from now on, or the default one."""

    @abstractmethod
    def close_input(self) -> None:
        """Let go of the microphone: silence from now on."""

    @abstractmethod
    def close_output(self) -> None:
        """Let go of the speaker."""

    @abstractmethod
    def begin_talk(self) -> None:
        """The call is accepted: files start playing and recording here (devices do not care)."""

    @property
    @abstractmethod
    def input_state(self) -> StreamState:
        """Of the microphone."""

    @property
    @abstractmethod
    def output_state(self) -> StreamState:
        """Of the speaker."""

    @abstractmethod
    def refresh_devices(self) -> None:
        """List the devices anew; a :class:`DevicesListed` follows."""

    @abstractmethod
    def close(self) -> None:
        """End all threads and files; waits for them. May be called twice."""

    def take_events(self) -> list[AudioEvent]:
        """What has happened since the last call, oldest first. Call it after a wake-up."""
        events = []
        while self._events:
            events.append(self._events.popleft())
        return events

    def _tell(self, event: AudioEvent) -> None:
        self._events.append(event)
        self._wake()
