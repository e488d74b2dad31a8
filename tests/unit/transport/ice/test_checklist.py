"""Two check lists on one wire, and everybody who would like to disturb them."""

import itertools
import random
from unittest import mock

import pytest
from aioice import stun as codec
from hypothesis import given
from hypothesis import strategies as st

from transport.ice.candidates import CandidateKind
from transport.ice.checklist import (
    AUTHENTICATIONS_PER_S,
    MAX_PAIRS,
    MAX_SEEN,
    SYNCHRONISED_S,
    TA_S,
    UNSYNCHRONISED_S,
    CheckCommand,
    CheckList,
)
from transport.ice.credentials import Credentials, make_credentials
from transport.ice.pacing import MAX_PACKETS_PER_ADDRESS, Budget, PacketBudget
from transport.ice.pairs import PairChosen, Schedule
from transport.net.sockets import Address, SendDatagram
from transport.wire import stun
from transport.wire.stun import Check, IceRole

BUDGET = Budget(packets=200, packets_per_second=100, sockets=2, seconds=2.0)
ANN, BEN, EVE = ("198.51.100.1", 4_000), ("203.0.113.1", 5_000), ("192.0.2.66", 6_000)
ONE_WAY_S = 0.02


class Party:
    """One side, with what it has sent and chosen."""

    def __init__(self, role: IceRole, seed: int, nomination: int = 1) -> None:
        rng = random.Random(seed)
        self.credentials = make_credentials(rng)
        self.budget = PacketBudget(BUDGET)
        self.checks = CheckList(self.credentials, role, self.budget, rng, nomination)
        self.checks.add_socket(0, 4)
        self.chosen: list[PairChosen] = []
        self.sent: list[tuple[float, SendDatagram]] = []

    def meet(self, other: Credentials, *addresses: Address, now: float = 0.0) -> None:
        self.checks.set_remote(other)
        times = tuple(now + offset for offset in UNSYNCHRONISED_S)
        kind = CandidateKind.SERVER_REFLEXIVE
        self.checks.add_remote([(kind, address, 9) for address in addresses], Schedule(times, times))

    def take(self, commands: list[CheckCommand], now: float) -> list[SendDatagram]:
        self.chosen += [command for command in commands if isinstance(command, PairChosen)]
        sent = [command for command in commands if isinstance(command, SendDatagram)]
        self.sent += [(now, one) for one in sent]
        return sent


def parties() -> tuple[Party, Party]:
    ann, ben = Party(IceRole.CONTROLLING, 1), Party(IceRole.CONTROLLED, 2)
    ann.meet(ben.credentials, BEN)
    ben.meet(ann.credentials, ANN)
    return ann, ben


def let_run(ann: Party, ben: Party, seconds: float, *, blind_until: float = 0.0, start: float = 0.0) -> None:
    """A wire of 20 ms; Ben's filter drops what comes before ``blind_until``."""
    flying: list[tuple[float, Party, Address, bytes]] = []
    now = start

    def send(sender: Party, sent: list[SendDatagram]) -> None:
        to, source = (ben, ANN) if sender is ann else (ann, BEN)
        flying.extend((now + ONE_WAY_S, to, source, one.data) for one in sent)

    send(ann, ann.take(ann.checks.run(now), now))
    send(ben, ben.take(ben.checks.run(now), now))
    while now < start + seconds:
        times = [flight[0] for flight in flying]
        times += [due for due in (ann.checks.next_deadline(), ben.checks.next_deadline()) if due is not None]
        if not times:
            break
        now = max(now + 1e-9, min(times))
        for party in (ann, ben):
            send(party, party.take(party.checks.timer(now), now))
        arrived = [flight for flight in flying if flight[0] <= now]
        flying[:] = [flight for flight in flying if flight[0] > now]
        for _, to, source, data in arrived:
            if to is not ben or now >= blind_until:
                send(to, to.take(to.checks.received(0, source, data, now), now))


def check_from(party: Party, other: Party, **fields: object) -> bytes:
    """What ``party`` could send to ``other``, made by hand."""
    values: dict[str, object] = {
        "transaction": b"e" * 12,
        "username": f"{other.credentials.ufrag}:{party.credentials.ufrag}",
        "password": other.credentials.password,
        "role": IceRole.CONTROLLING,
        "nomination": 0,
    } | fields
    check = Check(values["role"], 7, 1_853_824_767, values["role"] is IceRole.CONTROLLING, values["nomination"])  # type: ignore[arg-type]
    return stun.connectivity_check(values["transaction"], values["username"], values["password"], check)  # type: ignore[arg-type]


def state(checks: CheckList) -> object:
    """All that a packet could have moved."""
    pairs = [(pair.remote, pair.kind, pair.rtt_s, pair.nominated, pair.schedule) for pair in checks.pairs.values()]
    return pairs, checks.chosen, checks.confirmed, checks.peer_seen, checks.answers_sent


# -- how it goes when nobody disturbs


def test_both_choose_the_same_pair_and_then_rest() -> None:
    ann, ben = parties()
    let_run(ann, ben, 5.0)
    assert [(one.remote, one.mapped) for one in ann.chosen] == [(BEN, ANN)]
    assert [(one.remote, one.mapped) for one in ben.chosen] == [(ANN, BEN)]
    assert ann.checks.confirmed and ben.checks.confirmed
    assert ann.chosen[0].rtt_s == pytest.approx(2 * ONE_WAY_S)
    assert ann.checks.next_deadline() is None and ben.checks.next_deadline() is None
    assert max(len(ann.sent), len(ben.sent)) <= 6


def test_a_check_that_dies_in_a_filter_costs_no_retransmission() -> None:
    ann, ben = Party(IceRole.CONTROLLING, 1), Party(IceRole.CONTROLLED, 2)
    ann.meet(ben.credentials, BEN)
    ben.meet(ann.credentials, ANN)
    first = ann.take(ann.checks.run(0.0), 0.0)
    assert len(first) == 1
    # It is lost. Ben's check comes 10 ms later: the answer and a check of our own leave in that instant.
    [theirs] = ben.take(ben.checks.run(0.0), 0.0)
    replies = ann.take(ann.checks.received(0, BEN, theirs.data, 0.01), 0.01)
    kinds = [stun.parse(one.data).kind for one in replies]
    assert kinds == [stun.StunClass.SUCCESS, stun.StunClass.REQUEST]


def test_who_has_succeeded_sends_on_until_the_other_has() -> None:
    ann, ben = parties()
    let_run(ann, ben, 3.0, blind_until=0.5)
    assert ann.chosen and ben.chosen and ann.checks.confirmed and ben.checks.confirmed


def test_checks_keep_to_ta_and_to_the_schedule() -> None:
    ann = Party(IceRole.CONTROLLING, 1)
    ann.meet(make_credentials(random.Random(5)), *((f"203.0.113.{n}", 5_000) for n in range(1, 9)))
    ann.take(ann.checks.run(0.0), 0.0)
    while (due := ann.checks.next_deadline()) is not None and due < 3.0:
        ann.take(ann.checks.timer(due), due)
    times = [at for at, _ in ann.sent]
    assert all(later - earlier >= TA_S - 1e-9 for earlier, later in itertools.pairwise(times))
    assert len(times) == 8 * len(UNSYNCHRONISED_S)
    assert len({one.destination for _, one in ann.sent[:8]}) == 8, "each address once before any twice"
    assert len(SYNCHRONISED_S) <= MAX_PACKETS_PER_ADDRESS


def test_a_check_before_the_candidates_is_answered_and_remembered() -> None:
    ann, ben = Party(IceRole.CONTROLLING, 1), Party(IceRole.CONTROLLED, 2)
    ann.meet(ben.credentials, BEN)
    [early] = ann.take(ann.checks.run(0.0), 0.0)
    [answer] = ben.take(ben.checks.received(0, ANN, early.data, 0.02), 0.02)
    assert stun.parse(answer.data).authentic(ben.credentials.password)
    ben.meet(ann.credentials)
    [triggered] = ben.take(ben.checks.run(0.1), 0.1)
    assert triggered.destination == ANN and [pair.kind for pair in ben.checks.pairs.values()] == [
        CandidateKind.PEER_REFLEXIVE
    ]


def test_the_highest_nomination_wins() -> None:
    ann, ben = parties()
    other = ("198.51.100.1", 4_444)
    ben.meet(ann.credentials, other)
    sent = ben.take(ben.checks.run(0.0), 0.0) + ben.take(ben.checks.timer(TA_S), TA_S)
    assert {one.destination for one in sent} == {ANN, other}
    for one in sent:
        answer = stun.check_answer(stun.parse(one.data), BEN, ann.credentials.password)
        ben.take(ben.checks.received(0, one.destination, answer, 0.04), 0.04)
    assert not ben.chosen, "valid, and not nominated"
    ben.take(ben.checks.received(0, ANN, check_from(ann, ben, transaction=b"1" * 12), 0.1), 0.1)
    ben.take(ben.checks.received(0, other, check_from(ann, ben, transaction=b"2" * 12), 0.2), 0.2)
    assert [(one.remote, one.nomination) for one in ben.chosen] == [(ANN, 0)], "no higher counter"
    assert not ben.checks.confirmed
    ben.take(ben.checks.received(0, other, check_from(ann, ben, transaction=b"3" * 12, nomination=4), 0.3), 0.3)
    ben.take(ben.checks.received(0, ANN, check_from(ann, ben, transaction=b"4" * 12, nomination=3), 0.4), 0.4)
    assert [(one.remote, one.nomination) for one in ben.chosen[1:]] == [(other, 4)]
    assert ben.checks.confirmed


def test_with_two_sockets_only_the_last_word_counts() -> None:
    ann, ben = parties()
    ben.checks.add_socket(1, 6)
    ben.meet(ann.credentials, ("2001:db8::1", 4_000))
    [sent] = ben.take(ben.checks.run(0.0), 0.0)
    answer = stun.check_answer(stun.parse(sent.data), BEN, ann.credentials.password)
    ben.take(ben.checks.received(sent.socket, sent.destination, answer, 0.04), 0.04)
    first, last = check_from(ann, ben, transaction=b"1" * 12), check_from(ann, ben, transaction=b"2" * 12, nomination=1)
    ben.take(ben.checks.received(sent.socket, sent.destination, first, 0.05), 0.05)
    assert not ben.chosen
    ben.take(ben.checks.received(sent.socket, sent.destination, last, 0.06), 0.06)
    assert [one.nomination for one in ben.chosen] == [1]


# -- attacks (each of them against a list that has begun)


@pytest.mark.parametrize(
    "forged",
    [
        {"password": "x" * 24},
        {"username": "somebody:else"},
        {"username": "aaaaaaaa:bbbbbbbb"},
        {"role": IceRole.CONTROLLED, "nomination": None},
        {"nomination": 4_000_000_000, "password": "x" * 24},
    ],
)
def test_a_forged_check_moves_nothing_and_gets_no_answer(forged: dict[str, object]) -> None:
    ann, ben = parties()
    ben.checks.run(0.0)
    before = state(ben.checks)
    assert ben.checks.received(0, EVE, check_from(ann, ben, **forged), 0.1) == []
    assert state(ben.checks) == before and ben.checks.dropped == 1


def test_a_reflected_check_moves_nothing() -> None:
    ann, _ben = parties()
    [sent] = ann.take(ann.checks.run(0.0), 0.0)
    before = state(ann.checks)
    assert ann.checks.received(0, BEN, sent.data, 0.04) == []
    assert state(ann.checks) == before


def test_a_replayed_check_from_elsewhere_moves_nothing() -> None:
    ann, ben = parties()
    [sent] = ann.take(ann.checks.run(0.0), 0.0)
    ben.checks.run(0.0)
    assert ben.checks.received(0, ANN, sent.data, 0.02)
    before = state(ben.checks)
    assert ben.checks.received(0, EVE, sent.data, 0.03) == []
    assert state(ben.checks) == before


def test_a_replay_that_comes_first_gains_a_few_packets_and_no_path() -> None:
    ann, ben = parties()
    [sent] = ann.take(ann.checks.run(0.0), 0.0)
    ben.checks.run(0.0)
    ben.take(ben.checks.received(0, EVE, sent.data, 0.01), 0.01)
    for step in range(60):
        ben.take(ben.checks.timer(0.02 + step / 20), 0.02 + step / 20)
    to_eve = [one for _, one in ben.sent if one.destination == EVE]
    assert len(to_eve) <= 2 and not ben.chosen


def test_a_forged_answer_moves_nothing() -> None:
    ann, ben = parties()
    [sent] = ann.take(ann.checks.run(0.0), 0.0)
    request = stun.parse(sent.data)
    before = state(ann.checks)
    for source, data in (
        (BEN, stun.check_answer(request, ANN, "x" * 24)),
        (BEN, stun.binding_success(request, ANN)),
        (EVE, stun.check_answer(request, ANN, ben.credentials.password)),
        (BEN, stun.binding_error(request, 487, "Role Conflict")),
        (BEN, stun.check_answer(stun.parse(check_from(ann, ben)), ANN, ben.credentials.password)),
    ):
        assert ann.checks.received(0, source, data, 0.04) == []
        assert state(ann.checks) == before
    assert ann.take(ann.checks.received(0, BEN, stun.check_answer(request, ANN, ben.credentials.password), 0.04), 0.04)
    assert ann.chosen


def test_an_answer_counts_once() -> None:
    ann, ben = parties()
    [sent] = ann.take(ann.checks.run(0.0), 0.0)
    answer = stun.check_answer(stun.parse(sent.data), ANN, ben.credentials.password)
    ann.take(ann.checks.received(0, BEN, answer, 0.04), 0.04)
    before = state(ann.checks)
    assert ann.checks.received(0, BEN, answer, 9.0) == [] and state(ann.checks) == before


def test_a_flood_with_wrong_names_costs_no_cryptography() -> None:
    ann, ben = parties()
    ben.checks.run(0.0)
    with mock.patch.object(codec.Message, "check_message_integrity", side_effect=AssertionError("asked")) as asked:
        for number in range(500):
            name = f"{number:08}:{ann.credentials.ufrag}"
            data = check_from(ann, ben, username=name, transaction=number.to_bytes(12))
            assert ben.checks.received(0, EVE, data, 0.1) == []
    assert asked.call_count == 0 and ben.checks.dropped == 500


def test_a_flood_with_the_right_name_costs_bounded_cryptography_and_memory() -> None:
    ann, ben = parties()
    ben.checks.run(0.0)
    genuine = codec.Message.check_message_integrity
    with mock.patch.object(codec.Message, "check_message_integrity", autospec=True, side_effect=genuine) as asked:
        for number in range(3_000):
            data = check_from(ann, ben, password="x" * 24, transaction=number.to_bytes(12))
            assert ben.checks.received(0, ("192.0.2.7", 1_024 + number), data, 1.0 + number / 3_000) == []
    assert asked.call_count <= 2 * AUTHENTICATIONS_PER_S
    assert len(ben.checks.pairs) == 1


def test_a_peer_that_floods_authentically_is_bounded_too() -> None:
    ann, ben = parties()
    ben.checks.run(0.0)
    sent: list[SendDatagram] = []
    for number in range(2_000):
        data = check_from(ann, ben, transaction=number.to_bytes(12))
        source = (f"192.0.2.{number % 200 + 1}", 1_024 + number)
        sent += ben.take(ben.checks.received(0, source, data, 1.0 + number / 2_000), 1.0)
    requests = [one for one in sent if stun.parse(one.data).kind is stun.StunClass.REQUEST]
    assert len(ben.checks.pairs) <= MAX_PAIRS and len(requests) <= BUDGET.packets
    assert len(sent) - len(requests) <= 2 * 100 + 1, "answers are rationed"
    assert MAX_SEEN <= 1_000


def test_a_victim_that_a_peer_lists_gets_few_packets() -> None:
    ann = Party(IceRole.CONTROLLING, 1)
    victim = "203.0.113.77"
    ann.meet(make_credentials(random.Random(5)), *((victim, 2_000 + n) for n in range(32)))
    now = 0.0
    ann.take(ann.checks.openers(2, now) + ann.checks.run(now), now)
    while (due := ann.checks.next_deadline()) is not None and now < 60.0:
        now = max(now, due)
        ann.take(ann.checks.timer(now), now)
    per_address = [one.destination for _, one in ann.sent]
    assert len(ann.sent) <= 35
    assert max(per_address.count(address) for address in set(per_address)) <= MAX_PACKETS_PER_ADDRESS


@given(st.data())
def test_no_datagram_and_no_order_of_them_raises_or_proves(data: st.DataObject) -> None:
    ann, ben = parties()
    genuine = [one.data for one in ann.take(ann.checks.run(0.0), 0.0)]
    if data.draw(st.booleans(), "running"):
        ben.take(ben.checks.run(0.0), 0.0)
    now = 0.0
    for _ in range(data.draw(st.integers(1, 12), "steps")):
        now += data.draw(st.floats(0, 0.3), "later")
        packet = data.draw(st.binary(max_size=120) | st.sampled_from(genuine) | st.just(check_from(ann, ben)), "packet")
        damaged = bytearray(packet)
        if damaged and data.draw(st.booleans(), "damaged"):
            damaged[data.draw(st.integers(0, len(damaged) - 1), "where")] ^= data.draw(st.integers(1, 255), "how")
        source = data.draw(st.sampled_from([ANN, EVE, ("127.0.0.1", 5_000), ("203.0.113.1", 53)]), "source")
        ben.take(ben.checks.received(data.draw(st.integers(0, 1), "socket"), source, bytes(damaged), now), now)
        ben.take(ben.checks.timer(now), now)
    assert not ben.chosen, "nothing that was sent here can have answered a check of ours"
    assert not any(one.destination[0] == "127.0.0.1" or one.destination[1] == 53 for _, one in ben.sent)
