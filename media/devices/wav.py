"""WAV files in the one format of Segue (48 kHz, mono, 16 bit), read and written by the frame."""

import queue
import struct
import threading
import wave
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from media.errors import WavError
from media.format import FRAME_SAMPLES, SAMPLE_BYTES, SAMPLE_RATE_HZ, Pcm, silence

# A header that is right twice a second loses little when the program is killed, and costs one seek.
_BLOCK_BYTES = SAMPLE_RATE_HZ * SAMPLE_BYTES // 2
# 10 s of frames: a disk that stalls for longer loses the newest of them.
_MAX_QUEUED_FRAMES = 500
# The sizes in the header are 32 bit (12 hours); recording ends there.
_MAX_DATA_BYTES = 2**32 - 1 - 36
_JOIN_S = 10.0
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")


class WavSource:
    """Reads a WAV file by the frame. Raises :class:`WavError` when it cannot be played."""

    def __init__(self, path: Path) -> None:
        try:
            # Open for as long as the source lives; closed in close().
            self._file = wave.open(str(path), "rb")  # noqa: SIM115
        except OSError as error:
            raise WavError(f"{path}: {error.strerror or error}") from error
        except (wave.Error, EOFError, RuntimeError) as error:
            raise WavError(f"{path}: not a WAV file that can be read ({error or 'it ends too early'})") from error
        found = (self._file.getframerate(), self._file.getnchannels(), 8 * self._file.getsampwidth())
        if found != (SAMPLE_RATE_HZ, 1, 8 * SAMPLE_BYTES):
            self._file.close()
            raise WavError(
                f"{path}: has {found[0]} Hz, {found[1]} channel(s), {found[2]} bit; "
                f"wanted are {SAMPLE_RATE_HZ} Hz, 1 channel, {8 * SAMPLE_BYTES} bit"
            )
        self._finished = False

    @property
    def finished(self) -> bool:
        """Only silence follows."""
        return self._finished

    def read(self) -> Pcm:
        """The next 960 samples; zeros after the end, and from where the file becomes unreadable."""
        if self._finished:
            return silence()
        try:
            data = self._file.readframes(FRAME_SAMPLES)
        except (OSError, wave.Error, EOFError, RuntimeError):
            data = b""
        frame = silence()
        samples = np.frombuffer(data[: len(data) // SAMPLE_BYTES * SAMPLE_BYTES], dtype="<i2")
        frame[: samples.size] = samples
        self._finished = samples.size < FRAME_SAMPLES
        return frame

    def close(self) -> None:
        """Close the file; ``read`` gives silence from now on."""
        self._finished = True
        self._file.close()


class WavSink:
    """Writes a WAV file from a thread of its own, so that no disk delays the sound.

    ``on_failed`` is called once, from that thread, with what went wrong; recording has ended then and what was
    written before stays playable. Raises :class:`WavError` when the file cannot be made.
    """

    def __init__(self, path: Path, on_failed: Callable[[str], None]) -> None:
        self._path = path
        self._on_failed = on_failed
        self._queue: queue.Queue[bytes | None] = queue.Queue(_MAX_QUEUED_FRAMES)
        self._dropped = 0
        self._failed = False
        self._closed = False
        try:
            # Unbuffered: what the header says is written has left this process.
            self._file: BinaryIO = open(path, "wb", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise WavError(f"{path}: {error.strerror or error}") from error
        try:
            self._file.write(_header(0))
        except OSError as error:
            self._file.close()
            raise WavError(f"{path}: {error.strerror or error}") from error
        self._thread = threading.Thread(target=self._run, name="segue-wav-writer", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Frames dropped because the disk was too slow, newest first."""
        return self._dropped

    def write(self, frame: Pcm) -> None:
        """Append samples; never blocks."""
        if self._failed or self._closed:
            return
        try:
            self._queue.put_nowait(frame.astype("<i2").tobytes())
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Write what is queued, complete the header, wait for the thread. May be called twice."""
        if not self._closed:
            self._closed = True
            with suppress(queue.Full):  # the disk hangs: the thread is left behind, and with it what is queued
                self._queue.put(None, timeout=_JOIN_S)
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        written = 0
        block = bytearray()
        try:
            while (data := self._queue.get()) is not None:
                if self._failed:
                    continue
                block += data
                if len(block) >= _BLOCK_BYTES:
                    written = self._append(block, written)
            if not self._failed:
                self._append(block, written)
        finally:
            self._file.close()

    def _append(self, block: bytearray, written: int) -> int:
        """Write ``block`` after ``written`` bytes of samples, then the header that covers it."""
        try:
            if written + len(block) > _MAX_DATA_BYTES:
                raise OSError("a WAV file cannot grow beyond 4 GiB")
            self._file.seek(_HEADER.size + written)
            data = bytes(block)
            while data:
                data = data[self._file.write(data) :]
            written += len(block)
            self._file.seek(0)
            self._file.write(_header(written))
        except OSError as error:
            self._failed = True
            self._on_failed(f"{self._path}: {error.strerror or error}")
        block.clear()
        return written


def _header(data_bytes: int) -> bytes:
    rate = SAMPLE_RATE_HZ * SAMPLE_BYTES
    return _HEADER.pack(
        b"RIFF", 36 + data_bytes, b"WAVE", b"fmt ", 16, 1, 1, SAMPLE_RATE_HZ, rate, SAMPLE_BYTES, 8 * SAMPLE_BYTES,
        b"data", data_bytes,
    )  # fmt: skip
