"""Calls that are over, as the history shows them."""

from typing import Literal

from app.model.terms import Frozen


class RecentCall(Frozen, frozen=True):
    """One line of the history, newest first. ``seconds`` is the time talked; ``key`` (hex) is that of the other side.
    ``vouched``: as in :class:`app.ipc.engine_state.CallStatus`; ``count``: so many calls that nobody took."""

    call_id: str
    address: str
    outgoing: bool
    at: float
    seconds: float
    outcome: Literal["answered", "missed", "declined", "busy", "cancelled", "no-answer", "unreachable", "failed"]
    was_direct: bool = False
    key: str = ""
    vouched: bool = True
    count: int = 1
