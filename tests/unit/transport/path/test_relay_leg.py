import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.net.sockets import Address
from transport.path.relay_leg import KEEPALIVE_S, MAX_RETRY_S, MISSED_KEEPALIVES, LegAccess, RelayLeg, State, Trigger
from transport.wire import stun

ACCESS = LegAccess(("192.0.2.1", 7851), "a-username", "a-very-secret-password")
ME = ("198.51.100.1", 4_000)


def new_leg() -> RelayLeg:
    return RelayLeg(ACCESS, random.Random(1))


def parsed(request: bytes | None) -> stun.StunMessage:
    assert request is not None
    return stun.parse(request)


def success(request: stun.StunMessage, password: str = ACCESS.password, source: Address = ME) -> bytes:
    return stun.binding_success(request, source, password)


def refusal(request: stun.StunMessage, code: int = 401, password: str = "") -> bytes:
    return stun.binding_error(request, code, "no", password)


def bound_leg() -> RelayLeg:
    leg = new_leg()
    leg.received(success(parsed(leg.opened(0.0))), 0.04)
    return leg


def test_no_secret_is_in_the_repr() -> None:
    assert ACCESS.password not in repr(ACCESS)


def test_the_request_proves_the_grant() -> None:
    request = parsed(new_leg().opened(0.0))
    assert request.username == ACCESS.username
    assert request.authentic(ACCESS.password) and not request.authentic("another password")


def test_an_authentic_answer_binds_and_tells_address_and_round_trip() -> None:
    leg = new_leg()
    request = parsed(leg.opened(0.0))
    assert leg.received(success(request), 0.04) is Trigger.ANSWERED and leg.reflexive == ME
    assert leg.state is State.BOUND and leg.reflexive == ME
    assert leg.round_trip.smoothed == pytest.approx(0.04)
    assert leg.next_deadline() == pytest.approx(0.04 + KEEPALIVE_S)


def test_retries_double_up_to_a_second_and_never_share_a_transaction() -> None:
    leg = new_leg()
    now, waits, seen = 0.0, [], {parsed(leg.opened(0.0)).transaction_id}
    for _ in range(7):
        due = leg.next_deadline()
        assert due is not None
        waits.append(due - now)
        now = due
        seen.add(parsed(leg.timer(now)).transaction_id)
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, MAX_RETRY_S, MAX_RETRY_S, MAX_RETRY_S])
    assert len(seen) == 8


def test_the_answer_to_an_earlier_try_counts_with_its_own_round_trip() -> None:
    leg = new_leg()
    first = parsed(leg.opened(0.0))
    leg.timer(0.1)
    assert leg.received(success(first), 0.15) is Trigger.ANSWERED and leg.reflexive == ME
    assert leg.round_trip.smoothed == pytest.approx(0.15)


@pytest.mark.parametrize("spoil", ["password", "transaction", "unsigned", "request", "garbage"])
def test_what_is_not_authentic_changes_nothing(spoil: str) -> None:
    leg = new_leg()
    request = parsed(leg.opened(0.0))
    other = stun.parse(stun.binding_request(bytes(12), ACCESS.username, ACCESS.password))
    answer = {
        "password": success(request, "another password"),
        "transaction": success(other),
        "unsigned": stun.binding_success(request, ME),
        "request": stun.binding_request(request.transaction_id, ACCESS.username, ACCESS.password),
        "garbage": bytes(40),
    }[spoil]
    deadline = leg.next_deadline()
    assert leg.received(answer, 0.05) is None
    assert leg.state is State.BINDING and leg.next_deadline() == deadline


def test_an_answer_counts_once() -> None:
    leg = new_leg()
    request = parsed(leg.opened(0.0))
    leg.received(success(request), 0.04)
    assert leg.received(success(request, source=("203.0.113.9", 9)), 0.05) is None
    assert leg.reflexive == ME


def test_a_forged_refusal_is_not_enough_three_in_a_row_are() -> None:
    leg = new_leg()
    requests = [parsed(leg.opened(0.0))]
    assert leg.received(refusal(requests[0]), 0.05) is None
    # The same refusal again is no second one.
    assert leg.received(refusal(requests[0]), 0.05) is None
    requests.append(parsed(leg.timer(0.1)))
    assert leg.received(refusal(requests[1]), 0.15) is None
    requests.append(parsed(leg.timer(0.31)))
    assert leg.received(refusal(requests[2], 438), 0.36) is Trigger.REFUSED and leg.refusal_code == 438
    assert leg.state is State.REFUSED


def test_an_authentic_refusal_counts_at_once() -> None:
    leg = new_leg()
    request = parsed(leg.opened(0.0))
    assert leg.received(refusal(request, 438, ACCESS.password), 0.05) is Trigger.REFUSED and leg.refusal_code == 438


def test_a_refused_leg_asks_on_and_binds_when_the_relay_has_learnt_of_it() -> None:
    leg = new_leg()
    request = parsed(leg.opened(0.0))
    leg.received(refusal(request, 438, ACCESS.password), 0.05)
    due = leg.next_deadline()
    assert due is not None
    request = parsed(leg.timer(due))
    assert leg.received(success(request), due + 0.04) is Trigger.ANSWERED and leg.reflexive == ME
    assert leg.state is State.BOUND


def asks_again(request: stun.StunMessage, nonce: bytes, password: str = ACCESS.password) -> bytes:
    return stun.binding_error(request, 401, "Repeat with NONCE", password, nonce)


@pytest.mark.parametrize("state", [State.BINDING, State.CHECKING, State.REFUSED])
def test_a_request_that_the_relay_asks_for_again_is_repeated_at_once_with_the_nonce(state: State) -> None:
    leg = new_leg()
    request = parsed(leg.opened(0.0))
    if state is State.CHECKING:
        leg.received(success(request), 0.04)
        request = parsed(leg.check(1.0))
    if state is State.REFUSED:
        leg.received(refusal(request, 438, ACCESS.password), 0.05)
        request = parsed(leg.timer(leg.next_deadline() or 0.0))
    again = leg.received(asks_again(request, b"first"), 2.0)
    assert isinstance(again, bytes)
    repeated = stun.parse(again)
    assert repeated.nonce == b"first" and repeated.authentic(ACCESS.password)
    assert repeated.transaction_id != request.transaction_id and leg.state is state
    # The same answer again asks for nothing.
    assert leg.received(asks_again(request, b"first"), 2.0) is None
    leg.received(success(repeated), 2.04)
    assert leg.state is State.BOUND and leg.reflexive == ME
    assert leg.round_trip.smoothed == pytest.approx(0.04)
    # The next time it is asked from scratch.
    assert parsed(leg.timer(leg.next_deadline() or 0.0)).nonce is None


def test_a_relay_that_asks_again_and_again_gets_no_more_than_the_usual_retries() -> None:
    leg = new_leg()
    first = leg.received(asks_again(parsed(leg.opened(0.0)), b"one"), 0.01)
    assert isinstance(first, bytes)
    assert leg.received(asks_again(stun.parse(first), b"two"), 0.02) is None
    due = leg.next_deadline()
    assert due is not None and due >= 0.1
    assert parsed(leg.timer(due)).nonce == b"two"


def test_a_nonce_of_somebody_else_changes_nothing() -> None:
    leg = new_leg()
    request = parsed(leg.opened(0.0))
    assert leg.received(asks_again(request, b"forged", "another password"), 0.01) is None
    assert leg.received(stun.binding_error(request, 401, "no", nonce=b"forged"), 0.02) is None
    assert parsed(leg.timer(0.1)).nonce is None


def test_other_errors_are_not_refusals() -> None:
    leg = new_leg()
    request = parsed(leg.opened(0.0))
    assert leg.received(refusal(request, 500, ACCESS.password), 0.05) is None
    assert leg.state is State.BINDING


def test_a_kept_leg_is_checked_each_quarter_of_a_minute_without_a_word() -> None:
    leg = bound_leg()
    for _ in range(4):
        due = leg.next_deadline()
        assert due is not None
        request = parsed(leg.timer(due))
        assert leg.state is State.CHECKING
        assert leg.received(success(request), due + 0.04) is None
        assert leg.state is State.BOUND


def test_three_missed_keepalives_within_two_seconds_lose_the_leg() -> None:
    leg = bound_leg()
    due = started = leg.next_deadline()
    assert due is not None and started is not None
    request = None
    for _ in range(MISSED_KEEPALIVES + 1):
        request = leg.timer(due)
        due = leg.next_deadline()
        assert due is not None
    assert leg.state is State.BINDING
    assert due - started < 2.0
    assert parsed(request)


def test_another_address_is_news() -> None:
    leg = bound_leg()
    request = parsed(leg.check(1.0))
    assert leg.received(success(request, source=("198.51.100.1", 61_000)), 1.04) is Trigger.ANSWERED
    assert leg.reflexive == ("198.51.100.1", 61_000)


def test_a_new_grant_binds_at_once_and_the_old_answer_is_worth_nothing() -> None:
    leg = new_leg()
    old = parsed(leg.opened(0.0))
    request = parsed(leg.replace(LegAccess(("192.0.2.1", 1), "b", "another secret"), 0.05))
    assert request.username == "b"
    assert leg.received(success(old), 0.06) is None
    assert leg.received(success(request, "another secret"), 0.1) is Trigger.ANSWERED and leg.reflexive == ME


@pytest.mark.parametrize("state", [state for state in State if state is not State.CLOSED])
def test_a_new_grant_binds_anew_whatever_the_state(state: State) -> None:
    leg = bound_leg()
    leg.state = state
    assert parsed(leg.replace(ACCESS, 1.0)) and leg.state is State.BINDING


def test_a_grant_that_is_refused_while_it_is_checked_is_refused() -> None:
    leg = bound_leg()
    request = parsed(leg.check(1.0))
    assert leg.received(refusal(request, 438, ACCESS.password), 1.05) is Trigger.REFUSED
    assert leg.state is State.REFUSED


@pytest.mark.parametrize("state", State)
def test_a_leg_without_a_socket_is_silent(state: State) -> None:
    leg = bound_leg()
    leg.state = state
    leg.closed()
    assert leg.state is State.CLOSED
    assert leg.next_deadline() is None
    assert leg.check(1.0) is None and leg.timer(99.0) is None
    assert leg.replace(ACCESS, 2.0) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["open", "check", "replace", "timer", "close", "success", "refusal", "forged", "noise"]),
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
        match what:
            case "open":
                request = leg.opened(now)
            case "check":
                request = leg.check(now)
            case "replace":
                request = leg.replace(ACCESS, now)
            case "timer":
                request = leg.timer(now)
            case "close":
                request = None
                leg.closed()
            case _:
                request = None
                answers = {"success": success(asked), "refusal": refusal(asked), "forged": success(asked, "forged")}
                leg.received(answers.get(what, noise), now)
        asked = asked if request is None else stun.parse(request)
        # No state but CLOSED is without a deadline, and every deadline lies within one keepalive.
        due = leg.next_deadline()
        assert (due is None) == (leg.state is State.CLOSED)
        assert due is None or due <= now + KEEPALIVE_S
