"""Runs a Link, untouched, on a virtual host: what transport.io.driver does with real sockets."""

from collections.abc import Callable

from tests.natsim.clock import Timer, VirtualClock
from tests.natsim.network import Host
from transport.link import (
    CloseSocket,
    Command,
    DatagramReceived,
    Event,
    Link,
    OpenSocket,
    SendDatagram,
    SocketOpened,
    TimerFired,
)

# A real timer never fires in the very instant that it was set for.
TICK_S = 1e-6


class SimDriver:
    """One link on one host."""

    def __init__(self, link: Link, host: Host, on_command: Callable[[Command], None]) -> None:
        self.link = link
        self.host = host
        self.clock: VirtualClock = host.network.clock
        self._on_command = on_command
        self._ports: dict[int, int] = {}
        self._timer: Timer | None = None

    @property
    def ports(self) -> tuple[int, ...]:
        """Local ports of the sockets that are open."""
        return tuple(self._ports.values())

    def submit(self, event: Event) -> None:
        """Give the link an event now, carry out what it commands, arm the timer."""
        for command in self.link.handle(event, self.clock.now):
            self._carry_out(command)
        self._arm()

    def _carry_out(self, command: Command) -> None:
        match command:
            case SendDatagram(socket, destination, data):
                if socket in self._ports:
                    self.host.send(self._ports[socket], destination, data)
            case OpenSocket(socket):
                port = self.host.open(lambda data, source: self.submit(DatagramReceived(socket, source, data)))
                self._ports[socket] = port
                self.clock.after(0, lambda: self.submit(SocketOpened(socket, (self.host.ip, port))))
            case CloseSocket(socket):
                if socket in self._ports:
                    self.host.close(self._ports.pop(socket))
            case _:
                self._on_command(command)

    def _arm(self) -> None:
        due = self.link.next_deadline()
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
        due = self.link.next_deadline()
        if due is not None and due <= self.clock.now:
            self.submit(TimerFired())
        else:
            self._arm()
