"""“Just try it on this machine”: a private relay and Echo, as child processes of the engine.

They are the same programs that anybody runs, on loopback alone, with their data under the engine's folder. Each child
watches its standard input and ends when the engine goes, however the engine goes.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from transport.io.tasks import Tasks
from transport.wire.address import PersonAddress, RelayAddress, parse_relay
from transport.wire.errors import WireError

_log = logging.getLogger(__name__)

TRIAL_FOLDER = "trial"
PORT_FILE = "port"
ECHO_NAME = "echo"
LOOPBACK = "127.0.0.1"
# A relay starts in under a second; a cold disk and a busy machine get a lot more.
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
# A child that dies is started again after this long, so that a broken one does not spin.
RESTART_AFTER_S = 2.0


class TrialError(Exception):
    """The private relay or Echo could not be started. The message is fit to be shown."""


class RelayReady(msgspec.Struct, frozen=True):
    """The line that ``segue relay --json`` prints when it is ready."""

    address: str
    pin: str
    stun: list[str] = []


@dataclass(frozen=True, slots=True)
class TrialPlace:
    """Where the private relay listens, and the address of Echo on it."""

    relay: RelayAddress
    echo: PersonAddress


def own_program() -> list[str]:
    """How to start another process of this program."""
    return [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "app"]


class Trial:
    """Owns the two child processes. ``on_place`` is told when the relay had to move to another port."""

    def __init__(self, home: Path, on_place: Callable[[TrialPlace], None]) -> None:
        self._folder = home / TRIAL_FOLDER
        self._on_place = on_place
        self._tasks = Tasks("trial")
        self._children: list[asyncio.subprocess.Process] = []
        self._place: TrialPlace | None = None

    async def start(self) -> TrialPlace:
        """Start both and wait until they are ready. Raises :class:`TrialError`."""
        place, relay = await self._start_relay()
        echo = await self._start_echo(place)
        self._place = place
        self._tasks.start(self._keep(relay, echo), name="keep")
        return place

    async def close(self) -> None:
        """End both."""
        await self._tasks.close()
        for child in reversed(self._children):
            await _end(child)
        self._children.clear()

    async def _keep(self, relay: asyncio.subprocess.Process, echo: asyncio.subprocess.Process) -> None:
        while True:
            waits = [self._tasks.start(child.wait(), name="child") for child in (relay, echo)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            _log.warning("a trial process ended by itself and is started again")
            while True:
                await asyncio.sleep(RESTART_AFTER_S)
                try:
                    if relay.returncode is not None:
                        place, relay = await self._start_relay()
                        if place != self._place:
                            await _end(echo)
                            self._place = place
                            self._on_place(place)
                    if echo.returncode is not None and self._place is not None:
                        echo = await self._start_echo(self._place)
                    break
                except TrialError as error:
                    _log.warning("%s", error)

    async def _start_relay(self) -> tuple[TrialPlace, asyncio.subprocess.Process]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        port_file = self._folder / PORT_FILE
        remembered = 0
        with contextlib.suppress(OSError, ValueError):
            remembered = int(port_file.read_text())
        for port in dict.fromkeys((remembered, 0)):
            arguments = ["--bind", LOOPBACK, "--port", str(port), "--data", str(self._folder / "relay"), "--json"]
            child = await self._spawn("relay", *arguments, "--with-parent")
            line = await _first_line(child)
            try:
                ready = msgspec.json.decode(line, type=RelayReady)
                told = parse_relay(ready.address)
            except (msgspec.MsgspecError, WireError):
                await self._give_up(child)
                continue
            relay = RelayAddress(told.host, told.port, ready.pin)
            port_file.write_text(str(relay.port))
            return TrialPlace(relay, PersonAddress(ECHO_NAME, relay)), child
        raise TrialError("The private relay did not start. Is something in the way of UDP on this machine?")

    async def _start_echo(self, place: TrialPlace) -> asyncio.subprocess.Process:
        home = str(self._folder / "echo")
        register = await self._spawn("register", str(place.echo), "--home", home)
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await register.communicate()
        except TimeoutError:
            await self._give_up(register)
        self._forget(register)
        if register.returncode != 0:
            raise TrialError("Echo could not register with the private relay.")
        child = await self._spawn("echo", "--home", home, "--with-parent")
        if not await _first_line(child):
            await self._give_up(child)
            raise TrialError("Echo did not start.")
        return child

    async def _spawn(self, *arguments: str) -> asyncio.subprocess.Process:
        try:
            child = await asyncio.create_subprocess_exec(
                *own_program(),
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            raise TrialError(f"Another process of Segue could not be started: {error.strerror}") from error
        self._children.append(child)
        return child

    async def _give_up(self, child: asyncio.subprocess.Process) -> None:
        await _end(child)
        self._forget(child)

    def _forget(self, child: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ValueError):
            self._children.remove(child)


async def _first_line(child: asyncio.subprocess.Process) -> bytes:
    """What the child says when it is ready; empty when it ends or keeps silent."""
    if child.stdout is None:
        return b""
    with contextlib.suppress(TimeoutError, ValueError):
        async with asyncio.timeout(READY_TIMEOUT_S):
            return await child.stdout.readline()
    return b""


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await child.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
