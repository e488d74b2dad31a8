"""transport.nat.mapping_lifetime: upper bounds of what NATs remember, on the tables of simulated NATs."""

import random
from dataclasses import replace

import pytest

from tests.natsim.clock import VirtualClock
from tests.natsim.kinds import KINDS
from tests.natsim.nat import Nat, NatKind
from tests.natsim.profiler_host import ProfilerHost
from tests.natsim.relay import RelayNode
from tests.natsim.scenario import Scenario, Side, World, build
from tests.natsim.wire import WireSpec
from transport.nat.mapping_lifetime import (
    BUDGET,
    SILENCES_S,
    LifetimeMeasured,
    MappingLifetimeProbe,
    StartLifetimeProbe,
    StopLifetimeProbe,
)
from transport.net.machine import TimerFired
from transport.net.sockets import OpenSocket, SocketFailed, SocketOpened

# A question and its answer, asked a few times.
ROUND_TRIPS_S = 3.0


def lab(kind: NatKind, wire: WireSpec, seed: int = 1) -> tuple[World[RelayNode], ProfilerHost]:
    clock, rng = VirtualClock(), random.Random(seed)
    side = Side(nats=(kind,), up=wire, down=wire)
    world = build(Scenario(name="life", sides=(side, side)), clock, rng)
    return world, ProfilerHost(world.sides[0].host, world.stun, clock, seed)


@pytest.mark.parametrize("refreshed_by", ["outbound", "both"])
@pytest.mark.parametrize("idle_s", [10.0, 20.0, 30.0, 45.0, 60.0, 100.0, 120.0, 180.0])
def test_the_bound_is_true_and_as_close_as_the_silences(idle_s: float, refreshed_by: str) -> None:
    kind = replace(KINDS["block"], idle_s=idle_s, refreshed_by=refreshed_by)
    for seed in range(5):
        world, host = lab(kind, WireSpec(delay_ms=40, jitter_ms=10, loss=0.1), seed)
        host.be_silent()
        world.clock.run(BUDGET.seconds)
        [life_s] = host.lives
        fitting = [silence for silence in SILENCES_S if silence > idle_s]
        if not fitting:
            assert life_s is None
            continue
        # A socket whose questions are all lost leaves the word to the next one.
        assert life_s is not None and idle_s < life_s <= fitting[min(1, len(fitting) - 1)] + ROUND_TRIPS_S
        assert host.ports == {} and len(host.sent) <= BUDGET.packets


def test_without_loss_it_is_the_shortest_silence_and_a_handful_of_packets() -> None:
    world, host = lab(replace(KINDS["block"], idle_s=30.0), WireSpec(delay_ms=20))
    host.be_silent()
    began = world.clock.now
    assert world.clock.run(BUDGET.seconds, lambda: bool(host.lives))
    assert host.lives[0] == pytest.approx(31.0, abs=0.2) and world.clock.now - began < 32.0
    assert len(host.sent) == len(SILENCES_S) + 2 and host.ports == {}, "the longer silences are over, too"


def test_another_outside_address_says_nothing() -> None:
    world, host = lab(replace(KINDS["block"], idle_s=300.0), WireSpec())
    host.be_silent()
    world.clock.run(10.0)
    gateway = world.sides[0].gateways[0]
    gateway.replace(Nat(KINDS["block"], ("198.51.100.77",), random.Random(2)))
    world.clock.run(BUDGET.seconds)
    assert host.lives == [None] and host.ports == {}


def test_nobody_to_ask_no_sockets_and_no_answers_end_without_a_figure() -> None:
    server = (("192.0.2.1", 3_478),)
    numbers = iter(range(100))
    test = MappingLifetimeProbe(lambda: next(numbers), random.Random(1))
    assert test.handle(StartLifetimeProbe(()), 0.0) == [LifetimeMeasured(None)]
    opening = [
        command.socket for command in test.handle(StartLifetimeProbe(server), 0.0) if isinstance(command, OpenSocket)
    ]
    assert len(opening) == BUDGET.sockets
    commands = [each for socket in opening for each in test.handle(SocketFailed(socket, "no more files"), 0.0)]
    assert commands == [LifetimeMeasured(None)]
    opening = [
        command.socket for command in test.handle(StartLifetimeProbe(server), 0.0) if isinstance(command, OpenSocket)
    ]
    for socket in opening:
        test.handle(SocketOpened(socket, ("192.168.1.2", 5_000)), 0.0)
    now, results = 0.0, []
    while (due := test.next_deadline()) is not None:
        now = due
        results += [each for each in test.handle(TimerFired(), now) if isinstance(each, LifetimeMeasured)]
    assert results == [LifetimeMeasured(None)] and now < 10.0, "nobody waits for what never came"
    assert test.handle(StopLifetimeProbe(), now) == []
