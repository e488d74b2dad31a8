"""What a NAT does, measured from the outside as RFC 5780 §4 does it: by a host behind it and servers in front.

The prober knows neither simulator nor kernel: the same observations are made in both through :class:`Bench`.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

from tests.natsim.clock import VirtualClock
from tests.natsim.internet import StunServer
from tests.natsim.nat import Dependence
from tests.natsim.network import TTL_HOPS, Address, Host
from transport.wire import stun
from transport.wire.errors import WireError

Pattern = Literal["preserving", "sequential", "block", "random"]

SOCKETS = 10
"""Fresh sockets whose ports are compared."""
WIDEST_STEP = 16
FIRST_PORT, PORT_STEP = 20_000, 37
# The chance that ten ports out of 64,512 lie this close together is 10 · (4,096/64,512)⁹, under one in a billion.
WIDEST_BLOCK = 4_096


class Bench(Protocol):
    """A host behind NATs and servers on ≥ 2 addresses with ≥ 2 ports each; every call waits for its outcome."""

    servers: tuple[tuple[Address, ...], ...]
    """By address, then by port; the ports of all addresses are the same."""

    def open(self) -> int:
        """A fresh socket of the host; its number is its port."""
        ...

    def ask(self, port: int, server: Address) -> Address | None:
        """A Binding request from the host; the mapped address, if there was an answer."""
        ...

    def poke(self, server: Address, target: Address, port: int) -> bool:
        """A server sends to ``target``; whether the host's socket received it."""
        ...

    def hairpin(self, port: int, target: Address, receiver: int) -> Address | None:
        """The host sends to ``target`` from one socket; the source that its other socket saw, if it did."""
        ...

    def send(self, port: int, target: Address, data: bytes) -> None:
        """A datagram from the host."""
        ...

    def received(self, port: int) -> dict[bytes, Address]:
        """What has come to a socket since it was last asked, and from where; whatever is on its way has arrived."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was seen. ``delta`` is the commonest step between the ports of fresh sockets of a sequential NAT."""

    mapping: Dependence | None
    filtering: Dependence | None
    allocation: Pattern | None
    delta: int
    hairpin: bool
    observations: int


def probe(bench: Bench) -> Verdict:
    """Make all observations. A network without UDP has no verdicts."""
    mapped = _Observations(bench)
    mapping = mapped.mapping()
    if mapping is None:
        return Verdict(None, None, None, 0, False, mapped.count)
    allocation, delta = mapped.allocation()
    return Verdict(mapping, mapped.filtering(), allocation, delta, mapped.hairpin(), mapped.count)


class _Observations:
    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.count = 0
        (self.one, self.one_port), (self.two, self.two_port) = (each[:2] for each in bench.servers[:2])

    def ask(self, port: int, server: Address) -> Address | None:
        self.count += 1
        return self.bench.ask(port, server)

    def mapping(self) -> Dependence | None:
        """RFC 5780 §4.3, on three sockets; the most dependent of the three is the verdict."""
        verdicts: set[Dependence] = set()
        for _ in range(3):
            port = self.bench.open()
            asked = [self.ask(port, server) for server in (self.one, self.one_port, self.two, self.two_port)]
            if None in asked:
                return None
            first, other_port, other_address, both = asked
            if first == other_port == other_address == both:
                verdicts.add("endpoint-independent")
            elif first == other_port and other_address == both:
                verdicts.add("address-dependent")
            else:
                verdicts.add("address-and-port-dependent")
        order: tuple[Dependence, ...] = ("address-and-port-dependent", "address-dependent", "endpoint-independent")
        return next(each for each in order if each in verdicts)

    def filtering(self) -> Dependence | None:
        """RFC 5780 §4.4, each test on a fresh socket, so that no packet that was refused weighs on the next one."""
        if self.poked(self.two_port):
            return "endpoint-independent"
        return "address-dependent" if self.poked(self.one_port) else "address-and-port-dependent"

    def poked(self, server: Address) -> bool:
        """Whether a server gets through to a mapping that was made toward the first one: at least twice of three."""
        got = 0
        for _ in range(3):
            port = self.bench.open()
            target = self.ask(port, self.one)
            self.count += 1
            got += target is not None and self.bench.poke(server, target, port)
        return got >= 2

    def allocation(self) -> tuple[Pattern, int]:
        pairs: list[tuple[int, int]] = []
        for _ in range(SOCKETS):
            port = self.bench.open()
            mapped = self.ask(port, self.one)
            if mapped is not None:
                pairs.append((port, mapped[1]))
        if sum(inside == outside for inside, outside in pairs) > len(pairs) // 2:
            return "preserving", 0
        ports = [outside for _, outside in pairs]
        steps = [later - earlier for earlier, later in pairwise(ports)]
        if sum(0 < abs(step) <= WIDEST_STEP for step in steps) > len(steps) // 2:
            return "sequential", max(set(steps), key=steps.count)
        return ("block" if max(ports) - min(ports) < WIDEST_BLOCK else "random"), 0

    def hairpin(self) -> bool:
        """RFC 5780 §4.5: one socket to the mapped address of another that has spoken to it before."""
        sender, receiver = self.bench.open(), self.bench.open()
        from_there, there = self.ask(sender, self.one), self.ask(receiver, self.one)
        if from_there is None or there is None:
            return False
        # The receiver lets the sender in, as far as its address can be known beforehand.
        self.bench.hairpin(receiver, from_there, sender)
        self.count += 1
        return self.bench.hairpin(sender, there, receiver) is not None


MEETING_ROUNDS = 4


def meet(one: Bench, other: Bench) -> bool:
    """Whether plain hole punching joins two hosts (RFC 5128 §3.3): each sends to the other's mapped address, and to
    whatever address the other's packets turn out to come from, a few times."""
    ends = [(bench, bench.open()) for bench in (one, other)]
    mapped = [bench.ask(port, bench.servers[0][0]) for bench, port in ends]
    seen = [False, False]
    for _ in range(MEETING_ROUNDS):
        for (bench, port), target in zip(ends, reversed(mapped), strict=True):
            if target is None:
                return False
            bench.send(port, target, b"punch")
        for side, (bench, port) in enumerate(ends):
            source = bench.received(port).get(b"punch")
            if source is not None:
                seen[side], mapped[1 - side] = True, source
    return all(seen)


class SimBench:
    """The bench of the virtual network: a host and a STUN server on it."""

    # Longer than any way through a simulated network.
    WAIT_S = 1.0

    def __init__(
        self, clock: VirtualClock, host: Host, server: StunServer, first_port: int = FIRST_PORT, *, ipv6: bool = False
    ) -> None:
        self.clock = clock
        self.host = host
        self.server = server
        by_ip: dict[str, list[Address]] = {}
        for endpoint in server.endpoints:
            if (":" in endpoint[0]) == ipv6:
                by_ip.setdefault(endpoint[0], []).append(endpoint)
        self.servers = tuple(map(tuple, by_ip.values()))
        self.got: dict[int, list[tuple[bytes, Address]]] = {}
        self._first_port = first_port
        self._asked = 0

    def open(self) -> int:
        got: list[tuple[bytes, Address]] = []
        # Not neighbours: a preserving NAT that sidesteps a conflict would take the next socket's port.
        number = self._first_port + PORT_STEP * len(self.got)
        port = self.host.open(lambda data, source: got.append((data, source)), number)
        self.got[port] = got
        return port

    def ask(self, port: int, server: Address, ttl: int = TTL_HOPS) -> Address | None:
        self._asked += 1
        transaction = self._asked.to_bytes(stun.TRANSACTION_ID_BYTES, "big")
        self.host.send(port, server, stun.binding_request(transaction), ttl=ttl)
        answer = self._arrival(port)
        return None if answer is None else mapped_in(answer[0], transaction)

    def poke(self, server: Address, target: Address, port: int) -> bool:
        self.server.host.send(server[1], target, b"poke", ip=server[0])
        return self._arrival(port) is not None

    def hairpin(self, port: int, target: Address, receiver: int) -> Address | None:
        self.host.send(port, target, b"hairpin")
        arrival = self._arrival(receiver)
        return None if arrival is None else arrival[1]

    def send(self, port: int, target: Address, data: bytes) -> None:
        self.host.send(port, target, data)

    def received(self, port: int) -> dict[bytes, Address]:
        self.clock.run(self.WAIT_S)
        came = dict(self.got[port])
        self.got[port].clear()
        return came

    def _arrival(self, port: int) -> tuple[bytes, Address] | None:
        got = self.got[port]
        got.clear()
        self.clock.run(self.WAIT_S, lambda: bool(got))
        return got[0] if got else None


def mapped_in(data: bytes, transaction: bytes) -> Address | None:
    """XOR-MAPPED-ADDRESS of the answer to a transaction."""
    try:
        answer = stun.parse(data)
    except WireError:
        return None
    return answer.mapped if answer.transaction_id == transaction else None
