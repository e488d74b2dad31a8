"""People for benchmarks: engines in processes of their own, to which the benchmark attaches as their window does."""

import asyncio
import contextlib
import json
import wave
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.ipc import messages as protocol
from app.ipc.client import EngineClient
from app.ipc.socket import read_info
from transport.io.tasks import Tasks

TIMEOUT_S = 30.0
SPEECH = Path(__file__).parents[1] / "data" / "speech.wav"


def write_long_speech(path: Path, seconds: float) -> Path:
    """The speech of the tests, played again and again."""
    with wave.open(str(SPEECH)) as source, wave.open(str(path), "wb") as out:
        out.setparams(source.getparams())
        once = source.readframes(source.getnframes())
        for _ in range(1 + int(seconds * source.getframerate() / source.getnframes())):
            out.writeframes(once)
    return path


@dataclass(frozen=True, slots=True)
class Ended:
    """One side of a call that is over: its report, and when it began by the wall clock."""

    report: dict[str, Any]
    began: float

    def at(self, moment: str) -> float:
        """Unix seconds of one of the report's times."""
        return self.began + float(self.report["times"][moment])


class Person:
    """The window of somebody's engine."""

    def __init__(self, home: Path, client: EngineClient) -> None:
        self.pid = read_info(home).pid
        self.state = protocol.EngineState()
        self._client = client
        self._news = asyncio.Event()
        self._report: protocol.Report | protocol.CommandFailed | None = None

    def send(self, command: protocol.WindowMessage) -> None:
        """A command of the user."""
        self._client.send(command)

    async def listen(self) -> None:
        """Keep what the engine says, until it has gone."""
        async for message in self._client.messages():
            match message:
                case protocol.EngineState():
                    self.state = message
                case protocol.Report() | protocol.CommandFailed():
                    self._report = message
            self._news.set()

    async def until(self, wanted: Callable[[protocol.EngineState], bool]) -> protocol.EngineState:
        """Wait for a state."""
        async with asyncio.timeout(TIMEOUT_S):
            while not wanted(self.state):
                self._news.clear()
                await self._news.wait()
        return self.state

    async def talking(self) -> None:
        """Wait for a call to be answered."""
        await self.until(lambda now: now.call is not None and now.call.phase in ("talking", "ended"))
        call = self.state.call
        assert call is not None and call.phase == "talking", call

    async def online(self) -> None:
        """Wait for the relay."""
        await self.until(lambda now: now.me.relay == "online")

    async def ended(self, call_id: str, began: float) -> Ended:
        """Wait for the end of a call and get its report."""
        await self.until(lambda now: now.call is None or now.call.call_id != call_id or now.call.phase == "ended")
        self._report = None
        self.send(protocol.GetReport(call_id=call_id))
        await self.until(lambda _: self._report is not None)
        assert isinstance(self._report, protocol.Report), self._report
        return Ended(json.loads(self._report.json), began)


@contextlib.asynccontextmanager
async def attached(*homes: Path) -> AsyncIterator[list[Person]]:
    """Attach to the running engines of some homes."""
    tasks = Tasks("bench")
    async with contextlib.AsyncExitStack() as stack:
        people = []
        for home in homes:
            client = await EngineClient.connect(home, wait_s=TIMEOUT_S)
            stack.push_async_callback(client.close)
            people.append(Person(home, client))
        stack.push_async_callback(tasks.close)
        for person in people:
            tasks.start(person.listen(), name="listen")
        yield people


async def one_call(caller: Person, callee: Person, address: str, talk_s: float) -> tuple[Ended, Ended]:
    """Place a call, talk, hang up: the caller's and the callee's report."""
    caller.send(protocol.PlaceCall(address=address))
    await caller.talking()
    await callee.talking()
    ours, theirs = caller.state.call, callee.state.call
    assert ours is not None and theirs is not None
    await asyncio.sleep(talk_s)
    caller.send(protocol.HangUpCall(call_id=ours.call_id))
    reports = (
        await caller.ended(ours.call_id, ours.placed),
        await callee.ended(ours.call_id, theirs.placed),
    )
    caller.send(protocol.DismissCall(call_id=ours.call_id))
    await caller.until(lambda now: now.call is None)
    await callee.until(lambda now: now.call is None)
    return reports
