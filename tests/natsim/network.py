"""Networks and the hosts on them: every host hangs on two wires of its own, the middle itself loses nothing.

The internet is one network and so is each LAN; a gateway (``internet.py``) stands in two of them.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tests.natsim.clock import VirtualClock
from tests.natsim.wire import Wire

Address = tuple[str, int]
EPHEMERAL_PORTS = range(49_152, 65_536)
"""RFC 6335 §6."""
TTL_HOPS = 64
"""What hosts put on their packets where nobody chooses (RFC 1700)."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A UDP packet on its way. ``ttl`` counts the routers that it may still pass, and one more."""

    source: Address
    destination: Address
    data: bytes
    ttl: int = TTL_HOPS


Receiver = Callable[[bytes, Address], None]
Tamper = Callable[[Packet], list[Packet]]


class Node(Protocol):
    """Whatever has an address on a network. ``up`` leads into the network, ``down`` out of it."""

    up: Wire
    down: Wire

    def deliver(self, packet: Packet) -> None: ...


class Gateway(Protocol):
    """Where packets go whose destination is not on this network."""

    def from_inside(self, packet: Packet) -> None: ...


class Interface:
    """A host's place on one network."""

    def __init__(self, host: "Host", network: "Network", ip: str, up: Wire, down: Wire) -> None:
        self.host = host
        self.network = network
        self.ip = ip
        self.up = up
        self.down = down
        network.attach(ip, self)

    def deliver(self, packet: Packet) -> None:
        self.host.deliver(packet)


class Host:
    """One machine with an address, or with one on each of several networks; its ports are common to all of them."""

    def __init__(self, network: "Network", ip: str, up: Wire, down: Wire) -> None:
        self.interfaces: list[Interface] = [Interface(self, network, ip, up, down)]
        self._ports: dict[int, Receiver] = {}
        self._bound: dict[Address, Receiver] = {}
        self._next_port = EPHEMERAL_PORTS.start
        self._clock_network = network

    @property
    def network(self) -> "Network":
        """The network of the first interface; its clock is everybody's."""
        return self.interfaces[0].network if self.interfaces else self._clock_network

    @property
    def ip(self) -> str:
        """The first interface's address; empty when the host is off every network."""
        return self.interfaces[0].ip if self.interfaces else ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of all interfaces, in the order in which the host prefers them."""
        return tuple(interface.ip for interface in self.interfaces)

    @property
    def up(self) -> Wire:
        """The first interface's wire into the network."""
        return self.interfaces[0].up

    @up.setter
    def up(self, wire: Wire) -> None:
        self.interfaces[0].up = wire

    @property
    def down(self) -> Wire:
        """The first interface's wire out of the network."""
        return self.interfaces[0].down

    @down.setter
    def down(self, wire: Wire) -> None:
        self.interfaces[0].down = wire

    # -- interfaces

    def join(self, network: "Network", ip: str, up: Wire | None = None, down: Wire | None = None) -> Interface:
        """One more interface; also a second address on the same network."""
        interface = Interface(self, network, ip, up or Wire(), down or Wire())
        self.interfaces.append(interface)
        return interface

    def leave(self, ip: str) -> None:
        """The interface with this address is gone: nothing leaves from it and what comes to it is lost."""
        for interface in [each for each in self.interfaces if each.ip == ip]:
            interface.network.detach(ip)
            self.interfaces.remove(interface)

    # -- ports

    def open(self, receiver: Receiver, port: int = 0, ip: str = "") -> int:
        """Open a UDP port (any free one for 0), of one address or of all, and return its number."""
        if not port:
            port = self._free_port()
        if ip:
            assert (ip, port) not in self._bound
            self._bound[ip, port] = receiver
        else:
            assert port not in self._ports
            self._ports[port] = receiver
        return port

    def _free_port(self) -> int:
        for _ in EPHEMERAL_PORTS:
            port = self._next_port
            self._next_port = port + 1 if port + 1 in EPHEMERAL_PORTS else EPHEMERAL_PORTS.start
            if port not in self._ports and all(port != bound for _, bound in self._bound):
                return port
        raise AssertionError("no port is free")

    def close(self, port: int) -> None:
        """Close a port; harmless when it is closed."""
        self._ports.pop(port, None)
        for bound in [address for address in self._bound if address[1] == port]:
            del self._bound[bound]

    @property
    def open_ports(self) -> tuple[int, ...]:
        return (*self._ports, *(port for _, port in self._bound))

    def send(self, port: int, destination: Address, data: bytes, *, ttl: int = TTL_HOPS, ip: str = "") -> None:
        """Send from ``port`` and the address ``ip``, or the one that leads there; lost when none does."""
        interface = self.toward(destination[0], ip)
        if interface is not None:
            interface.network.send(Packet((interface.ip, port), destination, data, ttl))

    def toward(self, destination: str, ip: str = "") -> Interface | None:
        """The interface that packets to an address leave by: the one named, the one on its network, or the first."""
        interfaces = self.interfaces
        if len(interfaces) == 1 and not ip:
            return interfaces[0] if (":" in destination) == (":" in interfaces[0].ip) else None
        family = [each for each in interfaces if (":" in each.ip) == (":" in destination) and ip in ("", each.ip)]
        return next((each for each in family if each.network.has(destination)), family[0] if family else None)

    def deliver(self, packet: Packet) -> None:
        receiver = self._ports.get(packet.destination[1])
        if self._bound:
            receiver = self._bound.get(packet.destination, receiver)
        if receiver is not None:
            receiver(packet.data, packet.source)


class Network:
    """Carries packets between its nodes. ``captured`` keeps every packet that was sent, when ``capture`` is set.

    ``hops`` is how many routers stand in its middle. Where ``isolated`` is set, hosts reach the gateway only.
    """

    def __init__(self, clock: VirtualClock, rng: random.Random, *, capture: bool = False, hops: int = 0) -> None:
        self.clock = clock
        self.rng = rng
        self.capture = capture
        self.hops = hops
        self.isolated = False
        self.gateway: Gateway | None = None
        self.captured: list[Packet] = []
        self.lost: Counter[str] = Counter()
        """Packets that ended here, by cause: "ttl", "no-route". What wires lose is not among them."""
        self.tamper: Tamper | None = None
        """Sees every packet in the middle and says what goes on in its stead."""
        self._nodes: dict[str, Node] = {}

    def host(self, ip: str, up: Wire | None = None, down: Wire | None = None) -> Host:
        """Add a host with its two wires (10 ms each way by default)."""
        return Host(self, ip, up or Wire(), down or Wire())

    def attach(self, ip: str, node: Node) -> None:
        """Whatever is sent to this address goes to the node from now on."""
        self._nodes[ip] = node

    def detach(self, ip: str) -> None:
        """Nobody has this address any more."""
        self._nodes.pop(ip, None)

    def has(self, ip: str) -> bool:
        """Whether somebody on this very network has the address."""
        return ip in self._nodes

    def wire_to(self, ip: str) -> Wire | None:
        """The last wire to whoever has the address."""
        node = self._nodes.get(ip)
        return None if node is None else node.down

    def send(self, packet: Packet) -> None:
        if self.capture:
            self.captured.append(packet)
        sender = self._nodes.get(packet.source[0])
        now = self.clock.now
        for when in sender.up.arrivals(now, self.rng) if sender is not None else [now]:
            self.clock.at(when, lambda: self._middle(packet))

    def _middle(self, packet: Packet) -> None:
        for onward in self.tamper(packet) if self.tamper is not None else [packet]:
            if self.hops:
                ttl = onward.ttl - self.hops
                if ttl <= 0:
                    self.lost["ttl"] += 1
                    continue
                onward = Packet(onward.source, onward.destination, onward.data, ttl)
            if self.gateway is not None and (self.isolated or onward.destination[0] not in self._nodes):
                self.gateway.from_inside(onward)
            else:
                self.inject(onward)

    def inject(self, packet: Packet) -> None:
        """Put a packet, with whatever source address, on the last wire to its destination."""
        target = self._nodes.get(packet.destination[0])
        if target is None:
            self.lost["no-route"] += 1
            return
        for when in target.down.arrivals(self.clock.now, self.rng):
            self.clock.at(when, lambda: target.deliver(packet))
