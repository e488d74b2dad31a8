"""What windows and this process's subscribers receive: states soon after a change, figures and levels at a rate."""

import asyncio
from collections.abc import Callable

from app.call.session import CallSession
from app.engine.audio import EngineAudio
from app.ipc import messages
from app.ipc.server import LocalServer
from transport.io.tasks import Tasks

# A state for the windows at most this often; a person sees no difference, and a burst of changes costs one.
STATE_EVERY_S = 0.02
SAMPLE_EVERY_S = 0.2
LEVELS_EVERY_S = 1 / 15

Receive = Callable[[messages.EngineMessage], None]


class WindowFeed:
    """``build`` makes the state as of now; ``session`` gives the newest call."""

    def __init__(
        self,
        server: LocalServer,
        audio: EngineAudio,
        build: Callable[[], messages.EngineState],
        session: Callable[[], CallSession | None],
    ) -> None:
        self.state = messages.EngineState()
        """The one sent last."""
        self._loop = asyncio.get_running_loop()
        self._server = server
        self._audio = audio
        self._build = build
        self._session = session
        self._subscribers: list[Receive] = []
        self._tasks = Tasks("window-feed")
        self._due: asyncio.TimerHandle | None = None
        self._closed = False

    def start(self) -> None:
        """Send the first state, and figures from now on."""
        self._tasks.start(self._figures(), name="figures")
        self.publish()

    async def close(self) -> None:
        """Send nothing any more."""
        self._closed = True
        if self._due is not None:
            self._due.cancel()
        await self._tasks.close()

    def subscribe(self, receive: Receive) -> None:
        """Receive what windows receive, in this process."""
        self._subscribers.append(receive)
        receive(self.state)

    def changed(self) -> None:
        """Something that windows show is different; they receive it soon."""
        if self._due is None and not self._closed:
            self._due = self._loop.call_later(STATE_EVERY_S, self.publish)

    def publish(self) -> None:
        """Send the state as of now."""
        self._due = None
        self.state = self._build()
        self._send(self.state)

    def _send(self, message: messages.EngineMessage) -> None:
        self._server.tell(message)
        for receive in self._subscribers:
            receive(message)

    async def _figures(self) -> None:
        """Samples and levels while there is somebody to see them."""
        next_sample = 0.0
        while True:
            await asyncio.sleep(LEVELS_EVERY_S)
            if not (self._server.watched or self._subscribers):
                continue
            if self._audio.is_open:
                self._send(self._audio.levels())
            session, now = self._session(), self._loop.time()
            if session is not None and now >= next_sample:
                next_sample = now + SAMPLE_EVERY_S
                sample = session.sample(now)
                if sample is not None:
                    self._send(sample)
