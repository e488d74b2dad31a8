"""``segue demo``: behind two NATs, in a terminal, without one, without the right to networks, and stopped."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import SEGUE, TIMEOUT_S, Running, await_nothing_left, processes_of, segue

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


def figures(output: str) -> dict[str, Any]:
    """What the demo prints for programs."""
    found: dict[str, Any] = json.JSONDecoder().raw_decode(output[output.index("{\n") :])[0]
    return found


def check_verdict(status: int, output: str) -> None:
    """Nothing was lost on the way, and the exit status says the same as the last line.

    A machine that is too busy to play in time conceals samples, which the demo has to say, too."""
    media = figures(output)
    assert all(side["frames_received"] > 500 and side["frames_lost"] == 0 for side in media.values()), media
    is_whole = not any(side["samples_concealed"] for side in media.values())
    assert (status == 0) == is_whole == ("samples was lost." in output.splitlines()[-1]), output


def without_tools(folder: Path) -> str:
    """A search path with nothing in it that makes networks."""
    folder.mkdir()
    (folder / "sh").symlink_to("/bin/sh")
    return str(folder)


def test_with_and_without_a_terminal(tmp_path: Path) -> None:
    terminal, pipe = tmp_path / "terminal", tmp_path / "pipe"
    for folder in (terminal, pipe):
        folder.mkdir()
    screen = {"TMPDIR": str(terminal), "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "50"}
    # The second one has no tools for networks: its people are on loopback, and it says so.
    bare = {"TMPDIR": str(pipe), "PATH": without_tools(tmp_path / "bin")}
    with in_terminal("demo", env=screen) as (process, shown), segue("demo", env=bare) as plain:
        plain_status, status = plain.wait(), process.wait(TIMEOUT_S)
    # Without a terminal: lines when they come, the report, figures for programs; nothing that moves a cursor.
    assert "\x1b" not in plain.output and "Traceback" not in plain.output
    assert plain.lines[0].startswith("No NATs here (there is no “unshare” (package util-linux))"), plain.output
    assert "frames received" in plain.output and "answered → first audio played" in plain.output
    assert "Alice calls Bob" in plain.output or "Bob's phone rings" in plain.output
    check_verdict(plain_status, plain.output)
    # In a terminal it was drawn again and again while the call went on.
    text = b"".join(shown).decode(errors="replace")
    assert text.count("Alice") > 20 and "frames received" in text and "Traceback" not in text
    assert status in (0, 5), text
    for folder in (terminal, pipe):
        await_nothing_left(folder)
        assert not list(folder.iterdir())


def test_behind_two_nats_it_goes_direct_and_loses_nothing(tmp_path: Path, kernel: None) -> None:
    with segue("demo", env={"TMPDIR": str(tmp_path)}) as demo:
        status = demo.wait()
    assert "No NATs here" not in demo.output and "203.0.113.10" in demo.lines[0], demo.output
    for side in ("Alice", "Bob"):
        relayed = demo.output.index(f"{side}'s voice goes over the relay")
        assert relayed < demo.output.index(f"{side}'s voice moves to the direct path"), demo.output
    assert re.search(r"^Direct \d+\.\d\d s after the answer\.$", demo.output, re.MULTILINE), demo.output
    check_verdict(status, demo.output)
    await_nothing_left(tmp_path)
    assert not list(tmp_path.iterdir())


def test_stopped_in_the_middle(tmp_path: Path) -> None:
    folders = {number: tmp_path / number.name for number in (signal.SIGINT, signal.SIGTERM)}
    with contextlib.ExitStack() as both:
        demos = {}
        for number, folder in folders.items():
            folder.mkdir()
            demos[number] = both.enter_context(segue("demo", env={"TMPDIR": str(folder)}))
        for number, demo in demos.items():
            await_call(demo, folders[number])
            demo.process.send_signal(number)
        for demo in demos.values():
            assert demo.wait() != 0
            assert "Traceback" not in demo.output, demo.output
    for folder in folders.values():
        await_nothing_left(folder)
        assert not list(folder.iterdir())


def await_call(demo: Running, folder: Path) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not any(" call " in command for command in processes_of(folder).values()):
        assert time.monotonic() < end and demo.process.poll() is None, demo.output
        time.sleep(0.05)
