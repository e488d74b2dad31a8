"""WAV files: what can be played, what is reported about the rest, and disks that end."""

import resource
import signal
import sys
import threading
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.devices.wav import WavSink, WavSource
from media.errors import WavError
from media.format import FRAME_SAMPLES
from tests.unit.media.voice import SPEECH, frames_of, speech


def write(path: Path, rate: int = 48_000, channels: int = 1, width: int = 2, frames: int = 100) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setframerate(rate)
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.writeframes(bytes(frames * channels * width))
    return path


def test_speech_is_read_to_its_end_and_then_silence() -> None:
    source = WavSource(SPEECH)
    played = np.concatenate([source.read() for _ in range(300)])
    assert np.array_equal(played, speech())
    assert not source.read().any()
    assert source.finished
    source.close()
    assert not source.read().any()


def test_the_last_frame_is_filled_with_zeros(tmp_path: Path) -> None:
    source = WavSource(write(tmp_path / "short.wav", frames=10))
    assert source.read().shape == (FRAME_SAMPLES,)
    assert source.finished
    source.close()


@pytest.mark.parametrize(
    ("rate", "channels", "width", "has"),
    [(44_100, 1, 2, "44100 Hz"), (48_000, 2, 2, "2 channel"), (48_000, 1, 1, "8 bit"), (48_000, 1, 3, "24 bit")],
)
def test_another_format_is_named_with_what_is_wanted(
    tmp_path: Path, rate: int, channels: int, width: int, has: str
) -> None:
    with pytest.raises(WavError, match=has) as caught:
        WavSource(write(tmp_path / "other.wav", rate, channels, width))
    assert "48000 Hz, 1 channel, 16 bit" in str(caught.value)
    assert "other.wav" in str(caught.value)


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(WavError, match="none"):
        WavSource(tmp_path / "none.wav")
    with pytest.raises(WavError):
        WavSource(tmp_path)
    with pytest.raises(WavError, match="none"):
        WavSink(tmp_path / "none" / "there.wav", lambda reason: None)


@settings(max_examples=200)
@given(st.binary(max_size=200), st.integers(0, 60))
def test_no_file_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes, keep: int) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.wav"
    path.write_bytes(SPEECH.read_bytes()[:keep] + data)
    try:
        source = WavSource(path)
    except WavError:
        return
    assert source.read().shape == (FRAME_SAMPLES,)
    source.close()


def test_a_recording_is_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    sink = WavSink(path, lambda reason: pytest.fail(reason))
    for frame in frames_of(speech()):
        sink.write(frame)
    sink.close()
    sink.close()
    sink.write(speech()[:960])
    with wave.open(str(path)) as file:
        assert np.array_equal(np.frombuffer(file.readframes(file.getnframes()), np.int16), speech())
    assert sink.dropped == 0


def test_a_recording_is_playable_before_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    sink = WavSink(path, lambda reason: pytest.fail(reason))
    for frame in frames_of(speech())[:60]:
        sink.write(frame)
    while path.stat().st_size <= 44:
        threading.Event().wait(0.005)
    with wave.open(str(path)) as file:
        found = file.getnframes()
    sink.close()
    # Blocks of half a second: 25 frames.
    assert found in (0, 24_000, 48_000)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full is Linux")
def test_a_full_disk_ends_the_recording_with_a_word() -> None:
    with pytest.raises(WavError, match="No space left"):
        WavSink(Path("/dev/full"), lambda reason: None)


def test_a_disk_that_fills_up_in_mid_recording_ends_it_with_a_word(tmp_path: Path) -> None:
    reasons: list[str] = []
    reported = threading.Event()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path = tmp_path / "out.wav"
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        sink = WavSink(path, lambda reason: (reasons.append(reason), reported.set()))  # type: ignore[func-returns-value]
        for frame in frames_of(speech()):
            sink.write(frame)
        assert reported.wait(5)
        sink.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert len(reasons) == 1 and "out.wav" in reasons[0]
    # What was complete stays playable.
    with wave.open(str(path)) as file:
        kept = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    assert kept.size == 48_000
    assert np.array_equal(kept, speech()[: kept.size])
