"""“Just try it on this machine”: a private relay and Echo, as child processes of the engine.

They are the same programs that anybody runs, on loopback alone, with their data under the engine's folder. Each child
watches its standard input and ends when the engine goes, however the engine goes.
"""

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from app.system.errors import AppError, cause_of
from app.system.program import own_program
from transport.io.tasks import Tasks
from transport.wire.addresses import PersonAddress, RelayAddress, parse_relay
from transport.wire.errors import WireError

_log = logging.getLogger(__name__)

TRIAL_FOLDER = "trial"
PORT_FILE = "port"
ECHO_NAME = "echo"
LOOPBACK = "127.0.0.1"
# Linux and Windows own all of 127.0.0.0/8; macOS has the first address alone.
SECOND_LOOPBACK = "127.0.0.2"
# A relay starts in under a second; a cold disk and a busy machine get a lot more.
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
# A child that dies is started again after this long, so that a broken one does not spin.
RESTART_AFTER_S = 2.0

# Not asyncio's subprocesses: on Windows they need a loop that UDP does not get along with.
Child = subprocess.Popen[bytes]


class LocalRelayError(AppError):
    """The private relay or Echo could not be started."""


class RelayReady(msgspec.Struct, frozen=True):
    """The line that ``segue relay --json`` prints when it is ready."""

    address: str
    pin: str
    stun: list[str] = []


@dataclass(frozen=True, slots=True)
class LocalRelayPlace:
    """Where the private relay listens, and the address of Echo on it."""

    relay: RelayAddress
    echo: PersonAddress


def loopback_binds() -> tuple[str, ...]:
    """A relay's options for loopback: two addresses where there are two, as it takes two to classify a NAT."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        try:
            udp.bind((SECOND_LOOPBACK, 0))
        except OSError:
            return ("--bind", LOOPBACK)
    return ("--bind", LOOPBACK, "--bind", SECOND_LOOPBACK)


class LocalRelay:
    """Owns the two child processes. ``on_place`` is called when the relay had to move to another port."""

    def __init__(self, home: Path, on_place: Callable[[LocalRelayPlace], None]) -> None:
        self._folder = home / TRIAL_FOLDER
        self._on_place = on_place
        self._tasks = Tasks("trial")
        self._relay: Child | None = None
        self._echo: Child | None = None
        self._place: LocalRelayPlace | None = None

    async def start(self) -> LocalRelayPlace:
        """Start both and wait until they are ready. Raises :class:`LocalRelayError`."""
        self._place = await self._start_relay()
        await self._start_echo(self._place)
        self._tasks.start(self._keep(), name="keep")
        return self._place

    async def close(self) -> None:
        """End both."""
        await self._tasks.close()
        for child in (self._echo, self._relay):
            if child is not None:
                await end_child(child)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RESTART_AFTER_S)
            try:
                if self._relay is None or self._relay.poll() is not None:
                    _log.warning("the private relay ended by itself and is started again")
                    place = await self._start_relay()
                    if place != self._place:
                        self._place = place
                        if self._echo is not None:
                            await end_child(self._echo)
                        self._on_place(place)
                if self._place is not None and (self._echo is None or self._echo.poll() is not None):
                    _log.warning("Echo ended by itself and is started again")
                    await self._start_echo(self._place)
            except LocalRelayError as error:
                _log.warning("%s", error)

    async def _start_relay(self) -> LocalRelayPlace:
        self._relay = None
        port_file = self._folder / PORT_FILE
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise LocalRelayError("local-relay-folder", path=str(self._folder), cause=cause_of(error)) from error
        remembered = 0
        with contextlib.suppress(OSError, ValueError):
            remembered = int(port_file.read_text())
        for port in dict.fromkeys((remembered, 0)):
            arguments = [*loopback_binds(), "--port", str(port), "--data", str(self._folder / "relay"), "--json"]
            # Owned from here on: whoever closes the trial while it starts ends it, too.
            # No drain: nobody but this engine uses the relay, and when it stops, the engine's call is over.
            self._relay = child = spawn("relay", *arguments, "--drain", "0", "--with-parent")
            try:
                ready = msgspec.json.decode(await first_line(child), type=RelayReady)
                address = parse_relay(ready.address)
            except (msgspec.MsgspecError, WireError):
                await end_child(child)
                continue
            relay = RelayAddress(address.host, address.port, ready.pin)
            with contextlib.suppress(OSError):  # then it gets another port next time
                port_file.write_text(str(relay.port))
            return LocalRelayPlace(relay, PersonAddress(ECHO_NAME, relay))
        raise LocalRelayError("local-relay-not-started")

    async def _start_echo(self, place: LocalRelayPlace) -> None:
        self._echo = None
        home = str(self._folder / "echo")
        register = spawn("register", str(place.echo), "--home", home)
        try:
            await _ended_within(register, READY_TIMEOUT_S)
        finally:
            await end_child(register)
        if register.returncode != 0:
            raise LocalRelayError("echo-not-registered")
        self._echo = child = spawn("echo", "--home", home, "--with-parent")
        if not await first_line(child):
            await end_child(child)
            raise LocalRelayError("echo-not-started")


def spawn(*arguments: str, prefix: tuple[str, ...] = ()) -> Child:
    """Start ``segue ARGUMENTS`` with pipes for its input and output. Raises :class:`LocalRelayError`.

    ``prefix``: a command that becomes the one after it, in another place.
    """
    try:
        return subprocess.Popen(  # noqa: S603 - our own program, no shell
            [*prefix, *own_program(), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=sys.platform != "win32",
        )
    except OSError as error:
        raise LocalRelayError("process-not-started", cause=cause_of(error)) from error


async def first_line(child: Child) -> bytes:
    """The first line that the child prints, when it is ready; empty when it ends or keeps silent."""
    if child.stdout is None:
        return b""
    reading = asyncio.get_running_loop().run_in_executor(None, child.stdout.readline)
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            return await asyncio.shield(reading)
    except TimeoutError:
        child.kill()  # which ends the read as well
        return await reading


async def end_child(child: Child) -> None:
    """Terminate it, kill it if it does not end, and close its pipes."""
    if child.poll() is None:
        child.terminate()
    if not await _ended_within(child, STOP_TIMEOUT_S):
        child.kill()
        await _ended_within(child, STOP_TIMEOUT_S)
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


async def _ended_within(child: Child, seconds: float) -> bool:
    try:
        await asyncio.get_running_loop().run_in_executor(None, child.wait, seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
