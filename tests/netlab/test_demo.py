"""``segue demo``: in a terminal, without one, and stopped in the middle."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import PATIENCE_S, SEGUE, await_nothing_left, processes_of, segue

pytestmark = [pytest.mark.process, pytest.mark.slow]


@contextlib.contextmanager
def in_terminal(*arguments: str, env: dict[str, str]) -> Iterator[tuple["subprocess.Popen[bytes]", list[bytes]]]:
    """The program in a pseudo-terminal, and what it shows there."""
    ours, its = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # EIO: the last one who had it open has ended
            while data := os.read(ours, 65_536):
                shown.append(data)

    process = subprocess.Popen([*SEGUE, *arguments], stdin=its, stdout=its, stderr=its, env={**os.environ, **env})
    os.close(its)
    reader = threading.Thread(target=read, name="terminal")
    reader.start()
    try:
        yield process, shown
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join()
        os.close(ours)


def test_with_and_without_a_terminal(tmp_path: Path) -> None:
    terminal, pipe = tmp_path / "terminal", tmp_path / "pipe"
    for folder in (terminal, pipe):
        folder.mkdir()
    screen = {"TMPDIR": str(terminal), "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "50"}
    with in_terminal("demo", env=screen) as (process, shown), segue("demo", env={"TMPDIR": str(pipe)}) as plain:
        assert plain.wait() == 0, plain.said
        assert process.wait(PATIENCE_S) == 0, b"".join(shown)
    # Without a terminal: one picture, the report, and figures that a program can read; nothing that moves a cursor.
    assert "\x1b" not in plain.said and "Traceback" not in plain.said
    assert "frames received" in plain.said and "answered → first audio played" in plain.said
    media = json.loads(plain.said[plain.said.index("{\n") :])["alice"]
    assert media["frames_received"] > 500 and media["frames_lost"] == 0, media
    # In a terminal it was drawn again and again while the call went on.
    text = b"".join(shown).decode(errors="replace")
    assert text.count("Alice") > 20 and "frames received" in text and "Traceback" not in text
    for folder in (terminal, pipe):
        await_nothing_left(folder)
        assert not list(folder.iterdir())


def test_stopped_in_the_middle(tmp_path: Path) -> None:
    with segue("demo", env={"TMPDIR": str(tmp_path)}) as demo:
        end = time.monotonic() + PATIENCE_S
        while not any(" call " in command for command in processes_of(tmp_path).values()):
            assert time.monotonic() < end and demo.process.poll() is None, demo.said
            time.sleep(0.05)
        demo.process.send_signal(signal.SIGINT)
        assert demo.wait() != 0
    assert "Traceback" not in demo.said, demo.said
    await_nothing_left(tmp_path)
    assert not list(tmp_path.iterdir())
