"""Runs of two people of whom one or both have a router that maps a port, or says that it does."""

import random
from collections.abc import Mapping

from tests.natsim.port_mapping import Habits, MappingRouter, SimMapper
from tests.natsim.scenario import Scenario
from tests.natsim.traversal_run import TraversalRun
from transport.net.port_mapping import MappedPort
from transport.traversal.events import PortMappingsChanged

# Longer than the slowest of the three protocols takes: programs run for a while before a call.
MAPPED_S = 3.0
FIRST_OWN_PORT = 25_000


class MappedRun(TraversalRun):
    """``habits``: of the home router of each side that has one which maps ports (0 is the caller's)."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        habits: Mapping[int, Habits],
        *,
        relay_s: float = 0.0,
        knows_rtt: bool = True,
        profiled_s: float | None = 5.0,
    ) -> None:
        super().__init__(scenario, seed, relay_s=relay_s, knows_rtt=knows_rtt, stun_endpoints=6, profiled_s=profiled_s)
        self.routers: dict[int, MappingRouter] = {}
        self.mappers: dict[int, SimMapper] = {}
        for side, habit in habits.items():
            gateway = self.world.sides[side].gateways[0]
            host = self.world.sides[side].host
            router = MappingRouter(gateway, f"{host.ip.rpartition('.')[0]}.1", habit)
            mapper = SimMapper(host, router, random.Random(self.rng.getrandbits(64)), port=FIRST_OWN_PORT + side)
            mapper.on_ports = self._mapped(side)
            self.routers[side], self.mappers[side] = router, mapper
            mapper.start()
        if habits:
            self.clock.run(MAPPED_S)

    def _mapped(self, side: int):  # type: ignore[no-untyped-def]
        def submit_ports(ports: tuple[MappedPort, ...]) -> None:
            self.sides[side].submit(PortMappingsChanged(ports))

        return submit_ports
