"""Runs one :class:`transport.traverse.profiler.NatProfiler` on an asyncio loop, from its start to its result.

It decides nothing; :class:`transport.io.driver.LinkDriver` does the same for a call's machine.
"""

import asyncio
import itertools
from collections import deque
from random import Random

from transport.io.udp import UdpSocket
from transport.path.sockets import CloseSocket, DatagramReceived, OpenSocket, SendDatagram, SocketFailed, SocketOpened
from transport.traverse.candidates import HostAddress
from transport.traverse.nat_profile import NatProfile
from transport.traverse.profiler import (
    NatProfiler,
    ProfileMade,
    ProfilerCommand,
    ProfilerEvent,
    ProfilerTimer,
    StartProfiling,
    StopProfiling,
)
from transport.wire.stun import Address


async def measure_profile(
    stun: tuple[Address, ...], hosts: tuple[HostAddress, ...], rng: Random, *, online: bool
) -> NatProfile:
    """Ask the servers ``stun`` and judge their answers: some milliseconds when all answer, 4 s at the most.

    Arguments as for :class:`transport.traverse.profiler.StartProfiling`. Cancelling it closes the socket.
    """
    driver = _ProfileDriver(NatProfiler(itertools.count(1).__next__, rng), asyncio.get_running_loop())
    try:
        driver.submit(StartProfiling(stun, hosts, online))
        return await driver.made
    finally:
        driver.submit(StopProfiling())


class _ProfileDriver:
    """Not thread-safe: use it on its loop. ``made`` has the first result."""

    def __init__(self, machine: NatProfiler, loop: asyncio.AbstractEventLoop) -> None:
        self.made: asyncio.Future[NatProfile] = loop.create_future()
        self._machine = machine
        self._loop = loop
        self._sockets: dict[int, UdpSocket] = {}
        self._events: deque[ProfilerEvent] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def submit(self, event: ProfilerEvent) -> None:
        """Give the machine an event, and those that follow from it."""
        self._events.append(event)
        while self._events:
            for command in self._machine.handle(self._events.popleft(), self._loop.time()):
                self._carry_out(command)
        self._arm()

    def _carry_out(self, command: ProfilerCommand) -> None:
        match command:
            case SendDatagram(socket, destination, data, ttl):
                udp = self._sockets.get(socket)
                if udp is not None:
                    udp.send(destination, data, ttl)
            case OpenSocket():
                self._open(command)
            case CloseSocket(socket):
                closing = self._sockets.pop(socket, None)
                if closing is not None:
                    closing.close()
            case ProfileMade(profile):
                if not self.made.done():
                    self.made.set_result(profile)

    def _open(self, command: OpenSocket) -> None:
        def receive(source: Address, data: bytes) -> None:
            self.submit(DatagramReceived(command.socket, source, data))

        try:
            udp = UdpSocket(command.host, command.toward, receive, self._loop)
        except OSError as error:
            self._events.append(SocketFailed(command.socket, error.strerror or str(error)))
            return
        self._sockets[command.socket] = udp
        self._events.append(SocketOpened(command.socket, udp.local))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self._machine.next_deadline()
        self._timer = None if due is None else self._loop.call_at(due, self.submit, ProfilerTimer())
