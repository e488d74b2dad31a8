"""The window with a real engine process: it comes, is killed, comes again, and outlives the window."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.ipc.socket import read_info
from app.ui.bridge import Bridge, LocalEngine, run_with_engine
from app.ui.main_window import MainWindow
from tests.gui.scenes import VERSIONS

pytestmark = [pytest.mark.slow, pytest.mark.process]
# A cold start of Python with aioquic and cryptography on a busy machine takes a few seconds.
TIMEOUT_S = 30.0


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[LocalEngine]:
    home = tmp_path / "home"
    made = LocalEngine(home)
    yield made
    # Whatever became of the test: its engine goes.
    if made.reap():
        os.kill(read_info(home).pid, signal.SIGKILL)
    for _ in range(int(TIMEOUT_S * 50)):
        if not made.reap():
            return
        time.sleep(0.02)
    raise AssertionError("an engine does not end")


def test_an_engine_that_is_killed_is_reported_and_restarted(
    qtbot: QtBot, qapp: QApplication, engine: LocalEngine, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    bridge = Bridge(engine)
    window = MainWindow(bridge, VERSIONS)
    qtbot.addWidget(window)
    window.show()
    seen: list[str] = []
    pids: list[int] = []

    async def until(page: str) -> None:
        for _ in range(int(TIMEOUT_S * 50)):
            if window.shown_page() == page:
                seen.append(page)
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{window.shown_page()} was shown, not {page}")

    async def story() -> None:
        try:
            await until("first_run")
            pids.append(read_info(home).pid)
            os.kill(pids[0], signal.SIGKILL)
            await until("engine_down")
            window.engine_down.restart.click()
            await until("first_run")
            pids.append(read_info(home).pid)
        finally:
            bridge.end()

    tasks: list[asyncio.Task[None]] = []

    QTimer.singleShot(0, lambda: tasks.append(asyncio.get_running_loop().create_task(story())))
    assert run_with_engine(qapp, bridge) == 0
    tasks[0].result()
    assert seen == ["first_run", "engine_down", "first_run"]
    assert pids[0] != pids[1]
    # The window has gone; the engine that it started has not.
    assert alive(pids[1])
    assert read_info(home).pid == pids[1]
