"""Files in place of devices, on the real clock: the same rings, the same wake-ups."""

import random
import resource
import signal
import threading
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from media.codec import OpusDecoder, OpusEncoder
from media.devices.clocked import FileStreams
from media.devices.stream_state import State
from media.devices.streams import DevicesListed, RecordingEnded, StreamChanged
from media.devices.wav import WavSink
from media.errors import WavError
from media.format import FRAME_SAMPLES, Pcm
from media.pipeline import CaptureChain, PlayoutChain
from media.pump import AudioPump
from tests.continuity.exact import FIRST, IndexDecoder, IndexEncoder, check, numbered
from tests.unit.media.voice import SPEECH


def write(path: Path, pcm: Pcm) -> Path:
    sink = WavSink(path, lambda reason: pytest.fail(reason))
    for at in range(0, pcm.size, FRAME_SAMPLES):
        sink.write(pcm[at : at + FRAME_SAMPLES])
    sink.close()
    return path


def read(path: Path) -> Pcm:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def test_states_and_events() -> None:
    streams = FileStreams(lambda: None)
    assert streams.status("input").state is State.CLOSED
    streams.open("input")
    streams.open("output")
    streams.refresh_devices()
    events = streams.take_events()
    assert [type(event) for event in events] == [StreamChanged, StreamChanged, DevicesListed]
    assert streams.status("input").state is streams.status("output").state is State.RUNNING
    streams.release("input")
    streams.release("output")
    assert streams.status("input").state is streams.status("output").state is State.CLOSED
    streams.close()
    streams.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("segue-")]


def test_a_wrong_file_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(WavError):
        FileStreams(lambda: None, tmp_path / "none.wav", tmp_path / "out.wav")
    with pytest.raises(WavError):
        FileStreams(lambda: None, SPEECH, tmp_path / "none" / "out.wav")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("segue-")]


def test_without_a_file_silence_flows_at_the_pace_of_a_sound_card() -> None:
    ticks = threading.Semaphore(0)
    streams = FileStreams(ticks.release)
    for _ in range(5):
        assert ticks.acquire(timeout=5)
    streams.close()
    assert streams.capture_ring.level >= 5 * FRAME_SAMPLES
    assert not streams.capture_ring.read(streams.capture_ring.level).any()


def run_talk(
    tmp_path: Path, encoders: tuple[object, object], decoders: tuple[object, object], play: Path
) -> tuple[Path, AudioPump]:
    """A talk between two FileStreams in this process; one event wakes both pumps, as in an engine's loop."""
    woken = threading.Event()
    recording = tmp_path / "speaker.wav"
    near = FileStreams(woken.set, play)
    far = FileStreams(woken.set, None, recording)
    pumps = [AudioPump(streams.capture_ring, streams.playout_ring, streams.ring_frames) for streams in (near, far)]
    chains = []
    for pump, encoder, decoder, streams in zip(pumps, encoders, decoders, (near, far), strict=True):
        capture, playout = CaptureChain(encoder, random.Random(1)), PlayoutChain(decoder)  # type: ignore[arg-type]
        streams.open("input")
        streams.open("output")
        pump.begin(capture, playout)
        chains.append(playout)
    for streams in (near, far):
        streams.begin_call()
    try:
        while not (near._source.finished and near.capture_ring.level < FRAME_SAMPLES):
            assert woken.wait(5)
            woken.clear()
            now = time.monotonic()
            for pump, other in zip(pumps, reversed(chains), strict=True):
                for packet in pump.pump(now):
                    other.on_packet(packet, now)
        while not chains[1].dry:
            assert woken.wait(5)
            woken.clear()
            pumps[1].pump(time.monotonic())
        stats = pumps[1].end()
        while far.playout_ring.level:
            assert woken.wait(5)
            woken.clear()
    finally:
        near.close()
        far.close()
    return recording, stats


@pytest.mark.slow
def test_every_sample_of_a_file_arrives_in_the_other(tmp_path: Path) -> None:
    play = write(tmp_path / "numbers.wav", numbered(FIRST, 75 * FRAME_SAMPLES))
    recording, stats = run_talk(tmp_path, (IndexEncoder(), IndexEncoder()), (IndexDecoder(), IndexDecoder()), play)
    report = check(read(recording))
    assert stats.frames_lost == stats.samples_concealed == 0
    assert report.first == FIRST
    if stats.samples_stretched == 0:
        # On a busy machine the speaker may find nothing; then zeros are all that may stand between the samples.
        assert {fault.kind for fault in report.faults} <= {"silence"}
        assert len(report.faults) <= stats.underruns
        assert report.samples == 75 * FRAME_SAMPLES


@pytest.mark.slow
def test_speech_arrives_as_speech(tmp_path: Path) -> None:
    recording, stats = run_talk(tmp_path, (OpusEncoder(), OpusEncoder()), (OpusDecoder(), OpusDecoder()), SPEECH)
    recorded, spoken = read(recording).astype(float), read(SPEECH).astype(float)
    assert stats.frames_lost == stats.samples_concealed == 0
    spectrum = np.fft.rfft(recorded, 2**20) * np.conj(np.fft.rfft(spoken, 2**20))
    shift = int(np.argmax(np.fft.irfft(spectrum)))
    assert shift <= round(0.2 * 48_000)
    for second in range(5):
        part = slice(second * 48_000, (second + 1) * 48_000)
        if np.abs(spoken[part]).mean() > 300:
            assert np.corrcoef(spoken[part], recorded[part.start + shift : part.stop + shift])[0, 1] > 0.9


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux")
def test_a_disk_that_fails_is_reported_and_the_call_goes_on(tmp_path: Path) -> None:
    ticks = threading.Semaphore(0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    streams = FileStreams(ticks.release, None, tmp_path / "out.wav")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
        streams.open("output")
        streams.begin_call()
        events = []
        for _ in range(60):
            assert ticks.acquire(timeout=5)
            events += streams.take_events()
            if any(isinstance(event, RecordingEnded) for event in events):
                break
        else:
            pytest.fail("nobody reported that the recording has ended")
        for _ in range(5):
            assert ticks.acquire(timeout=5)
    finally:
        streams.close()
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
