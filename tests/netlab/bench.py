"""The prober's bench (``tests.natsim.prober``) in the kernel laboratory: two stations, one behind the NATs."""

from tests.natsim.network import TTL_HOPS, Address
from tests.natsim.prober import FIRST_PORT, PORT_STEP, mapped_in
from tests.netlab.lab import MID, KernelWorld
from tests.netlab.namespaces import Talker
from transport.wire import stun

ANY_IP, ANY_IPV6 = "0.0.0.0", "::"


class Servers:
    """A station with STUN on every endpoint of the scenario's relay; one for all benches of a world."""

    def __init__(self, world: KernelWorld) -> None:
        ports = world.scenario.relay.stun_ports
        self.endpoints = tuple(tuple((ip, port) for port in ports) for ip in world.relay_ips)
        self.station: Talker = world.held.start(MID, "tests.netlab.stun_station")
        for endpoint in (each for server in self.endpoints for each in server):
            self.station.ask({"do": "serve", "local": endpoint})


class KernelBench:
    """``wait_s`` is how long an answer is waited for; only where there is no way to the servers is it waited in vain.

    That nothing came is known at once: a question that is asked afterwards, the same way, has its answer.
    """

    def __init__(
        self, world: KernelWorld, servers: Servers, side: int, wait_s: float = 0.5, *, ipv6: bool = False
    ) -> None:
        self.servers = tuple(each for each in servers.endpoints if (":" in each[0][0]) == ipv6)
        self._any_ip = ANY_IPV6 if ipv6 else ANY_IP
        self._server = servers.station
        self._host: Talker = world.held.start(world.host(side), "tests.netlab.station")
        self._wait_s = wait_s
        self._opened = 0
        self._asked = 0
        self._first_port = FIRST_PORT + 10_000 * side

    def open(self) -> int:
        port = self._first_port + PORT_STEP * self._opened
        self._opened += 1
        self._host.ask({"do": "open", "local": (self._any_ip, port)})
        return port

    def ask(self, port: int, server: Address, ttl: int = TTL_HOPS) -> Address | None:
        return self._ask(port, server, ttl)[0]

    def poke(self, server: Address, target: Address, port: int) -> bool:
        self._server.ask({"do": "send", "local": server, "to": target, "data": b"poke".hex()})
        return b"poke" in self._came_before_an_answer(port)

    def hairpin(self, port: int, target: Address, receiver: int) -> Address | None:
        self._send(port, target, b"hairpin", TTL_HOPS)
        return self._came_before_an_answer(receiver).get(b"hairpin")

    def send(self, port: int, target: Address, data: bytes) -> None:
        self._send(port, target, data, TTL_HOPS)

    def received(self, port: int) -> dict[bytes, Address]:
        return self._came_before_an_answer(port)

    def _came_before_an_answer(self, port: int) -> dict[bytes, Address]:
        mapped, others = self._ask(port, self.servers[0][0], TTL_HOPS)
        assert mapped is not None, "the way to the server is open"
        return others

    def _ask(self, port: int, server: Address, ttl: int) -> tuple[Address | None, dict[bytes, Address]]:
        """The mapped address, and whatever else the socket had received before the answer."""
        self._asked += 1
        transaction = self._asked.to_bytes(stun.TRANSACTION_ID_BYTES, "big")
        self._send(port, server, stun.binding_request(transaction), ttl)
        others: dict[bytes, Address] = {}
        while answer := self._host.ask({"do": "receive", "local": (self._any_ip, port), "wait_s": self._wait_s}):
            data = bytes.fromhex(answer["data"])
            mapped = mapped_in(data, transaction)
            if mapped is not None:
                return mapped, others
            others[data] = (answer["source"][0], answer["source"][1])
        return None, others

    def _send(self, port: int, target: Address, data: bytes, ttl: int) -> None:
        command = {"do": "send", "local": (self._any_ip, port), "to": target, "data": data.hex(), "ttl": ttl}
        self._host.ask(command)
