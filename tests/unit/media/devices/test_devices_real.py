"""DeviceStreams on PortAudio, ALSA and a private PulseAudio: sound through, devices pulled out and put back."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from media.devices.wav import WavSink, WavSource
from media.format import SAMPLE_RATE_HZ, Pcm
from tests.audio_lab import MIC, SPEAKER, PulseLab, missing_tools
from tests.unit.media.voice import sine

pytestmark = [
    pytest.mark.device,
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing_tools()), reason=f"not installed: {missing_tools()}"),
]
CHILD = Path(__file__).with_name("device_child.py")
ROOT = Path(__file__).parents[4]


class Child:
    """device_child.py, and what it says."""

    def __init__(self, lab: PulseLab) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.media.devices.device_child"],
            env=os.environ | lab.env,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[dict[str, object]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="child-reader")
        self._reader.start()
        self.stderr = ""

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(json.loads(line))

    def wait_for(self, timeout: float = 20, **what: object) -> dict[str, object]:
        """The next line that says all of this."""
        deadline = time.monotonic() + timeout
        passed = []
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"the child did not say {what}, only {passed}")
            if what.items() <= line.items():
                return line
            passed.append(line)

    def wait_for_frames(self, seconds: int) -> None:
        """Frames move from microphone to speaker for so long."""
        for _ in range(seconds):
            while "frames" not in self.wait_for(5):
                pass

    def end(self) -> dict[str, object]:
        """Let it end in order; the last that it printed. May be called twice."""
        assert self._process.stdin and self._process.stdout and self._process.stderr
        if self._process.stdin.closed:
            return {}
        self._process.stdin.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._reader.join(5)
        self.stderr = self._process.stderr.read()
        self._process.stdout.close()
        self._process.stderr.close()
        last: dict[str, object] = {}
        while not self._lines.empty():
            last = self._lines.get()
        return last


@pytest.fixture
def lab() -> Iterator[PulseLab]:
    with PulseLab() as lab:
        yield lab


@pytest.fixture
def child(lab: PulseLab) -> Iterator[Child]:
    child = Child(lab)
    try:
        yield child
    finally:
        child.end()


def running(child: Child) -> None:
    states = {}
    while len(states) < 2:
        line = child.wait_for(status="running")
        states[line["direction"]] = line
    child.wait_for_frames(1)


def write_wav(path: Path, pcm: Pcm) -> Path:
    sink = WavSink(path, lambda reason: pytest.fail(reason))
    for at in range(0, pcm.size, 960):
        sink.write(pcm[at : at + 960])
    sink.close()
    return path


def read_wav(path: Path) -> Pcm:
    source = WavSource(path)
    parts = []
    while not source.finished:
        parts.append(source.read())
    source.close()
    return np.concatenate(parts)


def loudness(recording: Pcm, hertz: float) -> float:
    """Seconds in which the tone is audible, by its share of the energy of each 100 ms."""
    audible = 0
    for block in recording[: recording.size // 4_800 * 4_800].reshape(-1, 4_800).astype(float):
        spectrum = np.abs(np.fft.rfft(block * np.hanning(4_800))) ** 2
        at = round(hertz / 10)
        if np.sqrt(np.mean(block**2)) > 500 and spectrum[at - 3 : at + 4].sum() > 0.9 * spectrum.sum():
            audible += 1
    return audible / 10


def play_and_record(lab: PulseLab, tmp_path: Path, hertz: float) -> float:
    tone = write_wav(tmp_path / "tone.wav", sine(hertz, 2 * SAMPLE_RATE_HZ))
    recorder = lab.record_speaker(tmp_path / "speaker.wav")
    lab.play_into_mic(tone)
    time.sleep(0.5)
    return loudness(read_wav(recorder.stop()), hertz)


def test_a_tone_goes_in_at_the_microphone_and_comes_out_of_the_speaker(
    lab: PulseLab, child: Child, tmp_path: Path
) -> None:
    listed = child.wait_for(problem="")
    assert {f"ALSA: {MIC}", f"ALSA: {SPEAKER}"} <= set(listed["devices"])  # type: ignore[call-overload]
    running(child)
    assert play_and_record(lab, tmp_path, 440) >= 1.5
    assert child.end() == {"closed": True, "threads": []}
    assert child.stderr == ""


def test_the_speaker_is_pulled_out_and_put_back(lab: PulseLab, child: Child, tmp_path: Path) -> None:
    running(child)
    lab.load_sink("spare")
    lab.pactl("set-default-sink", "spare")
    lab.unload_sink(SPEAKER)
    # PulseAudio moves the stream to the spare sink; frames have to go on.
    child.wait_for_frames(3)
    lab.load_sink(SPEAKER)
    for line in lab.pactl("list", "short", "sink-inputs").splitlines():
        lab.pactl("move-sink-input", line.split()[0], SPEAKER)
    child.wait_for_frames(1)
    assert play_and_record(lab, tmp_path, 660) >= 1.5
    assert child.end() == {"closed": True, "threads": []}


def test_the_sound_server_dies_and_comes_back(lab: PulseLab, child: Child, tmp_path: Path) -> None:
    running(child)
    lab.stop_server()
    gone = {child.wait_for(status="missing")["direction"]}
    # Silence keeps its pace without any device.
    child.wait_for_frames(3)
    assert gone <= {"input", "output"}
    lab.start_server()
    running(child)
    assert play_and_record(lab, tmp_path, 550) >= 1.5
    assert child.end() == {"closed": True, "threads": []}


def test_without_any_device_it_says_so_and_silence_flows(lab: PulseLab) -> None:
    lab.stop_server()
    child = Child(lab)
    try:
        assert child.wait_for(direction="input", status="missing")["reason"]
        child.wait_for(direction="output", status="missing")
        child.wait_for_frames(2)
        assert child.end() == {"closed": True, "threads": []}
    finally:
        child.end()
