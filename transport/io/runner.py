"""Runs one machine on an asyncio loop: its sockets, its one timer, its clock.

It decides nothing. What the machine commands about sockets is carried out; everything else goes to ``on_command``.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from transport.io.udp import UdpSocket
from transport.net.machine import Machine, TimerFired
from transport.net.sockets import CloseSocket, DatagramReceived, OpenSocket, SendDatagram, SocketFailed, SocketOpened

ResultT = TypeVar("ResultT")

TIMER_FIRED = TimerFired()

_log = logging.getLogger(__name__)


class Runner:
    """Not thread-safe: use it on its loop. ``connected``: each socket speaks to one destination only, the kernel drops
    what others send, and a refusal of that destination fails the socket.

    ``on_command`` is called in order, never from within itself: what it submits is handled after it has returned. It
    must not raise; if it does, that is logged and the machine goes on.
    """

    def __init__(
        self,
        machine: Machine[Any, Any],
        on_command: Callable[[Any], None],
        *,
        connected: bool = False,
    ) -> None:
        self._handle = machine.handle
        self._next_deadline = machine.next_deadline
        self._connected = connected
        self._on_command = on_command
        self._loop = asyncio.get_running_loop()
        self._sockets: dict[int, UdpSocket] = {}
        self._events: deque[object] = deque()
        self._handling = False
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._send_errors = 0

    @property
    def send_errors(self) -> int:
        """Packets that the operating system did not take, on all sockets so far."""
        return self._send_errors + sum(udp.send_errors for udp in self._sockets.values())

    def submit(self, event: object) -> None:
        """Give the machine an event; after :meth:`close` nothing happens."""
        if self._closed:
            return
        self._events.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._events:
                for command in self._handle(self._events.popleft(), self._loop.time()):
                    self._carry_out(command)
        finally:
            self._handling = False
        self._arm()

    def close(self) -> None:
        """Release sockets and timer at once, whatever the machine's state."""
        self._closed = True
        self._events.clear()
        self._arm()
        for number in list(self._sockets):
            self._release(number)

    def _carry_out(self, command: object) -> None:
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

        def refused() -> None:
            self.submit(SocketFailed(command.socket, "nothing listens there"))

        on_refused = refused if self._connected else None
        try:
            udp = UdpSocket(command.host, command.toward, receive, self._loop, command.port, on_refused=on_refused)
        except OSError as error:
            reason = f"no way to {command.toward[0]}: {error.strerror or error}"
            self._events.append(SocketFailed(command.socket, reason))
            return
        self._sockets[command.socket] = udp
        self._events.append(SocketOpened(command.socket, udp.local))

    def _release(self, number: int) -> None:
        udp = self._sockets.pop(number, None)
        if udp is not None:
            self._send_errors += udp.send_errors
            udp.close()

    def _arm(self) -> None:
        """Keep one timer at or before the machine's deadline; a timer that fires too early arms the next one."""
        due = None if self._closed else self._next_deadline()
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
        due = self._next_deadline()
        if due is not None and due <= self._loop.time():
            self.submit(TIMER_FIRED)
        else:
            self._arm()


async def run_to_result(machine: Machine[Any, Any], start: object, stop: object, result: type[ResultT]) -> ResultT:
    """Run a machine from ``start`` to its first command of the kind ``result``; then, or when cancelled, ``stop``."""
    made: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()

    def take(command: object) -> None:
        if isinstance(command, result) and not made.done():
            made.set_result(command)

    runner = Runner(machine, take)
    with contextlib.closing(runner):
        try:
            runner.submit(start)
            return await made
        finally:
            runner.submit(stop)
