"""The prober's bench (``tests.natsim.prober``) in the kernel laboratory: two stations, one behind the NATs."""

from tests.natsim.network import TTL_HOPS, Address
from tests.natsim.prober import FIRST_PORT, PORT_STEP, mapped_in
from tests.netlab.lab import MID, KernelWorld
from tests.netlab.namespaces import Talker
from transport.wire import stun

ANY_IP = "0.0.0.0"


class Servers:
    """A station with STUN on every endpoint of the scenario's relay; one for all benches of a world."""

    def __init__(self, world: KernelWorld) -> None:
        relay = world.scenario.relay
        self.endpoints = tuple(tuple((ip, port) for port in relay.stun_ports) for ip in relay.addresses)
        self.station: Talker = world.held.start(MID, "tests.netlab.station")
        for endpoint in (each for server in self.endpoints for each in server):
            self.station.ask({"do": "serve", "local": endpoint})


class KernelBench:
    """``wait_s`` is how long a packet that does not come is waited for: more than any way through the scenario."""

    def __init__(self, world: KernelWorld, servers: Servers, side: int, wait_s: float = 0.2) -> None:
        self.servers = servers.endpoints
        self._server = servers.station
        self._host: Talker = world.held.start(world.host(side), "tests.netlab.station")
        self._wait_s = wait_s
        self._opened = 0
        self._asked = 0
        self._first_port = FIRST_PORT + 10_000 * side

    def open(self) -> int:
        port = self._first_port + PORT_STEP * self._opened
        self._opened += 1
        self._host.ask({"do": "open", "local": (ANY_IP, port)})
        return port

    def ask(self, port: int, server: Address, ttl: int = TTL_HOPS) -> Address | None:
        self._asked += 1
        transaction = self._asked.to_bytes(stun.TRANSACTION_ID_BYTES, "big")
        self.send(port, server, stun.binding_request(transaction), ttl)
        arrival = self.arrival(port)
        return None if arrival is None else mapped_in(arrival[0], transaction)

    def poke(self, server: Address, target: Address, port: int) -> bool:
        self._host.ask({"do": "clear", "local": (ANY_IP, port)})
        self._server.ask({"do": "send", "local": server, "to": target, "data": b"poke".hex()})
        return self.arrival(port) is not None

    def hairpin(self, port: int, target: Address, receiver: int) -> Address | None:
        self._host.ask({"do": "clear", "local": (ANY_IP, receiver)})
        self.send(port, target, b"hairpin")
        arrival = self.arrival(receiver)
        return None if arrival is None else arrival[1]

    def send(self, port: int, target: Address, data: bytes, ttl: int = TTL_HOPS) -> None:
        """A datagram from the host; what its socket had received before is forgotten."""
        local = (ANY_IP, port)
        self._host.ask({"do": "clear", "local": local})
        self._host.ask({"do": "send", "local": local, "to": target, "data": data.hex(), "ttl": ttl})

    def arrival(self, port: int) -> tuple[bytes, Address] | None:
        """What comes next to one of the host's sockets."""
        told = self._host.ask({"do": "receive", "local": (ANY_IP, port), "wait_s": self._wait_s})
        return (bytes.fromhex(told["data"]), (told["source"][0], told["source"][1])) if told else None
