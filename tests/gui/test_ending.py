"""Every way in which a window ends, end it quietly, with status 0 and nothing left behind: Ctrl-C, the button that
closes it, and the end of its display, which is what `xvfb-run` makes of Ctrl-C."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gui.real_window import RealWindow, missing_tools, screen, wait_until
from tests.processes import SEGUE, TIMEOUT_S, await_nothing_left

_MISSING = missing_tools()
pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {_MISSING}"),
]
# What Qt says of a display that has gone is true, and nobody else's to say.
QT_SAYS = "The X11 connection broke"


Way = Callable[[RealWindow, contextlib.ExitStack], None]


def interrupt(window: RealWindow, shown: contextlib.ExitStack) -> None:
    window.process.send_signal(signal.SIGINT)


def close(window: RealWindow, shown: contextlib.ExitStack) -> None:
    window.ask("close")


def end_display(window: RealWindow, shown: contextlib.ExitStack) -> None:
    shown.close()


def interrupt_all(window: RealWindow, shown: contextlib.ExitStack) -> None:
    """As a terminal does, to the window and to its display."""
    window.process.send_signal(signal.SIGINT)
    shown.close()


WAYS: tuple[Way, ...] = (interrupt, close, end_display, interrupt_all)


def test_a_window_ends_quietly(tmp_path: Path) -> None:
    ended = {way.__name__: run_and_end(way, tmp_path / way.__name__) for way in WAYS}
    assert ended == {way.__name__: (0, []) for way in WAYS}
    # Their engines end by themselves when no window comes back.
    await_nothing_left(tmp_path)


def run_and_end(way: Way, folder: Path) -> tuple[int, list[str]]:
    """Status and words of a window that ended so."""
    folder.mkdir()
    home, log = folder / "home", folder / "window.log"
    with contextlib.ExitStack() as shown:
        display = shown.enter_context(screen())
        window = RealWindow(["--home", str(home)], {"DISPLAY": display, "HOME": str(folder)}, log)
        try:
            wait_until(lambda: window.ask("page") not in ("", "starting"), "the engine's first word")
            way(window, shown)
            status = window.process.wait(TIMEOUT_S)
        finally:
            window.end(kill=True)
    return status, [line for line in log.read_text().splitlines() if not line.startswith(QT_SAYS)]


def test_ctrl_c_while_the_program_is_loaded(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*SEGUE, "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    # One of the first libraries is there, and the command line is not.
    wait_until(lambda: "_multiarray_umath" in Path(f"/proc/{process.pid}/maps").read_text(), "numpy")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, output) == (130, "")
