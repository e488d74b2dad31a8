"""Runs one machine that asks STUN servers about our NAT on an asyncio loop, from its start to its result.

It decides nothing; :class:`transport.io.runner.LinkDriver` does the same for a call's machine.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Generic, TypeVar

from transport.ice.candidates import HostAddress
from transport.io.udp import UdpSocket
from transport.nat.mapping_lifetime import (
    LifeMeasured,
    LifeTimer,
    MappingLifetimeProbe,
    StartLifetimeProbe,
    StopLifetimeProbe,
)
from transport.nat.profile import NatProfile
from transport.nat.profiler import NatProfiler, ProfileMade, ProfilerTimer, StartProfiling, StopProfiling
from transport.net.machine import Machine
from transport.net.sockets import (
    Address,
    CloseSocket,
    DatagramReceived,
    OpenSocket,
    SendDatagram,
    SocketFailed,
    SocketOpened,
)

ResultT = TypeVar("ResultT")


async def measure_profile(
    stun: tuple[Address, ...], hosts: tuple[HostAddress, ...], rng: Random, *, online: bool
) -> NatProfile:
    """Ask the servers ``stun`` and judge their answers: some milliseconds when all answer, 4 s at the most.

    Arguments as for :class:`transport.nat.profiler.StartProfiling`. Cancelling it closes the socket.
    """
    machine = NatProfiler(itertools.count(1).__next__, rng)
    driver = _Measurement[NatProfile](machine, ProfilerTimer(), _profile_of, asyncio.get_running_loop())
    return await driver.run(StartProfiling(stun, hosts, online), StopProfiling())


async def measure_life(stun: tuple[Address, ...], rng: Random) -> float | None:
    """So long at most, in seconds, our NAT remembers a mapping that nobody uses; ``None`` where that is not known.

    Two minutes, with a few packets. Cancelling it closes the sockets."""
    machine = MappingLifetimeProbe(itertools.count(1).__next__, rng)
    driver = _Measurement[float | None](machine, LifeTimer(), _life_of, asyncio.get_running_loop())
    return await driver.run(StartLifetimeProbe(stun), StopLifetimeProbe())


def _profile_of(command: object) -> tuple[NatProfile, ...]:
    return (command.profile,) if isinstance(command, ProfileMade) else ()


def _life_of(command: object) -> tuple[float | None, ...]:
    return (command.life_s,) if isinstance(command, LifeMeasured) else ()


class _Measurement(Generic[ResultT]):
    """Not thread-safe: use it on its loop. ``timer`` is the machine's own event, ``result_of`` finds the result among
    its commands."""

    def __init__(
        self,
        machine: Machine[Any, Any],
        timer: object,
        result_of: Callable[[object], tuple[ResultT, ...]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._made: asyncio.Future[ResultT] = loop.create_future()
        self._machine = machine
        self._timer_event = timer
        self._result_of = result_of
        self._loop = loop
        self._sockets: dict[int, UdpSocket] = {}
        self._events: deque[object] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, start: object, stop: object) -> ResultT:
        """From one event to the first result; then, or when cancelled, the other one."""
        try:
            self.submit(start)
            return await self._made
        finally:
            self.submit(stop)

    def submit(self, event: object) -> None:
        """Give the machine an event, and those that follow from it."""
        self._events.append(event)
        while self._events:
            for command in self._machine.handle(self._events.popleft(), self._loop.time()):
                self._carry_out(command)
        self._arm()

    def _carry_out(self, command: object) -> None:
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
            case _:
                for result in self._result_of(command):
                    if not self._made.done():
                        self._made.set_result(result)

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
        self._timer = None if due is None else self._loop.call_at(due, self.submit, self._timer_event)
