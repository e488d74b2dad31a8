"""``segue demo``: a relay, two people and two NATs on this machine, a call between them shown live, then the report.

Nothing is staged: four commands that anybody can type run as processes of their own, each in a network of its own
(:mod:`app.demo.namespaces`), and what is shown is what their engines report to any client. No window, no sound card.
"""

import asyncio
import contextlib
import json
import signal
import subprocess
import tempfile
import time
import wave
from importlib import resources
from pathlib import Path

import msgspec
import numpy as np
import soxr
from rich.console import Console
from rich.live import Live
from rich.text import Text

from app.account.local_relay import Child, LocalRelayError, end_child, first_line, loopback_binds, spawn
from app.demo import screen
from app.demo.namespaces import INTERNET, DemoNet, NoNamespacesError
from app.demo.narration import Story, verdict
from app.demo.networks import RELAY_IPS, Nat
from app.demo.side import Side
from app.ipc import messages
from app.ipc.client import EngineClient, EngineUnreachable
from app.model.exit_status import ExitStatus
from app.model.sanitize import printable
from app.report.report import CallReport
from app.system.errors import AppError, cause_of
from app.system.loop import run_on_own_loop
from transport.io.stop_signals import on_stop_signals
from transport.io.tasks import Tasks

CALL_SECONDS = 12
RING_SECONDS = 1.0
# The slowest machines need a few seconds to start four Python programs at once.
START_TIMEOUT_S = 60.0
# A program ends, and has written its report, within a moment of its call.
END_TIMEOUT_S = 10.0
REFRESH_PER_S = 8
RELAY_PORT = 7850
_RATE_HZ = 48_000


def run(nat: str) -> ExitStatus:
    """Show a call behind these routers (:class:`~app.demo.networks.Nat`), or over loopback where there can be none."""
    try:
        with tempfile.TemporaryDirectory(prefix="segue-demo-") as folder:
            return run_on_own_loop(_Demo(Path(folder), Console(highlight=False, markup=False), Nat(nat)).run())
    except asyncio.CancelledError as error:
        raise AppError("demo-stopped") from error
    except OSError as error:
        raise AppError("demo-folder", cause=cause_of(error)) from error


class _Demo:
    def __init__(self, folder: Path, console: Console, nat: Nat) -> None:
        self._folder = folder
        self._console = console
        self._nat = nat
        self._net: DemoNet | None = None
        self._tasks = Tasks("demo")
        self._children: list[Child] = []
        self._sides = (Side("Alice", folder / "alice"), Side("Bob", folder / "bob"))
        self._bob_online = asyncio.Event()
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
            alice_voice, bob_voice = self._voice("alice.wav"), self._voice("bob.wav")
            registering = self._tasks.start(self._register(alice, relay), name="register")
            await self._register(bob, relay)
            listener = self._start_side(bob, "listen", "--once", "--answer-after", str(RING_SECONDS), voice=bob_voice)
            await self._until_bob_listens()
            await registering
        self._print(self._story.add(self._now_s(), "the relay is running, Alice and Bob are registered, Bob is online"))
        caller = self._start_side(alice, "call", f"bob@{relay}", "--for", str(CALL_SECONDS), voice=alice_voice)
        self._tasks.start(self._follow(alice), name="alice")
        await self._watch(caller)
        # Bob's program ends by itself after the call; its report is written by then.
        for child in (caller, listener):
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(child.wait, END_TIMEOUT_S)
        return self._conclude(answered=caller.returncode == ExitStatus.OK)

    async def _build_network(self) -> None:
        if self._nat is not Nat.NONE:
            try:
                self._net = await DemoNet.build(self._nat, self._folder)
            except NoNamespacesError as error:
                self._say(f"No NATs here ({error}), so both people are on loopback.", style="yellow")
        for line in screen.network(self._nat if self._net is not None else Nat.NONE).splitlines():
            self._say(line)

    async def _start_relay(self) -> str:
        if self._net is None:
            where: tuple[str, ...] = (*loopback_binds(), "--port", "0")
        else:
            where = (*(word for ip in RELAY_IPS for word in ("--bind", ip)), "--port", str(RELAY_PORT))
        # No drain: nobody else uses it, and a person waits for the end of the demo.
        ending = ("--drain", "0", "--json", "--with-parent")
        child = self._start(INTERNET, "relay", *where, "--data", str(self._folder / "relay"), *ending)
        try:
            return str(msgspec.json.decode(await first_line(child), type=dict[str, object])["address"])
        except (msgspec.MsgspecError, KeyError) as error:
            raise LocalRelayError("demo-relay-not-started") from error

    async def _register(self, side: Side, relay: str) -> None:
        child = self._start(side.place, "register", f"{side.place}@{relay}", "--home", str(side.home))
        if not await first_line(child):
            raise LocalRelayError("demo-not-registered", name=side.name)

    def _start_side(self, side: Side, *words: str, voice: Path) -> Child:
        files = ("--play", str(voice), "--record", str(side.home / "received.wav"), "--report", str(side.report_path))
        return self._start(side.place, *words, "--with-parent", "--home", str(side.home), *files)

    def _start(self, place: str, *words: str) -> Child:
        child = spawn(*words, prefix=() if self._net is None else self._net.prefix(place))
        self._children.append(child)
        return child

    async def _until_bob_listens(self) -> None:
        self._tasks.start(self._follow(self._sides[1]), name="bob")
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._bob_online.wait()
        except TimeoutError as error:
            raise LocalRelayError("demo-not-online", name="Bob") from error

    async def _follow(self, side: Side) -> None:
        """Receive what the engine of ``side`` reports, until it ends."""
        with contextlib.suppress(EngineUnreachable):
            client = await EngineClient.connect(side.home, watch_only=True, wait_s=START_TIMEOUT_S)
            try:
                async for message in client.messages():
                    self._receive(side, message)
            finally:
                await client.close()

    def _receive(self, side: Side, message: messages.EngineMessage) -> None:
        side.receive(message)
        match message:
            case messages.EngineState():
                if side is self._sides[1] and message.me.relay == "online":
                    self._bob_online.set()
                self._print(self._story.state(side.name, message, self._now_s()))
            case messages.CallSample():
                self._print(self._story.sample(side.name, message, self._now_s()))

    async def _watch(self, caller: Child) -> None:
        if not self._console.is_terminal:
            # A file or a pipe gets the lines alone, as they come.
            await asyncio.to_thread(caller.wait)
            return
        with Live(console=self._console, refresh_per_second=REFRESH_PER_S) as live:
            while caller.poll() is None:
                live.update(screen.page(self._sides, self._story.lines))
                await asyncio.sleep(1 / REFRESH_PER_S)
            live.update(screen.page(self._sides, self._story.lines))

    def _print(self, lines: list[str]) -> None:
        if not self._console.is_terminal:
            for line in lines:
                self._say(line)

    def _say(self, line: str, style: str = "") -> None:
        """A line for the console, where brackets are rich's markup and controls the terminal's."""
        self._console.print(Text(printable(line), style), soft_wrap=True)

    def _conclude(self, *, answered: bool) -> ExitStatus:
        reports = []
        for side in self._sides:
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                reports.append((side.name, msgspec.json.decode(side.report_path.read_bytes(), type=CallReport)))
        self._console.print(screen.reports(reports))
        self._console.print_json(
            json.dumps({name.lower(): msgspec.to_builtins(report.media) for name, report in reports})
        )
        has_nats = self._net is not None
        may_stay = not has_nats or self._nat is Nat.BOTH_STRICT
        judged = verdict(reports, may_stay=may_stay, why=self._story.why_relayed() if has_nats else "")
        is_good = judged.is_good and answered
        for line in judged.lines:
            self._say(line, style="bold green" if is_good else "bold red")
        return ExitStatus.OK if is_good else ExitStatus.FAILED

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

    def _now_s(self) -> float:
        return time.monotonic() - self._began_s
