"""Streams without a sound card: a clock moves files, silence or an echo through the same rings, in real time."""

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path

from media.devices.device_list import DeviceList, Direction
from media.devices.frame_clock import FrameClock
from media.devices.stream_state import State, StreamStatus
from media.devices.streams import AudioStreams, DevicesListed, RecordingEnded, StreamChanged
from media.devices.wav import WavSink, WavSource
from media.format import silence


class ClockedStreams(AudioStreams):
    """A thread with an absolute schedule of 20 ms in place of the sound card. There is one device each way."""

    def __init__(self, wake: Callable[[], None], input_name: str, output_name: str) -> None:
        super().__init__(wake)
        self._names: dict[Direction, str] = {"input": input_name, "output": output_name}
        self._statuses: dict[Direction, StreamStatus] = {"input": StreamStatus(), "output": StreamStatus()}
        self._clock = FrameClock(self._tick)
        self._clock.start()

    @abstractmethod
    def _tick(self) -> None:
        """Move one frame each way; runs on the clock's thread."""

    def open(self, direction: Direction, device_id: str | None = None) -> None:
        """See :class:`AudioStreams`; ``device_id`` does not matter."""
        self._set(direction, StreamStatus(State.RUNNING, self._names[direction]))

    def release(self, direction: Direction) -> None:
        """See :class:`AudioStreams`. A file waits where it is."""
        self._set(direction, StreamStatus())

    def status(self, direction: Direction) -> StreamStatus:
        return self._statuses[direction]

    def refresh_devices(self) -> None:
        """These are no devices: an empty list follows."""
        self._report(DevicesListed(DeviceList()))

    def close(self) -> None:
        self._clock.close()

    def _set(self, direction: Direction, status: StreamStatus) -> None:
        self._statuses[direction] = status
        self._report(StreamChanged(direction, status))

    def _runs(self, direction: Direction) -> bool:
        return self._statuses[direction].state is State.RUNNING


class FileStreams(ClockedStreams):
    """WAV files in place of microphone and speaker: ``play`` from :meth:`begin_call` on, once, then silence; what is
    played is recorded into ``record`` from the same moment. Without a file: silence, and nothing. Raises
    :class:`WavError` when a file cannot be used."""

    def __init__(self, wake: Callable[[], None], play: Path | None = None, record: Path | None = None) -> None:
        self._in_call = False
        self._source = WavSource(play) if play else None
        try:
            self._sink = WavSink(record, lambda reason: self._report(RecordingEnded(reason))) if record else None
        except BaseException:
            if self._source:
                self._source.close()
            raise
        super().__init__(wake, str(play) if play else "silence", str(record) if record else "nowhere")

    def begin_call(self) -> None:
        self._in_call = True

    def close(self) -> None:
        super().close()
        if self._source:
            self._source.close()
        if self._sink:
            self._sink.close()

    def _tick(self) -> None:
        plays = self._in_call and self._runs("input")
        self.capture_ring.write(self._source.read() if plays and self._source else silence())
        played = self.playout_ring.read()
        if self._sink and self._in_call and self._runs("output"):
            self._sink.write(played)
        self._wake()


class EchoStreams(ClockedStreams):
    """A speaker that is its own microphone: what is played comes back 20 ms later. The sound card of Echo."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__(wake, "echo", "echo")

    def _tick(self) -> None:
        self.capture_ring.write(self.playout_ring.read())
        self._wake()
