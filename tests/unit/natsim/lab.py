"""A host behind a stack of NATs and a STUN server with two addresses and five ports: what the tests measure with."""

import random

from tests.natsim.clock import VirtualClock
from tests.natsim.internet import NatGateway, StunServer, behind
from tests.natsim.nat import NatKind
from tests.natsim.network import Host, Network
from tests.natsim.prober import SimBench
from tests.natsim.wire import Wire

SERVER_IPS = ("192.0.2.1", "192.0.2.2")
SERVER_PORTS = (3478, 3479, 3480, 3481, 3482)
INTERNET_HOPS = 3


class Lab(SimBench):
    """``kinds`` from the internet inwards. ``gateways`` in the same order."""

    def __init__(self, *kinds: NatKind, seed: int = 1, addresses: tuple[str, ...] = ("203.0.113.1",)) -> None:
        rng = random.Random(seed)
        clock = VirtualClock()
        self.internet = network = Network(clock, rng, hops=INTERNET_HOPS)
        servers = network.host(SERVER_IPS[0], Wire(delay=0), Wire(delay=0))
        servers.join(network, SERVER_IPS[1], Wire(delay=0), Wire(delay=0))
        self.gateways: list[NatGateway] = []
        for number, kind in enumerate(kinds):
            gateway = behind(network, kind, addresses, rng)
            self.gateways.append(gateway)
            network, addresses = gateway.inside, (f"100.64.{number}.2",)
        self.lan = network
        super().__init__(clock, self.neighbour(10), StunServer(servers, SERVER_PORTS))

    def neighbour(self, number: int) -> Host:
        """One more host on the same LAN."""
        return self.lan.host(f"192.168.1.{number}", Wire(delay=0.001), Wire(delay=0.001))

    def outside(self, port: int, server: int = 0) -> int | None:
        """The mapped port of a socket toward the first port of a server address."""
        mapped = self.ask(port, self.servers[server][0])
        return None if mapped is None else mapped[1]
