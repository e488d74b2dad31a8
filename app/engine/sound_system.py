"""Which sound the engine uses (devices, files, or Echo's loop), as one thing with two sides; and test recordings."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from app.ipc.engine_state import AudioDevice, AudioState, DeviceProblem
from app.model.terms import DeviceSide
from app.system.errors import AppError
from media.devices.clocked import EchoStreams, FileStreams
from media.devices.device_list import Device, DeviceList, Direction
from media.devices.hardware import DeviceStreams
from media.devices.stream_state import State, StreamStatus
from media.devices.streams import AudioStreams, DevicesListed, RecordingEnded, StreamChanged
from media.errors import MediaError
from media.format import FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm, silence

TEST_SECONDS = 3
ALSA_DEFAULT = "default"
WithoutAny = Literal["none", "no-sound-system"]


@dataclass(frozen=True, slots=True)
class SoundPlan:
    """``play`` and ``record`` are WAV files in place of microphone and speaker; ``echo`` joins the two instead."""

    play: Path | None = None
    record: Path | None = None
    echo: bool = False


class SoundSystem:
    """One input and one output, which may come from different kinds of streams. Raises :class:`AppError` when made
    from a file that cannot be used."""

    def __init__(self, plan: SoundPlan, wake: Callable[[], None]) -> None:
        self._all: list[AudioStreams] = []
        self._devices = DeviceList()
        self._problems: dict[DeviceSide, DeviceProblem | None] = {}
        try:
            if plan.echo:
                self._input = self._output = self._own(EchoStreams(wake))
            elif plan.play is None and plan.record is None:
                self._input = self._output = self._own(DeviceStreams(wake))
            elif plan.play is not None and plan.record is not None:
                self._input = self._output = self._own(FileStreams(wake, plan.play, plan.record))
            elif plan.play is not None:
                self._input = self._own(FileStreams(wake, plan.play, None))
                self._output = self._own(DeviceStreams(wake))
            else:
                self._output = self._own(FileStreams(wake, None, plan.record))
                self._input = self._own(DeviceStreams(wake))
        except MediaError as error:
            self.close()
            raise AppError("sound-file", detail=str(error)) from error
        self.capture_ring = self._input.capture_ring
        self.playout_ring = self._output.playout_ring
        self.ring_frames = self._output.ring_frames

    def open(self, direction: Direction, device: str) -> None:
        """Use a device (an id; empty: the default)."""
        self._streams(direction).open(direction, device or None)

    def release(self, direction: Direction) -> None:
        """Let go of the device."""
        self._streams(direction).release(direction)

    def _streams(self, direction: Direction) -> AudioStreams:
        return self._input if direction == "input" else self._output

    def begin_call(self) -> None:
        """Files start here."""
        for streams in self._all:
            streams.begin_call()

    def refresh(self) -> None:
        """List the devices anew."""
        for streams in self._all:
            streams.refresh_devices()

    def take_news(self) -> bool:
        """Whether states or devices have changed, or a recording has ended."""
        changed = False
        for streams in self._all:
            for event in streams.take_events():
                match event:
                    case DevicesListed(devices) if isinstance(streams, DeviceStreams):
                        self._devices, changed = devices, True
                    case RecordingEnded() | StreamChanged():
                        changed = True
        return changed

    def close(self) -> None:
        """End all threads and files; waits for them."""
        for streams in self._all:
            streams.close()

    def audio(self, test: str) -> AudioState:
        """As windows show it."""
        problem: WithoutAny = "no-sound-system" if self._devices.problem else "none"
        return AudioState(
            inputs=_listed(self._devices.inputs),
            outputs=_listed(self._devices.outputs),
            input_problem=self._problem("input", problem),
            output_problem=self._problem("output", problem),
            recording_test=test,  # type: ignore[arg-type]
        )

    def _problem(self, side: DeviceSide, without_any: WithoutAny) -> DeviceProblem | None:
        status = self._streams(side).status(side)
        # An attempt that is repeated has not helped yet: what is shown stays, instead of flickering.
        if not (status.state is State.OPENING and status.reason):
            self._problems[side] = _problem(status, without_any)
        return self._problems.get(side)

    def _own(self, streams: AudioStreams) -> AudioStreams:
        self._all.append(streams)
        return streams


def _listed(devices: tuple[Device, ...]) -> tuple[AudioDevice, ...]:
    return tuple(AudioDevice(device.id, device.name, device.is_default) for device in devices)


def _problem(status: StreamStatus, without_any: WithoutAny) -> DeviceProblem | None:
    # “default” is how ALSA calls whatever is the default; to a person it is no name.
    name = "" if status.device == ALSA_DEFAULT else status.device
    if status.state is State.FAILED:
        return DeviceProblem("failed", name)
    if status.state is State.MISSING:
        return DeviceProblem("gone", name) if status.device else DeviceProblem(without_any)
    return None


class TestTape:
    """“Say something, then hear it”: a few seconds of the microphone, played once (a tone for the pump)."""

    def __init__(self) -> None:
        self._frames: list[Pcm] = []
        self._position = 0

    @property
    def is_full(self) -> bool:
        """Three seconds are recorded."""
        return len(self._frames) * FRAME_SAMPLES >= TEST_SECONDS * SAMPLE_RATE_HZ

    def add(self, frame: Pcm) -> None:
        """Record one frame."""
        self._frames.append(np.array(frame, dtype=np.int16))

    @property
    def finished(self) -> bool:
        """All of it has been played."""
        return self._position >= len(self._frames)

    def read(self) -> Pcm:
        """The next frame to play."""
        if self.finished:
            return silence()
        frame = self._frames[self._position]
        self._position += 1
        return frame
