"""A NAT's memory: time-outs, caps, rates, clashes, hairpin and what a fault does to it."""

import time
from collections.abc import Callable

import pytest

from tests.natsim.internet import NatGateway
from tests.natsim.nat import Address, Nat, NatKind
from tests.natsim.prober import probe
from tests.unit.natsim.lab import Lab

SYMMETRIC = NatKind(mapping="address-and-port-dependent", allocation="random")
FULL_CONE = NatKind(filtering="endpoint-independent")
CONNTRACK = NatKind(
    mapping="address-and-port-dependent", allocation="preserving-else-random", is_conntrack=True, unanswered_s=30.0
)


def mapped(lab: Lab) -> tuple[int, Address]:
    """A fresh socket and its mapped address."""
    port = lab.open()
    address = lab.ask(port, lab.servers[0][0])
    assert address is not None
    return port, address


# -- time


def test_a_mapping_that_is_idle_is_gone_and_one_that_is_used_stays() -> None:
    lab = Lab(NatKind(allocation="random", idle_s=30.0))
    port, address = mapped(lab)
    for _ in range(10):
        lab.clock.run(28.0)
        assert lab.ask(port, lab.servers[0][0]) == address
    lab.clock.run(31.0)
    assert lab.ask(port, lab.servers[0][0]) != address


@pytest.mark.parametrize(("refreshed_by", "lives"), [("outbound", False), ("both", True)])
def test_what_comes_in_keeps_a_mapping_alive_only_where_it_may(refreshed_by: str, lives: bool) -> None:
    lab = Lab(NatKind(idle_s=30.0, refreshed_by=refreshed_by))  # type: ignore[arg-type]
    port, address = mapped(lab)
    reached = []
    for _ in range(4):
        lab.clock.run(20.0)
        reached.append(lab.poke(lab.servers[0][0], address, port))
    assert reached[0] is True
    assert reached[-1] is lives


def test_a_filter_closes_for_one_remote_while_the_mapping_lives_on() -> None:
    lab = Lab(NatKind(idle_s=30.0))
    port, address = mapped(lab)
    for _ in range(3):
        lab.clock.run(20.0)
        assert lab.ask(port, lab.servers[1][0]) == address
    assert lab.poke(lab.servers[1][0], address, port)
    assert not lab.poke(lab.servers[0][0], address, port)


def test_an_absolute_life_time_ends_however_busy_the_mapping_is() -> None:
    lab = Lab(NatKind(allocation="random", life_s=100.0))
    port, address = mapped(lab)
    seen = set()
    for _ in range(19):
        lab.clock.run(10.0)
        seen.add(lab.ask(port, lab.servers[0][0]))
    assert address in seen and len(seen) == 2


def test_a_flow_that_nobody_answered_lives_shorter() -> None:
    lab = Lab(CONNTRACK)
    port, address = mapped(lab)
    lab.clock.run(100.0)
    assert lab.poke(lab.servers[0][0], address, port), "answered by the server: 120 s"
    silent = lab.open()
    lab.host.send(silent, (lab.servers[0][0][0], 9), b"to nobody")
    lab.clock.run(35.0)
    nat = lab.gateways[0].nat
    assert nat.from_outside((lab.servers[0][0][0], 9), (address[0], silent), lab.clock.now) is None


# -- caps and rates


def test_a_full_table_takes_no_more_until_something_expires() -> None:
    lab = Lab(NatKind(max_mappings=5, idle_s=30.0))
    ports = [mapped(lab)[0] for _ in range(5)]
    assert lab.outside(lab.open()) is None
    assert lab.gateways[0].nat.drops["table-full"] == 1
    assert lab.outside(ports[0]) is not None
    lab.clock.run(31.0)
    assert lab.outside(lab.open()) is not None


def test_one_host_cannot_fill_the_table_of_all() -> None:
    lab = Lab(NatKind(max_mappings_per_host=3))
    assert [lab.outside(lab.open()) is not None for _ in range(5)] == [True] * 3 + [False] * 2
    nat = lab.gateways[0].nat
    assert nat.from_inside(("192.168.1.99", 5_000), lab.servers[0][0], lab.clock.now) is not None


def test_the_oldest_goes_where_the_nat_evicts() -> None:
    lab = Lab(NatKind(max_mappings=3, when_full="evict-oldest"))
    entries = [mapped(lab) for _ in range(4)]
    assert [lab.poke(lab.servers[0][0], address, port) for port, address in entries] == [False, True, True, True]


def test_new_mappings_are_rationed_and_old_ones_are_not() -> None:
    lab = Lab(NatKind(new_mappings_per_s=10.0, new_mappings_burst=20))
    nat, server, now = lab.gateways[0].nat, lab.servers[0][0], lab.clock.now
    burst = [nat.from_inside(("192.168.1.10", 5_000 + number), server, now) for number in range(50)]
    assert sum(each is not None for each in burst) == 20
    assert nat.from_inside(("192.168.1.10", 5_000), server, now) is not None
    steady = [nat.from_inside(("192.168.1.10", 6_000 + n), server, now + 0.01 * (n + 1)) for n in range(1_000)]
    assert sum(each is not None for each in steady) == pytest.approx(100, abs=1)
    assert nat.drops["rate"] == 30 + 1_000 - sum(each is not None for each in steady)


# -- conntrack


@pytest.mark.parametrize("accepts_input", [True, False])
def test_an_unsolicited_packet_that_comes_first_takes_the_tuple(accepts_input: bool) -> None:
    kind = NatKind(
        mapping="address-and-port-dependent",
        allocation="preserving-else-random",
        is_conntrack=True,
        accepts_input=accepts_input,
    )
    lab = Lab(kind)
    port, address = mapped(lab)
    assert address[1] == port
    peer = lab.servers[1][0]
    assert not lab.poke(peer, address, port), "the peer is first, and refused"
    assert (lab.outside(port, server=1) == port) is not accepts_input
    # Toward anybody else the port is the announced one, as before.
    assert lab.ask(port, lab.servers[1][1]) == address
    # A fresh socket is not touched; nor is this one when the tuple has expired.
    fresh, announced = mapped(lab)
    assert lab.ask(fresh, peer) == announced
    lab.clock.run(200.0)
    assert lab.outside(port, server=1) == port


def test_conntrack_shares_a_port_between_hosts_whose_remotes_differ() -> None:
    nat = Lab(CONNTRACK).gateways[0].nat
    one = nat.from_inside(("192.168.1.10", 5_000), ("192.0.2.1", 1), 0.0)
    two = nat.from_inside(("192.168.1.11", 5_000), ("192.0.2.1", 2), 0.0)
    three = nat.from_inside(("192.168.1.12", 5_000), ("192.0.2.1", 1), 0.0)
    assert one is not None and two is not None and three is not None
    assert one.source == two.source == ("203.0.113.1", 5_000) != three.source
    back = [nat.from_outside(("192.0.2.1", port), one.source, 1.0) for port in (1, 2)]
    assert [each.destination[0] for each in back if each] == ["192.168.1.10", "192.168.1.11"]


def test_linux_masquerade_looks_port_restricted() -> None:
    verdict = probe(Lab(CONNTRACK))
    assert (verdict.mapping, verdict.filtering, verdict.allocation) == (
        "endpoint-independent",
        "address-and-port-dependent",
        "preserving",
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"is_conntrack": True},
        {"accepts_input": True},
        {"allocation": "sequential", "delta": 0},
        {"first_port": 0},
        {"first_port": 2, "last_port": 1},
        {"allocation": "block", "block_ports": 100_000},
    ],
)
def test_a_kind_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w{3}"):
        NatKind(**wrong)  # type: ignore[arg-type]


# -- hairpin


@pytest.mark.parametrize("hairpin", ["no", "external-source", "internal-source"])
@pytest.mark.parametrize("filtering", ["endpoint-independent", "address-and-port-dependent"])
def test_hairpin(hairpin: str, filtering: str) -> None:
    lab = Lab(NatKind(hairpin=hairpin, filtering=filtering))  # type: ignore[arg-type]
    (sender, from_there), (receiver, there) = mapped(lab), mapped(lab)
    refused = lab.hairpin(sender, there, receiver)
    assert (refused is not None) is (hairpin != "no" and filtering == "endpoint-independent")
    lab.hairpin(receiver, from_there, sender)
    seen = lab.hairpin(sender, there, receiver)
    expected = {"no": None, "external-source": from_there, "internal-source": ("192.168.1.10", sender)}
    assert seen == expected[hairpin]
    assert probe(lab).hairpin is (hairpin != "no")


# -- faults


def test_a_flushed_nat_gives_another_port_and_lets_nobody_in() -> None:
    lab = Lab(NatKind(allocation="random", filtering="endpoint-independent"))
    port, address = mapped(lab)
    assert lab.poke(lab.servers[1][1], address, port)
    lab.gateways[0].nat.flush()
    assert not lab.poke(lab.servers[0][0], address, port)
    assert lab.ask(port, lab.servers[0][0]) not in (None, address)


def test_another_nat_in_its_place_has_another_address_and_other_rules() -> None:
    lab = Lab(FULL_CONE)
    port, address = mapped(lab)
    gateway: NatGateway = lab.gateways[0]
    gateway.replace(Nat(SYMMETRIC, ("203.0.113.77",), lab.internet.rng))
    assert not lab.poke(lab.servers[0][0], address, port)
    after = lab.ask(port, lab.servers[0][0])
    assert after is not None and after[0] == "203.0.113.77"
    assert probe(lab).mapping == "address-and-port-dependent"


def test_a_cut_link_carries_nothing_and_heals() -> None:
    lab = Lab(FULL_CONE)
    port, address = mapped(lab)
    lab.gateways[0].cut()
    assert lab.ask(port, lab.servers[0][0]) is None
    assert not lab.poke(lab.servers[0][0], address, port)
    lab.gateways[0].cut(False)
    assert lab.ask(port, lab.servers[0][0]) == address


def cost(work: Callable[[], object]) -> float:
    """The shortest of five times a thousand, so that a busy machine blurs little."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(1_000):
            work()
        times.append(time.perf_counter() - began)
    return min(times)


def test_a_hop_through_a_nat_costs_as_little_as_formatting_a_few_numbers() -> None:
    nat = Nat(NatKind(), ("203.0.113.1",), Lab().internet.rng)
    inside, outside, peer = ("192.168.1.10", 5_000), ("203.0.113.1", 5_000), ("192.0.2.1", 1)
    nat.from_inside(inside, peer, 0.0)
    both_ways = cost(lambda: (nat.from_inside(inside, peer, 1.0), nat.from_outside(peer, outside, 1.0)))
    assert both_ways < 5 * cost(lambda: [str(number) for number in range(20)])
