"""Why a call ends, or a relay refuses: the codes beside those of the relay's protocol (pure).

The others are :data:`transport.wire.relay_messages.EndReason` and :data:`transport.wire.relay_messages.RefusalCode`.
"""

from typing import Literal

from app.model.terms import RelayProblem

LocalReason = Literal[
    "key-changed",  # another key than the pinned one, and the user has not accepted it
    "relay-unreachable",  # no session with the relay
    "wrong-pin",  # a relay that is not the one the address names
    "relay-untrusted",  # a relay without pin, whose certificate no authority vouches for
    "connect-timeout",  # answered, but no end-to-end connection came to be
    "lost",  # every path was silent for too long
    "leg-refused",  # the relay did not take our leg
    "wrong-certificate",  # who answered is not who the directory says
    "protocol",  # the other program sent something that is not allowed
    "closed",
    "peer-left",
]
_END_REASONS = {"unreachable": "relay-unreachable", "untrusted": "relay-untrusted", "replaced": "failed"}
_RELAY_PROBLEMS: dict[str, RelayProblem] = {
    "wrong-pin": "wrong-pin",
    "untrusted": "untrusted",
    "version": "version",
    "replaced": "replaced",
}


def end_reason(code: str) -> str:
    """The end reason for what a session or a request with a relay failed with (codes of the relay client)."""
    return _END_REASONS.get(code, code)


def relay_problem(code: str) -> RelayProblem:
    """The kind of trouble behind the code with which a relay turned the user's session away for good."""
    return _RELAY_PROBLEMS.get(code, "refused")
