"""Calls' agents in the kernel laboratory, and aioice's ICE beside them: see ``traversal_station.py``."""

import contextlib
from collections.abc import Iterator

import msgspec

from tests.natsim.scenario import Scenario, host_ip
from tests.netlab.lab import MID, KernelWorld, kernel_world
from tests.netlab.traversal_station import FOLLOWED_S, Answer, Command, Options, Person

RING_S = 1.0
# As bench_traverse: the relay's STUN endpoints by port and then address, three ports on each of two addresses.
STUN_ENDPOINTS = 6
_TIMEOUT_S = FOLLOWED_S + 20.0


class TraversalCalls:
    """Calls between the two sides of a world, one after the other."""

    def __init__(self, world: KernelWorld, relay_ms: float = 0.0) -> None:
        """The relay is ``relay_ms`` further one way than the direct path, for what travels on the control stream."""
        scenario = world.scenario
        wires_ms = sum(side.up.delay_ms + side.down.delay_ms for side in scenario.sides)
        self.direct_rtt_s = wires_ms / 1000
        self.relay_rtt_s = self.direct_rtt_s + 2 * relay_ms / 1000
        stun = [(ip, port) for port in scenario.relay.stun_ports for ip in scenario.relay.addresses][:STUN_ENDPOINTS]
        world.held.start(MID, "tests.netlab.stun_server", msgspec.json.encode(stun).decode())
        options = Options(
            people=(Person(world.host(0), host_ip(scenario, 0)), Person(world.host(1), host_ip(scenario, 1))),
            stun=tuple(stun),
            one_way_s=self.relay_rtt_s / 2,
        )
        self._talker = world.held.start(MID, "tests.netlab.traversal_station", msgspec.json.encode(options).decode())

    def call(self, command: Command) -> Answer:
        """One call."""
        answer = self._talker.ask(msgspec.to_builtins(command), _TIMEOUT_S)
        return msgspec.convert(answer, Answer)


@contextlib.contextmanager
def traversal_calls(scenario: Scenario, seed: int = 1, relay_ms: float = 0.0) -> Iterator[TraversalCalls]:
    """A laboratory for such calls."""
    with kernel_world(scenario, seed) as world:
        yield TraversalCalls(world, relay_ms)
