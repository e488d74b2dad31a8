"""``segue demo``: a relay, two people and two NATs on this machine, a call between them shown live, then the report.

Nothing here is staged: four commands that anybody can type run as processes of their own, each in a network of its own
(:mod:`app.demo.namespaces`), and what is shown is what their engines tell to whoever attaches. No window, no sound
card.
"""

import asyncio
import contextlib
import json
import signal
import subprocess
import tempfile
import time
import wave
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import msgspec
import numpy as np
import soxr
from rich.console import Console
from rich.live import Live

from app.account.local_relay import Child, LocalRelayError, end_child, first_line, loopback_binds, spawn
from app.demo import screen
from app.demo.namespaces import INTERNET, DemoNet, NoNamespacesError
from app.demo.narration import Story, verdict
from app.demo.networks import RELAY_IPS, Nat
from app.ipc import messages as protocol
from app.ipc.client import EngineClient, EngineUnreachable
from app.model.exit_status import ExitStatus
from app.report.report import CallReport
from app.system.errors import AppError
from app.system.loop import run_on_own_loop
from transport.io.stop_signals import on_stop_signals
from transport.io.tasks import Tasks

CALL_SECONDS = 12
RING_SECONDS = 1.0
# The slowest machines need a few seconds to start four Python programs at once.
START_TIMEOUT_S = 60.0
REFRESH_PER_S = 8
RELAY_PORT = 7850
_RATE_HZ = 48_000


@dataclass(slots=True)
class Side:
    """One of the two people, as their engine tells it."""

    name: str
    home: Path
    state: protocol.EngineState | None = None
    sample: protocol.CallSample | None = None
    levels: protocol.Levels | None = None
    history: list[protocol.CallSample] = field(default_factory=list)
    online: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def report_path(self) -> Path:
        """Where the report of the call will be."""
        return self.home / "report.json"

    def told(self, message: protocol.EngineMessage) -> None:
        """Keep what the engine says."""
        match message:
            case protocol.EngineState():
                self.state = message
                if message.me.relay == "online":
                    self.online.set()
            case protocol.CallSample():
                self.sample = message
                self.history.append(message)
                del self.history[:-120]
            case protocol.Levels():
                self.levels = message


def run(nat: str) -> ExitStatus:
    """Show a call; returns when it is over. Without a right to make networks it goes over loopback."""
    console = Console(highlight=False)
    try:
        with tempfile.TemporaryDirectory(prefix="segue-demo-") as folder:
            return run_on_own_loop(_Demo(Path(folder), console, Nat(nat)).run())
    except LocalRelayError as error:
        raise AppError(str(error)) from error
    except asyncio.CancelledError as error:
        raise AppError("The demo was stopped.") from error
    except OSError as error:
        raise AppError(f"The demo needs a folder for temporary files: {error.strerror}.") from error


class _Demo:
    def __init__(self, folder: Path, console: Console, nat: Nat) -> None:
        self._folder = folder
        self._console = console
        self._nat = nat
        self._net: DemoNet | None = None
        self._tasks = Tasks("demo")
        self._children: list[Child] = []
        self._sides = (Side("Alice", folder / "alice"), Side("Bob", folder / "bob"))
        self._story = Story()
        self._began_s = time.monotonic()

    async def run(self) -> ExitStatus:
        showing = self._tasks.start(self._show(), name="show")
        with on_stop_signals(showing.cancel, (signal.SIGTERM,)):  # asyncio's Runner looks after Ctrl-C
            try:
                return await showing
            finally:
                await self._tasks.close()
                for child in reversed(self._children):
                    await end_child(child)
                if self._net is not None:
                    await self._net.close()

    async def _show(self) -> ExitStatus:
        alice, bob = self._sides
        await self._build_network()
        with self._console.status("Starting a relay, Alice and Bob …"):
            relay = await self._start_relay()
            voices = [self._voice("alice.wav"), self._voice("bob.wav")]
            registering = self._tasks.start(self._register(alice, relay), name="register")
            await self._register(bob, relay)
            answering = ("--once", "--answer-after", str(RING_SECONDS), "--with-parent")
            listener = self._start_person(bob, "listen", *answering, play=voices[1])
            await self._until_listening(bob)
            await registering
        self._say("a relay runs, Alice and Bob are registered, and Bob is online")
        calling = ("--for", str(CALL_SECONDS), "--with-parent")
        caller = self._start_person(alice, "call", f"bob@{relay}", *calling, play=voices[0])
        self._tasks.start(self._attach(alice), name="alice")
        await self._watch(caller)
        return self._tell(await self._status(caller, listener))

    async def _build_network(self) -> None:
        if self._nat is not Nat.NONE:
            try:
                self._net = await DemoNet.build(self._nat, self._folder)
            except NoNamespacesError as error:
                self._console.print(f"No NATs here ({error}), so both people are on loopback.", style="yellow")
        self._console.print(screen.network(self._nat if self._net is not None else Nat.NONE), soft_wrap=True)

    async def _watch(self, caller: Child) -> None:
        if not self._console.is_terminal:
            # A file or a pipe gets the lines alone, when they come.
            await asyncio.get_running_loop().run_in_executor(None, caller.wait)
            return
        page = screen.Page(self._story)
        with Live(page.render(*self._sides), console=self._console, refresh_per_second=REFRESH_PER_S) as live:
            while caller.poll() is None:
                await asyncio.sleep(1 / REFRESH_PER_S)
                live.update(page.render(*self._sides))

    def _say(self, text: str) -> None:
        self._show_lines(self._story.say(time.monotonic() - self._began_s, text))

    def _told(self, side: Side, message: protocol.EngineMessage) -> None:
        side.told(message)
        at = time.monotonic() - self._began_s
        match message:
            case protocol.EngineState():
                self._show_lines(self._story.state(side.name, message, at))
            case protocol.CallSample():
                self._show_lines(self._story.sample(side.name, message, at))

    def _show_lines(self, lines: list[str]) -> None:
        if not self._console.is_terminal:
            for line in lines:
                self._console.print(line, soft_wrap=True)

    async def _start_relay(self) -> str:
        data = str(self._folder / "relay")
        if self._net is None:
            where: tuple[str, ...] = (*loopback_binds(), "--port", "0")
        else:
            where = (*(word for ip in RELAY_IPS for word in ("--bind", ip)), "--port", str(RELAY_PORT))
        # No drain: nobody else uses it, and who waits for the end of the demo is a person.
        ending = ("--drain", "0", "--json", "--with-parent")
        child = self._own(spawn("relay", *where, "--data", data, *ending, prefix=self._at(INTERNET)))
        try:
            return str(msgspec.json.decode(await first_line(child), type=dict[str, object])["address"])
        except (msgspec.MsgspecError, KeyError) as error:
            raise LocalRelayError("The relay of the demo did not start.") from error

    async def _register(self, side: Side, relay: str) -> None:
        address = f"{side.name.lower()}@{relay}"
        child = self._own(spawn("register", address, "--home", str(side.home), prefix=self._at(side.name.lower())))
        if not await first_line(child):
            raise LocalRelayError(f"{side.name} could not register with the relay of the demo.")

    def _start_person(self, side: Side, *words: str, play: Path) -> Child:
        record = side.home / "heard.wav"
        return self._own(
            spawn(
                *words,
                *("--home", str(side.home)),
                *("--play", str(play)),
                *("--record", str(record)),
                *("--report", str(side.report_path)),
                prefix=self._at(side.name.lower()),
            )
        )

    async def _until_listening(self, side: Side) -> None:
        self._tasks.start(self._attach(side), name=side.name)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await side.online.wait()
        except TimeoutError as error:
            raise LocalRelayError(f"{side.name} did not come online.") from error

    async def _attach(self, side: Side) -> None:
        with contextlib.suppress(EngineUnreachable):
            client = await EngineClient.connect(side.home, watch_only=True, wait_s=START_TIMEOUT_S)
            try:
                async for message in client.messages():
                    self._told(side, message)
            finally:
                await client.close()

    async def _status(self, caller: Child, listener: Child) -> int:
        # Bob's program ends by itself after the call; its report is written by then.
        for child in (caller, listener):
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.get_running_loop().run_in_executor(None, child.wait, 10.0)
        return caller.returncode if caller.returncode is not None else ExitStatus.FAILED

    def _tell(self, status: int) -> ExitStatus:
        reports = []
        for side in self._sides:
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                reports.append((side.name, msgspec.json.decode(side.report_path.read_bytes(), type=CallReport)))
        self._console.print(screen.reports(reports))
        has_nats = self._net is not None
        may_stay = not has_nats or self._nat is Nat.BOTH_STRICT
        judged = verdict(reports, may_stay=may_stay, why=self._story.why_relayed() if has_nats else "")
        is_good = judged.is_good and status == ExitStatus.OK
        self._console.print_json(
            json.dumps({name.lower(): msgspec.to_builtins(report.media) for name, report in reports})
        )
        for line in judged.lines:
            self._console.print(line, style="bold green" if is_good else "bold red", soft_wrap=True)
        return ExitStatus.OK if is_good else ExitStatus.FAILED

    def _at(self, place: str) -> tuple[str, ...]:
        return () if self._net is None else self._net.prefix(place)

    def _voice(self, name: str) -> Path:
        """The recorded voice at the rate of a call (it is kept at 16 kHz, a third of the size)."""
        target = self._folder / name
        with resources.as_file(resources.files("app") / "sounds" / name) as path, wave.open(str(path)) as source:
            samples = np.frombuffer(source.readframes(source.getnframes()), dtype=np.int16)
            rate_hz = source.getframerate()
        with wave.open(str(target), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(_RATE_HZ)
            out.writeframes(soxr.resample(samples, rate_hz, _RATE_HZ).tobytes())
        return target

    def _own(self, child: Child) -> Child:
        self._children.append(child)
        return child
