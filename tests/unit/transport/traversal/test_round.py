"""transport.traversal.round: each row of its table, by punch rounds and probe rounds whose peer is the test's."""

import random

import pytest

from tests.unit.transport.traversal.round_lab import HOSTS, OUTSIDE, PEER, STUN, RoundLab, a_context, candidates
from transport.nat.profile import Allocation, Filtering, Mapping, NatProfile
from transport.traversal import birthday, port_prediction
from transport.traversal.context import TraversalContext
from transport.traversal.punch_round import BUDGET, PunchRound
from transport.traversal.round import CONFIRM_S, RoundPlan, State
from transport.wire.call_messages import Connect, ConnectAck, Sync
from transport.wire.stun import IceRole

STRICT = Filtering.ADDRESS_AND_PORT_DEPENDENT
FIXED = NatProfile(Mapping.ENDPOINT_INDEPENDENT, STRICT, Allocation.PRESERVING, reflexive=(OUTSIDE, 4_000))
RANDOM = NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, STRICT, Allocation.RANDOM, reflexive=(OUTSIDE, 4_000))


def a_punch(number: int = 1, *, may_send: bool = True) -> RoundLab:
    """The caller's; synchronised and led by it unless its number is 0."""
    context = TraversalContext(
        *(IceRole.CONTROLLING, STUN, HOSTS, iter(range(99)).__next__, random.Random(1)), low_ttl=False
    )

    def make(plan: RoundPlan) -> PunchRound:
        return PunchRound(plan, leads=number > 0, stun=STUN, may_send=may_send)

    return RoundLab(make, context, lambda socket, destination: 4_000, number=number, budget=BUDGET).begin()


def a_probe(make=birthday.make_round, local: NatProfile = FIXED, remote: NatProfile = RANDOM) -> RoundLab:  # type: ignore[no-untyped-def]
    return RoundLab(make, a_context(local, remote), lambda socket, destination: 4_000).begin()


def gathering() -> RoundLab:
    lab = a_punch(may_send=False)
    assert lab.round.state is State.GATHERING and not lab.messages
    return lab


def exchanging() -> RoundLab:
    lab = a_punch()
    lab.wait(0.1)
    assert lab.round.state is State.EXCHANGING and len(lab.messages) == 1
    return lab


def syncing() -> RoundLab:
    lab = exchanging()
    lab.receive_message(candidates(1, PEER[1]))
    assert lab.round.state is State.SYNCING and lab.syncs == [Connect(1)]
    return lab


def checking() -> RoundLab:
    lab = syncing()
    lab.receive_message(ConnectAck(1))
    lab.wait(0.2)
    assert lab.round.state is State.CHECKING and lab.syncs == [Connect(1), Sync(1)] and lab.checks
    return lab


def confirming() -> RoundLab:
    lab = checking()
    lab.check_from(lab.checks[0].socket, PEER)
    lab.answer(lab.checks[0])
    assert lab.round.state is State.CONFIRMING and len(lab.won) == 1
    return lab


@pytest.mark.parametrize("reach", [gathering, exchanging, syncing, checking])
def test_a_round_that_is_stopped_closes_its_sockets_and_waits_for_nothing(reach) -> None:  # type: ignore[no-untyped-def]
    lab = reach()
    assert lab.opened
    lab.round.stop()
    lab.carry_out()
    assert lab.round.state is State.DONE and not lab.opened and not lab.lost
    assert lab.round.next_deadline() is None
    sent = len(lab.sent)
    lab.receive_message(candidates(1, PEER[1]))
    assert len(lab.sent) == sent


def test_what_was_won_is_repeated_for_a_while_and_outlives_the_round() -> None:
    lab = confirming()
    [won] = lab.won
    before = len(lab.checks)
    lab.wait(CONFIRM_S)
    assert len(lab.checks) > before, "the choice is repeated"
    assert lab.round.state is State.DONE and lab.opened == {won.socket} and lab.round.next_deadline() is None


def test_a_win_that_is_stopped_keeps_its_socket_and_answers_there() -> None:
    lab = confirming()
    lab.round.stop()
    assert lab.round.state is State.DONE and lab.opened == {lab.won[0].socket}
    answers = lab.round.checks.answers_sent
    lab.now += 1.0
    lab.check_from(lab.won[0].socket, PEER)
    assert lab.round.checks.answers_sent == answers + 1


def test_without_the_peers_candidates_it_is_lost_while_exchanging_and_without_a_start_while_syncing() -> None:
    for lab, reason in ((exchanging(), "no-candidates"), (syncing(), "no-sync"), (checking(), "no-answer")):
        lab.wait(5.0)
        assert lab.lost == [reason] and lab.round.state is State.DONE and not lab.opened


def test_unsynchronised_it_checks_as_soon_as_both_sides_candidates_are_known() -> None:
    lab = a_punch(0)
    assert lab.round.state is State.EXCHANGING
    lab.receive_message(candidates(0, PEER[1]))
    assert lab.round.state is State.CHECKING and lab.checks


def test_a_probe_round_may_check_before_its_own_port_is_known() -> None:
    lab = a_probe()
    quiet = RoundLab(birthday.make_round, a_context(FIXED, RANDOM), lambda socket, destination: 4_000)
    quiet.answers = False
    quiet.begin()
    for each, before in ((lab, State.EXCHANGING), (quiet, State.GATHERING)):
        assert each.round.state is before
        each.receive_message(candidates(4, 30_000))
        assert each.round.state is State.CHECKING and each.round.started_at is not None
    lab.wait(0.3)
    lab.answer(lab.checks[-1])
    assert lab.round.state is State.CONFIRMING and lab.opened == {lab.won[0].socket}


def test_two_counters_start_together() -> None:
    counting = NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, STRICT, Allocation.SEQUENTIAL, 1)
    lab = a_probe(port_prediction.make_round, counting, counting)
    lab.receive_message(candidates(4, 30_000))
    assert lab.round.state is State.SYNCING and not lab.checks
    lab.receive_message(ConnectAck(4))
    lab.wait(0.1)
    assert lab.round.state is State.CHECKING and lab.checks
