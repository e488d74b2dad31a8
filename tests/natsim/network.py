"""Hosts with addresses, and a middle that never loses anything: every host hangs on two wires of its own."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.natsim.clock import VirtualClock
from tests.natsim.wire import Wire

Address = tuple[str, int]
FIRST_EPHEMERAL_PORT = 49_152


@dataclass(frozen=True, slots=True)
class Packet:
    """A UDP packet on its way."""

    source: Address
    destination: Address
    data: bytes


Receiver = Callable[[bytes, Address], None]
Tamper = Callable[[Packet], list[Packet]]


class Host:
    """One machine with one address. ``up`` leads into the network, ``down`` out of it."""

    def __init__(self, network: "Network", ip: str, up: Wire, down: Wire) -> None:
        self.network = network
        self.ip = ip
        self.up = up
        self.down = down
        self._ports: dict[int, Receiver] = {}
        self._next_port = FIRST_EPHEMERAL_PORT

    def open(self, receiver: Receiver, port: int = 0) -> int:
        """Open a UDP port (any free one for 0) and return its number."""
        if not port:
            port = self._next_port
            self._next_port += 1
        assert port not in self._ports
        self._ports[port] = receiver
        return port

    def close(self, port: int) -> None:
        """Close a port; harmless when it is closed."""
        self._ports.pop(port, None)

    @property
    def open_ports(self) -> tuple[int, ...]:
        return tuple(self._ports)

    def send(self, port: int, destination: Address, data: bytes) -> None:
        self.network.send(Packet((self.ip, port), destination, data))

    def deliver(self, packet: Packet) -> None:
        receiver = self._ports.get(packet.destination[1])
        if receiver is not None:
            receiver(packet.data, packet.source)


class Network:
    """Carries packets between hosts. ``captured`` keeps every packet that was sent, when ``capture`` is set."""

    def __init__(self, clock: VirtualClock, rng: random.Random, *, capture: bool = False) -> None:
        self.clock = clock
        self.rng = rng
        self.capture = capture
        self.captured: list[Packet] = []
        self.tamper: Tamper | None = None
        """Sees every packet in the middle and says what goes on in its stead."""
        self._hosts: dict[str, Host] = {}

    def host(self, ip: str, up: Wire | None = None, down: Wire | None = None) -> Host:
        """Add a host with its two wires (10 ms each way by default)."""
        host = Host(self, ip, up or Wire(), down or Wire())
        self._hosts[ip] = host
        return host

    def send(self, packet: Packet) -> None:
        if self.capture:
            self.captured.append(packet)
        sender = self._hosts.get(packet.source[0])
        now = self.clock.now
        for when in sender.up.arrivals(now, self.rng) if sender is not None else [now]:
            self.clock.at(when, lambda: self._middle(packet))

    def _middle(self, packet: Packet) -> None:
        for onward in self.tamper(packet) if self.tamper is not None else [packet]:
            self.inject(onward)

    def inject(self, packet: Packet) -> None:
        """Put a packet, with whatever source address, on the last wire to its destination."""
        target = self._hosts.get(packet.destination[0])
        if target is None:
            return
        for when in target.down.arrivals(self.clock.now, self.rng):
            self.clock.at(when, lambda: target.deliver(packet))
