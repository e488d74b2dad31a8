"""The table of the account, row by row."""

import pytest

from app.account.status import TRANSITIONS, AccountStatus, State, Trigger, own_address
from app.store.documents import Profile
from transport.quic.session_events import Rejected

REJECTED = Rejected("not-registered", "no such name")
WAYS: dict[State, tuple[Trigger, ...]] = {
    State.NONE: (),
    State.CONNECTING: (Trigger.REGISTERED,),
    State.ONLINE: (Trigger.REGISTERED, Trigger.LOGGED_IN),
    State.OFFLINE: (Trigger.REGISTERED, Trigger.LOST),
    State.REFUSED: (Trigger.REGISTERED, Trigger.REJECTED),
}
MOVES: dict[Trigger, str] = {
    Trigger.REGISTERED: "none>connecting connecting>connecting online>connecting offline>connecting refused>connecting",
    Trigger.LOGGED_IN: "connecting>online offline>online",
    Trigger.LOST: "none>offline connecting>offline online>offline offline>offline refused>offline",
    Trigger.REJECTED: "connecting>refused online>refused offline>refused",
    Trigger.SIGNED_OFF: "connecting>none online>none offline>none refused>none",
}


def in_state(state: State) -> AccountStatus:
    status = AccountStatus()
    for trigger in WAYS[state]:
        status.move(trigger, "unreachable", "before", 1.0)
    assert status.state is state
    return status


@pytest.mark.parametrize("trigger", list(Trigger))
@pytest.mark.parametrize("before", list(State))
def test_every_trigger_moves_the_states_that_it_may_and_no_other(before: State, trigger: Trigger) -> None:
    moves = dict(row.split(">") for row in MOVES[trigger].split())
    status = in_state(before)
    rejection = REJECTED if trigger is Trigger.REJECTED else None
    fits = status.move(trigger, "refused", "now", rejection=rejection)
    assert fits == (before.value in moves)
    assert status.shown == moves.get(before.value, before.value)
    assert ((before, trigger) in TRANSITIONS) == fits
    if fits:
        assert (status.problem, status.detail, status.retry_s) == ("refused", "now", None)
        assert status.rejection is rejection


def test_a_profile_that_names_no_relay_is_no_address() -> None:
    assert own_address(Profile()) is None
    assert own_address(Profile("ann", "no relay at all!")) is None
    own = own_address(Profile("ann", "relay.example"))
    assert own is not None and own.short.startswith("ann@relay.example")
