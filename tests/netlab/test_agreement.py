"""Both laboratories are the same network: one scenario, one prober, one verdict."""

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.natsim.clock import VirtualClock
from tests.natsim.prober import Bench, SimBench, Verdict, meet, probe
from tests.natsim.scenario import HOPS, Fault, Scenario, build, pair
from tests.natsim.scenario_file import load, names
from tests.natsim.wire import WireSpec
from tests.netlab.bench import KernelBench, Servers
from tests.netlab.lab import KernelWorld, kernel_world

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.usefixtures("kernel")]

# Delay is measured elsewhere; here it would only make everybody wait.
QUICK = WireSpec(delay_ms=1.0)
# These have NATs that stand in the list already.
BOTH_LABS = [name for name in names() if name not in {"nat-flushed", "udp-to-relay-only"}]

Fail = Callable[[Fault], None]


def quick(name: str) -> Scenario:
    scenario = load(name)
    one, other = (replace(side, up=QUICK, down=QUICK) for side in scenario.sides)
    return replace(scenario, sides=(one, other), faults=())


def simulated(scenario: Scenario) -> tuple[SimBench, Fail]:
    world = build(scenario, VirtualClock(), random.Random(1))
    return SimBench(world.clock, world.sides[0].host, world.stun_server), world.carry_out


def real(world: KernelWorld) -> KernelBench:
    return KernelBench(world, Servers(world), 0)


@pytest.mark.parametrize("name", BOTH_LABS)
def test_both_give_the_same_verdict(name: str) -> None:
    scenario = quick(name)
    expected = probe(simulated(scenario)[0])
    with kernel_world(scenario) as world:
        seen = probe(real(world))
    assert seen == expected
    assert seen.observations >= 20 or seen == Verdict(None, None, None, 0, False, 4)


def takes_the_tuple(bench: Bench) -> bool:
    """Whether a packet that came first made ours leave from another port than the announced one."""
    port, other = bench.open(), bench.servers[1][0]
    announced = bench.ask(port, bench.servers[0][0])
    assert announced is not None
    assert not bench.poke(other, announced, port)
    then = bench.ask(port, other)
    assert then is not None
    return then != announced


@pytest.mark.parametrize(("name", "taken"), [("linux", False), ("linux-open-input", True), ("port-restricted", False)])
def test_both_have_linux_trap_where_the_scenario_says(name: str, taken: bool) -> None:
    scenario = quick(name)
    assert takes_the_tuple(simulated(scenario)[0]) is taken
    with kernel_world(scenario) as world:
        assert takes_the_tuple(real(world)) is taken


def faults_seen(bench: Bench, fail: Fail) -> list[bool | str]:
    """What a flush, a cut, its healing and a swap do to a mapping."""
    server, port = bench.servers[0][0], bench.open()
    before = bench.ask(port, server)
    same_again = bench.ask(port, server) == before
    fail(Fault(at_s=0, what="flush", side=0))
    after = bench.ask(port, server)
    flushed = "the same" if after == before else "another"
    fail(Fault(at_s=0, what="cut", side=0))
    cut = bench.ask(port, server) is None
    fail(Fault(at_s=0, what="heal", side=0))
    healed = bench.ask(port, server) == after
    return [before is not None, same_again, flushed, cut, healed]


@pytest.mark.parametrize(
    ("name", "flushed"), [("symmetric-random", "another"), ("linux-random", "another"), ("linux", "the same")]
)
def test_both_fail_alike(name: str, flushed: str) -> None:
    scenario = quick(name)
    expected = [True, True, flushed, True, True]
    assert faults_seen(*simulated(scenario)) == expected
    with kernel_world(scenario) as world:
        assert faults_seen(real(world), world.carry_out) == expected


def test_both_swap_a_nat_for_another() -> None:
    scenario = quick("port-restricted")
    to = load("symmetric-sequential").sides[0].nats[0]

    def steps(bench: Bench) -> set[int]:
        port = bench.open()
        ports = [bench.ask(port, server) for servers in bench.servers for server in servers]
        return {later[1] - earlier[1] for earlier, later in pairwise(ports) if earlier and later}

    bench, fail = simulated(scenario)
    with kernel_world(scenario) as world:
        for laboratory, swap in ((bench, fail), (real(world), world.carry_out)):
            assert steps(laboratory) == {0}
            swap(Fault(at_s=0, what="swap", side=0, to=to))
            assert steps(laboratory) == {1}


def first_ttl(bench: SimBench | KernelBench) -> int:
    """The least TTL that gets an answer."""
    return next(ttl for ttl in range(1, 20) if bench.ask(bench.open(), bench.servers[0][0], ttl) is not None)


@pytest.mark.parametrize(("name", "nats"), [("port-restricted", 1), ("cgn-over-home", 2)])
def test_every_nat_is_one_hop(name: str, nats: int) -> None:
    scenario = quick(name)
    bench, _ = simulated(scenario)
    # The simulated internet has routers in its middle, the kernel's has the relay's own machine there.
    assert first_ttl(bench) == nats + 1 + HOPS
    with kernel_world(scenario) as world:
        assert first_ttl(real(world)) == nats + 1


@pytest.mark.parametrize(
    ("one", "other", "joined"),
    [
        ("port-restricted", "port-restricted", True),
        ("linux", "cgn-over-home", True),
        ("address-restricted", "symmetric-random", True),
        ("port-restricted", "symmetric-sequential", False),
        ("linux", "linux-random", False),
    ],
)
def test_both_join_the_same_pairs(one: str, other: str, joined: bool) -> None:
    scenario = pair(one, other, QUICK)
    simulated_world = build(scenario, VirtualClock(), random.Random(1))
    benches = [SimBench(simulated_world.clock, s.host, simulated_world.stun_server) for s in simulated_world.sides]
    assert meet(*benches) is joined
    with kernel_world(scenario) as world:
        servers = Servers(world)
        assert meet(KernelBench(world, servers, 0), KernelBench(world, servers, 1)) is joined


def test_both_let_ipv6_through_firewalls_alike() -> None:
    scenario = quick("ipv6-firewalls")
    virtual = build(scenario, VirtualClock(), random.Random(1))
    one, other = (SimBench(virtual.clock, side.host, virtual.stun_server, ipv6=True) for side in virtual.sides)
    expected = probe(one)
    assert (expected.mapping, expected.filtering) == ("endpoint-independent", "address-and-port-dependent")
    assert meet(one, other)
    with kernel_world(scenario) as world:
        servers = Servers(world)
        real_one, real_other = (KernelBench(world, servers, side, ipv6=True) for side in (0, 1))
        assert probe(real_one) == expected
        assert meet(real_one, real_other)
