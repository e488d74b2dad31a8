"""The bridge between an engine and Qt, on the real event loop with an engine that the test plays."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable

import pytest
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.ipc.client import EngineUnreachable
from app.ipc.messages import (
    CallSample,
    CommandFailed,
    EngineHello,
    EngineMessage,
    HangUpCall,
    Levels,
    PlaceCall,
    Report,
    WindowMessage,
)
from app.text.problems import problem_text
from app.ui.bridge import Bridge, EngineLink, run_with_engine
from app.ui.main_window import MainWindow
from tests.gui.scenes import VERSIONS
from tests.gui.states import DIRECT, HOME, samples


class PlayedLink:
    """A connection whose other end is the test. ``None`` in the queue: the engine has gone."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[EngineMessage | None] = asyncio.Queue()
        self.received: list[WindowMessage] = []
        self.closed = False

    async def messages(self) -> AsyncIterator[EngineMessage]:
        while (message := await self.queue.get()) is not None:
            yield message

    def send(self, message: WindowMessage) -> None:
        self.received.append(message)

    async def close(self) -> None:
        self.closed = True


class PlayedEngine:
    """Starts and connects as the test wants."""

    def __init__(self) -> None:
        self.links: list[PlayedLink] = []
        self.start_threads: list[int] = []
        self.start_for: Callable[[], None] = lambda: None
        self.refusal = ""

    def start(self) -> None:
        self.start_threads.append(threading.get_ident())
        self.start_for()

    async def connect(self) -> EngineLink:
        if self.refusal:
            raise EngineUnreachable(self.refusal)
        self.links.append(PlayedLink())
        return self.links[-1]


class Played:
    """A bridge with its engine, and the steps of a test on the running loop."""

    def __init__(self, qapp: QApplication) -> None:
        self.application = qapp
        self.engine = PlayedEngine()
        self.bridge = Bridge(self.engine)
        self.failures: list[BaseException] = []

    @property
    def link(self) -> PlayedLink:
        return self.engine.links[-1]

    def run(self, steps: Callable[[], AsyncIterator[Callable[[], bool]]]) -> None:
        """Run the loop; each condition that ``steps`` yields is waited for. A failed step fails the test."""

        async def go() -> None:
            try:
                async for condition in steps():
                    for _ in range(400):
                        if condition():
                            break
                        await asyncio.sleep(0.01)
                    else:
                        raise AssertionError("waited in vain")
            except BaseException as error:
                self.failures.append(error)
            finally:
                self.bridge.end()

        # The first tick of Qt's own loop: by then the bridge's loop is the running one.
        held: list[asyncio.Task[None]] = []
        QTimer.singleShot(0, lambda: held.append(asyncio.get_running_loop().create_task(go())))
        assert run_with_engine(self.application, self.bridge) == 0
        if self.failures:
            raise self.failures[0]
        assert held and held[0].done()


@pytest.fixture
def played(qapp: QApplication) -> Played:
    return Played(qapp)


def test_each_message_becomes_its_signal(played: Played) -> None:
    emitted: list[object] = []
    for signal in ("state_changed", "sample", "levels", "failed", "report"):
        getattr(played.bridge, signal).connect(emitted.append)
    sample: CallSample = samples(DIRECT)[0]
    messages = [HOME, sample, Levels(0.1, 0.2), CommandFailed("PlaceCall", "no"), Report("call-1", "{}")]

    async def steps() -> AsyncIterator[Callable[[], bool]]:
        yield lambda: bool(played.engine.links)
        assert played.bridge.attached
        played.link.queue.put_nowait(EngineHello(1, b"x"))
        for message in messages:
            played.link.queue.put_nowait(message)
        yield lambda: len(emitted) == len(messages)

    played.run(steps)
    assert emitted == messages
    assert played.link.closed


def test_commands_go_out_and_are_refused_without_an_engine(played: Played) -> None:
    refused: list[CommandFailed] = []
    played.bridge.failed.connect(refused.append)
    played.bridge.send(PlaceCall("bob@relay.example"))
    assert [one.command for one in refused] == ["PlaceCall"]
    assert refused[0].code == "engine-gone"

    async def steps() -> AsyncIterator[Callable[[], bool]]:
        yield lambda: played.bridge.attached
        played.bridge.send(HangUpCall("call-1"))

    played.run(steps)
    assert played.link.received == [HangUpCall("call-1")]
    assert len(refused) == 1


def test_a_dying_engine_is_reported_and_restarted(played: Played) -> None:
    gone: list[str] = []
    played.bridge.engine_gone.connect(gone.append)

    async def steps() -> AsyncIterator[Callable[[], bool]]:
        yield lambda: played.bridge.attached
        played.link.queue.put_nowait(None)
        yield lambda: len(gone) == 1
        assert not played.bridge.attached and played.link.closed
        played.bridge.open()
        played.bridge.open()  # pressed twice: one engine
        yield lambda: played.bridge.attached

    played.run(steps)
    assert len(played.engine.start_threads) == 2 and len(played.engine.links) == 2
    assert "stopped unexpectedly" in gone[0]


def test_why_an_engine_cannot_be_reached_is_shown(played: Played) -> None:
    gone: list[str] = []
    played.bridge.engine_gone.connect(gone.append)
    played.engine.refusal = "engine-version"

    async def steps() -> AsyncIterator[Callable[[], bool]]:
        yield lambda: len(gone) == 1
        played.engine.refusal = ""
        played.bridge.open()
        yield lambda: played.bridge.attached

    played.run(steps)
    assert gone == [problem_text("engine-version", {})]


def test_the_window_moves_while_the_engine_starts(played: Played, qtbot: QtBot) -> None:
    window = MainWindow(played.bridge, VERSIONS)
    qtbot.addWidget(window)
    window.show()
    release = threading.Event()
    played.engine.start_for = lambda: release.wait(10) and None
    ticks: list[float] = []
    timer = QTimer(interval=5)
    timer.timeout.connect(lambda: ticks.append(time.monotonic()))
    timer.start()

    async def steps() -> AsyncIterator[Callable[[], bool]]:
        yield lambda: bool(played.engine.start_threads)
        yield lambda: len(ticks) > 20
        assert window.shown_page() == "starting" and not played.bridge.attached
        release.set()
        yield lambda: played.bridge.attached
        played.link.queue.put_nowait(HOME)
        yield lambda: window.shown_page() == "home"
        played.link.queue.put_nowait(None)
        yield lambda: window.shown_page() == "engine_down"
        window.engine_down.restart.click()
        yield lambda: played.bridge.attached
        played.link.queue.put_nowait(HOME)
        yield lambda: window.shown_page() == "home"

    played.run(steps)
    timer.stop()
    assert threading.get_ident() not in played.engine.start_threads


def test_ending_the_window_while_the_engine_starts(played: Played) -> None:
    """The window goes at once; only the worker that was starting the engine is waited for."""
    started = threading.Event()
    played.engine.start_for = started.set

    async def steps() -> AsyncIterator[Callable[[], bool]]:
        yield started.is_set

    played.run(steps)
    assert not played.bridge.attached


def test_a_display_that_goes_while_the_window_ends(played: Played) -> None:
    async def steps() -> AsyncIterator[Callable[[], bool]]:
        yield lambda: bool(played.engine.links)
        # What Qt does when its display has gone, in the same turn in which the bridge is to end.
        played.bridge.end()
        played.application.exit(1)

    played.run(steps)
    assert played.link.closed


def test_a_display_that_goes_ends_the_window(played: Played) -> None:
    timer = QTimer()
    timer.timeout.connect(lambda: played.bridge.attached and played.application.exit(1))
    timer.start(10)
    assert run_with_engine(played.application, played.bridge) == 0
    timer.stop()
    assert played.link.closed


def test_what_fails_in_the_bridge_is_not_taken_for_a_good_end(
    played: Played, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> None:
        raise LookupError("a fault of ours")

    monkeypatch.setattr(played.bridge, "serve", broken)
    with pytest.raises(LookupError, match="a fault of ours"):
        run_with_engine(played.application, played.bridge)
    assert "window:bridge failed" in caplog.text
