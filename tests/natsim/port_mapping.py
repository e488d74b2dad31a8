"""Routers that map ports when they are asked, in all three protocols, also badly; and the product's mapper before them.

The router's UPnP begins where ``transport.io.upnp_client`` ends: discovery and SOAP are a library's, and tested with a
real router in ``tests/netlab``.
"""

import ipaddress
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.natsim.clock import Timer, VirtualClock
from tests.natsim.driver import TICK_S
from tests.natsim.internet import NatGateway
from tests.natsim.network import Address, Host, Packet
from tests.natsim.wire import Wire
from transport.net.machine import TimerFired
from transport.net.port_mapping import MappedPort
from transport.net.sockets import CloseSocket, DatagramReceived, OpenSocket, SendDatagram, SocketOpened
from transport.portmap import igd, pcp
from transport.portmap.mapper import PortMapper
from transport.portmap.mapper_events import (
    DefaultGateways,
    MapperCommand,
    MapperConfig,
    MapperEvent,
    MapperStopped,
    PortsMapped,
    Remember,
    Remembered,
    StatusChanged,
)
from transport.portmap.status import MappingStatus

LAN_S = 0.002
"""One way in a house."""
UPNP_S = 0.05
"""What a router's small web server takes for a question."""
ALL = frozenset({"pcp", "nat-pmp", "upnp"})


@dataclass(slots=True)
class Habits:
    """How a router behaves. ``speaks``: the protocols that it knows; of the others it says nothing.

    ``result``: what every request for a mapping is refused with (the protocol's own number), by protocol.
    ``other_port``: never the port that was wished for. ``permanent``: "refuses" leases with 725, or takes them and
    "keeps" the mapping for ever. ``lie``: says that it has mapped, and has not. ``shows_ip``: says this external
    address. ``longest_s``: the longest lease that it gives. ``epoch_of``: what it says its table's age to be.
    """

    speaks: frozenset[str] = ALL
    result: dict[str, int] = field(default_factory=dict)
    other_port: bool = False
    permanent: str = ""
    lie: bool = False
    shows_ip: str = ""
    longest_s: int = 86_400
    epoch_of: Callable[[float], float] = lambda age_s: age_s
    loses: float = 0.0


@dataclass(slots=True)
class Entry:
    """One mapping of the router."""

    inside: Address
    until: float
    nonce: bytes = b""
    by: str = ""


class MappingRouter:
    """The mapping servers of one NAT, at ``ip`` of its inside."""

    def __init__(self, gateway: NatGateway, ip: str, habits: Habits | None = None) -> None:
        self.gateway = gateway
        self.ip = ip
        self.habits = habits or Habits()
        self.up, self.down = Wire(delay=LAN_S), Wire(delay=LAN_S)
        self.table: dict[int, Entry] = {}
        self.requests: list[tuple[float, str, str]] = []
        """When, in which protocol, and what was asked: "address", "announce", "map", "delete" or "look"."""
        self._began = self.clock.now
        self._next_port = 61_000
        self.pinholes: set[Address] = set()
        self.separate = False
        """Each server sees only its own entries as a host's, though they share the ports."""
        gateway.inside.attach(ip, self)

    @property
    def clock(self) -> VirtualClock:
        return self.gateway.inside.clock

    @property
    def external_ip(self) -> str:
        return self.habits.shows_ip or self.gateway.nat.addresses[0]

    def reboot(self) -> None:
        """Power off and on: every mapping of whatever kind is gone, and the age of the table begins anew."""
        for port in list(self.table):
            self._remove(port)
        self.gateway.nat.flush()
        self._began = self.clock.now

    def live(self) -> dict[int, Entry]:
        """The mappings that have not expired, by external port."""
        for port in [port for port, entry in self.table.items() if entry.until <= self.clock.now]:
            self._remove(port)
        return self.table

    def asked(self, what: str) -> int:
        return sum(kind == what for _, _, kind in self.requests)

    # -- PCP and NAT-PMP

    def deliver(self, packet: Packet) -> None:
        rng = self.gateway.inside.rng
        if packet.destination[1] != pcp.SERVER_PORT or (self.habits.loses and rng.random() < self.habits.loses):
            return
        data = packet.data
        answer = self._natpmp(packet.source, data) if data[:1] == b"\0" else self._pcp(packet.source, data)
        if answer:
            self.gateway.inside.send(Packet(packet.destination, packet.source, answer))

    def _epoch(self) -> int:
        return max(0, int(self.habits.epoch_of(self.clock.now - self._began)))

    def _natpmp(self, source: Address, data: bytes) -> bytes:
        if "nat-pmp" not in self.habits.speaks:
            return b""
        refusal = self.habits.result.get("nat-pmp", 0)
        if len(data) == 2:
            self._note("nat-pmp", "address")
            head = struct.pack("!BBHI", 0, 128, 0, self._epoch())
            return head + ipaddress.IPv4Address(self.external_ip).packed
        internal, wish, lease_s = struct.unpack_from("!HHI", data, 4)
        self._note("nat-pmp", "map" if lease_s else "delete")
        if lease_s == 0:
            self._delete((source[0], internal), "nat-pmp")
            return struct.pack("!BBHIHHI", 0, 129, 0, self._epoch(), internal, 0, 0)
        if refusal:
            return struct.pack("!BBHIHHI", 0, 129, refusal, self._epoch(), internal, 0, 0)
        granted_s = min(lease_s, self.habits.longest_s)
        port = self._map((source[0], internal), wish, granted_s, "nat-pmp")
        return struct.pack("!BBHIHHI", 0, 129, 0, self._epoch(), internal, port, granted_s)

    def _pcp(self, source: Address, data: bytes) -> bytes:
        if "pcp" not in self.habits.speaks:
            unsupported = struct.pack("!BBHI", 0, 128, 1, self._epoch())
            return unsupported if "nat-pmp" in self.habits.speaks else b""
        _, opcode, _, lease_s, client = struct.unpack_from("!BBHI16s", data)

        def head(result: int, seconds: int) -> bytes:
            return struct.pack("!BBBBII12x", 2, 128 | opcode, 0, result, seconds, self._epoch())

        if opcode == 0:
            self._note("pcp", "announce")
            return head(0, 0)
        nonce, protocol, internal, wish, _ = struct.unpack_from("!12sB3xHH16s", data, 24)
        self._note("pcp", "map" if lease_s else "delete")
        is_ipv6 = ":" in source[0]
        from_client = ipaddress.IPv6Address(client)
        if (from_client if is_ipv6 else from_client.ipv4_mapped) != ipaddress.ip_address(source[0]):
            return head(pcp.PcpResult.ADDRESS_MISMATCH, 1_800) + data[24:60]
        inside = (source[0], internal)
        held = next((entry for entry in self._of(inside, "pcp").values()), None)
        refusal = self.habits.result.get("pcp", 0)
        if held is not None and held.nonce != nonce:
            refusal = pcp.PcpResult.NOT_AUTHORIZED
        if refusal:
            return head(refusal, 30) + data[24:60]
        port, granted_s = wish, min(lease_s, self.habits.longest_s)
        if is_ipv6:
            # A pinhole: the firewall lets in what comes to the address and port as they are.
            is_open = lease_s > 0 and not self.habits.lie
            self.gateway.nat.forward(inside, inside if is_open else None)
            self.pinholes = {*self.pinholes, inside} if lease_s else self.pinholes - {inside}
            return head(0, granted_s) + struct.pack("!12sB3xHH", nonce, protocol, internal, internal) + bytes(client)
        if lease_s == 0:
            self._delete(inside, "pcp")
        else:
            port = self._map(inside, wish, granted_s, "pcp", nonce)
        external = bytes(10) + b"\xff\xff" + ipaddress.IPv4Address(self.external_ip).packed
        return head(0, granted_s) + struct.pack("!12sB3xHH16s", nonce, protocol, internal, port, external)

    # -- UPnP

    def upnp(self, command: igd.IgdCommand) -> igd.IgdEvent | None:
        """The answer to a question; ``None`` is silence."""
        if "upnp" not in self.habits.speaks:
            return None
        number = command.number
        match command:
            case igd.IgdSearch():
                return igd.IgdFound(number)
            case igd.IgdAskAddress():
                self._note("upnp", "address")
                return igd.IgdAddress(number, self.external_ip)
            case igd.IgdAdd(_, port, internal, client, lease_s):
                self._note("upnp", "map")
                if self.habits.permanent == "refuses" and lease_s:
                    return igd.IgdFailed(number, igd.ONLY_PERMANENT_LEASES_SUPPORTED)
                held = self.live().get(port)
                is_foreign = held is not None and held.inside[0] != client
                if is_foreign or (self.habits.other_port and port < 61_000):
                    return igd.IgdFailed(number, igd.CONFLICT_IN_MAPPING_ENTRY)
                if self.habits.result.get("upnp"):
                    return igd.IgdFailed(number, self.habits.result["upnp"])
                seconds = 10.0**9 if self.habits.permanent else min(lease_s, self.habits.longest_s)
                self._put(port, Entry((client, internal), self.clock.now + seconds, by="upnp"))
                return igd.IgdDone(number)
            case igd.IgdLookUp(_, port):
                self._note("upnp", "look")
                entry = self.live().get(port)
                if entry is None:
                    return igd.IgdFailed(number, igd.NO_SUCH_ENTRY)
                left_s = 0 if self.habits.permanent else int(entry.until - self.clock.now)
                return igd.IgdEntry(number, entry.inside[0], entry.inside[1], left_s)
            case igd.IgdDelete(_, port):
                self._note("upnp", "delete")
                if port not in self.live():
                    return igd.IgdFailed(number, igd.NO_SUCH_ENTRY)
                self._remove(port)
                return igd.IgdDone(number)

    # -- the table

    def _note(self, protocol: str, what: str) -> None:
        self.requests.append((self.clock.now, protocol, what))

    def _map(self, inside: Address, wish: int, seconds: float, by: str, nonce: bytes = b"") -> int:
        before = next((port for port, entry in self._of(inside, by).items()), None)
        port = before if before is not None else wish
        if before is None and (self.habits.other_port or not wish or port in self.table):
            self._next_port += 1
            port = self._next_port
        self._put(port, Entry(inside, self.clock.now + seconds, nonce, by))
        return port

    def _put(self, port: int, entry: Entry) -> None:
        self.table[port] = entry
        if not self.habits.lie:
            self.gateway.nat.forward((self.gateway.nat.addresses[0], port), entry.inside)

    def _of(self, inside: Address, by: str) -> dict[int, Entry]:
        """A host's entries, as far as a protocol's server knows of them."""
        mine = {port: entry for port, entry in self.live().items() if entry.inside == inside}
        return {port: entry for port, entry in mine.items() if not self.separate or entry.by == by}

    def _delete(self, inside: Address, by: str) -> None:
        for port in self._of(inside, by):
            self._remove(port)

    def _remove(self, port: int) -> None:
        del self.table[port]
        self.gateway.nat.forward((self.gateway.nat.addresses[0], port), None)


class SimMapper:
    """A mapper, untouched, on a virtual host: what ``transport.io.port_mapper_io`` does with real sockets."""

    def __init__(
        self,
        host: Host,
        router: MappingRouter | None,
        rng: random.Random,
        *,
        port: int = 25_000,
        before: Remembered | None = None,
        lease_s: int = 3_600,
    ) -> None:
        self.host = host
        self.router = router
        self.clock = host.network.clock
        self.machine = PortMapper(MapperConfig(port, before, lease_s), rng)
        self.remembered: Remembered | None = None
        self.reported: list[tuple[float, tuple[MappedPort, ...]]] = []
        self.statuses: list[MappingStatus] = []
        self.sent: list[SendDatagram] = []
        self.on_ports: Callable[[tuple[MappedPort, ...]], None] = lambda ports: None
        self.is_stopped = False
        self.is_killed = False
        self._ports: dict[int, int] = {}
        self._timer: Timer | None = None

    @property
    def ports(self) -> tuple[MappedPort, ...]:
        return self.machine.ports

    @property
    def sockets(self) -> int:
        return len(self._ports)

    def start(self) -> None:
        """The program starts, with the network as it is."""
        four = self.router if self.router is not None and ":" not in self.router.ip else None
        six = self.router if four is None else None
        own_6 = next((ip for ip in self.host.addresses if ":" in ip), "")
        gateways = (four.ip if four is not None else "", self.host.ip, six.ip if six is not None else "", own_6)
        self.submit(DefaultGateways(*gateways))

    def kill(self) -> None:
        """The process is gone, without a word."""
        self.is_killed = True
        for port in self._ports.values():
            self.host.close(port)

    def submit(self, event: MapperEvent) -> None:
        if self.is_killed:
            return
        for command in self.machine.handle(event, self.clock.now):
            self._carry_out(command)
        self._arm()

    def _carry_out(self, command: MapperCommand) -> None:
        match command:
            case OpenSocket(socket):
                port = self.host.open(lambda data, source: self.submit(DatagramReceived(socket, source, data)))
                self._ports[socket] = port
                self.clock.after(0, lambda: self.submit(SocketOpened(socket, (self.host.ip, port))))
            case CloseSocket(socket):
                port = self._ports.pop(socket, 0)
                self.host.close(port)
            case SendDatagram(socket, destination, data):
                self.sent.append(command)
                self.host.send(self._ports[socket], destination, data)
            case PortsMapped(ports):
                self.reported.append((self.clock.now, ports))
                self.on_ports(ports)
            case Remember(what):
                self.remembered = what
            case StatusChanged(status):
                self.statuses.append(status)
            case MapperStopped():
                self.is_stopped = True
            case _:
                self._upnp(command)

    def _upnp(self, command: igd.IgdCommand) -> None:
        router = self.router

        def answered() -> None:
            answer = None if router is None else router.upnp(command)
            if answer is not None:
                self.submit(answer)

        # A search asks for a description and for those of its services: several round trips.
        self.clock.after(UPNP_S * (4 if isinstance(command, igd.IgdSearch) else 1), answered)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancelled = True
        due = self.machine.next_deadline()
        self._timer = None
        if due is not None:
            self._timer = self.clock.at(max(due, self.clock.now + TICK_S), lambda: self.submit(TimerFired()))
