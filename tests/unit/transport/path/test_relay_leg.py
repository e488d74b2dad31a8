import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.net.sockets import Address
from transport.path import relay_leg as legs
from transport.path.relay_leg import (
    KEEPALIVE_S,
    MAX_RETRY_S,
    CheckBinding,
    LegAccess,
    LegBound,
    LegLost,
    LegRefused,
    LegState,
    LegTimer,
    RelayLeg,
    ReplaceGrant,
    SendToRelay,
    StartBinding,
    StopLeg,
    StunArrived,
)
from transport.wire import stun

ACCESS = LegAccess(("192.0.2.1", 7851), "a-username", "a-very-secret-password")
ME = ("198.51.100.1", 4_000)


def new_leg() -> RelayLeg:
    return RelayLeg(ACCESS, random.Random(1))


def request_in(commands: list[legs.LegCommand]) -> stun.StunMessage:
    (sent,) = [command for command in commands if isinstance(command, SendToRelay)]
    return stun.parse(sent.data)


def success(request: stun.StunMessage, password: str = ACCESS.password, source: Address = ME) -> StunArrived:
    return StunArrived(stun.binding_success(request, source, password))


def refusal(request: stun.StunMessage, code: int = 401, password: str = "") -> StunArrived:
    return StunArrived(stun.binding_error(request, code, "no", password))


def bound_leg() -> RelayLeg:
    leg = new_leg()
    leg.handle(success(request_in(leg.handle(StartBinding(), 0.0))), 0.04)
    return leg


def test_no_secret_is_in_the_repr() -> None:
    assert ACCESS.password not in repr(ACCESS)


def test_the_request_proves_the_grant() -> None:
    request = request_in(new_leg().handle(StartBinding(), 0.0))
    assert request.username == ACCESS.username
    assert request.authentic(ACCESS.password) and not request.authentic("another password")


def test_an_authentic_answer_binds_and_tells_address_and_round_trip() -> None:
    leg = new_leg()
    request = request_in(leg.handle(StartBinding(), 0.0))
    assert leg.handle(success(request), 0.04) == [LegBound(ME)]
    assert leg.state is LegState.BOUND and leg.reflexive == ME
    assert leg.round_trip.smoothed == pytest.approx(0.04)
    assert leg.next_deadline() == pytest.approx(0.04 + KEEPALIVE_S)


def test_retries_double_up_to_a_second_and_never_share_a_transaction() -> None:
    leg = new_leg()
    now, waits, seen = 0.0, [], {request_in(leg.handle(StartBinding(), 0.0)).transaction_id}
    for _ in range(7):
        due = leg.next_deadline()
        assert due is not None
        waits.append(due - now)
        now = due
        seen.add(request_in(leg.handle(LegTimer(), now)).transaction_id)
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, MAX_RETRY_S, MAX_RETRY_S, MAX_RETRY_S])
    assert len(seen) == 8


def test_the_answer_to_an_earlier_try_counts_with_its_own_round_trip() -> None:
    leg = new_leg()
    first = request_in(leg.handle(StartBinding(), 0.0))
    leg.handle(LegTimer(), 0.1)
    assert leg.handle(success(first), 0.15) == [LegBound(ME)]
    assert leg.round_trip.smoothed == pytest.approx(0.15)


@pytest.mark.parametrize("spoil", ["password", "transaction", "unsigned", "request", "garbage"])
def test_what_is_not_authentic_changes_nothing(spoil: str) -> None:
    leg = new_leg()
    request = request_in(leg.handle(StartBinding(), 0.0))
    other = stun.parse(stun.binding_request(bytes(12), ACCESS.username, ACCESS.password))
    event = {
        "password": success(request, "another password"),
        "transaction": success(other),
        "unsigned": StunArrived(stun.binding_success(request, ME)),
        "request": StunArrived(stun.binding_request(request.transaction_id, ACCESS.username, ACCESS.password)),
        "garbage": StunArrived(bytes(40)),
    }[spoil]
    deadline = leg.next_deadline()
    assert leg.handle(event, 0.05) == []
    assert leg.state is LegState.BINDING and leg.next_deadline() == deadline


def test_an_answer_counts_once() -> None:
    leg = new_leg()
    request = request_in(leg.handle(StartBinding(), 0.0))
    leg.handle(success(request), 0.04)
    assert leg.handle(success(request, source=("203.0.113.9", 9)), 0.05) == []
    assert leg.reflexive == ME


def test_a_forged_refusal_is_not_enough_three_in_a_row_are() -> None:
    leg = new_leg()
    requests = [request_in(leg.handle(StartBinding(), 0.0))]
    assert leg.handle(refusal(requests[0]), 0.05) == []
    # The same refusal again is no second one.
    assert leg.handle(refusal(requests[0]), 0.05) == []
    requests.append(request_in(leg.handle(LegTimer(), 0.1)))
    assert leg.handle(refusal(requests[1]), 0.15) == []
    requests.append(request_in(leg.handle(LegTimer(), 0.31)))
    assert leg.handle(refusal(requests[2], 438), 0.36) == [LegRefused(438)]
    assert leg.state is LegState.REFUSED


def test_an_authentic_refusal_counts_at_once() -> None:
    leg = new_leg()
    request = request_in(leg.handle(StartBinding(), 0.0))
    assert leg.handle(refusal(request, 438, ACCESS.password), 0.05) == [LegRefused(438)]


def test_a_refused_leg_asks_on_and_binds_when_the_relay_has_learnt_of_it() -> None:
    leg = new_leg()
    request = request_in(leg.handle(StartBinding(), 0.0))
    leg.handle(refusal(request, 438, ACCESS.password), 0.05)
    due = leg.next_deadline()
    assert due is not None
    request = request_in(leg.handle(LegTimer(), due))
    assert leg.handle(success(request), due + 0.04) == [LegBound(ME)]


def test_other_errors_are_not_refusals() -> None:
    leg = new_leg()
    request = request_in(leg.handle(StartBinding(), 0.0))
    assert leg.handle(refusal(request, 500, ACCESS.password), 0.05) == []
    assert leg.state is LegState.BINDING


def test_a_kept_leg_is_checked_each_quarter_of_a_minute_without_a_word() -> None:
    leg = bound_leg()
    for _ in range(4):
        due = leg.next_deadline()
        assert due is not None
        request = request_in(leg.handle(LegTimer(), due))
        assert leg.state is LegState.CHECKING
        assert leg.handle(success(request), due + 0.04) == []
        assert leg.state is LegState.BOUND


def test_three_missed_keepalives_within_two_seconds_lose_the_leg() -> None:
    leg = bound_leg()
    due = started = leg.next_deadline()
    assert due is not None and started is not None
    out: list[legs.LegCommand] = []
    while LegLost() not in out:
        out = leg.handle(LegTimer(), due)
        due = leg.next_deadline()
        assert due is not None
    assert due - started < 2.0
    assert leg.state is LegState.BINDING
    assert request_in(out)


def test_another_address_is_told() -> None:
    leg = bound_leg()
    request = request_in(leg.handle(CheckBinding(), 1.0))
    assert leg.handle(success(request, source=("198.51.100.1", 61_000)), 1.04) == [LegBound(("198.51.100.1", 61_000))]


def test_a_new_grant_binds_at_once_and_the_old_answer_is_worth_nothing() -> None:
    leg = new_leg()
    old = request_in(leg.handle(StartBinding(), 0.0))
    request = request_in(leg.handle(ReplaceGrant(LegAccess(("192.0.2.1", 1), "b", "another secret")), 0.05))
    assert request.username == "b"
    assert leg.handle(success(old), 0.06) == []
    assert leg.handle(success(request, "another secret"), 0.1) == [LegBound(ME)]


def test_a_stopped_leg_is_silent() -> None:
    leg = bound_leg()
    assert leg.handle(StopLeg(), 1.0) == []
    assert leg.next_deadline() is None
    assert leg.handle(CheckBinding(), 1.0) == [] and leg.handle(LegTimer(), 99.0) == []
    assert leg.handle(ReplaceGrant(ACCESS), 2.0) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["start", "check", "replace", "timer", "stop", "success", "refusal", "forged", "noise"]),
            st.floats(0, 2),
            st.binary(max_size=80),
        ),
        max_size=60,
    )
)
def test_whatever_happens_the_leg_stands_or_asks(steps: list[tuple[str, float, bytes]]) -> None:
    leg, now, asked = new_leg(), 0.0, stun.parse(stun.binding_request(bytes(12), "u", "p"))
    for what, pause, noise in steps:
        now += pause
        event: legs.LegEvent = {
            "start": StartBinding(),
            "check": CheckBinding(),
            "replace": ReplaceGrant(ACCESS),
            "timer": LegTimer(),
            "stop": StopLeg(),
            "success": success(asked),
            "refusal": refusal(asked),
            "forged": success(asked, "forged"),
            "noise": StunArrived(noise),
        }[what]
        for command in leg.handle(event, now):
            if isinstance(command, SendToRelay):
                asked = stun.parse(command.data)
        # No state but CLOSED is without a deadline, and every deadline lies within one keepalive.
        due = leg.next_deadline()
        assert (due is None) == (leg.state is LegState.CLOSED)
        assert due is None or due <= now + KEEPALIVE_S
