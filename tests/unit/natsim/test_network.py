"""Networks in one another: stacks of NATs, hops, several interfaces, firewalls, servers that lie."""

import random

import pytest

from tests.natsim.clock import VirtualClock
from tests.natsim.internet import NatGateway, StunServer, behind
from tests.natsim.nat import NatKind
from tests.natsim.network import Host, Network
from tests.natsim.prober import SimBench, probe
from tests.natsim.wire import Wire
from tests.unit.natsim.lab import INTERNET_HOPS, SERVER_IPS, Lab

HOME = NatKind()
CARRIER = NatKind(mapping="address-and-port-dependent", allocation="random")


def test_a_stack_behaves_as_its_strictest_part() -> None:
    verdict = probe(Lab(CARRIER, HOME))
    assert verdict.mapping == "address-and-port-dependent"
    assert verdict.filtering == "address-and-port-dependent"
    assert verdict.allocation == "random"
    lenient = probe(Lab(NatKind(filtering="endpoint-independent"), NatKind(filtering="address-dependent")))
    assert (lenient.mapping, lenient.filtering) == ("endpoint-independent", "address-dependent")
    assert probe(Lab(NatKind(hairpin="external-source"), HOME)).hairpin


def test_every_router_takes_one_from_the_ttl_and_a_nat_that_takes_the_last_one_maps_nothing() -> None:
    lab = Lab(CARRIER, HOME)
    server = lab.servers[0][0]
    carrier, home = (gateway.nat for gateway in lab.gateways)
    assert lab.ask(lab.open(), server, ttl=1) is None
    assert (len(home), len(carrier)) == (0, 0)
    assert lab.ask(lab.open(), server, ttl=2) is None
    assert (len(home), len(carrier)) == (1, 0)
    assert lab.ask(lab.open(), server, ttl=3) is None
    assert (len(home), len(carrier)) == (2, 1)
    assert lab.ask(lab.open(), server, ttl=2 + INTERNET_HOPS) is None
    assert lab.ask(lab.open(), server, ttl=3 + INTERNET_HOPS) is not None


def test_an_opener_of_low_ttl_opens_the_own_nat_and_does_not_reach_the_other() -> None:
    lab = Lab(HOME)
    other = behind(lab.internet, HOME, ("203.0.113.2",), random.Random(1))
    peer, received = other.inside.host("192.168.1.10"), []
    peer_port = peer.open(lambda data, source: received.append(data))
    peer.send(peer_port, lab.servers[0][0], b"so that it has a mapping")
    lab.clock.run(1.0)
    port = lab.open()
    there, here = ("203.0.113.2", peer_port), ("203.0.113.1", port)
    lab.host.send(port, there, b"opener", ttl=2)
    lab.clock.run(1.0)
    assert other.nat.drops["filtered"] == 0, "it has not come so far"
    peer.send(peer_port, here, b"check")
    lab.clock.run(1.0)
    assert lab.got[port] == [(b"check", there)]
    lab.host.send(port, there, b"answer")
    lab.clock.run(1.0)
    assert received == [b"answer"]


def test_hosts_of_one_lan_reach_each_other_unless_they_are_kept_apart() -> None:
    lab = Lab(HOME)
    neighbour, received = lab.neighbour(11), []
    neighbour.open(lambda data, source: received.append(source), 7_000)
    port = lab.open()
    lab.host.send(port, ("192.168.1.11", 7_000), b"hello")
    lab.clock.run(1.0)
    assert received == [("192.168.1.10", port)]
    lab.lan.isolated = True
    lab.host.send(port, ("192.168.1.11", 7_000), b"hello")
    lab.clock.run(1.0)
    assert len(received) == 1
    assert lab.outside(port) is not None, "the gateway is for all"


# -- several interfaces, two families


def two_families() -> tuple[VirtualClock, Network, NatGateway, NatGateway, Host, StunServer]:
    clock, rng = VirtualClock(), random.Random(1)
    internet = Network(clock, rng)
    servers = internet.host("192.0.2.1")
    servers.join(internet, "2001:db8:1::1")
    stun = StunServer(servers, (3478, 3479))
    four = behind(internet, HOME, ("203.0.113.1",), rng)
    six = behind(internet, NatKind(allocation="none"), (), rng)
    host = four.inside.host("192.168.1.10")
    host.join(six.inside, "2001:db8:a::10")
    return clock, internet, four, six, host, stun


def test_each_family_has_its_own_way_out() -> None:
    clock, _, _, six, host, stun = two_families()
    bench = SimBench(clock, host, stun)
    port = bench.open()
    assert bench.ask(port, ("192.0.2.1", 3478)) == ("203.0.113.1", port)
    assert bench.ask(port, ("2001:db8:1::1", 3478)) == ("2001:db8:a::10", port)
    assert host.addresses == ("192.168.1.10", "2001:db8:a::10")
    assert len(six.nat) == 1


def test_a_firewall_keeps_addresses_and_lets_in_who_was_spoken_to() -> None:
    clock, internet, _, six, host, stun = two_families()
    bench = SimBench(clock, host, stun)
    port = bench.open()
    mine = bench.ask(port, ("2001:db8:1::1", 3478))
    assert mine is not None
    assert bench.poke(("2001:db8:1::1", 3478), mine, port)
    assert not bench.poke(("2001:db8:1::1", 3479), mine, port)
    assert six.nat.drops["filtered"] == 1
    # Two firewalls, both spoken through: as with two port-restricted NATs.
    other = behind(internet, NatKind(allocation="none"), (), random.Random(1)).inside.host("2001:db8:b::10")
    received: list[bytes] = []
    other.open(lambda data, source: received.append(data), 7_000)
    host.send(port, ("2001:db8:b::10", 7_000), b"first: dies at their firewall")
    clock.run(1.0)
    other.send(7_000, mine, b"second: comes in")
    clock.run(1.0)
    host.send(port, ("2001:db8:b::10", 7_000), b"third: comes in")
    clock.run(1.0)
    assert bench.got[port] == [(b"second: comes in", ("2001:db8:b::10", 7_000))]
    assert received == [b"third: comes in"]


def test_an_interface_comes_and_goes() -> None:
    clock, internet, four, _, host, stun = two_families()
    bench = SimBench(clock, host, stun)
    port = bench.open()
    assert bench.ask(port, ("192.0.2.1", 3478)) == ("203.0.113.1", port)
    host.leave("192.168.1.10")
    assert bench.ask(port, ("192.0.2.1", 3478)) is None
    assert bench.ask(port, ("2001:db8:1::1", 3478)) is not None
    other = behind(internet, HOME, ("203.0.113.9",), random.Random(1))
    host.join(other.inside, "10.0.0.5")
    assert bench.ask(port, ("192.0.2.1", 3478)) == ("203.0.113.9", port)
    host.leave("10.0.0.5")
    host.leave("2001:db8:a::10")
    assert bench.ask(port, ("192.0.2.1", 3478)) is None
    assert (host.ip, host.addresses) == ("", ())
    host.join(four.inside, "192.168.1.20")
    assert bench.ask(port, ("192.0.2.1", 3478)) == ("203.0.113.1", port + 1), "the old host's mapping still has it"


def test_a_named_address_is_the_one_that_packets_leave_from() -> None:
    clock, rng = VirtualClock(), random.Random(1)
    network = Network(clock, rng)
    one, two = network.host("192.0.2.1"), network.host("192.0.2.9")
    one.join(network, "192.0.2.2")
    seen: list[tuple[str, int]] = []
    two.open(lambda data, source: seen.append(source), 7)
    one.send(5, ("192.0.2.9", 7), b"")
    one.send(5, ("192.0.2.9", 7), b"", ip="192.0.2.2")
    one.send(5, ("192.0.2.9", 7), b"", ip="192.0.2.3")
    clock.run(1.0)
    assert seen == [("192.0.2.1", 5), ("192.0.2.2", 5)]


# -- servers, delay


def test_stun_answers_on_every_address_and_port_and_can_lie() -> None:
    lab = Lab(HOME)
    port = lab.open()
    for ip, servers in zip(SERVER_IPS, lab.servers, strict=True):
        assert len(servers) == 5
        assert {lab.ask(port, server) for server in servers} == {("203.0.113.1", port)}
        assert {server[0] for server in servers} == {ip}
    lab.server.lie = lambda source: ("10.0.0.1", source[1])
    assert lab.ask(port, lab.servers[0][0]) == ("10.0.0.1", port)
    asked = lab.server.asked
    for rubbish in (b"", b"\0" * 20, b"\x01\x01" + bytes(18)):
        lab.host.send(port, lab.servers[0][0], rubbish)
    lab.clock.run(1.0)
    assert lab.server.asked == asked


@pytest.mark.parametrize("delay", [0.005, 0.05])
def test_the_wires_of_a_gateway_are_crossed_once_each_way(delay: float) -> None:
    clock, rng = VirtualClock(), random.Random(1)
    internet = Network(clock, rng)
    stun = StunServer(internet.host("192.0.2.1", Wire(delay=0), Wire(delay=0)), (3478,))
    gateway = behind(internet, HOME, ("203.0.113.1",), rng, Wire(delay=delay), Wire(delay=2 * delay))
    host = gateway.inside.host("192.168.1.10", Wire(delay=0.001), Wire(delay=0.001))
    began = clock.now
    bench = SimBench(clock, host, stun)
    assert bench.ask(bench.open(), ("192.0.2.1", 3478)) is not None
    assert clock.now - began == pytest.approx(3 * delay + 0.002)
