"""WAV files, or nothing, in place of microphone and speaker, in real time."""

from collections.abc import Callable
from pathlib import Path

from media.devices.frame_clock import FrameClock
from media.devices.portaudio import DeviceList
from media.devices.stream_state import Status, StreamState
from media.devices.streams import AudioStreams, DevicesListed, RecordingEnded, StreamChanged
from media.devices.wav import WavSink, WavSource
from media.format import silence


class FileStreams(AudioStreams):
    """``play`` is heard from ``begin_talk`` on, once, then silence; what is played is recorded into ``record``
    from the same moment. Without a file: silence, and nothing. Raises :class:`WavError` when a file cannot be used.

    A thread with an absolute schedule of 20 ms plays the part of the sound card on the same rings.
    """

    def __init__(self, wake: Callable[[], None], play: Path | None = None, record: Path | None = None) -> None:
        super().__init__(wake)
        self._source = WavSource(play) if play else None
        try:
            self._sink = WavSink(record, self._recording_failed) if record else None
        except BaseException:
            if self._source:
                self._source.close()
            raise
        self._play_name = str(play) if play else "silence"
        self._record_name = str(record) if record else "nowhere"
        self._input = StreamState()
        self._output = StreamState()
        self._talking = False
        self._clock = FrameClock(self._tick)
        self._clock.start()

    @property
    def finished_playing(self) -> bool:
        """The file has been played to its end."""
        return self._source is None or self._source.finished

    def open_input(self, device_id: str | None = None) -> None:
        """There is one input: the file."""
        self._input = StreamState(Status.RUNNING, self._play_name)
        self._tell(StreamChanged("input", self._input))

    def open_output(self, device_id: str | None = None) -> None:
        """There is one output: the file."""
        self._output = StreamState(Status.RUNNING, self._record_name)
        self._tell(StreamChanged("output", self._output))

    def close_input(self) -> None:
        """Silence from now on; the file waits where it is."""
        self._input = StreamState()
        self._tell(StreamChanged("input", self._input))

    def close_output(self) -> None:
        """Nothing is recorded from now on."""
        self._output = StreamState()
        self._tell(StreamChanged("output", self._output))

    def begin_talk(self) -> None:
        """See :class:`AudioStreams`."""
        self._talking = True

    @property
    def input_state(self) -> StreamState:
        """See :class:`AudioStreams`."""
        return self._input

    @property
    def output_state(self) -> StreamState:
        """See :class:`AudioStreams`."""
        return self._output

    def refresh_devices(self) -> None:
        """Files are no devices: an empty list follows."""
        self._tell(DevicesListed(DeviceList()))

    def close(self) -> None:
        """See :class:`AudioStreams`."""
        self._clock.close()
        if self._source:
            self._source.close()
        if self._sink:
            self._sink.close()

    def _tick(self) -> None:
        plays = self._talking and self._input.status is Status.RUNNING and self._source
        self.capture_ring.write(self._source.read() if plays and self._source else silence())
        heard = self.playout_ring.read()
        if self._sink and self._talking and self._output.status is Status.RUNNING:
            self._sink.write(heard)
        self._wake()

    def _recording_failed(self, reason: str) -> None:
        self._tell(RecordingEnded(reason))
