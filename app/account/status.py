"""The account: how the session with the user's own relay stands

:mod:`app.account.account` carries out the steps (register, sign off, a relay of one's own) and reports here what the
relay session says; calls and windows read it.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from app.ipc.engine_state import RelayStatus
from app.model.terms import RelayProblem
from app.store.documents import Profile
from transport.quic.session_events import Rejected
from transport.wire.addresses import PersonAddress, parse_name, parse_relay
from transport.wire.errors import WireError


class State(Enum):
    """Where the account stands; by value, what windows are sent."""

    NONE = "none"
    CONNECTING = "connecting"
    ONLINE = "online"
    OFFLINE = "offline"
    REFUSED = "refused"


class Trigger(Enum):
    """What moves it."""

    REGISTERED = "a name is registered"
    LOGGED_IN = "logged in"
    LOST = "relay lost"
    REJECTED = "rejected for good"
    SIGNED_OFF = "signed off"


TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    **{(state, Trigger.REGISTERED): State.CONNECTING for state in State},
    (State.CONNECTING, Trigger.LOGGED_IN): State.ONLINE,
    (State.OFFLINE, Trigger.LOGGED_IN): State.ONLINE,
    # The private relay of this machine may fail to start before there is a name.
    **{(state, Trigger.LOST): State.OFFLINE for state in State},
    (State.CONNECTING, Trigger.REJECTED): State.REFUSED,
    (State.ONLINE, Trigger.REJECTED): State.REFUSED,
    (State.OFFLINE, Trigger.REJECTED): State.REFUSED,
    **{(state, Trigger.SIGNED_OFF): State.NONE for state in State if state is not State.NONE},
}


class AccountStatus:
    """``problem`` is what is wrong with the relay, ``detail`` what the relay or the system reported, and ``retry_s``
    when the next attempt comes. ``rejection``: the relay has turned the user away for good."""

    def __init__(self) -> None:
        self.state = State.NONE
        self.problem: RelayProblem | None = None
        self.detail = ""
        self.retry_s: float | None = None
        self.rejection: Rejected | None = None

    @property
    def shown(self) -> RelayStatus:
        """For windows."""
        return self.state.value

    def move(
        self,
        trigger: Trigger,
        problem: RelayProblem | None = None,
        detail: str = "",
        retry_s: float | None = None,
        rejection: Rejected | None = None,
    ) -> bool:
        """Something happened to the session with the relay; returns whether it fits the state."""
        after = TRANSITIONS.get((self.state, trigger))
        if after is None:
            return False
        self.state = after
        self.problem, self.detail, self.retry_s, self.rejection = problem, detail, retry_s, rejection
        return True


def own_address(profile: Profile) -> PersonAddress | None:
    """Where the user can be called; ``None`` before a name is registered."""
    if not profile.name:
        return None
    try:
        return PersonAddress(parse_name(profile.name), parse_relay(profile.relay))
    except WireError:
        return None
