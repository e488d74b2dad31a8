import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.ice.stun_client import Observation
from transport.nat.classification import allocation_of_sockets, classify
from transport.nat.profile import (
    FRESH_S,
    Allocated,
    Allocation,
    Filtering,
    Mapping,
    NatKind,
    NatProfile,
    from_wire,
    renewed,
)

LOCAL = ("192.168.1.20", 50_000)
OUTSIDE = "198.51.100.1"
# As a relay lists them: by port, then by address.
SERVERS = [(f"192.0.2.{address}", port) for port in (3_478, 3_479, 3_480, 3_481) for address in (1, 2)]


def seen(ports: list[int], servers: list[tuple[str, int]] = SERVERS, ip: str = OUTSIDE) -> list[Observation]:
    return [
        Observation(server, (ip, port), order, True, 0.02)
        for order, (server, port) in enumerate(zip(servers, ports, strict=False))
    ]


def profile(ports: list[int], servers: list[tuple[str, int]] = SERVERS) -> NatProfile:
    return classify(seen(ports, servers), LOCAL, [LOCAL[0]], 5.0)


def test_one_outside_port_for_two_addresses_is_endpoint_independent() -> None:
    made = profile([4_000] * 8)
    assert (made.mapping, made.filtering, made.kind) == (
        Mapping.ENDPOINT_INDEPENDENT,
        Filtering.UNKNOWN,
        NatKind.CONE,
    )
    assert made.reflexive == (OUTSIDE, 4_000) and made.allocation is Allocation.UNKNOWN
    assert set(made.unknowns) == {"filtering", "allocation", "hairpin"}
    assert profile([50_000] * 8).allocation is Allocation.PRESERVING


def test_one_server_address_cannot_tell_endpoint_independent_from_address_dependent() -> None:
    alone = [server for server in SERVERS if server[0] == "192.0.2.1"]
    assert profile([4_000] * 4, alone).mapping is Mapping.UNKNOWN
    assert profile([4_000, 4_001], alone).mapping is Mapping.ADDRESS_AND_PORT_DEPENDENT


def test_address_dependent_needs_two_ports_of_one_address() -> None:
    assert profile([4_000, 4_001] * 4).mapping is Mapping.ADDRESS_DEPENDENT
    assert profile([4_000, 4_001]).mapping is Mapping.UNKNOWN


def test_no_nat() -> None:
    public = ("203.0.113.10", 50_000)
    made = classify(seen([50_000] * 8, ip=public[0]), public, [public[0]], 0.0)
    assert (made.mapping, made.kind, made.unknowns) == (Mapping.NONE, NatKind.NO_NAT, ("filtering",))


def test_a_lost_answer_leaves_a_counter_a_counter() -> None:
    listed = seen([4_000 + n for n in range(8)])
    # Asked again, its mapping may be older than those of the next questions, or younger.
    late = [*listed[:3], Observation(listed[3].server, (OUTSIDE, 4_008), 3, False, 0.02), *listed[4:]]
    missing = [*listed[:3], *listed[4:]]
    for answers in (listed, late, missing):
        made = classify(answers, LOCAL, [], 0.0)
        assert (made.kind, made.delta) == (NatKind.SYMMETRIC_SEQUENTIAL, 1)
    few = [one if one.order < 3 else Observation(one.server, one.mapped, one.order, False, 0.02) for one in listed]
    assert classify(few, LOCAL, [], 0.0).allocation in (Allocation.SEQUENTIAL, Allocation.UNKNOWN)
    assert classify(listed[:4], LOCAL, [], 0.0).kind is NatKind.SYMMETRIC


def test_questions_that_overtake_each_other_make_no_block() -> None:
    ports = [4_000 + 40 * n for n in (4, 0, 7, 2, 5, 1, 6, 3)]
    assert profile(ports).kind is NatKind.SYMMETRIC, "a counter, though up or down nobody can tell"


def test_ports_beside_our_own_are_those_of_a_nat_that_preserves() -> None:
    assert profile([50_000 + n for n in range(8)]).kind is NatKind.SYMMETRIC
    assert profile([50_001 + n for n in range(8)]).kind is NatKind.SYMMETRIC, "the first answer was lost"


def test_contradictions_end_in_no_verdict() -> None:
    first = Observation(SERVERS[0], (OUTSIDE, 4_000), 0, False, 0.02, varied=True)
    made = classify([first, *seen([4_000] * 8)[1:]], LOCAL, [], 0.0)
    assert made.suspicious and made.kind is NatKind.UNKNOWN and made.reflexive is None
    captive = classify(seen([4_000] * 8, ip=SERVERS[0][0]), LOCAL, [], 0.0)
    assert captive.suspicious and captive.kind is NatKind.UNKNOWN


def test_silence_is_blocked_udp_only_where_the_network_is_known_to_work() -> None:
    assert classify([], LOCAL, [], 0.0, unanswered=8).kind is NatKind.UDP_BLOCKED
    assert classify([], LOCAL, [], 0.0, unanswered=1).kind is NatKind.UNKNOWN
    assert classify([], LOCAL, [], 0.0).kind is NatKind.UNKNOWN
    assert classify([], LOCAL, [], 0.0, unanswered=8, unbelievable=3).kind is NatKind.UNKNOWN


def test_it_grows_old_and_travels_without_addresses() -> None:
    made = profile([4_000 + n for n in range(8)])
    assert made.fresh(5.0 + FRESH_S) and not made.fresh(5.1 + FRESH_S)
    received = from_wire(made.to_wire(), 9.0)
    assert (received.mapping, received.allocation, received.delta) == (made.mapping, made.allocation, 1)
    assert made.cross_traffic_per_s is not None and received.cross_traffic_per_s == math.ceil(made.cross_traffic_per_s)
    assert received.reflexive is None
    assert not any(OUTSIDE in line or "192.0.2" in line for line in made.evidence)


@given(st.integers(0, 2**32), st.integers(5, 12), st.sampled_from(["random", "block", "sequential"]))
def test_an_allocation_is_named_right_or_not_at_all(seed: int, count: int, kind: str) -> None:
    rng = random.Random(seed)
    servers = [(f"192.0.2.{1 + n % 2}", 3_478 + n // 2) for n in range(count)]
    delta = rng.choice([-2, -1, 1, 2, 5])
    match kind:
        case "random":
            ports = [rng.randint(1_024, 65_535) for _ in range(count)]
        case "block":
            size = rng.choice([512, 1_024, 2_048, 4_096])
            low = rng.randint(1_024, 65_535 - size)
            ports = [rng.randint(low, low + size - 1) for _ in range(count)]
        case _:
            start = rng.randint(1_024, 65_535)
            ports = [1_024 + (start - 1_024 + delta * n) % 64_512 for n in range(count)]
    if len(set(ports)) < count:
        return
    made = profile(ports, servers)
    assert made.mapping is Mapping.ADDRESS_AND_PORT_DEPENDENT
    assert made.allocation in (Allocation(kind), Allocation.UNKNOWN)
    if made.allocation is Allocation.SEQUENTIAL:
        assert made.delta == delta
    if made.allocation is Allocation.BLOCK and made.block is not None:
        assert made.block[1] - made.block[0] < 4_096


@pytest.mark.slow
def test_ten_thousand_random_nats_are_never_named_wrong() -> None:
    rng, named = random.Random(1), 0
    for _ in range(10_000):
        count = rng.randint(5, 12)
        ports = [rng.randint(1_024, 65_535) for _ in range(count)]
        made = profile(ports, [(f"192.0.2.{1 + n % 2}", 3_478 + n // 2) for n in range(count)])
        assert made.allocation in (Allocation.RANDOM, Allocation.UNKNOWN)
        named += made.allocation is Allocation.RANDOM
    assert named > 9_500, "and mostly named"


@given(
    st.lists(
        st.builds(
            Observation,
            st.tuples(st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]), st.integers(1, 65_535)),
            st.tuples(st.sampled_from([OUTSIDE, LOCAL[0], "192.0.2.1", "::1"]), st.integers(1, 65_535)),
            st.integers(0, 12),
            st.booleans(),
            st.floats(0, 1),
            st.booleans(),
        ),
        max_size=12,
    ),
    st.integers(0, 12),
    st.integers(0, 3),
)
def test_whatever_was_seen_there_is_a_verdict(listed: list[Observation], unanswered: int, strange: int) -> None:
    made = classify(listed, LOCAL, [LOCAL[0]], 0.0, unanswered=unanswered, unbelievable=strange)
    assert made.kind in NatKind and from_wire(made.to_wire(), 0.0).kind in NatKind


# -- another look at the same NAT

KNOWN = NatProfile(
    Mapping.ENDPOINT_INDEPENDENT,
    Filtering.ADDRESS_DEPENDENT,
    Allocation.PRESERVING,
    hairpin=True,
    udp_blocked=False,
    reflexive=(OUTSIDE, 4_000),
    made_at=10.0,
    evidence=("server 1 port 3478 saw port 4000", "an answer from another port came in unasked"),
)


def look(**fields: object) -> NatProfile:
    """A later one, from a call that asked two servers."""
    return replace(profile([50_000] * 2), made_at=20.0, **fields)  # type: ignore[arg-type]


def test_a_call_that_asks_little_forgets_nothing_and_makes_nothing_younger() -> None:
    made = renewed(KNOWN, look(), 20.0)
    assert (made.mapping, made.filtering, made.hairpin) == (KNOWN.mapping, KNOWN.filtering, True)
    assert made.reflexive == (OUTSIDE, 50_000) and made.made_at == 10.0
    assert "an answer from another port came in unasked" in made.evidence
    assert "server 1 port 3478 saw port 4000" not in made.evidence, "that was another socket's"
    assert renewed(made, look(), 20.0) == made, "however often"
    other = look(filtering=Filtering.ADDRESS_AND_PORT_DEPENDENT, evidence=("none of 7 answers came in",))
    assert renewed(KNOWN, other, 20.0).evidence == other.evidence
    # What is old is asked about in full, and then it is young again.
    assert renewed(KNOWN, look(), 10.0 + FRESH_S + 1).made_at == 20.0
    assert renewed(KNOWN, look(mapping=Mapping.ENDPOINT_INDEPENDENT), 20.0).made_at == 20.0


def test_another_nat_is_known_by_its_address_or_its_mapping() -> None:
    for other in (
        look(reflexive=("203.0.113.5", 50_000)),
        look(mapping=Mapping.ADDRESS_AND_PORT_DEPENDENT),
        look(mapping=Mapping.NONE),
    ):
        assert renewed(KNOWN, other, 20.0) is other
    blocked = NatProfile(udp_blocked=True, made_at=20.0)
    assert renewed(KNOWN, blocked, 20.0) is blocked
    assert renewed(None, blocked, 20.0) is blocked


def test_silence_and_lies_take_away_nothing_that_is_fresh() -> None:
    for nothing in (NatProfile(made_at=20.0), NatProfile(suspicious=True, made_at=20.0)):
        assert renewed(KNOWN, nothing, 20.0) is KNOWN
        assert renewed(KNOWN, nothing, 10.0 + FRESH_S + 1) is nothing
    assert renewed(replace(KNOWN, suspicious=True), look(), 20.0) == look()


@given(*[st.builds(NatProfile, st.sampled_from(Mapping), st.sampled_from(Filtering))] * 2, st.booleans())
def test_what_is_measured_now_always_counts(old: NatProfile, new: NatProfile, same: bool) -> None:
    old = replace(old, reflexive=(OUTSIDE, 1), made_at=10.0)
    new = replace(new, reflexive=(OUTSIDE if same else "203.0.113.5", 2), made_at=20.0)
    made = renewed(old, new, 20.0)
    assert new.mapping in (Mapping.UNKNOWN, made.mapping)
    assert new.filtering in (Filtering.UNKNOWN, made.filtering)
    assert same or made == new


# -- several sockets


def sockets(ports: list[list[int]], first_try: bool = True) -> list[tuple[int, list[Observation]]]:
    """Each asks the first port of two addresses, and then the second port of both."""
    return [
        (
            50_000 + number,
            [
                Observation(server, (OUTSIDE, pair[order % 2]), order, first_try, 0.02)
                for order, server in enumerate(SERVERS[:4])
            ],
        )
        for number, pair in enumerate(ports)
    ]


def test_several_sockets_tell_how_an_address_dependent_nat_chooses_its_ports() -> None:
    def learnt(ports: list[list[int]], **fields: bool) -> tuple[Allocation, int]:
        found = allocation_of_sockets(sockets(ports, **fields), Mapping.ADDRESS_DEPENDENT)
        return found.allocation, found.delta

    counted = [[4_000 + 2 * n, 4_001 + 2 * n] for n in range(4)]
    assert learnt(counted) == (Allocation.SEQUENTIAL, 1)
    assert learnt(counted, first_try=False)[0] is Allocation.UNKNOWN, "nobody knows the order then"
    assert learnt([[9_111, 50_222], [1_333, 33_444], [60_555, 20_666], [44_777, 5_888]])[0] is Allocation.RANDOM
    assert learnt([[50_000, 4_000], [50_001, 4_001]])[0] is Allocation.UNKNOWN, "one was kept: two rules at work"
    assert allocation_of_sockets((), Mapping.ADDRESS_DEPENDENT) == Allocated()


def test_a_counter_whose_order_nobody_knows_is_no_block() -> None:
    # Eight and more within forty ports, and every question was asked more than once.
    ports = [[21_267 + 3 * n, 21_268 + 3 * n] for n in (0, 5, 2, 9, 3, 7)]
    found = allocation_of_sockets(sockets(ports, first_try=False), Mapping.ADDRESS_DEPENDENT)
    assert found.allocation is Allocation.UNKNOWN
