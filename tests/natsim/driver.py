"""Runs a machine, untouched, on a virtual host: what transport.io.runner does with real sockets."""

from collections import deque
from collections.abc import Callable
from typing import Any

from tests.natsim.clock import Timer, VirtualClock
from tests.natsim.network import Host
from transport.link.events import Command
from transport.link.link import Link
from transport.net.machine import Machine, TimerFired
from transport.net.sockets import CloseSocket, DatagramReceived, OpenSocket, SendDatagram, SocketOpened

# A real timer never fires in the very instant that it was set for.
TICK_S = 1e-6


class SimRunner:
    """One machine on one host. As with real sockets, an event submitted from within a command waits for its turn."""

    def __init__(self, machine: Machine[Any, Any], host: Host, on_command: Callable[[Any], None]) -> None:
        self.machine = machine
        self.host = host
        self.clock: VirtualClock = host.network.clock
        self.cut = False
        """Whether no datagram gets through, either way."""
        self._on_command = on_command
        self._ports: dict[int, int] = {}
        self._timer: Timer | None = None
        self._events: deque[Any] = deque()
        self._handling = False
        self._frozen = False

    @property
    def ports(self) -> tuple[int, ...]:
        """Local ports of the sockets that are open."""
        return tuple(self._ports.values())

    def submit(self, event: object) -> None:
        """Give the machine an event now, carry out what it commands, arm the timer."""
        self._events.append(event)
        if not self._handling and not self._frozen:
            self._work()

    def freeze(self) -> None:
        """The process gets no time: packets wait in the socket's buffer, timers fire late."""
        self._frozen = True

    def thaw(self, *, timer_first: bool = False) -> None:
        """The process runs again, and first takes what has waited; or its timer fires before that, as where it was
        stopped while it waited for either (Python's ``select`` returns nothing when it is late itself)."""
        self._frozen = False
        if timer_first:
            self._events.appendleft(TimerFired())
        self._work()

    def close(self) -> None:
        """The process is gone, without a word."""
        self._frozen = True
        for port in self._ports.values():
            self.host.close(port)
        self._ports.clear()

    def _work(self) -> None:
        self._handling = True
        while self._events:
            for command in self.machine.handle(self._events.popleft(), self.clock.now):
                self._carry_out(command)
        self._handling = False
        self._arm()

    def _carry_out(self, command: object) -> None:
        match command:
            case SendDatagram(socket, destination, data):
                if not self.cut:
                    self.host.send(self._ports[socket], destination, data)
            case OpenSocket(socket):
                port = self.host.open(lambda data, source: self._receive(DatagramReceived(socket, source, data)))
                self._ports[socket] = port
                self.clock.after(0, lambda: self.submit(SocketOpened(socket, (self.host.ip, port))))
            case CloseSocket(socket):
                self.host.close(self._ports.pop(socket))
            case _:
                self._on_command(command)

    def _receive(self, event: DatagramReceived) -> None:
        if not self.cut:
            self.submit(event)

    def _arm(self) -> None:
        due = self.machine.next_deadline()
        if due is None:
            if self._timer is not None:
                self._timer.cancelled = True
                self._timer = None
            return
        # A timer that is armed for an earlier time finds out then that it is too early, and arms the next one.
        if self._timer is None or due < self._timer.when:
            if self._timer is not None:
                self._timer.cancelled = True
            self._timer = self.clock.at(max(due, self.clock.now + TICK_S), self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._frozen:
            return
        due = self.machine.next_deadline()
        if due is not None and due <= self.clock.now:
            self.submit(TimerFired())
        else:
            self._arm()


class SimDriver(SimRunner):
    """One link on one host."""

    def __init__(self, link: Link, host: Host, on_command: Callable[[Command], None]) -> None:
        super().__init__(link, host, on_command)
        self.link = link
