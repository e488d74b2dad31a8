"""The engine's end of the local socket: proves who attaches, hears commands, and tells the newest state.

A window that does not read is never waited for. For each one the server holds the newest state, the newest sample and
the newest levels, each overwritten by the next, and a bounded queue of answers that drops its oldest.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

from app.ipc import messages
from app.ipc import socket as local_socket
from transport.io.tasks import Tasks
from transport.wire.errors import WireError
from transport.wire.framing import LOCAL_FRAMING, Deframer, Framing, frame

_log = logging.getLogger(__name__)

MAX_WINDOWS = 8
NONCE_BYTES = 32
ATTACH_TIMEOUT_S = 5.0
READ_BYTES = 65_536
# Commands are short: the longest carries an address and an alias.
COMMAND_FRAMING = Framing(length_bytes=LOCAL_FRAMING.length_bytes, max_message_bytes=65_536)
# Answers to commands wait here for a window that does not read; the oldest goes first.
MAX_ANSWERS = 64
# asyncio's own buffer below the slots; small, so that the slots do the skipping.
WRITE_BUFFER_BYTES = 65_536


class WindowLink:
    """One attached window or watcher."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._wake = asyncio.Event()
        self._state: bytes | None = None
        self._sample: bytes | None = None
        self._levels: bytes | None = None
        self._answers: deque[bytes] = deque(maxlen=MAX_ANSWERS)
        self.watch_only = True

    def offer(self, message: messages.EngineMessage, document: bytes) -> None:
        """Have ``message`` (encoded as ``document``) sent as soon as the window reads."""
        match message:
            case messages.EngineState():
                self._state = document
            case messages.CallSample():
                self._sample = document
            case messages.Levels():
                self._levels = document
            case _:
                self._answers.append(document)
        self._wake.set()

    async def write_on(self) -> None:
        """Write what is offered until the window has gone."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting = [*self._answers]
            self._answers.clear()
            waiting += [item for item in (self._state, self._sample, self._levels) if item is not None]
            self._state = self._sample = self._levels = None
            for document in waiting:
                self._writer.write(frame(document, LOCAL_FRAMING))
            try:
                await self._writer.drain()
            except OSError:
                return  # gone; the reading side notices by itself


class LocalServer:
    """Windows come and go; ``on_command(message, answer)`` hears what they say.

    ``on_windows(count)`` is called when the number of attached windows (watchers do not count) changes.
    """

    def __init__(
        self,
        home: Path,
        on_command: Callable[[messages.WindowMessage, Callable[[messages.EngineMessage], None]], None],
        on_windows: Callable[[int], None],
    ) -> None:
        self._listener = local_socket.LocalListener(home)
        self._on_command = on_command
        self._on_windows = on_windows
        self._tasks = Tasks("local-server")
        self._links: set[WindowLink] = set()
        self._connections = 0
        self._newest_state: messages.EngineState | None = None

    async def open(self) -> None:
        """Start to listen. Raises :class:`app.ipc.socket.LocalSocketError`."""
        await self._listener.open(self._accept)

    async def close(self) -> None:
        """Stop listening and drop all windows."""
        await self._listener.close()
        await self._tasks.close()

    @property
    def windows(self) -> int:
        """How many windows are attached, watchers not counted."""
        return sum(not link.watch_only for link in self._links)

    @property
    def watched(self) -> bool:
        """Whether anybody at all is attached, so that figures are worth making."""
        return bool(self._links)

    def tell(self, message: messages.EngineMessage) -> None:
        """Send to everybody attached."""
        if isinstance(message, messages.EngineState):
            self._newest_state = message
        if self._links:
            document = messages.encode(message)
            for link in self._links:
                link.offer(message, document)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= MAX_WINDOWS:
            writer.close()
            return
        self._connections += 1
        serving = self._tasks.start(self._serve(reader, writer), name="window")
        serving.add_done_callback(self._served)

    def _served(self, _: object) -> None:
        self._connections -= 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = WindowLink(writer)
        writer.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        deframer = Deframer(COMMAND_FRAMING)
        nonce = os.urandom(NONCE_BYTES)
        hello = messages.EngineHello(version=messages.ENGINE_VERSION, nonce=nonce)
        writer.write(frame(messages.encode(hello), LOCAL_FRAMING))
        try:
            waiting: list[bytes] = []
            async with asyncio.timeout(ATTACH_TIMEOUT_S):
                while not waiting and (data := await reader.read(READ_BYTES)):
                    waiting = list(deframer.feed(data))
            if not waiting or not self._attach(link, nonce, messages.decode_window_message(waiting[0])):
                return
            sending = self._tasks.start(link.write_on(), name="window-writer")
            try:
                for document in waiting[1:]:
                    self._hear(link, document)
                while data := await reader.read(READ_BYTES):
                    for document in deframer.feed(data):
                        self._hear(link, document)
            finally:
                sending.cancel()
                self._links.discard(link)
                if not link.watch_only:
                    self._on_windows(self.windows)
        except (TimeoutError, WireError, OSError) as error:
            _log.info("a window was dropped: %s", error)
        finally:
            writer.close()

    def _attach(self, link: WindowLink, nonce: bytes, message: messages.WindowMessage) -> bool:
        if not isinstance(message, messages.Attach) or message.version != messages.ENGINE_VERSION:
            return False
        if not local_socket.proof_is_right(self._listener.secret, nonce, message.proof):
            _log.warning("somebody without the secret tried to attach")
            return False
        link.watch_only = message.watch_only
        self._links.add(link)
        if self._newest_state is not None:
            link.offer(self._newest_state, messages.encode(self._newest_state))
        if not link.watch_only:
            self._on_windows(self.windows)
        return True

    def _hear(self, link: WindowLink, document: bytes) -> None:
        def answer(message: messages.EngineMessage) -> None:
            link.offer(message, messages.encode(message))

        self._on_command(messages.decode_window_message(document), answer)
