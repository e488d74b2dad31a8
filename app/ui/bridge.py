"""Between the engine and Qt: the engine's messages become signals, and commands go to the engine.

The only place that imports qasync. Nothing here waits for the engine on the window's thread: starting it runs in a
worker thread, reading it is a task of the loop. When the engine goes, :attr:`Bridge.engine_gone` says so in words
and :meth:`Bridge.open` tries again; commands sent meanwhile are refused with words.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import qasync
from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QApplication

from app.ipc import messages as ipc
from app.ipc.client import START_TIMEOUT_S, EngineClient, EngineUnreachable, start_engine
from app.text.problems import problem_text
from transport.io.tasks import Tasks

# For detaching from the engine without a display: a few turns of the loop, no network and no disk.
LEAVE_TIMEOUT_S = 2.0
LEAVE_TURN_S = 0.05


class EngineLink(Protocol):
    """A connection to a running engine (:class:`app.ipc.client.EngineClient`)."""

    def messages(self) -> AsyncIterator[ipc.EngineMessage]:
        """What the engine sends; ends when the engine has gone."""

    def send(self, message: ipc.WindowMessage) -> None:
        """Send a command; never waits."""

    async def close(self) -> None:
        """Detach."""


class EngineSource(Protocol):
    """How to start an engine, and to reach it. Both raise :class:`EngineUnreachable`."""

    def start(self) -> None:
        """Start one if none runs. May block: called from a worker thread."""

    async def connect(self) -> EngineLink:
        """Attach to the running one."""


class LocalEngine:
    """The engine of a data folder on this computer. It outlives the window."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start an engine; one that finds another in the folder ends by itself."""
        self.reap()
        self._children.append(start_engine(self._home))

    def reap(self) -> int:
        """Wait for engines that have ended (on POSIX they stay zombies until then). Returns how many still run."""
        self._children = [child for child in self._children if child.poll() is None]
        return len(self._children)

    async def connect(self) -> EngineLink:
        """Attach, giving an engine that was just started the time to come up."""
        started = self._children[-1] if self._children else None
        return await EngineClient.connect(self._home, wait_s=START_TIMEOUT_S, started=started)


class Bridge(QObject):
    """The engine as the window sees it. Every signal comes on the window's thread."""

    state_changed = Signal(object)
    """:class:`EngineState`"""
    sample = Signal(object)
    """:class:`CallSample`"""
    levels = Signal(object)
    """:class:`Levels`"""
    failed = Signal(object)
    """:class:`CommandFailed`"""
    report = Signal(object)
    """:class:`Report`"""
    trace_saved = Signal(object)
    """:class:`TraceSaved`"""
    engine_gone = Signal(str)
    """No engine any more, or none to reach; the words are fit to be shown."""

    def __init__(self, engine: EngineSource, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._engine = engine
        self._tasks = Tasks("bridge")
        self._link: EngineLink | None = None
        self._attending = False
        self._ended = asyncio.Event()

    @property
    def attached(self) -> bool:
        """Whether an engine is connected."""
        return self._link is not None

    def open(self) -> None:
        """Start the engine if none runs and attach to it. Needs the running loop; returns at once."""
        if not self._attending:
            self._attending = True
            self._tasks.start(self._attend(), name="engine")

    def send(self, command: ipc.WindowMessage) -> None:
        """Send a command. Without an engine it is refused through :attr:`failed`."""
        if self._link is None:
            self.failed.emit(ipc.CommandFailed(command=type(command).__name__, code="engine-gone"))
        else:
            self._link.send(command)

    def end(self) -> None:
        """The window is done: :func:`run_with_engine` returns soon."""
        self._ended.set()

    async def serve(self) -> None:
        """Attend to the engine until :meth:`end`; then detach. The engine and its call stay."""
        self.open()
        await self._ended.wait()
        await self._tasks.close()

    async def _attend(self) -> None:
        try:
            words = await self._follow()
        finally:
            self._link = None
            self._attending = False
        self.engine_gone.emit(words)

    async def _follow(self) -> str:
        """Attach and pass on what the engine says until it goes. Returns why it is over, in words."""
        try:
            await asyncio.to_thread(self._engine.start)
            link = await self._engine.connect()
        except EngineUnreachable as error:
            return problem_text(error.code, error.values)
        self._link = link
        try:
            async for message in link.messages():
                self._pass_on(message)
        finally:
            self._link = None
            await link.close()
        return self.tr("The part of Segue that handles your calls stopped unexpectedly. A call in progress has ended.")

    def _pass_on(self, message: ipc.EngineMessage) -> None:
        for kind, signal in (
            (ipc.EngineState, self.state_changed),
            (ipc.CallSample, self.sample),
            (ipc.Levels, self.levels),
            (ipc.CommandFailed, self.failed),
            (ipc.Report, self.report),
            (ipc.TraceSaved, self.trace_saved),
        ):
            if isinstance(message, kind):
                signal.emit(message)


def run_with_engine(application: QApplication, bridge: Bridge) -> int:
    """Run Qt's event loop, with asyncio in it, until :meth:`Bridge.end`. Returns the program's exit status."""
    # The desktop's own "quit" (end of the session) must not cut off the loop before the bridge is closed.
    application.setQuitLockEnabled(False)
    tasks = Tasks("window")
    serving: asyncio.Task[None] | None = None

    def serve() -> None:
        nonlocal serving
        serving = tasks.start(bridge.serve(), name="bridge")
        serving.add_done_callback(lambda _: loop.stop())

    with qasync.QEventLoop(application) as loop:
        # Not run_until_complete: where Qt's loop was ended by somebody else, that runs callbacks once more with no
        # asyncio loop set, and a bridge that is just closing fails there.
        loop.call_soon(serve)
        loop.run_forever()
        # Not over yet: the display has gone, or the desktop's session is over: as if the window had been closed.
        # Without a display Qt's loop may end after every turn.
        bridge.end()
        until = loop.time() + LEAVE_TIMEOUT_S
        while (serving is None or not serving.done()) and loop.time() < until:
            turn = loop.call_later(LEAVE_TURN_S, loop.stop)
            loop.run_forever()
            turn.cancel()
        if serving is not None and serving.done():
            serving.result()
    return 0
