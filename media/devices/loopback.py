"""A speaker that is its own microphone: what is played is heard, 20 ms later. The sound card of Echo."""

from collections.abc import Callable

from media.devices.frame_clock import FrameClock
from media.devices.portaudio import DeviceList
from media.devices.stream_state import Status, StreamState
from media.devices.streams import AudioStreams, DevicesListed, StreamChanged

_NAME = "echo"


class EchoStreams(AudioStreams):
    """Runs at the pace of a sound card, like :class:`media.devices.files.FileStreams`."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__(wake)
        self._input = StreamState()
        self._output = StreamState()
        self._clock = FrameClock(self._tick)
        self._clock.start()

    def open_input(self, device_id: str | None = None) -> None:
        """There is one."""
        self._input = StreamState(Status.RUNNING, _NAME)
        self._tell(StreamChanged("input", self._input))

    def open_output(self, device_id: str | None = None) -> None:
        """There is one."""
        self._output = StreamState(Status.RUNNING, _NAME)
        self._tell(StreamChanged("output", self._output))

    def close_input(self) -> None:
        """Nothing comes back until it is opened again."""
        self._input = StreamState()
        self._tell(StreamChanged("input", self._input))

    def close_output(self) -> None:
        """See :class:`AudioStreams`."""
        self._output = StreamState()
        self._tell(StreamChanged("output", self._output))

    def begin_talk(self) -> None:
        """There is nothing to wait for."""

    @property
    def input_state(self) -> StreamState:
        """See :class:`AudioStreams`."""
        return self._input

    @property
    def output_state(self) -> StreamState:
        """See :class:`AudioStreams`."""
        return self._output

    def refresh_devices(self) -> None:
        """There are no devices: an empty list follows."""
        self._tell(DevicesListed(DeviceList()))

    def close(self) -> None:
        """See :class:`AudioStreams`."""
        self._clock.close()

    def _tick(self) -> None:
        self.capture_ring.write(self.playout_ring.read())
        self._wake()
