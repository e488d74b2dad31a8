"""The path manager: which paths exist, what state each is in, and which carry the next packet (pure).

Invariant: while any path is usable (standby, active or suspect), exactly one is active or, when it has fallen
silent, suspect; and there is always something to send on once a path has been validated: when all have died, the
one that was received from last still carries everything, because silence may end by itself. Make before break: a
second path carries everything as well while one of the two is evaluated, for a while after a change, and while the one
in use is suspect. Never more than two.

A path is judged by authentic traffic of the peer (:meth:`PathManager.received`) and by what the peer reports about
ours, not by what its first hop answers. Both ends choose for themselves.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from transport.path.evaluator import Evaluator
from transport.path.liveness import CLOCK_SLACK_S, DEAD_AFTER_S, is_silent, lost_since, missing_since, silent_at
from transport.path.path import IN_USE, NEVER, USABLE, Path, State, Trigger
from transport.path.schedule import carriers, echo_paces, fallback
from transport.path.selector import OVERLAP_S, overlap_s
from transport.path.stats import PathKind, PathStats
from transport.wire.call_messages import PathCount

# A suspect that brings traffic again keeps a redundant path for so long: trouble seldom comes alone.
REDUNDANT_S = 0.3
# Silence is reported to the peer again: until it knows, all is lost, and the report itself may be.
REPORT_SILENCE_EVERY_S = 0.1
# With a direct path there is always something to look at: verdicts, silence, redundancy. None is urgent to a frame.
TICK_S = 0.05
# While everything is silent, its first hop is asked this often whether it still knows us (a relay may restart).
REVALIDATE_EVERY_S = 1.0
# Two cards' worth of interfaces in both families; more would only be probed for nothing.
MAX_DIRECT_PATHS = 4
# A dead direct path is probed for so long; then its mappings are gone.
REMEMBER_DEAD_S = 30.0
# A direct path that stands by answers echoes each second; after three that were missed it cannot be relied upon.
STANDBY_DEAD_AFTER_S = 3.5


@dataclass(frozen=True, slots=True)
class Resend:
    """What was sent on ``lost_on`` since then has perhaps not arrived: send it on ``onto`` as well."""

    lost_on: Path
    onto: Path
    since: float


@dataclass(slots=True)
class Changes:
    """What follows from one call, to be carried out in the order of these fields."""

    states: list[tuple[Path, State]] = field(default_factory=list)
    revalidate: bool = False
    """A path is silent that should carry the call: ask the relay whether the leg is still bound."""
    resend: list[Resend] = field(default_factory=list)
    silent: list[tuple[Path, float]] = field(default_factory=list)
    """The peer has to know that nothing has come by the path for so many seconds."""
    forgotten: list[Path] = field(default_factory=list)
    """Paths that are no more; their sockets are of no use."""
    direct_lost: bool = False
    """No direct path is usable any more."""
    silent_since: float | None = None
    """No path brings anything any more, since then."""
    silence_ended: bool = False


# For each packet that changes nothing.
_NO_CHANGES = Changes()


class PathManager:
    """Over all paths of one call. ``follows`` as in :class:`transport.path.evaluator.Evaluator`."""

    __slots__ = (
        "_changes",
        "_evaluator",
        "_paths",
        "_peer_uses",
        "_received_ever",
        "_redundant",
        "_revalidate_at",
        "_tick_at",
        "carriers",
        "echo_paces",
        "has_direct",
        "silent_since",
    )

    def __init__(self, *, follows: bool) -> None:
        self._paths: dict[int, Path] = {}
        self._evaluator = Evaluator(follows=follows)
        self._redundant: tuple[Path, float] | None = None
        """The path that carries everything as well, and until when."""
        self._peer_uses: PathKind = "relay"
        self._received_ever = False
        self._revalidate_at: float | None = None
        self._tick_at: float | None = None
        """With a direct path: when what is not urgent is looked at again."""
        self._changes = Changes()
        self.carriers: tuple[Path, ...] = ()
        """The paths that the next packet is sent on, the one in use first; none before one has been validated."""
        self.echo_paces: dict[int, float] = {}
        """Seconds between echo requests, by path; a path that is not here is sent none."""
        self.has_direct = False
        """A direct path is known, in whatever state."""
        self.silent_since: float | None = None
        """When traffic of the peer last came, if no path brings anything any more."""

    def path(self, number: int) -> Path | None:
        """The path of this number, unless it has been forgotten."""
        return self._paths.get(number)

    def stats(self) -> tuple[PathStats, ...]:
        """All paths, in the order in which they became known."""
        return tuple(path.stats() for path in self._paths.values())

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        due = [silent_at(path, self._peer_uses, received_ever=self._received_ever) for path in self._paths.values()]
        return min((at for at in (*due, self._revalidate_at, self._tick_at) if at is not None), default=None)

    # -- what happens to a path ----------------------------------------------------------------------------------

    def add(self, path: Path, now: float) -> Changes:
        """A path becomes known. Of too many direct ones the least useful is forgotten."""
        direct = [known for known in self._paths.values() if known.kind == "direct"]
        if path.kind == "direct" and len(direct) >= MAX_DIRECT_PATHS:
            self._close(min(direct, key=self._worth), now, forget=True)
        self._paths[path.number] = path
        return self._take()

    def opened(self, path: Path, now: float) -> Changes:
        """The path has a socket."""
        self._change(path, Trigger.OPENED, now)
        return self._take()

    def closed(self, path: Path, now: float, *, forget: bool = False) -> Changes:
        """The path's socket is gone. ``forget``: and the path will not come back."""
        self._close(path, now, forget=forget)
        return self._take()

    def validated(self, path: Path, now: float) -> Changes:
        """The path works as far as its first hop can tell (relay: the leg is bound; direct: a check was answered)."""
        if path.kind == "direct":
            path.watched_from = now
        self._change(path, Trigger.VALIDATED, now)
        self._evaluate_if_due(now)
        return self._take()

    def refuted(self, path: Path, now: float) -> Changes:
        """What validated the path no longer holds."""
        self._change(path, Trigger.REFUTED, now)
        return self._take()

    def received(self, path: Path, now: float) -> Changes:
        """Authentic traffic of the peer came by the path. The first of it makes later silence mean something."""
        path.measured.received_at = now
        self._received_ever = True
        was = path.state
        # That a path which the peer misses brings something does not say that it carries anything there.
        if (was is State.ACTIVE and self.silent_since is None) or (
            was is State.SUSPECT and path.missed_since is not None
        ):
            return _NO_CHANGES
        self._change(path, Trigger.RECEIVED, now)
        if was is State.SUSPECT and len(self._paths) > 1:
            self._make_redundant(self._fallback(path), now + REDUNDANT_S)
        elif was is State.DEAD:
            path.backoff_until = max(path.backoff_until, now)
            path.counted = None
        if self.silent_since is not None and path.state in IN_USE:
            self.silent_since = self._revalidate_at = None
            self._changes.silence_ended = True
        return self._take()

    def echoed(self, path: Path, rtt_s: float, now: float) -> Changes:
        """An echo request was answered by the path, after ``rtt_s``."""
        if path.missed_since is not None and now - rtt_s > path.missed_at:
            # Asked after the peer's report had come, by this path alone, and answered: it carries after all.
            path.missed_since = None
            if path.state is State.SUSPECT and not is_silent(path, self._peer_uses, now):
                self._change(path, Trigger.RECEIVED, now)
                self._make_redundant(self._fallback(path), now + REDUNDANT_S)
        if self._evaluator.current is not None:
            self._evaluator.current.echoed(path)
            self._conclude(now)
        return self._take()

    # -- what the two ends say -----------------------------------------------------------------------------------

    def media_sent(self, now: float) -> Changes:
        """A frame of voice is about to be sent."""
        if not self._evaluator.media_sent(now):
            return _NO_CHANGES
        self._evaluate_if_due(now)
        return self._take()

    def peer_uses(self, kind: PathKind) -> Changes:
        """The peer now sends by a path of this kind."""
        self._peer_uses = kind
        self._route()
        return self._take()

    def peer_counted(self, counts: Iterable[tuple[Path, PathCount]], now: float) -> Changes:
        """The peer has counted our frames, by each path, at one moment."""
        if self._evaluator.counted(counts):
            self._conclude(now)
        return self._take()

    def peer_reports_silence(self, path: Path, silent_s: float, now: float) -> Changes:
        """The peer has received nothing by the path for ``silent_s``, and should have. Whatever the path is now: what
        was sent on it is missing. It is also no path to change to."""
        if path.missed_since is None:
            path.missed_since = now
        path.missed_at = now
        self._suspect(path, now)
        for carrier in self.carriers:
            if carrier is not path:
                self._changes.resend.append(Resend(path, carrier, missing_since(path, carrier, silent_s, now)))
        return self._take()

    # -- time ----------------------------------------------------------------------------------------------------

    def timer(self, now: float) -> Changes:
        """Do what is due."""
        for path in list(self._paths.values()):
            if path.state is State.ACTIVE and self._is_due(path, now):
                self._suspect(path, now)
            if path.state is State.SUSPECT and self._is_due(path, now):
                self._die(path, now)
        if self._revalidate_at is not None and now >= self._revalidate_at:
            self._revalidate_at = now + REVALIDATE_EVERY_S
            self._changes.revalidate |= bool(self.carriers)
        if self._tick_at is not None and now >= self._tick_at:
            self._tick_at = now + TICK_S
            self._tick(now)
        return self._take()

    def _tick(self, now: float) -> None:
        """What may be late by a twentieth of a second."""
        for path in list(self._paths.values()):
            if path.state is State.SUSPECT:
                if path.missed_since is not None and now >= path.missed_since + DEAD_AFTER_S + (path.rtt_s or 0.0):
                    self._die(path, now)
                else:
                    self._report_silence(path, now)
            elif path.state is State.STANDBY and path.kind == "direct":
                self._tick_standby(path, now)
            elif path.state is State.DEAD and path.kind == "direct" and now >= path.died_at + REMEMBER_DEAD_S:
                self._forget_if_idle(path)
        if self._redundant is not None and now >= self._redundant[1]:
            self._redundant = None
        self._conclude(now)
        self._evaluate_if_due(now)
        self._route()

    def _tick_standby(self, path: Path, now: float) -> None:
        silent_from, media_at = path.silent_from, path.measured.media_at
        if silent_from is not None and now >= silent_from + STANDBY_DEAD_AFTER_S:
            self._die(path, now)
        elif media_at is not None and now - media_at < DEAD_AFTER_S:
            # The peer perhaps talks by a path that we do not send by, or evaluates it; its announcement may be lost.
            # If it has left that path it ignores the report.
            self._report_silence(path, now)

    # -- silence -------------------------------------------------------------------------------------------------

    def _is_due(self, path: Path, now: float) -> bool:
        at = silent_at(path, self._peer_uses, received_ever=self._received_ever)
        return at is not None and now >= at

    def _suspect(self, path: Path, now: float) -> None:
        """Everything goes by another path as well, at once, and so does what may have been lost."""
        if path.state is not State.ACTIVE:
            return
        self._change(path, Trigger.SILENT, now)
        self._changes.revalidate = True
        since = lost_since(path, now)
        self._changes.resend += [Resend(path, carrier, since) for carrier in self.carriers if carrier is not path]
        self._report_silence(path, now)

    def _die(self, path: Path, now: float) -> None:
        last = self._last_received()
        path.died_at = now
        path.passed = False
        path.missed_since = None
        self._change(path, Trigger.STILL_SILENT, now)
        self._check_silence(last, now)

    def _report_silence(self, path: Path, now: float) -> None:
        silent_from = path.silent_from
        if path.kind == "relay" or silent_from is None or not is_silent(path, self._peer_uses, now):
            return
        if now >= path.silence_reported_at + REPORT_SILENCE_EVERY_S - CLOCK_SLACK_S:
            path.silence_reported_at = now
            self._changes.silent.append((path, now - silent_from))

    def _last_received(self) -> float | None:
        times = (path.measured.received_at for path in self._paths.values())
        return max((at for at in times if at is not None), default=None)

    def _check_silence(self, last_received: float | None, now: float) -> None:
        if last_received is None or self.silent_since is not None or self._is_any_usable():
            return
        self.silent_since = self._changes.silent_since = last_received
        self._revalidate_at = now + REVALIDATE_EVERY_S

    # -- better paths --------------------------------------------------------------------------------------------

    def _evaluate_if_due(self, now: float) -> None:
        if self._evaluator.begin_if_due(self._paths.values(), now):
            self._redundant = None
            self._route()

    def _conclude(self, now: float) -> None:
        """After a verdict the better path carries the call, if it does not yet; both do for a while longer."""
        verdict = self._evaluator.conclude(self._peer_uses, now)
        if verdict is None:
            return
        old, new = verdict
        if old.state not in IN_USE or new.state is not State.STANDBY:
            self._make_redundant(old if old.state is State.STANDBY else None, now + OVERLAP_S)
            return
        self._evaluator.changed_at = now
        self._apply(old, Trigger.REPLACED)
        self._apply(new, Trigger.CHOSEN)
        new.watched_from = old.missed_since = None
        self._make_redundant(old, now + overlap_s((new.lag_s or 0.0) - (old.lag_s or 0.0)))

    # -- which paths carry ---------------------------------------------------------------------------------------

    def _worth(self, path: Path) -> tuple[bool, bool, float, int]:
        """For giving up the least useful path: what carries or could carry is worth more than what is dead."""
        return path in self.carriers, path.state in USABLE, path.measured.received_at or NEVER, path.number

    def _close(self, path: Path, now: float, *, forget: bool) -> None:
        was_in_use = path.state in IN_USE
        last, since = self._last_received(), lost_since(path, now)
        self._change(path, Trigger.CLOSED, now)
        path.watched_from = path.missed_since = None
        if was_in_use and self.carriers and self.carriers[0] is not path:
            self._changes.resend.append(Resend(path, self.carriers[0], since))
        self._check_silence(last, now)
        path.measured.received_at = None
        if forget:
            self._forget(path)

    def _forget_if_idle(self, path: Path) -> None:
        if path not in self.carriers:
            self._forget(path)

    def _forget(self, path: Path) -> None:
        del self._paths[path.number]
        self._withdraw(path)
        self._route()
        self._changes.forgotten.append(path)

    def _fallback(self, path: Path | None) -> Path | None:
        return fallback(self._paths.values(), path)

    def _make_redundant(self, path: Path | None, until: float) -> None:
        if path is not None:
            self._redundant = (path, until)
        self._route()

    def _change(self, path: Path, trigger: Trigger, now: float) -> None:
        """Change the state of one path, then restore the invariant."""
        was_suspect = path.state is State.SUSPECT
        self._apply(path, trigger)
        if not any(each.state in IN_USE for each in self._paths.values()):
            successor = self._successor(was_suspect)
            if successor is not None:
                self._apply(successor, Trigger.CHOSEN)
                if self._received_ever and successor is not path:
                    # It is given a round trip to show that it lives.
                    successor.watched_from = now + (successor.rtt_s or 0.0)
                    self._evaluator.changed_at = now
        self._route()

    def _successor(self, was_suspect: bool) -> Path | None:
        """What is taken into use next: what already carries everything, as it does beside a suspect, if it can."""
        if was_suspect and len(self.carriers) > 1 and self.carriers[1].state is State.STANDBY:
            return self.carriers[1]
        return self._fallback(None)

    def _apply(self, path: Path, trigger: Trigger) -> None:
        was_usable = path.state in USABLE
        if not path.move(trigger):
            return
        self._changes.states.append((path, path.state))
        if path.state not in USABLE:
            self._withdraw(path)
            if was_usable and path.kind == "direct":
                self._changes.direct_lost = not any(
                    each.kind == "direct" and each.state in USABLE for each in self._paths.values()
                )

    def _withdraw(self, path: Path) -> None:
        self._evaluator.drop(path)
        if self._redundant is not None and self._redundant[0] is path:
            self._redundant = None

    def _is_any_usable(self) -> bool:
        return any(path.state in USABLE for path in self._paths.values())

    def _route(self) -> None:
        """Which paths carry the next packet, and which are sent echo requests how often."""
        paths, evaluation = self._paths.values(), self._evaluator.current
        self.carriers = carriers(paths, evaluation, None if self._redundant is None else self._redundant[0])
        self.echo_paces = echo_paces(paths, self.carriers, evaluation, self._peer_uses)
        self.has_direct = any(path.kind == "direct" for path in paths)
        if not self.has_direct:
            self._tick_at = None
        elif self._tick_at is None:
            self._tick_at = 0.0

    def _take(self) -> Changes:
        changes, self._changes = self._changes, Changes()
        return changes
