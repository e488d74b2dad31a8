"""The window on an X server without a screen: how soon it is there, what it holds and what its charts cost."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.ipc import messages
from tests.audio_lab import PulseLab, missing_tools
from tests.bench.figures import Figure, Section, median
from tests.bench.people import Person, attached
from tests.bench.process import CpuShare, Memory, memory
from tests.gui.real_window import end_engine, screen
from tests.processes import SEGUE, register, segue

ROOT = Path(__file__).parents[2]
STARTS = 5
CHARTS_S = 10.0
# A page that was just opened is drawn as a whole a few times.
SETTLE_S = 1.0
END_TIMEOUT_S = 20.0


class BenchWindow:
    """One process of the window. ``with_state_s``: from the start of the process to the painted home page."""

    def __init__(self, home: Path, env: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.window_child", str(time.monotonic()), "--home", str(home)],
            cwd=ROOT,
            env={**os.environ, **env, "QT_QPA_PLATFORM": "xcb"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        times = self._answer()
        self.first_s, self.with_state_s = float(times["first"]), float(times["with_state"])

    def open_panel(self, wanted: bool) -> None:
        """Open or close the connection panel."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{int(wanted)}\n")
        self.process.stdin.flush()
        assert self._answer() == {"open": wanted}

    def end(self) -> None:
        """As the desktop ends it."""
        self.process.terminate()
        try:
            self.process.wait(END_TIMEOUT_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def _answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the window ended by itself"
        answer: dict[str, float] = json.loads(line)
        return answer


@contextlib.contextmanager
def window(home: Path, env: Mapping[str, str]) -> Iterator[BenchWindow]:
    """A window, ended with the block; its engine stays."""
    shown = BenchWindow(home, env)
    try:
        yield shown
    finally:
        shown.end()


@dataclass(frozen=True, slots=True)
class InCall:
    """Shares of a core in percent."""

    panel_closed_percent: float
    panel_open_percent: float
    engine_percent: float
    window: Memory
    engine: Memory


async def in_call(home: Path, shown: BenchWindow, echo: str, seconds: float) -> InCall:
    """A call to Echo with the panel closed, then open."""

    async def watch(person: Person) -> tuple[float, float]:
        await asyncio.sleep(SETTLE_S)
        share = CpuShare(shown.process.pid, person.pid)
        await asyncio.sleep(seconds)
        return share.percent(shown.process.pid), share.percent(person.pid)

    async with attached(home) as [person]:
        await person.online()
        person.send(messages.PlaceCall(address=echo))
        await person.talking()
        closed, _ = await watch(person)
        shown.open_panel(True)
        opened, engine = await watch(person)
        memories = memory(shown.process.pid), memory(person.pid)
        call = person.state.call
        assert call is not None
        person.send(messages.HangUpCall(call_id=call.call_id))
        await person.ended(call.call_id, call.placed)
    return InCall(closed, opened, engine, *memories)


def command_start_s() -> float:
    """One run of the shortest command."""
    start = time.monotonic()
    subprocess.run([*SEGUE, "--help"], cwd=ROOT, check=True, capture_output=True)
    return time.monotonic() - start


def run(*, starts: int = STARTS, charts_s: float = CHARTS_S) -> Section:
    """All of it; with real devices (PulseAudio's null sinks) where PulseAudio is installed."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="segue-bench-")))
        env = {"DISPLAY": stack.enter_context(screen())}
        devices = "no sound card"
        if not missing_tools():
            env |= stack.enter_context(PulseLab()).env
            devices = "sound through PulseAudio"
        place = stack.enter_context(
            segue("relay", "--bind", "127.0.0.1", "--port", "0", "--data", folder / "relay", "--drain", "0")
        ).wait_for("ready ")
        relay = place.removeprefix("ready ")
        home, echo_home = folder / "me", folder / "echo"
        echo = register("echo", relay, echo_home)
        register("me", relay, home)
        stack.enter_context(segue("echo", "--home", echo_home)).wait_for("listening as ")
        stack.callback(end_engine, home)
        cold, warm, commands = [], [], []
        for _ in range(starts):
            with window(home, env) as shown:
                cold.append(shown)
            with window(home, env) as shown:
                warm.append(shown)
            end_engine(home)
            commands.append(command_start_s())
        with window(home, env) as shown:
            time.sleep(SETTLE_S)
            idle = memory(shown.process.pid)
            call = asyncio.run(in_call(home, shown, echo, charts_s))
    span = f"{charts_s:.0f} s of a call to Echo"
    return Section(
        "The window",
        (
            Figure(
                "window start",
                f"{median(one.with_state_s for one in cold):.2f} s",
                f"process start → home page painted, engine started by it; Xvfb, median of {starts}",
            ),
            Figure(
                "window start, first pixels",
                f"{median(one.first_s for one in cold):.2f} s",
                "process start → anything painted",
            ),
            Figure(
                "window start, engine running",
                f"{median(one.with_state_s for one in warm):.2f} s",
                "process start → home page painted",
            ),
            Figure("command line start", f"{median(commands):.2f} s", f"segue --help, median of {starts}"),
            Figure("window memory without a call", str(idle), "RSS / PSS"),
            Figure("window memory in a call", str(call.window), "RSS / PSS, panel open"),
            Figure("window's engine memory in a call", str(call.engine), f"RSS / PSS, {devices}"),
            Figure("window in a call, panel closed", f"{call.panel_closed_percent:.1f} % of a core", span),
            Figure(
                "window in a call, panel open",
                f"{call.panel_open_percent:.1f} % of a core",
                f"{span}; charts and strip at 5 Hz, meters at 15 Hz",
            ),
            Figure(
                "charts alone",
                f"{call.panel_open_percent - call.panel_closed_percent:.1f} % of a core",
                "the difference",
            ),
            Figure("window's engine in a call", f"{call.engine_percent:.1f} % of a core", f"{span}; {devices}"),
        ),
    )
