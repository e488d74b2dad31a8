"""Runs one :class:`transport.link.link.Link` on an asyncio loop: its sockets, its one timer, its clock.

It decides nothing. What the link commands about sockets is carried out; everything else goes to ``on_command``.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from transport.io.udp import UdpSocket
from transport.link.events import Command, Event
from transport.link.link import Link
from transport.net.machine import TimerFired
from transport.net.sockets import CloseSocket, DatagramReceived, OpenSocket, SendDatagram, SocketFailed, SocketOpened

_log = logging.getLogger(__name__)


class LinkDriver:
    """Not thread-safe: use it on its loop. ``on_command`` is called in order, never from within itself: what it
    submits is handled after it has returned. It must not raise; if it does, that is logged and the link goes on."""

    def __init__(
        self,
        link: Link,
        on_command: Callable[[Command], None],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.link = link
        self._on_command = on_command
        self._loop = loop if loop is not None else asyncio.get_running_loop()
        self._sockets: dict[int, UdpSocket] = {}
        self._events: deque[Event] = deque()
        self._handling = False
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._send_errors = 0

    @property
    def send_errors(self) -> int:
        """Packets that the operating system did not take, on all sockets so far."""
        return self._send_errors + sum(udp.send_errors for udp in self._sockets.values())

    def submit(self, event: Event) -> None:
        """Give the link an event; after :meth:`close` nothing happens."""
        if self._closed:
            return
        self._events.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._events:
                for command in self.link.handle(self._events.popleft(), self._loop.time()):
                    self._carry_out(command)
        finally:
            self._handling = False
        self._arm()

    async def close(self) -> None:
        """Release sockets and timer at once, whatever the link's state; submit a Close before for a goodbye."""
        self._closed = True
        self._events.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for number in list(self._sockets):
            self._release(number)

    def _carry_out(self, command: Command) -> None:
        match command:
            case SendDatagram(socket, destination, data, ttl):
                udp = self._sockets.get(socket)
                if udp is not None:
                    udp.send(destination, data, ttl)
            case OpenSocket():
                self._open(command)
            case CloseSocket(socket):
                self._release(socket)
            case _:
                try:
                    self._on_command(command)
                except Exception:
                    # A fault in what is shown or played must not end the call that it is about.
                    _log.exception("handling %s failed", type(command).__name__)

    def _open(self, command: OpenSocket) -> None:
        def receive(source: tuple[str, int], data: bytes) -> None:
            self.submit(DatagramReceived(command.socket, source, data))

        try:
            udp = UdpSocket(command.host, command.toward, receive, self._loop, command.port)
        except OSError as error:
            self._events.append(SocketFailed(command.socket, error.strerror or str(error)))
            return
        self._sockets[command.socket] = udp
        self._events.append(SocketOpened(command.socket, udp.local))

    def _release(self, number: int) -> None:
        udp = self._sockets.pop(number, None)
        if udp is not None:
            self._send_errors += udp.send_errors
            udp.close()

    def _arm(self) -> None:
        """Keep one timer at or before the link's deadline; a timer that fires too early arms the next one."""
        due = None if self._closed else self.link.next_deadline()
        if due is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None or due < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(due, self._fire)

    def _fire(self) -> None:
        self._timer = None
        due = self.link.next_deadline()
        if due is not None and due <= self._loop.time():
            self.submit(TimerFired())
        else:
            self._arm()
