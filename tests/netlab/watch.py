"""Watch running engines from outside: their messages to windows, each with its time."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from app.ipc import engine_state
from app.ipc import messages as protocol
from app.ipc.client import EngineClient
from app.model import terms

# Far more than anything takes here; a watcher that waits so long has failed.
TIMEOUT_S = 30.0
_LOOK_EVERY_S = 0.02


class Watcher:
    """Of one engine. Times are those of ``time.monotonic``; read from any thread."""

    def __init__(self, home: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.home = home
        self._loop = loop
        self.samples: list[tuple[float, protocol.CallSample]] = []
        """Five a second."""
        self.call: engine_state.CallStatus | None = None
        self._client: EngineClient | None = None

    async def watch(self) -> None:
        """Until the engine has gone."""
        client = self._client = await EngineClient.connect(self.home, watch_only=True, wait_s=TIMEOUT_S)
        try:
            async for message in client.messages():
                match message:
                    case protocol.EngineState(call=call) if call is not None:
                        self.call = call
                    case protocol.CallSample():
                        self.samples.append((time.monotonic(), message))
        finally:
            await client.close()

    @property
    def path(self) -> terms.PathKind | None:
        """What carries the call now."""
        return None if self.call is None else self.call.path

    @property
    def spans(self) -> tuple[engine_state.PathSpan, ...]:
        """What carried the call when, in seconds since the answer."""
        return () if self.call is None else self.call.spans

    @property
    def concealed_ms(self) -> float:
        """All audio that has been concealed, as last reported: not more than 0.2 s ago."""
        return self.samples[-1][1].concealed_ms if self.samples else 0.0

    @property
    def is_over(self) -> bool:
        """The call has ended."""
        return self.call is not None and self.call.phase == "ended"

    def hang_up(self) -> None:
        """End the call."""
        assert self._client is not None and self.call is not None
        client, command = self._client, protocol.HangUpCall(call_id=self.call.call_id)
        self._loop.call_soon_threadsafe(client.send, command)


def until(condition: Callable[[], bool], within_s: float = TIMEOUT_S) -> bool:
    """Wait for it; whether it came true."""
    end = time.monotonic() + within_s
    while not (true := condition()) and time.monotonic() < end:
        time.sleep(_LOOK_EVERY_S)
    return true


@contextlib.contextmanager
def watching(*homes: Path) -> Iterator[tuple[Watcher, ...]]:
    """Watch the engines of some homes in a thread; it ends when they have ended, or with the block."""
    loop = asyncio.new_event_loop()
    watchers = tuple(Watcher(home, loop) for home in homes)
    over = asyncio.Event()

    async def watch() -> None:
        tasks = [asyncio.ensure_future(watcher.watch()) for watcher in watchers]
        await over.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(watch()), name="watch")
    thread.start()
    try:
        yield watchers
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
