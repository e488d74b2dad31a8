"""Every kind of mapping, filter and port allocation, measured from the outside."""

from itertools import pairwise, product

import pytest

from tests.natsim.nat import Allocation, Dependence, NatKind
from tests.natsim.prober import probe
from tests.unit.natsim.lab import SERVER_IPS, Lab

DEPENDENCES: tuple[Dependence, ...] = ("endpoint-independent", "address-dependent", "address-and-port-dependent")
ALLOCATIONS: tuple[Allocation, ...] = ("preserving", "sequential", "random", "block")


@pytest.mark.parametrize(("mapping", "filtering"), list(product(DEPENDENCES, DEPENDENCES)))
@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_a_prober_outside_sees_the_kind_that_was_ordered(
    mapping: Dependence, filtering: Dependence, allocation: Allocation
) -> None:
    verdict = probe(Lab(NatKind(mapping=mapping, filtering=filtering, allocation=allocation)))
    assert (verdict.mapping, verdict.filtering, verdict.allocation) == (mapping, filtering, allocation)
    assert verdict.observations >= 20
    assert not verdict.hairpin


def test_the_same_seed_gives_the_same_ports_and_another_seed_others() -> None:
    def ports(seed: int) -> list[int | None]:
        lab = Lab(NatKind(allocation="random", cross_traffic_per_s=5.0), seed=seed)
        return [lab.outside(lab.open()) for _ in range(20)]

    assert ports(1) == ports(1) != ports(2)


def test_no_nat_is_the_hosts_own_address() -> None:
    lab = Lab()
    verdict = probe(lab)
    assert (verdict.mapping, verdict.filtering, verdict.allocation) == (
        "endpoint-independent",
        "endpoint-independent",
        "preserving",
    )
    port = lab.open()
    assert lab.ask(port, lab.servers[0][0]) == ("192.168.1.10", port)


def test_blocked_udp_reaches_nobody_and_an_allowed_port_only_itself() -> None:
    assert probe(Lab(NatKind(allowed_udp_ports=()))).mapping is None
    lab = Lab(NatKind(allowed_udp_ports=(3479,)))
    assert lab.ask(lab.open(), lab.servers[0][0]) is None
    assert lab.ask(lab.open(), lab.servers[0][1]) is not None
    assert lab.gateways[0].nat.drops["udp-blocked"] == 1


# -- port allocation


@pytest.mark.parametrize("delta", [1, 2, 7, -1, -2, -5])
def test_sequential_steps_by_delta(delta: int) -> None:
    lab = Lab(NatKind(mapping="address-and-port-dependent", allocation="sequential", delta=delta))
    lab.gateways[0].nat._rule.newest = 30_000  # type: ignore[attr-defined]
    port = lab.open()
    ports = [lab.ask(port, server) for servers in lab.servers for server in servers]
    assert {later[1] - earlier[1] for earlier, later in pairwise(ports) if earlier and later} == {delta}


@pytest.mark.parametrize("delta", [1, -1])
def test_sequential_wraps_at_the_end_of_its_range_and_skips_used_ports(delta: int) -> None:
    lab = Lab(NatKind(allocation="sequential", delta=delta, first_port=5_000, last_port=5_009))
    sockets = [lab.open() for _ in range(11)]
    ports = [lab.outside(socket) for socket in sockets]
    assert sorted(port for port in ports[:10] if port) == list(range(5_000, 5_010))
    assert ports[10] is None, "eleven mappings on ten ports"
    assert lab.gateways[0].nat.drops["no-port"] == 1
    # One expires; the next one takes its port wherever the counter stands.
    lab.clock.run(60.0)
    for socket in (*sockets[:4], *sockets[5:10]):
        lab.outside(socket)
    lab.clock.run(70.0)
    assert lab.outside(lab.open()) == ports[4]


def test_a_step_that_divides_the_range_still_finds_every_port() -> None:
    lab = Lab(NatKind(allocation="sequential", delta=2, first_port=5_000, last_port=5_009))
    assert {lab.outside(lab.open()) for _ in range(10)} == set(range(5_000, 5_010))


@pytest.mark.parametrize("delta", [1, 2, -1])
def test_parity_is_kept_where_it_is_promised(delta: int) -> None:
    lab = Lab(NatKind(allocation="sequential", delta=delta, keep_parity=True))
    for _ in range(20):
        socket = lab.open()
        outside = lab.outside(socket)
        assert outside is not None and outside % 2 == socket % 2


@pytest.mark.parametrize(("allocation", "is_next"), [("preserving", True), ("preserving-else-random", False)])
def test_two_hosts_with_one_port_do_not_share_it(allocation: Allocation, is_next: bool) -> None:
    lab = Lab(NatKind(allocation=allocation))
    first = lab.open()
    assert lab.outside(first) == first
    neighbour = lab.neighbour(11)
    seen: list[tuple[str, int]] = []
    lab.server.host.open(lambda _data, source: seen.append(source), 9_999)
    neighbour.send(first, (SERVER_IPS[0], 9_999), b"hello")
    lab.clock.run(1.0)
    assert seen[0][1] != first
    assert (seen[0][1] == first + 1) is is_next


def chi_square(counts: list[int]) -> float:
    expected = sum(counts) / len(counts)
    return sum((count - expected) ** 2 / expected for count in counts)


def test_random_ports_are_uniform_over_the_whole_range() -> None:
    lab = Lab(NatKind(allocation="random", max_mappings=100_000))
    nat, counts = lab.gateways[0].nat, [0] * 64
    # Each mapping is gone before the next one, so that every draw has the whole range.
    for number in range(20_000):
        translated = nat.from_inside(("192.168.1.10", 5_000), (SERVER_IPS[0], 3478), number * 200.0)
        assert translated is not None
        counts[(translated.source[1] - 1_024) // 1_008] += 1
    # 63 degrees of freedom: 95 % are below 82.5, 99.9 % below 103.4.
    assert chi_square(counts) < 103.4


def test_successive_random_ports_tell_nothing_of_each_other() -> None:
    lab = Lab(NatKind(mapping="address-and-port-dependent", allocation="random"))
    socket = lab.open()
    nat = lab.gateways[0].nat
    ports = []
    for number in range(20_000):
        translated = nat.from_inside(("192.168.1.10", socket), (SERVER_IPS[0], 3478), number * 200.0)
        assert translated is not None
        ports.append(translated.source[1])
    mean = sum(ports) / len(ports)
    centred = [port - mean for port in ports]
    correlation = sum(a * b for a, b in pairwise(centred)) / sum(value * value for value in centred)
    # The standard error is 1/√20,000; four of them.
    assert abs(correlation) < 0.0283


@pytest.mark.parametrize("size", [512, 1_024, 2_048, 4_096])
def test_a_block_is_one_subscribers_and_uniform_within(size: int) -> None:
    kind = NatKind(mapping="address-and-port-dependent", allocation="block", block_ports=size, max_mappings=10**6)
    nat = Lab(kind).gateways[0].nat

    def ports(host: str) -> list[int]:
        found = []
        for number in range(8_000):
            translated = nat.from_inside((host, 5_000), (SERVER_IPS[0], 3478), number * 200.0)
            assert translated is not None
            found.append(translated.source[1])
        return found

    one, other = ports("192.168.1.10"), ports("192.168.1.11")
    starts = []
    for found in (one, other):
        start = (min(found) - 1_024) // size * size + 1_024
        assert start <= min(found) <= max(found) < start + size
        starts.append(start)
        counts = [0] * 16
        for port in found:
            counts[(port - start) * 16 // size] += 1
        # 15 degrees of freedom, 99.9 %.
        assert chi_square(counts) < 37.7
    assert starts[0] != starts[1]


def test_a_full_block_gives_no_port_to_its_subscriber_and_still_some_to_others() -> None:
    lab = Lab(NatKind(allocation="block", block_ports=512, idle_s=1e6))
    nat = lab.gateways[0].nat
    given = [nat.from_inside(("192.168.1.10", 1_024 + port), (SERVER_IPS[0], 3478), 0.0) for port in range(513)]
    assert len({each.source for each in given[:512] if each}) == 512
    assert given[512] is None
    assert nat.from_inside(("192.168.1.11", 5_000), (SERVER_IPS[0], 3478), 0.0) is not None


def test_a_host_keeps_to_one_of_several_external_addresses() -> None:
    addresses = tuple(f"203.0.113.{number}" for number in range(1, 5))
    lab = Lab(NatKind(allocation="random"), addresses=addresses)
    mapped = {lab.ask(lab.open(), lab.servers[0][0])[0] for _ in range(20)}  # type: ignore[index]
    assert len(mapped) == 1
    nat = lab.gateways[0].nat
    others = {nat.from_inside((f"192.168.1.{n}", 5_000), (SERVER_IPS[0], 3478), 0.0).source[0] for n in range(50, 99)}  # type: ignore[union-attr]
    assert others == set(addresses)


# -- strangers


@pytest.mark.parametrize("per_s", [5.0, 20.0])
def test_strangers_move_the_counter_as_a_poisson_process(per_s: float) -> None:
    lab = Lab(NatKind(allocation="sequential", cross_traffic_per_s=per_s, stranger_hold_s=1.0))
    nat, steps = lab.gateways[0].nat, []
    before = None
    for number in range(3_000):
        translated = nat.from_inside(("192.168.1.10", 1_024 + number), (SERVER_IPS[0], 3478), float(number))
        assert translated is not None
        port = translated.source[1]
        if before is not None:
            steps.append((port - before - 1) % 64_512)
        before = port
    mean = sum(steps) / len(steps)
    variance = sum((step - mean) ** 2 for step in steps) / (len(steps) - 1)
    # Mean and variance of a Poisson process are the rate; the bounds are four standard errors of each.
    assert mean == pytest.approx(per_s, abs=4 * (per_s / 3_000) ** 0.5)
    assert variance / mean == pytest.approx(1.0, abs=4 * (2 / 3_000) ** 0.5 + 0.03)


def test_a_strangers_port_is_nobody_elses_while_he_holds_it() -> None:
    kind = NatKind(cross_traffic_per_s=10.0, stranger_hold_s=30.0, first_port=40_000, last_port=40_009)
    nat = Lab(kind).gateways[0].nat
    assert nat.from_inside(("192.168.1.10", 40_000), (SERVER_IPS[0], 3478), 0.0) is not None
    # Two hundred have come for the nine ports that were left.
    assert nat.from_inside(("192.168.1.10", 40_001), (SERVER_IPS[0], 3478), 20.0) is None
    assert nat.drops["no-port"] == 1
    # Those of the last second hold few of four ports, and all who came before have given theirs back.
    kind = NatKind(cross_traffic_per_s=1.0, stranger_hold_s=1.0, first_port=40_000, last_port=40_003, idle_s=1.0)
    nat = Lab(kind).gateways[0].nat
    given = [nat.from_inside(("192.168.1.10", 40_000), (SERVER_IPS[0], 3478), 50.0 * n) for n in range(100)]
    assert sum(each is not None and each.source[1] == 40_000 for each in given) > 50
    assert sum(each is not None for each in given) > 90
