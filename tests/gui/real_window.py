"""A screen without hardware, the real window on it, and a hand that moves the pointer and clicks (X input events).

Needs the Debian packages xvfb and xdotool. The window's process is started as ``make run`` starts it, but through
``window_child``, which can tell where a button is; everything done to it comes from the X server.
"""

import asyncio
import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from app.ipc.client import EngineClient, EngineUnreachable
from app.ipc.messages import EndEngine, EngineMessage, EngineState, GetReport, Report, WindowMessage
from tests.processes import TIMEOUT_S, await_nothing_left

# A call goes direct a third of a second after the answer, and its page says so in a line of another height.
AT_REST_S = 0.5
ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "tests" / "artifacts" / "screenshots"
LOOK_EVERY_S = 0.05
SCREEN = "1280x860x24"

Found = TypeVar("Found")


def missing_tools() -> list[str]:
    """Programs that are not installed."""
    return [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]


def wait_until(look: Callable[[], Found | None], what: str | Callable[[], str]) -> Found:
    """Look again and again until there is something to see; ``what``: what is missing when there never is."""
    end = time.monotonic() + TIMEOUT_S
    while not (found := look()):
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what if isinstance(what, str) else what()}")
        time.sleep(LOOK_EVERY_S)
    return found


@contextlib.contextmanager
def screen() -> Iterator[str]:
    """An X server of one's own; gives its display."""
    reading, writing = os.pipe()
    with contextlib.closing(os.fdopen(reading)) as answers:
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writing), "-screen", "0", SCREEN, "-nolisten", "tcp"],
            pass_fds=(writing,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(writing)
        try:
            number = answers.readline().strip()
            assert number, "Xvfb did not start"
            yield f":{number}"
        finally:
            server.terminate()
            server.wait(TIMEOUT_S)


class RealWindow:
    """One process of the window. Use through :func:`real_window`."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self._env = {**os.environ, **env, "QT_QPA_PLATFORM": "xcb"}
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.gui.window_child", *arguments],
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="window-answers")
        self._reader.start()
        self._id = ""

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._answers.put(line)
        self._answers.put(None)

    def ask(self, question: str, **more: Any) -> Any:
        """Put a question to the window's thread; it answers when its event loop comes to it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"ask": question, **more}) + "\n")
        self.process.stdin.flush()
        line = self._answers.get(timeout=TIMEOUT_S)
        assert line is not None, "the window's process has ended"
        return json.loads(line)

    def text(self, name: str) -> str:
        """What a shown widget says; empty while it is not shown."""
        return self.ask("text", name=name) or ""

    def await_page(self, name: str) -> None:
        """Wait until that page is shown."""
        wait_until(lambda: self.ask("page") == name, lambda: f"page {name}, not {self.ask('page')}")

    def await_text(self, name: str, part: str) -> str:
        """Wait until that widget says so."""
        return wait_until(lambda: part.casefold() in self.text(name).casefold() and self.text(name), f"{name}: {part}")

    def click(self, name: str) -> None:
        """Move the pointer to a button that stands still, and press it."""
        self._click_at(wait_until(lambda: self._place_at_rest(name), f"a button {name}"))

    def _place_at_rest(self, name: str) -> Any:
        """Where it is, if it stays there: a page that has just come up, or a call going direct, moves its buttons."""
        before = self.ask("place", name=name)
        time.sleep(AT_REST_S)
        return before if before and before == self.ask("place", name=name) else None

    def click_person(self, title: str) -> None:
        """Click a row of the list of people."""
        self._click_at(wait_until(lambda: self.ask("row", title=title), f"{title} in the list"))

    def picture(self, name: str) -> Path:
        """Save what the screen shows of the window; returns the file."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        file = PICTURES / f"{name}.png"
        assert self.ask("picture", file=str(file)), f"no picture in {file}"
        return file

    def end(self, *, kill: bool = False) -> None:
        """End it as the desktop would, or in the middle of everything."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            self.process.wait(TIMEOUT_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self._reader.join()
            for pipe in (self.process.stdin, self.process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()

    def _click_at(self, place: list[int]) -> None:
        left, top, width, height = place
        across, down = str(left + width // 2), str(top + height // 2)
        self._xdotool("mousemove", "--sync", "--window", self._window_id(), across, down)
        self._xdotool("click", "1")

    def _window_id(self) -> str:
        if not self._id:
            self._id = self._xdotool("search", "--sync", "--onlyvisible", "--name", "^Segue$").split()[0]
        return self._id

    def _xdotool(self, *arguments: str) -> str:
        done = subprocess.run(
            ["xdotool", *arguments], env=self._env, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
        )
        return done.stdout


@contextlib.contextmanager
def real_window(home: Path, env: Mapping[str, str], *arguments: str) -> Iterator[RealWindow]:
    """The window of a home; ended when the block is left. Its errors are in ``home/../window.log``."""
    log = home.parent / "window.log"
    window = RealWindow([*arguments, "--home", str(home)], env, log)
    try:
        yield window
    finally:
        window.end(kill=window.process.poll() is None and sys.exc_info()[0] is not None)
    assert "Traceback" not in log.read_text(), log.read_text()


# -- the engine behind it ------------------------------------------------------------------------------------------


def ask_engine(home: Path, wanted: Callable[[EngineMessage], bool], *commands: WindowMessage) -> Any:
    """Attach as a watcher, send ``commands`` and return the first message that is ``wanted``."""

    async def talk() -> EngineMessage:
        client = await EngineClient.connect(home, watch_only=True, wait_s=TIMEOUT_S)
        last: EngineMessage | None = None
        try:
            for command in commands:
                client.send(command)
            async with asyncio.timeout(TIMEOUT_S):
                async for message in client.messages():
                    if wanted(message):
                        return message
                    last = message if isinstance(message, EngineState) else last
        except TimeoutError:
            raise AssertionError(f"waited in vain; the last state was {last}") from None
        finally:
            await client.close()
        raise AssertionError("the engine has gone")

    return asyncio.run(talk())


def engine_state(
    home: Path, wanted: Callable[[EngineState], bool] = lambda state: True, *commands: WindowMessage
) -> EngineState:
    """The first state that is wanted."""
    state: EngineState = ask_engine(home, lambda one: isinstance(one, EngineState) and wanted(one), *commands)
    return state


def engine_report(home: Path) -> dict[str, Any]:
    """The (redacted) report of the engine's last call."""
    answer: Report = ask_engine(home, lambda one: isinstance(one, Report), GetReport(call_id=""))
    report: dict[str, Any] = json.loads(answer.json)
    return report


def end_engine(home: Path) -> None:
    """Tell the engine to end, if there is one, and wait until nothing runs with that folder."""

    async def tell() -> None:
        with contextlib.suppress(EngineUnreachable):
            client = await EngineClient.connect(home, watch_only=True)
            client.send(EndEngine())
            async for _ in client.messages():
                pass
            await client.close()

    asyncio.run(tell())
    await_nothing_left(home)
