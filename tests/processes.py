"""Real processes of the installed program, for tests: started, watched, and always ended."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Far more than anything takes here; a test that waits so long has failed.
TIMEOUT_S = 60.0
END_TIMEOUT_S = 10.0
_LOOK_EVERY_S = 0.05

SEGUE = [sys.executable, "-m", "app"]


@dataclass
class Running:
    """A process and its output so far. Use through :func:`segue`."""

    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)
    _unread: "queue.Queue[str | None]" = field(default_factory=queue.Queue)
    _is_complete: bool = False

    def read_on(self) -> None:
        """Collect lines in a thread, so that a full pipe stops nobody."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._unread.put(line.rstrip("\n"))
        self._unread.put(None)

    def wait_for(self, beginning: str) -> str:
        """The next line that begins so; fails when the process ends before."""
        while True:
            line = self._unread.get(timeout=TIMEOUT_S)
            assert line is not None, f"ended before it printed “{beginning}”: {self.lines}"
            self.lines.append(line)
            if line.startswith(beginning):
                return line

    def wait(self) -> int:
        """The exit status; all output is in ``lines``."""
        status = self.process.wait(TIMEOUT_S)
        while not self._is_complete:
            line = self._unread.get(timeout=TIMEOUT_S)
            self._is_complete = line is None
            if line is not None:
                self.lines.append(line)
        return status

    @property
    def output(self) -> str:
        """All of it."""
        return "\n".join(self.lines)


@contextlib.contextmanager
def segue(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """``segue ARGUMENTS`` with both outputs in one; killed at the end if it still runs."""
    with program(*SEGUE, *map(str, arguments), env=env) as running:
        yield running


@contextlib.contextmanager
def program(*command: str, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """The same for a command that starts it in its own way."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(env or {})},
    )
    running = Running(process)
    reader = threading.Thread(target=running.read_on, name="segue-output")
    reader.start()
    try:
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        reader.join()
        assert process.stdout is not None
        process.stdout.close()


@contextlib.contextmanager
def relay(folder: Path, *arguments: str) -> Iterator[str]:
    """A relay on loopback; gives its address with pin."""
    with segue("relay", "--bind", "127.0.0.1", "--port", "0", "--data", folder, "--drain", "0", *arguments) as running:
        yield running.wait_for("ready ").removeprefix("ready ")


def run(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Running:
    """Run to the end."""
    with segue(*arguments, env=env) as running:
        running.wait()
    return running


def register(name: str, relay_address: str, home: Path) -> str:
    """Claim a name; gives the full address."""
    address = f"{name}@{relay_address}"
    done = run("register", address, "--home", home)
    assert done.process.returncode == 0, done.output
    return address


def read_report(path: Path) -> dict[str, Any]:
    """A report as plain values."""
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def processes_of(folder: Path) -> dict[int, str]:
    """Processes that were started with that folder, or something in it, in their command line."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(folder) in command:
                    found[int(entry.name)] = command.strip()
    return found


def await_nothing_left(folder: Path) -> None:
    """Wait until every process of that folder has ended by itself; what has not is killed, and fails the test."""
    end = time.monotonic() + TIMEOUT_S
    while left := processes_of(folder):
        if time.monotonic() > end:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"still running: {left}")
        time.sleep(_LOOK_EVERY_S)
