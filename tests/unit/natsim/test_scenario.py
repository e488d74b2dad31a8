"""Scenarios: what a file says is what the network does."""

import random
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.natsim.clock import VirtualClock
from tests.natsim.kinds import KINDS, STACKS
from tests.natsim.network import Host
from tests.natsim.prober import SimBench, Verdict, probe
from tests.natsim.relay import MEDIA_PORT, RelayNode
from tests.natsim.scenario import RELAY_IPV6, Fault, Scenario, Side, World, build, ipv6_ip, outside_ip, pair
from tests.natsim.scenario_file import ScenarioError, load, names, parse
from tests.natsim.wire import GilbertElliott, WireSpec
from transport.wire import stun

ISSUE = {
    "open",
    "full-cone",
    "address-restricted",
    "port-restricted",
    "symmetric-sequential",
    "symmetric-random",
    "block",
    "cgn-over-home",
    "same-nat-hairpin",
    "same-nat-no-hairpin",
    "udp-blocked",
}

EIM, ADM, APDM = "endpoint-independent", "address-dependent", "address-and-port-dependent"
# Mapping, filtering and allocation, as a prober outside must find them.
SEEN = {
    "open": (EIM, EIM, "preserving"),
    "full-cone": (EIM, EIM, "preserving"),
    "address-restricted": (EIM, ADM, "preserving"),
    "port-restricted": (EIM, APDM, "preserving"),
    "symmetric-sequential": (APDM, APDM, "sequential"),
    "symmetric-random": (APDM, APDM, "random"),
    "block": (APDM, APDM, "block"),
    "cgn-over-home": (EIM, APDM, "block"),
    "same-nat-hairpin": (EIM, APDM, "preserving"),
    "same-nat-no-hairpin": (EIM, APDM, "preserving"),
    "linux": (EIM, APDM, "preserving"),
    "udp-blocked": (None, None, None),
    "udp-to-relay-only": (None, None, None),
}


def world_of(scenario: Scenario, seed: int = 1) -> World[RelayNode]:
    return build(scenario, VirtualClock(), random.Random(seed))


def verdict(world: World[RelayNode], side: int) -> Verdict:
    # Behind a common NAT the two would be in each other's way with the same ports.
    return probe(SimBench(world.clock, world.sides[side].host, world.stun_server, 20_000 + 10_000 * side))


def ask(world: World[RelayNode], host: Host) -> tuple[str, int] | None:
    bench = SimBench(world.clock, host, world.stun_server)
    port = host.open(lambda data, source: bench.got[port].append((data, source)))
    bench.got[port] = []
    return bench.ask(port, world.stun[0])


def test_the_issues_table_is_there() -> None:
    assert set(names()) >= ISSUE


@pytest.mark.parametrize("name", names())
def test_every_file_builds_and_has_its_relay_and_servers(name: str) -> None:
    world = world_of(load(name))
    assert len({ip for ip, _ in world.stun}) >= 2
    assert len({port for _, port in world.stun}) >= 5
    assert world.relay.address == (world.scenario.relay.addresses[0], MEDIA_PORT)
    assert [len(side.gateways) for side in world.sides] == [len(world.scenario.stack(side)) for side in (0, 1)]


@pytest.mark.parametrize("name", sorted(SEEN))
def test_a_prober_sees_what_the_name_says(name: str) -> None:
    world = world_of(load(name))
    for side in (0, 1):
        seen = verdict(world, side)
        assert (seen.mapping, seen.filtering, seen.allocation) == SEEN[name]


@pytest.mark.parametrize(
    ("name", "hairpin"),
    [
        ("same-nat-hairpin", True),
        ("same-nat-no-hairpin", False),
        ("same-cgn-hairpin", True),
        ("port-restricted", False),
    ],
)
def test_hairpin_is_where_the_name_says(name: str, hairpin: bool) -> None:
    assert verdict(world_of(load(name)), 0).hairpin is hairpin


@pytest.mark.parametrize(
    ("name", "arrives"), [("same-nat-no-hairpin", True), ("guests-hairpin", False), ("same-cgn-hairpin", False)]
)
def test_neighbours_reach_each_other_by_their_own_addresses_on_a_common_lan_only(name: str, arrives: bool) -> None:
    world = world_of(load(name))
    one, two = (side.host for side in world.sides)
    received: list[bytes] = []
    two.open(lambda data, source: received.append(data), 7_000)
    one.send(7_001, (two.ip, 7_000), b"hello")
    world.clock.run(1.0)
    assert bool(received) is arrives


def test_the_external_addresses_are_the_planned_ones() -> None:
    for name in names():
        world = world_of(load(name))
        for side in (0, 1):
            mapped = ask(world, world.sides[side].host)
            if mapped is not None and world.scenario.stack(side)[-1].allocation != "none":
                assert mapped[0] == outside_ip(world.scenario, side, len(world.scenario.stack(side)) - 1)


def test_ipv6_passes_firewalls_that_both_have_spoken_through() -> None:
    world = world_of(load("ipv6-firewalls"))
    one, two = (side.host for side in world.sides)
    bench = SimBench(world.clock, one, world.stun_server)
    port = bench.open()
    assert bench.ask(port, (RELAY_IPV6[0], 3478)) == (ipv6_ip(0), port)
    received: list[tuple[str, int]] = []
    two.open(lambda data, source: received.append(source), 7_000)
    one.send(port, (ipv6_ip(1), 7_000), b"refused")
    world.clock.run(1.0)
    two.send(7_000, (ipv6_ip(0), port), b"opens")
    one.send(port, (ipv6_ip(1), 7_000), b"passes")
    world.clock.run(1.0)
    assert received == [(ipv6_ip(0), port)]


def test_the_same_seed_is_the_same_world_and_kinds_do_not_disturb_each_other() -> None:
    def ports(scenario: Scenario, seed: int) -> list[tuple[str, int] | None]:
        world = world_of(scenario, seed)
        return [ask(world, side.host) for side in world.sides]

    both = pair("symmetric-random", "block")
    assert ports(both, 5) == ports(both, 5) != ports(both, 6)


def test_delay_is_the_one_of_the_file() -> None:
    world = world_of(load("cgn-over-home"))
    began = world.clock.now
    assert ask(world, world.sides[0].host) is not None
    assert world.clock.now - began == pytest.approx(0.04)


def test_loss_comes_in_bursts_where_asked_for() -> None:
    loss = WireSpec(loss=0.1, burst=5.0).wire().loss
    assert isinstance(loss, GilbertElliott)
    assert loss.mean == pytest.approx(0.1)
    rng, lost = random.Random(1), [0]
    for _ in range(50_000):
        if loss.lost(rng):
            lost[-1] += 1
        elif lost[-1]:
            lost.append(0)
    assert sum(lost) / (len(lost) - 1) == pytest.approx(5.0, rel=0.1)


def test_faults_happen_in_their_time() -> None:
    scenario = replace(
        load("nat-flushed"),
        faults=(
            Fault(at_s=5.0, what="flush", side=0),
            Fault(at_s=10.0, what="cut", side=1),
            Fault(at_s=15.0, what="heal", side=1),
            Fault(at_s=20.0, what="swap", side=1, to=KINDS["symmetric-sequential"]),
        ),
    )
    world = world_of(scenario)
    bench = SimBench(world.clock, world.sides[0].host, world.stun_server)
    port, began = bench.open(), world.clock.now
    world.schedule_faults()

    def at(when_s: float) -> None:
        world.clock.run(began + when_s - world.clock.now)

    before = bench.ask(port, world.stun[0])
    at(4.0)
    assert bench.ask(port, world.stun[0]) == before
    at(6.0)
    assert bench.ask(port, world.stun[0]) not in (None, before)
    at(11.0)
    assert ask(world, world.sides[1].host) is None
    at(16.0)
    assert ask(world, world.sides[1].host) is not None
    at(21.0)
    assert verdict(world, 1).allocation == "sequential"


def test_the_relays_legs_work_through_the_stack() -> None:
    world = world_of(load("cgn-over-home"))
    legs = world.relay.grant("c" * 32)
    received: list[bytes] = []
    for side, leg in zip(world.sides, legs, strict=True):
        side.host.open(lambda data, source: received.append(data), 7_000)
        side.host.send(7_000, world.relay.address, stun.binding_request(bytes(12), leg.username, leg.password))
        world.clock.run(1.0)
        again = stun.binding_request(b"2" * 12, leg.username, leg.password, stun.parse(received[-1]).nonce or b"")
        side.host.send(7_000, world.relay.address, again)
        world.clock.run(1.0)
    received.clear()
    world.sides[0].host.send(7_000, world.relay.address, b"\x40 sealed")
    world.clock.run(1.0)
    assert received == [b"\x40 sealed"]


SIDES = [{"nats": "open"}, {"nats": "open"}]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({}, "two"),
        ({"sides": [{"nats": "open"}]}, "two"),
        ({"sides": [{"nats": "opne"}, {"nats": "open"}]}, "no NAT is called “opne”"),
        ({"sides": SIDES, "fault": []}, "unknown fault"),
        ({"sides": [{"nats": "open", "wire": {"delay": 5}}, {"nats": "open"}]}, "unknown delay"),
        ({"sides": [{"nats": "open", "wire": {"loss": 2.0}}, {"nats": "open"}]}, "loss from 0"),
        ({"sides": [{"nats": "open", "wire": {"loss": "much"}}, {"nats": "open"}]}, "loss|not supported"),
        ({"sides": [{"nats": [{"mapping": "conical"}]}, {"nats": "open"}]}, "conical|Invalid"),
        ({"sides": [{"nats": [{"like": "cgn-over-home"}]}, {"nats": "open"}]}, "a stack, not one NAT"),
        ({"sides": [{"nats": 5}, {"nats": "open"}]}, "a stack is a name or a list"),
        ({"sides": [{"nats": [5]}, {"nats": "open"}]}, "a NAT is a name or a table"),
        ({"sides": [{}, {}]}, "something"),
        ({"sides": [{}, {"nats": "open"}], "shared": ["open"]}, "both"),
        ({"sides": SIDES, "relay": {"stun_ports": [1]}}, "at least"),
        ({"sides": SIDES, "faults": [{"at_s": 1, "what": "cut", "side": 2}]}, "no NAT 0 on side 2"),
        ({"sides": SIDES, "faults": [{"at_s": 1, "what": "swap", "side": 1}]}, "a swap"),
        ({"sides": SIDES, "faults": [{"what": "cut", "side": 1}]}, "at_s"),
    ],
)
def test_a_mistake_is_named(raw: dict[str, object], words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        parse("mine", raw)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text("sides = ")
    with pytest.raises(ScenarioError, match=r"broken\.toml"):
        load(file)
    with pytest.raises(ScenarioError, match="nowhere"):
        load("nowhere")


def test_a_nat_like_another_has_its_own_values_changed() -> None:
    scenario = parse(
        "mine", {"sides": [{"nats": [{"like": "block", "block_ports": 512}]}, {"nats": "port-restricted"}]}
    )
    assert scenario.sides[0] == Side(nats=(replace(KINDS["block"], block_ports=512),))
    assert scenario.sides[1].nats == STACKS["port-restricted"]


def test_the_example_of_the_documentation_is_a_scenario() -> None:
    text = (Path(__file__).parents[3] / "docs" / "laboratories.md").read_text(encoding="utf-8")
    example = text.partition("```toml\n")[2].partition("```")[0]
    scenario = parse("example", tomllib.loads(example))
    assert [fault.what for fault in scenario.faults] == ["flush", "cut", "heal", "swap"]
    assert (scenario.sides[1].up.delay_ms, scenario.sides[1].up.loss, scenario.sides[1].down.loss) == (30, 0.02, 0)
