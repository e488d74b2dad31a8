"""A window's, or a watcher's, end of the local socket; and starting an engine where none runs."""

import asyncio
import contextlib
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from app.ipc import messages as protocol
from app.ipc import socket as local_socket
from app.model.exit_status import ExitStatus
from app.model.terms import Values
from app.system.data_dir import Home, HomeError, find_home, prepare
from app.system.errors import AppError, cause_of
from app.system.program import own_program
from transport.wire.errors import WireError
from transport.wire.framing import LOCAL_FRAMING, Deframer, frame

# A cold start on a slow disk takes a few seconds; after this long something is wrong and a person wants to know.
START_TIMEOUT_S = 20.0
START_POLL_S = 0.05
HELLO_TIMEOUT_S = 5.0
READ_BYTES = 65_536
# What an engine says before it has opened its own log, and what kills it; the last start's alone.
LOG_FILE = "engine-start.log"
# Its last line says why it ended; the longest names a folder or two.
LAST_LINE_BYTES = 4_096


class EngineUnreachable(AppError):
    """No engine, or not one that this program can talk to."""


def engine_command(home: Path) -> list[str]:
    """How to start the engine of a folder as a process of its own."""
    # The default folder is not named: a named one keeps its key inside, not in the keyring.
    return [*own_program(), "engine", *([] if home == find_home().folder else ["--home", str(home)])]


def start_engine(home: Path) -> "subprocess.Popen[bytes]":
    """Start an engine that lives on when this program dies. If one runs already, the new one ends by itself.

    Raises :class:`EngineUnreachable` when the process cannot be started.
    """
    try:
        place = Home(home, chosen=True)
        prepare(place)
        with (place.logs / LOG_FILE).open("wb") as log:
            # Its own group on Windows, its own session elsewhere: Ctrl-C in a terminal ends the window, not the call.
            group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
            return subprocess.Popen(  # noqa: S603 - our own program, no shell
                engine_command(home),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=sys.platform != "win32",
                creationflags=group,
            )
    except HomeError as error:
        raise EngineUnreachable(error.code, **error.values) from error
    except OSError as error:
        raise EngineUnreachable("engine-not-started", cause=cause_of(error)) from error


def _why_it_ended(home: Path, status: int) -> EngineUnreachable:
    """What an engine that could not start has printed about it: its last line is an :class:`AppError` as text."""
    log = Home(home, chosen=True).logs / LOG_FILE
    if status == ExitStatus.FAILED:
        with contextlib.suppress(OSError, IndexError, msgspec.MsgspecError):
            last = log.read_bytes()[-LAST_LINE_BYTES:].splitlines()[-1]
            code, values = msgspec.json.decode(last, type=tuple[str, Values])
            return EngineUnreachable(code, **values)
    return EngineUnreachable("engine-ended", path=str(log))


class EngineClient:
    """A proven connection to a running engine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deframer: Deframer) -> None:
        self._reader = reader
        self._writer = writer
        self._deframer = deframer
        self._pending: deque[protocol.EngineMessage] = deque()

    @classmethod
    async def connect(
        cls,
        home: Path,
        *,
        watch_only: bool = False,
        wait_s: float = 0.0,
        started: "subprocess.Popen[bytes] | None" = None,
    ) -> "EngineClient":
        """Attach to the engine of ``home``; tries for ``wait_s`` seconds, or until the one that was ``started`` has
        failed. Raises :class:`EngineUnreachable`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        while True:
            try:
                info = local_socket.read_info(home)
                reader, writer = await local_socket.connect(info)
            except local_socket.LocalSocketError as error:
                if started is not None and started.poll():
                    raise _why_it_ended(home, started.returncode) from error
                if loop.time() >= until:
                    raise EngineUnreachable(error.code) from error
                await asyncio.sleep(START_POLL_S)
                continue
            break
        client = cls(reader, writer, Deframer(LOCAL_FRAMING))
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                hello = await client.next_message()
        except TimeoutError as error:
            await client.close()
            raise EngineUnreachable("engine-silent") from error
        if not isinstance(hello, protocol.EngineHello) or hello.version != protocol.ENGINE_VERSION:
            await client.close()
            raise EngineUnreachable("engine-version")
        # Another engine may have taken the place of the one that the file named when it was read.
        with contextlib.suppress(local_socket.LocalSocketError):
            info = local_socket.read_info(home)
        answer = local_socket.proof(info.secret, hello.nonce)
        client.send(protocol.Attach(version=protocol.ENGINE_VERSION, proof=answer, watch_only=watch_only))
        return client

    async def next_message(self) -> protocol.EngineMessage | None:
        """The next word of the engine; ``None`` when it has gone, or no longer makes sense."""
        while not self._pending:
            try:
                data = await self._reader.read(READ_BYTES)
                if not data:
                    return None
                self._pending.extend(protocol.decode_engine_message(item) for item in self._deframer.feed(data))
            except (OSError, WireError):
                return None
        return self._pending.popleft()

    async def messages(self) -> AsyncIterator[protocol.EngineMessage]:
        """What the engine says, in order; ends when the engine has gone."""
        while (message := await self.next_message()) is not None:
            yield message

    def send(self, message: protocol.WindowMessage) -> None:
        """Send a command; lost without a word if the engine has gone (``messages`` tells that)."""
        if not self._writer.is_closing():
            self._writer.write(frame(protocol.encode(message), LOCAL_FRAMING))

    async def close(self) -> None:
        """Detach."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
