"""One path to the peer: its state, its addresses, and what is known about it."""

import ipaddress
from collections.abc import Collection, Mapping
from enum import Enum
from typing import Final

from transport.net.sockets import Address
from transport.path.stats import PathKind, PathMeasurements, PathStats, PathVia, milliseconds

NEVER = float("-inf")


class State(Enum):
    """The life of a path."""

    CANDIDATE = "candidate"
    """Known, but without a socket."""
    VALIDATING = "validating"
    """Its socket is open and it is being validated."""
    STANDBY = "standby"
    """Validated, and not in use."""
    ACTIVE = "active"
    """In use: it carries the call."""
    SUSPECT = "suspect"
    """In use, but silent for longer than it should be."""
    DEAD = "dead"
    """Silent for too long."""


class Trigger(Enum):
    """Why a path changes its state."""

    OPENED = "socket opened"
    VALIDATED = "validated"
    REFUTED = "validation lost"
    CHOSEN = "chosen to carry the call"
    REPLACED = "replaced by another path"
    SILENT = "silent"
    STILL_SILENT = "still silent"
    RECEIVED = "traffic received"
    CLOSED = "socket closed"


TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    (State.CANDIDATE, Trigger.OPENED): State.VALIDATING,
    (State.VALIDATING, Trigger.VALIDATED): State.STANDBY,
    (State.STANDBY, Trigger.CHOSEN): State.ACTIVE,
    # A path in use is judged by the peer's traffic alone; only an idle one by its validation.
    (State.STANDBY, Trigger.REFUTED): State.VALIDATING,
    (State.STANDBY, Trigger.STILL_SILENT): State.DEAD,
    (State.ACTIVE, Trigger.REPLACED): State.STANDBY,
    (State.SUSPECT, Trigger.REPLACED): State.STANDBY,
    (State.ACTIVE, Trigger.SILENT): State.SUSPECT,
    (State.SUSPECT, Trigger.RECEIVED): State.ACTIVE,
    (State.SUSPECT, Trigger.STILL_SILENT): State.DEAD,
    (State.DEAD, Trigger.RECEIVED): State.STANDBY,
    **{(state, Trigger.CLOSED): State.CANDIDATE for state in State if state is not State.CANDIDATE},
}

IN_USE = (State.ACTIVE, State.SUSPECT)
USABLE = (*IN_USE, State.STANDBY)


class Path:
    """Changed by :class:`transport.path.manager.PathManager`, except for its addresses and its measurements, which
    :class:`transport.path.paths.Multipath` keeps up to date. All times are in the machine's clock."""

    __slots__ = (
        "backoff_until",
        "counted",
        "died_at",
        "failures",
        "kind",
        "lag_s",
        "local",
        "measured",
        "missed_at",
        "missed_since",
        "number",
        "passed",
        "previous_remote",
        "remote",
        "reported_expected",
        "silence_reported_at",
        "socket",
        "state",
        "via",
        "watched_from",
    )

    def __init__(self, number: int, kind: PathKind, via: PathVia, remote: Address) -> None:
        self.number = number
        self.kind = kind
        self.via = via
        self.remote = remote
        self.previous_remote: Address | None = None
        """Direct paths: where the peer was until it moved. Packets under way from there still count."""
        self.socket: int | None = None
        self.local: Address | None = None
        self.state = State.CANDIDATE
        self.measured = PathMeasurements()
        self.passed = False
        """It has passed an evaluation with media."""
        self.failures = 0
        """Evaluations failed since the last that it passed."""
        self.backoff_until = NEVER
        """No evaluation begins before."""
        self.watched_from: float | None = None
        """Silence counts from here, if nothing has been received since."""
        self.missed_since: float | None = None
        """The peer first reported then that it receives nothing by this path, and nothing has refuted that."""
        self.missed_at = NEVER
        """When the peer last reported it."""
        self.silence_reported_at = NEVER
        """When we last reported to the peer that nothing comes by this path."""
        self.lag_s: float | None = None
        """How much later our frames arrive than by the peer's fastest path."""
        self.reported_expected = 0
        """Frames expected, in the peer's newest report."""
        self.counted: tuple[int, int] | None = None
        """The peer's count (frames, expected) at the beginning of the present stretch of ``DOUBTFUL_FRAMES``."""
        self.died_at = 0.0

    def move(self, trigger: Trigger) -> bool:
        """Change the state as :data:`TRANSITIONS` says; False if nothing changes."""
        after = TRANSITIONS.get((self.state, trigger))
        if after is None:
            return False
        self.state = after
        return True

    @property
    def rtt_s(self) -> float | None:
        """Round-trip time end to end, smoothed."""
        return self.measured.round_trip.smoothed

    @property
    def silent_from(self) -> float | None:
        """Since when nothing has been received by it; None while that means nothing."""
        received, watched = self.measured.received_at, self.watched_from
        if received is None or watched is None:
            return received if watched is None else watched
        return max(received, watched)

    def accepts(self, source: Address) -> bool:
        """Whether a packet on its socket from ``source`` has come by this path."""
        return source in (self.remote, self.previous_remote)

    def move_to(self, remote: Address) -> None:
        """The far end has another address. Of a direct path, packets from the one before still count."""
        if self.kind == "direct":
            self.previous_remote = self.remote
        self.remote = remote

    def is_without_host(self, hosts: Collection[str]) -> bool:
        """Whether the address of its socket is none of ``hosts`` any more; a wildcard address always is one."""
        return (
            self.local is not None
            and not ipaddress.ip_address(self.local[0]).is_unspecified
            and self.local[0] not in hosts
        )

    def stats(self) -> PathStats:
        """What the call report and the window show of it."""
        measured = self.measured
        return PathStats(
            kind=self.kind,
            via=self.via,
            local=self.local,
            remote=self.remote,
            state=self.state.value,
            rtt_ms=milliseconds(self.rtt_s),
            loss=measured.loss.share(),
            jitter_ms=milliseconds(measured.jitter.value),
            packets_sent=measured.packets_sent,
            packets_received=measured.packets_received,
        )
