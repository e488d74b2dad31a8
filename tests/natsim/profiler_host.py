"""The product's measurements of a NAT on a host of the virtual network: what a program knows before it calls."""

import random
from functools import partial

from tests.natsim.clock import VirtualClock
from tests.natsim.network import Address, Host
from transport.ice.candidates import HostAddress
from transport.nat.mapping_lifetime import (
    LifetimeCommand,
    LifetimeEvent,
    LifetimeMeasured,
    MappingLifetimeProbe,
    StartLifetimeProbe,
)
from transport.nat.profile import NatProfile
from transport.nat.profiler import (
    NatProfiler,
    ProfileMade,
    ProfilerCommand,
    ProfilerEvent,
    StartProfiling,
)
from transport.net.machine import TimerFired
from transport.net.sockets import CloseSocket, DatagramReceived, OpenSocket, SendDatagram, SocketOpened

TICK_S = 1e-6


class ProfilerHost:
    """A profiler on one host, and a test of how long its NAT remembers."""

    def __init__(self, host: Host, stun: tuple[Address, ...], clock: VirtualClock, seed: int) -> None:
        self.host = host
        self.stun = stun
        self.clock = clock
        numbers = iter(range(1_000)).__next__
        self.machine = NatProfiler(numbers, random.Random(seed))
        self.lifetime_probe = MappingLifetimeProbe(numbers, random.Random(seed))
        self.lives: list[float | None] = []
        self.made: list[NatProfile] = []
        self.sent: list[SendDatagram] = []
        self.ports: dict[int, int] = {}

    def submit(self, event: ProfilerEvent) -> None:
        for command in self.machine.handle(event, self.clock.now):
            self._carry_out(command)

    def be_silent(self) -> None:
        """Begin to find out how long the NAT remembers; what comes of it will be in ``lives``."""
        self._submit_to_lifetime_probe(StartLifetimeProbe(self.stun))

    def _submit_to_lifetime_probe(self, event: LifetimeEvent) -> None:
        for command in self.lifetime_probe.handle(event, self.clock.now):
            self._carry_out(command)
        due = self.lifetime_probe.next_deadline()
        if due is not None:
            # One that is no longer needed does no harm.
            self.clock.at(max(due, self.clock.now + TICK_S), lambda: self._submit_to_lifetime_probe(TimerFired()))

    def _carry_out(self, command: ProfilerCommand | LifetimeCommand) -> None:
        match command:
            case SendDatagram(socket, destination, data):
                self.sent.append(command)
                self.host.send(self.ports[socket], destination, data)
            case OpenSocket(socket):
                self.ports[socket] = self.host.open(partial(self._received, socket))
                self.clock.after(0, partial(self._opened, socket))
            case CloseSocket(socket):
                self.host.close(self.ports.pop(socket))
            case ProfileMade(profile):
                self.made.append(profile)
            case LifetimeMeasured(life_s):
                self.lives.append(life_s)

    def _opened(self, socket: int) -> None:
        if socket in self.ports:
            opened = SocketOpened(socket, (self.host.ip, self.ports[socket]))
            self.submit(opened)
            self._submit_to_lifetime_probe(opened)

    def profile(self, *, online: bool = True) -> NatProfile:
        """Let the clock run until it is made."""
        hosts = tuple(HostAddress(ip, 64 if ":" in ip else 24, "eth0") for ip in self.host.addresses)
        self.submit(StartProfiling(self.stun, hosts, online))
        for _ in range(400):
            due = self.machine.next_deadline()
            if self.made or (due is None and not self.ports):
                break
            self.clock.run(max(0.001, (due or 0.0) - self.clock.now), lambda: bool(self.made))
            self.submit(TimerFired())
        return self.made[-1]

    def _received(self, socket: int, data: bytes, source: Address) -> None:
        if socket in self.ports:
            self.submit(DatagramReceived(socket, source, data))
            self._submit_to_lifetime_probe(DatagramReceived(socket, source, data))
