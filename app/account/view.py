"""What windows show of the user's account; :mod:`app.account.account` keeps it current."""

from dataclasses import dataclass, field

from app.ipc.engine_state import Busy, Me


@dataclass(slots=True)
class AccountView:
    """``online``: by short address, who is there, of those that are watched. ``busy``: a long step under way."""

    me: Me = field(default_factory=Me)
    online: dict[str, bool] = field(default_factory=dict)
    busy: Busy = ""
