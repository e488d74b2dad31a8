"""The path manager: which paths exist, what state each is in, and which carry the next packet (DESIGN §7).

Invariant: while any path is usable (standby, active or suspect), exactly one is active or, when it has fallen
silent, suspect; and there is always something to send on once a path has been validated: when all have died, the
one that was heard last still carries everything, because silence may end by itself.

A path is judged by authentic traffic of the peer (:class:`Heard`), not by what its first hop answers.
"""

from dataclasses import dataclass
from enum import Enum

from transport.path.echo import PROMISE_S
from transport.path.stats import PathKind, PathQuality, PathStats, PathVia, milliseconds
from transport.wire.stun import Address

# DESIGN §7: 60 ms beyond what was promised is unexpected.
SUSPECT_AFTER_S = PROMISE_S + 0.06
DEAD_AFTER_S = 1.0
# While everything is silent, its first hop is asked this often whether it still knows us (a relay may restart).
REVALIDATE_EVERY_S = 1.0


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
    (PathState.ACTIVE, Cause.SILENT): PathState.SUSPECT,
    (PathState.SUSPECT, Cause.HEARD): PathState.ACTIVE,
    (PathState.SUSPECT, Cause.STILL_SILENT): PathState.DEAD,
    (PathState.DEAD, Cause.HEARD): PathState.STANDBY,
    **{(state, Cause.CLOSED): PathState.CANDIDATE for state in PathState if state is not PathState.CANDIDATE},
}
"""Every change of state there is; any other pair of state and cause changes nothing."""

_IN_USE = (PathState.ACTIVE, PathState.SUSPECT)


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
    """The path works as far as can be asked (relay: the leg is bound)."""

    path: int


@dataclass(frozen=True, slots=True)
class PathRefuted:
    """What validated the path no longer holds."""

    path: int


@dataclass(frozen=True, slots=True)
class Heard:
    """Authentic traffic of the peer came by the path. The first of it makes later silence mean something."""

    path: int


@dataclass(frozen=True, slots=True)
class PathTimer:
    """The manager's deadline has come."""


ManagerEvent = AddPath | PathOpened | PathClosed | PathMoved | PathValidated | PathRefuted | Heard | PathTimer


@dataclass(frozen=True, slots=True)
class StateChanged:
    """A path is in another state."""

    path: int
    state: PathState


@dataclass(frozen=True, slots=True)
class Revalidate:
    """A path that should carry the call is silent: find out what its first hop says."""

    path: int


@dataclass(frozen=True, slots=True)
class AllSilent:
    """No path brings anything any more; the peer was last heard at ``since``."""

    since: float


@dataclass(frozen=True, slots=True)
class HeardAgain:
    """The silence is over."""


ManagerCommand = StateChanged | Revalidate | AllSilent | HeardAgain


class _Path:
    __slots__ = ("active_from", "active_to", "added", "local", "quality", "remote", "state")

    def __init__(self, added: AddPath) -> None:
        self.added = added
        self.remote = added.remote
        self.local: Address | None = None
        self.state = PathState.CANDIDATE
        self.quality = PathQuality()
        self.active_from: float | None = None
        self.active_to: float | None = None

    def stats(self) -> PathStats:
        quality = self.quality
        return PathStats(
            kind=self.added.kind,
            via=self.added.via,
            local=self.local,
            remote=self.remote,
            state=self.state.value,
            rtt_ms=milliseconds(quality.round_trip.smoothed),
            min_rtt_ms=milliseconds(quality.round_trip.minimum),
            loss=quality.loss.share(),
            jitter_ms=milliseconds(quality.jitter.value),
            active_from=self.active_from,
            active_to=self.active_to,
            packets_sent=quality.packets_sent,
            packets_received=quality.packets_received,
            bytes_sent=quality.bytes_sent,
            bytes_received=quality.bytes_received,
        )


class PathManager:
    """The machine over all paths of one call."""

    __slots__ = ("_carriers", "_paths", "_revalidate_at", "_silent_since")

    def __init__(self) -> None:
        self._paths: dict[int, _Path] = {}
        self._carriers: tuple[int, ...] = ()
        self._silent_since: float | None = None
        self._revalidate_at: float | None = None

    @property
    def carriers(self) -> tuple[int, ...]:
        """The paths that the next packet is sent on; empty before the first has been validated."""
        return self._carriers

    @property
    def silent_since(self) -> float | None:
        """When the peer was last heard, if no path brings anything any more."""
        return self._silent_since

    def quality(self, path: int) -> PathQuality | None:
        """The measurements of a path, to be fed by whoever sends and receives on it."""
        known = self._paths.get(path)
        return None if known is None else known.quality

    def state(self, path: int) -> PathState | None:
        """The state of a path."""
        known = self._paths.get(path)
        return None if known is None else known.state

    def stats(self) -> tuple[PathStats, ...]:
        """All paths, in the order in which they became known."""
        return tuple(path.stats() for path in self._paths.values())

    def next_deadline(self) -> float | None:
        """When :class:`PathTimer` is due."""
        deadlines = [
            path.quality.heard + (SUSPECT_AFTER_S if path.state is PathState.ACTIVE else DEAD_AFTER_S)
            for path in self._paths.values()
            if path.state in _IN_USE and path.quality.heard is not None
        ]
        if self._revalidate_at is not None:
            deadlines.append(self._revalidate_at)
        return min(deadlines, default=None)

    def handle(self, event: ManagerEvent, now: float) -> list[ManagerCommand]:
        """Take one event; never raises. Events about unknown paths change nothing."""
        if isinstance(event, PathTimer):
            return self._timer(now)
        if isinstance(event, AddPath):
            self._paths.setdefault(event.path, _Path(event))
            return []
        path = self._paths.get(event.path)
        if path is None:
            return []
        match event:
            case Heard():
                return self._heard(event.path, path, now)
            case PathMoved(_, remote):
                path.remote = remote
                return []
            case PathOpened(_, local):
                path.local = local
                return self._change(event.path, Cause.OPENED, now)
            case PathClosed():
                out = self._change(event.path, Cause.CLOSED, now)
                out += self._check_silence(path.quality.heard, now)
                path.quality.heard = None
                return out
            case PathValidated():
                return self._change(event.path, Cause.VALIDATED, now)
            case PathRefuted():
                return self._change(event.path, Cause.REFUTED, now)

    def _heard(self, number: int, path: _Path, now: float) -> list[ManagerCommand]:
        path.quality.heard = now
        if path.state is PathState.ACTIVE and self._silent_since is None:
            return []
        out = self._change(number, Cause.HEARD, now)
        if self._silent_since is not None and path.state in _IN_USE:
            self._silent_since = self._revalidate_at = None
            out.append(HeardAgain())
        return out

    def _timer(self, now: float) -> list[ManagerCommand]:
        out: list[ManagerCommand] = []
        for number, path in self._paths.items():
            heard = path.quality.heard
            if heard is None:
                continue
            if path.state is PathState.ACTIVE and now >= heard + SUSPECT_AFTER_S:
                out += [*self._change(number, Cause.SILENT, now), Revalidate(number)]
            if path.state is PathState.SUSPECT and now >= heard + DEAD_AFTER_S:
                out += self._change(number, Cause.STILL_SILENT, now)
                out += self._check_silence(heard, now)
        if self._revalidate_at is not None and now >= self._revalidate_at:
            self._revalidate_at = now + REVALIDATE_EVERY_S
            out += [Revalidate(number) for number in self._carriers]
        return out

    def _check_silence(self, heard: float | None, now: float) -> list[ManagerCommand]:
        if heard is None or self._silent_since is not None or self._usable():
            return []
        self._silent_since = heard
        self._revalidate_at = now + REVALIDATE_EVERY_S
        return [AllSilent(heard)]

    def _change(self, number: int, cause: Cause, now: float) -> list[ManagerCommand]:
        """Apply one cause to one path, then restore the invariant."""
        out = self._apply(number, cause, now)
        if not any(path.state in _IN_USE for path in self._paths.values()):
            standby = next((n for n, path in self._paths.items() if path.state is PathState.STANDBY), None)
            if standby is not None:
                out += self._apply(standby, Cause.CHOSEN, now)
        self._route()
        return out

    def _apply(self, number: int, cause: Cause, now: float) -> list[ManagerCommand]:
        path = self._paths[number]
        state = TRANSITIONS.get((path.state, cause))
        if state is None:
            return []
        if state is PathState.ACTIVE and path.state is PathState.STANDBY:
            path.active_from, path.active_to = now, None
        elif path.state in _IN_USE and state not in _IN_USE:
            path.active_to = now
        path.state = state
        return [StateChanged(number, state)]

    def _route(self) -> None:
        in_use = tuple(number for number, path in self._paths.items() if path.state in _IN_USE)
        if in_use:
            self._carriers = in_use
            return
        dead = [(path.quality.heard or 0.0, n) for n, path in self._paths.items() if path.state is PathState.DEAD]
        self._carriers = (max(dead)[1],) if dead else ()

    def _usable(self) -> bool:
        return any(path.state in (*_IN_USE, PathState.STANDBY) for path in self._paths.values())
