"""The product's profiler on a host of the virtual network: what a program knows of its NAT before it calls."""

import random
from functools import partial

from tests.natsim.clock import VirtualClock
from tests.natsim.network import Address, Host
from transport.path.sockets import CloseSocket, DatagramReceived, OpenSocket, SendDatagram, SocketOpened
from transport.traverse.candidates import HostAddress
from transport.traverse.nat_profile import NatProfile
from transport.traverse.profiler import (
    NatProfiler,
    ProfileMade,
    ProfilerEvent,
    ProfilerTimer,
    StartProfiling,
)


class ProfilerHost:
    """A profiler on one host."""

    def __init__(self, host: Host, stun: tuple[Address, ...], clock: VirtualClock, seed: int) -> None:
        self.host = host
        self.stun = stun
        self.clock = clock
        self.machine = NatProfiler(iter(range(1_000)).__next__, random.Random(seed))
        self.made: list[NatProfile] = []
        self.sent: list[SendDatagram] = []
        self.ports: dict[int, int] = {}

    def submit(self, event: ProfilerEvent) -> None:
        for command in self.machine.handle(event, self.clock.now):
            match command:
                case SendDatagram(socket, destination, data):
                    self.sent.append(command)
                    self.host.send(self.ports[socket], destination, data)
                case OpenSocket(socket):
                    self.ports[socket] = self.host.open(partial(self._received, socket))
                    self.clock.after(0, partial(self.submit, SocketOpened(socket, (self.host.ip, self.ports[socket]))))
                case CloseSocket(socket):
                    self.host.close(self.ports.pop(socket))
                case ProfileMade(profile):
                    self.made.append(profile)

    def profile(self, *, online: bool = True) -> NatProfile:
        """Let the clock run until it is made."""
        hosts = tuple(HostAddress(ip, 64 if ":" in ip else 24, "eth0") for ip in self.host.addresses)
        self.submit(StartProfiling(self.stun, hosts, online))
        for _ in range(400):
            due = self.machine.next_deadline()
            if self.made or (due is None and not self.ports):
                break
            self.clock.run(max(0.001, (due or 0.0) - self.clock.now), lambda: bool(self.made))
            self.submit(ProfilerTimer())
        [made] = self.made
        return made

    def _received(self, socket: int, data: bytes, source: Address) -> None:
        if socket in self.ports:
            self.submit(DatagramReceived(socket, source, data))
