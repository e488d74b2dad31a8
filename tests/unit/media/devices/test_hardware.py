"""DeviceStreams with a PortAudio that the test plays: devices come, refuse, fall silent, vanish, hang."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from media.devices.device_list import Device, DeviceList
from media.devices.hardware import DeviceStreams
from media.devices.stream_state import State
from media.devices.streams import AudioEvent, DevicesListed, StreamChanged
from media.format import FRAME_SAMPLES
from tests.unit.media.voice import sine

MIC = Device("ALSA: mic", "mic", "ALSA", 0, 2, 44_100, True)
SPEAKER = Device("ALSA: speaker", "speaker", "ALSA", 1, 2, 44_100, True)


class RefusedError(Exception):
    """As PortAudioError."""


class FakeStream:
    def __init__(self, direction: str, rate: int, channels: int, callback: Callable[..., None]) -> None:
        self.direction, self.rate, self.channels, self.callback = direction, rate, channels, callback
        self.on_finished: Callable[[], None] = lambda: None
        self.closed = False

    def give(self, samples: np.ndarray) -> None:
        """As the sound card's thread: captured samples, mono."""
        data = np.repeat(samples, self.channels).astype(np.int16)
        self.callback(data.tobytes(), samples.size, None, None)

    def take(self, frames: int) -> np.ndarray:
        """As the sound card's thread: what it is to play, one row a channel."""
        data = bytearray(2 * frames * self.channels)
        self.callback(memoryview(data), frames, None, None)
        return np.frombuffer(bytes(data), np.int16).reshape(-1, self.channels).T

    def abort(self) -> None:
        self.on_finished()

    def close(self) -> None:
        self.closed = True


class FakePortAudio:
    """The face of media.devices.portaudio.PortAudio."""

    error = RefusedError

    def __init__(self) -> None:
        self.devices = DeviceList((MIC,), (SPEAKER,))
        self.refused: set[tuple[int, int]] = set()
        self.streams: list[FakeStream] = []
        self.scans: list[bool] = []
        self.hang = threading.Event()
        self.hang.set()

    def scan(self, *, streams_running: bool) -> DeviceList:
        self.scans.append(streams_running)
        return self.devices

    def open_stream(
        self,
        direction: str,
        device: Device,
        rate_hz: int,
        channels: int,
        callback: Callable[..., None],
        on_finished: Callable[[], None],
    ) -> FakeStream:
        self.hang.wait(20)
        if (rate_hz, channels) in self.refused:
            raise RefusedError("Invalid sample rate")
        stream = FakeStream(direction, rate_hz, channels, callback)
        stream.on_finished = on_finished
        self.streams.append(stream)
        return stream


class Bench:
    def __init__(self) -> None:
        self.portaudio = FakePortAudio()
        self.woken = threading.Condition()
        self.wakes = 0
        self.seen: list[AudioEvent] = []
        self.streams = DeviceStreams(self._wake, lambda: self.portaudio)  # type: ignore[arg-type, return-value]

    def _wake(self) -> None:
        with self.woken:
            self.wakes += 1
            self.woken.notify_all()

    def until(self, condition: Callable[[], Any], each: Callable[[], None] = lambda: None) -> None:
        """Wait for wake-ups until ``condition``; ``each`` runs at every one."""
        deadline = time.monotonic() + 15
        while not condition():
            assert time.monotonic() < deadline, "it did not come"
            with self.woken:
                self.woken.wait(0.02)
            self.seen += self.streams.take_events()
            each()

    def statuses(self, direction: str) -> list[State]:
        return [e.status.state for e in self.seen if isinstance(e, StreamChanged) and e.direction == direction]

    def open(self) -> tuple[FakeStream, FakeStream]:
        self.streams.open("input")
        self.streams.open("output")
        self.until(lambda: len(self.portaudio.streams) == 2)
        self.until(lambda: self.statuses("output")[-1:] == [State.RUNNING])
        return self.portaudio.streams[0], self.portaudio.streams[1]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.portaudio.hang.set()
    bench.streams.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("segue-")]


def test_sound_passes_between_devices_and_rings(bench: Bench) -> None:
    microphone, speaker = bench.open()
    assert (microphone.rate, microphone.channels) == (48_000, 1)
    tone = sine(440, FRAME_SAMPLES)
    ring = bench.streams.capture_ring

    def served() -> bool:
        ring.discard(ring.level)
        microphone.give(tone)
        return ring.level == FRAME_SAMPLES and np.array_equal(ring.read(), tone)

    bench.until(served)

    def is_audible() -> bool:
        bench.streams.playout_ring.write(tone)
        return bool(speaker.take(FRAME_SAMPLES)[0].any())

    bench.until(is_audible)
    assert any(isinstance(event, DevicesListed) for event in bench.seen)


def test_before_and_without_a_device_silence_keeps_the_pace(bench: Bench) -> None:
    bench.portaudio.devices = DeviceList(problem="no sound device is there")
    bench.streams.open("input", "ALSA: mic")
    bench.streams.open("output", "ALSA: speaker")
    bench.streams.playout_ring.write(sine(440, 3 * FRAME_SAMPLES))
    bench.until(lambda: bench.streams.playout_ring.level == 0)
    assert bench.streams.capture_ring.level >= 2 * FRAME_SAMPLES
    bench.until(lambda: bench.streams.status("input").state is State.MISSING)
    assert "no sound device" in bench.streams.status("input").reason


@pytest.mark.slow
def test_a_missing_device_is_picked_up_when_it_comes(bench: Bench) -> None:
    bench.portaudio.devices = DeviceList()
    bench.streams.open("input", "ALSA: mic")
    bench.until(lambda: bench.streams.status("input").state is State.MISSING)
    bench.portaudio.devices = DeviceList((MIC,), ())
    bench.until(lambda: bench.streams.status("input").state is State.RUNNING)
    listed = [event.devices.ids for event in bench.seen if isinstance(event, DevicesListed)]
    assert listed[-1] == {"ALSA: mic"}
    assert not any(bench.portaudio.scans)


def test_a_running_stream_is_never_killed_by_a_scan(bench: Bench) -> None:
    bench.open()
    bench.streams.refresh_devices()
    scans = len(bench.portaudio.scans)
    bench.until(lambda: len(bench.portaudio.scans) > scans)
    assert bench.portaudio.scans[-1] is True


@pytest.mark.slow
def test_a_device_that_wants_another_rate_and_stereo_is_converted(bench: Bench) -> None:
    bench.portaudio.refused = {(48_000, 1), (48_000, 2), (44_100, 1)}
    microphone, speaker = bench.open()
    assert (microphone.rate, microphone.channels) == (44_100, 2)
    captured: list[np.ndarray] = []
    played: list[np.ndarray] = []
    position = [0, 0]

    def turn() -> None:
        ring = bench.streams.capture_ring
        block = np.rint(8_000 * np.sin(2 * np.pi * 1_000 * (position[0] + np.arange(882)) / 44_100))
        position[0] += 882
        level = ring.level
        microphone.give(block)
        if ring.level > level:
            captured.append(ring.read(ring.level))
        else:
            ring.discard(ring.level)
        bench.streams.playout_ring.write(sine(1_000, 960, start=position[1]))
        position[1] += 960
        left, right = speaker.take(882)
        assert np.array_equal(left, right)
        played.append(left)

    bench.until(lambda: len(captured) > 60, turn)
    for signal, rate in ((np.concatenate(captured), 48_000), (np.concatenate(played), 44_100)):
        steady = signal[-rate // 2 :].astype(float)
        spectrum = np.abs(np.fft.rfft(steady * np.hanning(steady.size)))
        assert abs(np.argmax(spectrum) * rate / steady.size - 1_000) < 4
    assert np.abs(np.concatenate(played)[-4_000:]).max() > 9_000


def test_a_device_that_refuses_everything_is_failed_and_says_why(bench: Bench) -> None:
    bench.portaudio.refused = {(rate, channels) for rate in (48_000, 44_100) for channels in (1, 2)}
    bench.streams.open("output")
    bench.until(lambda: bench.streams.status("output").state is State.FAILED)
    assert "Invalid sample rate" in bench.streams.status("output").reason


@pytest.mark.slow
def test_a_device_that_falls_silent_is_replaced_by_silence_and_then_given_up(bench: Bench) -> None:
    microphone, _ = bench.open()
    ring = bench.streams.capture_ring
    tone = sine(440, FRAME_SAMPLES)
    bench.until(lambda: ring.level == 0 or ring.discard(ring.level), lambda: microphone.give(tone))
    ring.discard(ring.level)
    # The device calls no more: the clock takes over within a fraction of a second ...
    bench.until(lambda: ring.level >= 5 * FRAME_SAMPLES)
    assert not ring.read(FRAME_SAMPLES).any()
    # ... and two seconds later the device is given up, closed and opened again.
    bench.until(lambda: State.MISSING in bench.statuses("input"), lambda: ring.discard(ring.level) or None)
    assert microphone.closed
    bench.until(lambda: bench.streams.status("input").state is State.RUNNING)


def test_a_device_that_is_pulled_out_is_noticed_at_once(bench: Bench) -> None:
    _, speaker = bench.open()
    speaker.on_finished()
    bench.until(lambda: State.MISSING in bench.statuses("output"))
    assert bench.statuses("input")[-1] is State.RUNNING


def test_a_driver_that_hangs_delays_nobody(bench: Bench) -> None:
    bench.portaudio.hang.clear()
    bench.streams.open("input")
    bench.streams.open("output")
    bench.until(lambda: bench.streams.capture_ring.level >= 5 * FRAME_SAMPLES)
    assert bench.streams.status("input").state is State.OPENING
    bench.portaudio.hang.set()
    bench.until(lambda: bench.streams.status("output").state is State.RUNNING)


def test_closing_a_direction_lets_its_device_go(bench: Bench) -> None:
    microphone, speaker = bench.open()
    bench.streams.release("input")
    bench.until(lambda: microphone.closed)
    assert not speaker.closed
    assert bench.streams.status("input").state is State.CLOSED
    assert bench.streams.status("output").state is State.RUNNING
