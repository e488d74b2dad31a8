"""The states of a path, and what the path manager is told and says."""

from dataclasses import dataclass
from enum import Enum

from transport.net.sockets import Address
from transport.path.stats import PathKind, PathVia


class PathState(Enum):
    """The life of a path."""

    CANDIDATE = "candidate"
    """Known, nothing opened for it yet."""
    VALIDATING = "validating"
    """Its socket is open and it is being tried."""
    STANDBY = "standby"
    """Proven to work, carrying nothing."""
    ACTIVE = "active"
    """Carries the call."""
    SUSPECT = "suspect"
    """Carries the call, and has been silent for longer than was promised."""
    DEAD = "dead"
    """Silent for too long."""


class Cause(Enum):
    """Why a path changes its state."""

    OPENED = "opened"
    VALIDATED = "validated"
    REFUTED = "refuted"
    CHOSEN = "chosen"
    REPLACED = "replaced"
    SILENT = "silent"
    STILL_SILENT = "still silent"
    HEARD = "heard"
    CLOSED = "closed"


TRANSITIONS: dict[tuple[PathState, Cause], PathState] = {
    (PathState.CANDIDATE, Cause.OPENED): PathState.VALIDATING,
    (PathState.VALIDATING, Cause.VALIDATED): PathState.STANDBY,
    (PathState.STANDBY, Cause.CHOSEN): PathState.ACTIVE,
    # A path in use is judged by the peer's traffic alone; only an idle one by its validation.
    (PathState.STANDBY, Cause.REFUTED): PathState.VALIDATING,
    (PathState.STANDBY, Cause.STILL_SILENT): PathState.DEAD,
    (PathState.ACTIVE, Cause.REPLACED): PathState.STANDBY,
    (PathState.SUSPECT, Cause.REPLACED): PathState.STANDBY,
    (PathState.ACTIVE, Cause.SILENT): PathState.SUSPECT,
    (PathState.SUSPECT, Cause.HEARD): PathState.ACTIVE,
    (PathState.SUSPECT, Cause.STILL_SILENT): PathState.DEAD,
    (PathState.DEAD, Cause.HEARD): PathState.STANDBY,
    **{(state, Cause.CLOSED): PathState.CANDIDATE for state in PathState if state is not PathState.CANDIDATE},
}
"""Every change of state there is; any other pair of state and cause changes nothing."""


@dataclass(frozen=True, slots=True)
class AddPath:
    """A way to the peer becomes known. ``path`` is a number of the caller's choice, used once."""

    path: int
    kind: PathKind
    via: PathVia
    remote: Address


@dataclass(frozen=True, slots=True)
class PathOpened:
    """The path has a socket, bound to ``local``."""

    path: int
    local: Address


@dataclass(frozen=True, slots=True)
class PathClosed:
    """The path's socket is gone."""

    path: int


@dataclass(frozen=True, slots=True)
class PathMoved:
    """The path's far end is at another address from now on."""

    path: int
    remote: Address


@dataclass(frozen=True, slots=True)
class PathValidated:
    """The path works as far as can be asked (relay: the leg is bound; direct: a check was answered)."""

    path: int


@dataclass(frozen=True, slots=True)
class PathRefuted:
    """What validated the path no longer holds."""

    path: int


@dataclass(frozen=True, slots=True)
class PacketSeen:
    """Authentic traffic of the peer came by the path. The first of it makes later silence mean something."""

    path: int


@dataclass(frozen=True, slots=True)
class PathGone:
    """The path will not come back: forget it."""

    path: int


@dataclass(frozen=True, slots=True)
class MediaSent:
    """A frame of voice is about to be sent."""


@dataclass(frozen=True, slots=True)
class Echoed:
    """An echo request was answered by the path, after ``rtt_s``."""

    path: int
    rtt_s: float


@dataclass(frozen=True, slots=True)
class PathCounted:
    """``frames`` of ``expected`` came by the path since the call began, ``behind_s`` later than by the fastest."""

    path: int
    frames: int
    expected: int
    behind_s: float


@dataclass(frozen=True, slots=True)
class PeerCounted:
    """The peer has counted our frames, by each path, at one moment."""

    counts: tuple[PathCounted, ...]


@dataclass(frozen=True, slots=True)
class PeerReportsSilence:
    """The peer has heard nothing by the path for ``silent_s``, and should."""

    path: int
    silent_s: float


@dataclass(frozen=True, slots=True)
class PeerUses:
    """The peer now sends by a path of this kind."""

    kind: PathKind


@dataclass(frozen=True, slots=True)
class PathTimer:
    """The manager's deadline has come."""


ManagerEvent = (
    AddPath
    | PathOpened
    | PathClosed
    | PathMoved
    | PathValidated
    | PathRefuted
    | PathGone
    | PacketSeen
    | MediaSent
    | Echoed
    | PeerCounted
    | PeerReportsSilence
    | PeerUses
    | PathTimer
)


@dataclass(frozen=True, slots=True)
class StateChanged:
    """A path is in another state."""

    path: int
    state: PathState


@dataclass(frozen=True, slots=True)
class Revalidate:
    """A path that should carry the call is silent: find out what its first hop says, or that of its standby."""

    path: int


@dataclass(frozen=True, slots=True)
class SendAgain:
    """What was sent on ``lost_on`` since then has perhaps not arrived: send it on ``onto`` as well."""

    lost_on: int
    onto: int
    since: float


@dataclass(frozen=True, slots=True)
class ReportSilence:
    """The peer has to know that nothing has come by the path for ``silent_s``."""

    path: int
    silent_s: float


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The path is no more; its socket is of no use."""

    path: int


@dataclass(frozen=True, slots=True)
class ConnectivityLost:
    """No path brings anything any more; the peer was last heard at ``since``."""

    since: float


@dataclass(frozen=True, slots=True)
class ConnectivityRestored:
    """The silence is over."""


ManagerCommand = (
    StateChanged | Revalidate | SendAgain | ReportSilence | Forgotten | ConnectivityLost | ConnectivityRestored
)
