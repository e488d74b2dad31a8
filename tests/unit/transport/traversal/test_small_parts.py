import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.ice.credentials import make_credentials
from transport.ice.pacing import MAX_PACKETS_PER_ADDRESS, MAX_PACKETS_PER_HOST, Budget, PacketBudget, PacketRate
from transport.ice.start_sync import Synchroniser
from transport.ice.stun_client import LAST_WAIT_S, MAX_TRANSMISSIONS, StunClient
from transport.nat.compatibility import Feasibility, compatibility, feasibilities
from transport.nat.profile import Filtering, Mapping, NatKind, NatProfile
from transport.net.sockets import Address, SendDatagram
from transport.wire import stun
from transport.wire.call_messages import Connect, ConnectAck, Sync

BUDGET = Budget(packets=200, packets_per_second=100, sockets=2, seconds=2.0)
SERVERS = [("192.0.2.1", 3_478), ("192.0.2.2", 3_478)]
OUTSIDE = ("198.51.100.1", 4_000)


# -- budget


def test_no_address_and_no_host_gets_more_than_stated() -> None:
    budget = PacketBudget(BUDGET)
    sent = [budget.consume(("192.0.2.1", 5_000), second) for second in range(50)]
    assert sum(sent) == MAX_PACKETS_PER_ADDRESS
    sent = [budget.consume(("192.0.2.1", 5_001 + n), 100.0 + n) for n in range(100)]
    assert sum(sent) == MAX_PACKETS_PER_HOST - MAX_PACKETS_PER_ADDRESS


def test_who_has_proven_itself_is_no_victim() -> None:
    budget = PacketBudget(BUDGET)
    budget.mark_validated(("192.0.2.1", 5_000))
    assert sum(budget.consume(("192.0.2.1", 5_000), float(second)) for second in range(300)) == BUDGET.packets


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 0.5)), max_size=400))
def test_the_budget_holds_whatever_is_asked_of_it(asked: list[tuple[int, float]]) -> None:
    budget, now, sent = PacketBudget(BUDGET), 0.0, []
    for number, later in asked:
        now += later
        if budget.consume((f"192.0.2.{number}", 5_000), now):
            sent.append(now)
    assert len(sent) <= BUDGET.packets
    for at in sent:
        assert sum(at <= other <= at + 1.0 for other in sent) <= BUDGET.packets_per_second + 25


def test_a_bucket_never_gives_more_for_a_clock_that_goes_back() -> None:
    rate = PacketRate(10, 5)
    assert sum(rate.consume(now) for now in (5.0, 4.0, 3.0, 2.0, 1.0, 0.0, 0.0)) == 5


# -- keys


def test_credentials_are_random_and_hidden() -> None:
    rng = random.Random(1)
    one, other = make_credentials(rng), make_credentials(rng)
    assert one != other and one.password not in repr(one)
    assert len(one.ufrag) * 6 >= 24 and len(one.password) * 6 >= 128


# -- synchronisation (DESIGN D5)


def test_both_start_at_one_instant() -> None:
    leader, follower = Synchroniser(5, leads=True), Synchroniser(5, leads=False)
    [connect] = leader.begin(10.0)
    [ack] = follower.received(connect, 10.1)
    assert leader.received(ack, 10.2) == [] and leader.rtt_s == 10.2 - 10.0
    [sync] = leader.ready(10.5)
    assert sync == Sync(5) and leader.starts_at is not None and abs(leader.starts_at - 10.6) < 1e-9
    assert follower.received(sync, 10.6) == [] and follower.starts_at == 10.6


def test_candidates_may_be_there_before_the_round_trip_is_known() -> None:
    leader = Synchroniser(1, leads=True)
    leader.begin(0.0)
    assert leader.ready(0.05) == []
    assert leader.received(ConnectAck(1), 0.2) == [Sync(1)] and leader.starts_at == 0.2 + 0.1


@given(st.booleans(), st.lists(st.tuples(st.sampled_from("bcasr"), st.integers(0, 2)), max_size=30))
def test_no_order_of_messages_disturbs_it(leads: bool, steps: list[tuple[str, int]]) -> None:
    machine, messages, now = Synchroniser(1, leads=leads), [], 0.0
    for what, number in steps:
        now += 0.1
        match what:
            case "b":
                messages += machine.begin(now)
            case "r":
                messages += machine.ready(now)
            case _:
                message = {"c": Connect(number), "a": ConnectAck(number), "s": Sync(number)}[what]
                messages += machine.received(message, now)
    assert all(message.round == 1 for message in messages)
    assert len(messages) == len(set(messages)), "each is sent once"


# -- questions to STUN servers


def questions(now: float = 0.0) -> StunClient:
    return StunClient(7, SERVERS, PacketBudget(BUDGET), random.Random(1), now)


def answer(sent: SendDatagram, mapped: Address = OUTSIDE) -> bytes:
    return stun.binding_success(stun.parse(sent.data), mapped)


def test_all_servers_are_asked_at_once_and_again_until_they_answer() -> None:
    asking, sent = questions(), list[SendDatagram]()
    while (due := asking.next_deadline()) is not None:
        assert due < 10.0
        sent += asking.timer(due)
    assert len(sent) == 2 * MAX_TRANSMISSIONS and asking.done and asking.observations == []
    assert len({stun.parse(one.data).transaction_id for one in sent}) == len(sent)
    assert due is None and LAST_WAIT_S > 0


def test_an_answer_counts_from_the_server_that_was_asked_only() -> None:
    asking = questions()
    first, second = asking.timer(0.0)
    assert not asking.received(("192.0.2.9", 3_478), answer(first), 0.02)
    assert not asking.received(SERVERS[1], answer(first), 0.02)
    other = stun.parse(stun.binding_request(b"x" * 12))
    assert not asking.received(SERVERS[0], stun.binding_success(other, OUTSIDE), 0.02)
    assert not asking.received(SERVERS[0], first.data, 0.02), "reflected"
    assert asking.observations == []
    assert asking.received(SERVERS[0], answer(first), 0.02) and asking.received(SERVERS[1], answer(second), 0.03)
    assert [one.mapped for one in asking.observations] == [OUTSIDE, OUTSIDE] and asking.done
    assert asking.observations[0].first_try


def test_a_server_that_changes_its_mind_is_marked() -> None:
    asking = questions()
    first, _ = asking.timer(0.0)
    again, _ = asking.timer(0.1)
    asking.received(SERVERS[0], answer(first), 0.15)
    asking.received(SERVERS[0], answer(again, ("198.51.100.1", 4_001)), 0.16)
    [seen] = asking.observations
    assert seen.varied and seen.mapped == OUTSIDE


def test_an_answer_to_the_first_packet_says_when_the_nat_saw_it_however_often_it_was_repeated() -> None:
    asking = questions()
    first, _ = asking.timer(0.0)
    _, again = asking.timer(0.1)
    asking.received(SERVERS[0], answer(first), 0.15)
    asking.received(SERVERS[1], answer(again), 0.22)
    assert [one.first_try for one in asking.observations] == [True, False]


def test_an_address_that_cannot_be_is_no_observation() -> None:
    asking = questions()
    first, _ = asking.timer(0.0)
    assert asking.received(SERVERS[0], answer(first, ("0.0.0.0", 4_000)), 0.02)
    assert asking.observations == [] and asking.unbelievable == 1


# -- what can succeed


def cone(filtering: Filtering) -> NatProfile:
    return NatProfile(Mapping.ENDPOINT_INDEPENDENT, filtering)


SYMMETRIC = NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT)


def test_the_compatibility_is_that_of_the_table() -> None:
    assert compatibility(SYMMETRIC, SYMMETRIC).feasibility is Feasibility.NONE
    assert compatibility(SYMMETRIC, cone(Filtering.ADDRESS_AND_PORT_DEPENDENT)).feasibility is Feasibility.NONE
    assert compatibility(cone(Filtering.UNKNOWN), SYMMETRIC).feasibility is Feasibility.DOUBTFUL
    assert compatibility(cone(Filtering.ADDRESS_DEPENDENT), SYMMETRIC).feasibility is Feasibility.GOOD
    assert (
        compatibility(cone(Filtering.ADDRESS_AND_PORT_DEPENDENT), cone(Filtering.UNKNOWN)).feasibility
        is Feasibility.GOOD
    )
    assert compatibility(None, SYMMETRIC).feasibility is Feasibility.GOOD, "nothing is given up for want of knowledge"
    assert compatibility(NatProfile(udp_blocked=True), cone(Filtering.UNKNOWN)).reason == "udp-blocked"


@pytest.mark.parametrize(
    ("hairpins", "wanted"),
    [
        ((None, None), Feasibility.DOUBTFUL),
        ((False, None), Feasibility.NONE),
        ((True, None), Feasibility.GOOD),
        # The same outer NAT was seen to do it once: silence is the weaker evidence.
        ((True, False), Feasibility.GOOD),
    ],
)
def test_behind_one_nat_it_has_to_turn_packets_around(hairpins: tuple[bool | None, ...], wanted: Feasibility) -> None:
    one, other = (replace(cone(Filtering.UNKNOWN), hairpin=hairpin) for hairpin in hairpins)
    for expected in (compatibility(one, other, same_nat=True), compatibility(other, one, same_nat=True)):
        assert expected.feasibility is wanted
        assert (expected.reason == "same-nat-no-hairpin") is (wanted is not Feasibility.GOOD)
    assert compatibility(one, other).feasibility is Feasibility.GOOD, "with NATs of their own it does not matter"
    assert compatibility(SYMMETRIC, SYMMETRIC, same_nat=True).reason == "both-symmetric"
    assert compatibility(None, None, same_nat=True).feasibility is Feasibility.DOUBTFUL


def test_chances_per_kind_of_peer() -> None:
    of = feasibilities(SYMMETRIC)
    assert of[NatKind.FULL_CONE] is of[NatKind.OPEN] is Feasibility.GOOD
    assert of[NatKind.PORT_RESTRICTED] is of[NatKind.SYMMETRIC] is of[NatKind.UDP_BLOCKED] is Feasibility.NONE


@given(*[st.builds(NatProfile, st.sampled_from(Mapping), st.sampled_from(Filtering))] * 2)
def test_the_compatibility_does_not_depend_on_the_order(one: NatProfile, other: NatProfile) -> None:
    assert compatibility(one, other) == compatibility(other, one)
