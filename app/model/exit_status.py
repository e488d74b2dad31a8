"""What the command line ends with: a contract with scripts, so a number never changes its meaning (pure)."""

from enum import IntEnum


class ExitStatus(IntEnum):
    """0: the call was answered and ended normally, or the command did what it was asked; 2: wrong usage; 3: not
    reachable; 4: declined or busy; 5: failed (DESIGN §10)."""

    OK = 0
    USAGE = 2
    UNREACHABLE = 3
    DECLINED = 4
    FAILED = 5


_UNREACHABLE: frozenset[str] = frozenset(
    (
        "offline",
        "unknown-name",
        "no-answer",
        "relay-unreachable",
        "wrong-pin",
        "relay-untrusted",
        "limit",
        "draining",
        "not-registered",
    )
)


def exit_status(reason: str, *, answered: bool) -> ExitStatus:
    """The exit status for a call that ended with ``reason``."""
    if answered:
        return ExitStatus.OK if reason in ("hung-up", "closed", "peer-left") else ExitStatus.FAILED
    if reason in ("declined", "busy"):
        return ExitStatus.DECLINED
    return ExitStatus.UNREACHABLE if reason in _UNREACHABLE else ExitStatus.FAILED
