"""The path manager: which paths exist, what state each is in, and which carry the next packet (DESIGN §7).

Invariant: while any path is usable (standby, active or suspect), exactly one is active or, when it has fallen
silent, suspect; and there is always something to send on once a path has been validated: when all have died, the
one that was heard last still carries everything, because silence may end by itself. Make before break: a second path
carries everything as well while one of the two is on trial, for a while after a change, and while the one in use is
suspect. Never more than two.

A path is judged by authentic traffic of the peer (:class:`PacketSeen`) and by what the peer says about ours, not by
what its first hop answers. Both ends choose for themselves; of direct paths that are equally good one end takes that by
which the other one talks, since a silence is noticed soonest on a path that brings a voice.
"""

from transport.path.liveness import CLOCK_SLACK_S, DEAD_AFTER_S, is_silent, lost_since, missing_since, silent_at
from transport.path.path import IN_USE, NEVER, USABLE, PathRecord
from transport.path.schedule import Plan, carriers, echo_paces, fallback
from transport.path.selector import (
    DOUBTFUL_FRAMES,
    DOUBTFUL_LOSS,
    DWELL_S,
    OVERLAP_S,
    RTT_HYSTERESIS_S,
    PathEvaluation,
    Seen,
    Verdict,
    is_acceptable,
    is_better,
    overlap_s,
    park_s,
)
from transport.path.state import (
    TRANSITIONS,
    AddPath,
    Cause,
    ConnectivityLost,
    ConnectivityRestored,
    Echoed,
    Forgotten,
    ManagerCommand,
    ManagerEvent,
    MediaSent,
    PacketSeen,
    PathClosed,
    PathCounted,
    PathGone,
    PathMoved,
    PathOpened,
    PathRefuted,
    PathState,
    PathTimer,
    PathValidated,
    PeerCounted,
    PeerReportsSilence,
    PeerUses,
    ReportSilence,
    Revalidate,
    SendAgain,
    StateChanged,
)
from transport.path.stats import PathKind, PathQuality, PathStats

# A suspect that is heard again is covered by the other path for so long: trouble seldom comes alone.
COVER_S = 0.3
# The peer is told again that nothing is heard: until it knows, all is lost, and the word itself may be.
TELL_EVERY_S = 0.1
# With a direct path there is always something to look at: verdicts, complaints, covers. None is urgent to a frame.
TICK_S = 0.05
# Media flows while the last frame is not older.
TALKING_S = 0.1
# While everything is silent, its first hop is asked this often whether it still knows us (a relay may restart).
REVALIDATE_EVERY_S = 1.0
# Two cards' worth of interfaces in both families; more would only be probed for nothing.
MAX_DIRECT_PATHS = 4
# A dead direct path is asked for so long whether it lives again: then its mappings are gone.
REMEMBER_DEAD_S = 30.0
# A direct path that stands by answers echoes each second; after three that were missed it cannot be relied upon.
STANDBY_DEAD_AFTER_S = 3.5


class PathManager:
    """The machine over all paths of one call. ``follows``: the end that takes the direct path of the other one."""

    __slots__ = (
        "_carriers",
        "_changed_at",
        "_cover",
        "_follows",
        "_heard_ever",
        "_media_at",
        "_paths",
        "_peer_uses",
        "_revalidate_at",
        "_silent_since",
        "_tick_at",
        "_trial",
        "echo_paces",
    )

    def __init__(self, *, follows: bool) -> None:
        self._follows = follows
        self._paths: dict[int, PathRecord] = {}
        self._carriers: tuple[int, ...] = ()
        self._silent_since: float | None = None
        self._revalidate_at: float | None = None
        self._tick_at: float | None = None
        """With a direct path: when what is not urgent is looked at again."""
        self._trial: PathEvaluation | None = None
        self._cover: tuple[int, float] | None = None
        """The path that carries everything as well, and until when."""
        self._changed_at = NEVER
        self._media_at = NEVER
        self._heard_ever = False
        self._peer_uses: PathKind = "relay"
        self.echo_paces: dict[int, float] = {}
        """Seconds between echo requests, by path; a path that is not here is not asked."""

    @property
    def carriers(self) -> tuple[int, ...]:
        """The paths that the next packet is sent on, the one in use first; empty before one has been validated."""
        return self._carriers

    @property
    def silent_since(self) -> float | None:
        """When the peer was last heard, if no path brings anything any more."""
        return self._silent_since

    @property
    def has_direct(self) -> bool:
        """Whether a direct path is usable."""
        return any(path.kind == "direct" and path.state in USABLE for path in self._paths.values())

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
        due = [silent_at(path, self._peer_uses, heard_ever=self._heard_ever) for path in self._paths.values()]
        due += [self._revalidate_at, self._tick_at]
        return min((at for at in due if at is not None), default=None)

    def handle(self, event: ManagerEvent, now: float) -> list[ManagerCommand]:
        """Take one event; never raises. Events about unknown paths change nothing."""
        if isinstance(event, MediaSent):
            return self._media(now)
        if isinstance(event, PathTimer):
            return self._timer(now)
        if isinstance(event, AddPath):
            return self._add(event, now)
        if isinstance(event, PeerUses):
            self._peer_uses = event.kind
            self._route()
            return []
        if isinstance(event, PeerCounted):
            return self._counted(event, now)
        path = self._paths.get(event.path)
        if path is None:
            return []
        return self._about(event.path, path, event, now)

    def _about(self, number: int, path: PathRecord, event: ManagerEvent, now: float) -> list[ManagerCommand]:
        match event:
            case PacketSeen():
                return self._heard(number, path, now)
            case Echoed(_, rtt_s):
                return self._echoed(number, path, rtt_s, now)
            case PeerReportsSilence(_, silent_s):
                return self._missed(number, path, silent_s, now)
            case PathMoved(_, remote):
                path.remote = remote
            case PathOpened(_, local):
                path.local = local
                return self._change(number, Cause.OPENED, now)
            case PathClosed():
                return self._close(number, path, now)
            case PathValidated():
                if path.kind == "direct":
                    path.watched_from = now
                return self._change(number, Cause.VALIDATED, now) + self._consider(now)
            case PathRefuted():
                return self._change(number, Cause.REFUTED, now)
            case PathGone():
                return self._close(number, path, now) + self._forget(number)
        return []

    # -- what comes and goes -------------------------------------------------------------------------------------

    def _add(self, event: AddPath, now: float) -> list[ManagerCommand]:
        if event.path in self._paths:
            return []
        out: list[ManagerCommand] = []
        direct = [(self._worth(number, path), number) for number, path in self._paths.items() if path.kind == "direct"]
        if event.kind == "direct" and len(direct) >= MAX_DIRECT_PATHS:
            _, worst = min(direct)
            out = self._close(worst, self._paths[worst], now) + self._forget(worst)
        self._paths[event.path] = PathRecord(event)
        return out

    def _worth(self, number: int, path: PathRecord) -> tuple[bool, bool, float]:
        """For giving up the least useful path: what carries or could carry is worth more than what is dead."""
        return number in self._carriers, path.state in USABLE, path.quality.heard or NEVER

    def _close(self, number: int, path: PathRecord, now: float) -> list[ManagerCommand]:
        was_in_use = path.state in IN_USE
        heard = self._last_heard()
        since = lost_since(path, now)
        out = self._change(number, Cause.CLOSED, now)
        path.watched_from = path.missed_since = None
        if was_in_use and self._carriers and self._carriers[0] != number:
            out.append(SendAgain(number, self._carriers[0], since))
        out += self._check_silence(heard, now)
        path.quality.heard = None
        return out

    def _forget(self, number: int) -> list[ManagerCommand]:
        del self._paths[number]
        self._drop_from_plans(number)
        self._route()
        return [Forgotten(number)]

    def _heard(self, number: int, path: PathRecord, now: float) -> list[ManagerCommand]:
        path.quality.heard = now
        self._heard_ever = True
        if path.state is PathState.ACTIVE and self._silent_since is None:
            return []
        if path.state is PathState.SUSPECT and path.missed_since is not None:
            # That it brings something does not say that it carries anything there.
            return []
        was = path.state
        out = self._change(number, Cause.HEARD, now)
        if was is PathState.SUSPECT and len(self._paths) > 1:
            self._cover_with(fallback(self._paths, number), now + COVER_S)
        elif was is PathState.DEAD:
            path.wait_until = max(path.wait_until, now)
            path.counted = None
        if self._silent_since is not None and path.state in IN_USE:
            self._silent_since = self._revalidate_at = None
            out.append(ConnectivityRestored())
        return out

    # -- silence -------------------------------------------------------------------------------------------------

    def _timer(self, now: float) -> list[ManagerCommand]:
        out: list[ManagerCommand] = []
        for number, path in list(self._paths.items()):
            if path.state is PathState.ACTIVE and self._is_due(path, now):
                out += self._suspect(number, path, now)
            if path.state is PathState.SUSPECT and self._is_due(path, now):
                out += self._die(number, path, now)
        if self._revalidate_at is not None and now >= self._revalidate_at:
            self._revalidate_at = now + REVALIDATE_EVERY_S
            out += [Revalidate(number) for number in self._carriers]
        if self._tick_at is not None and now >= self._tick_at:
            self._tick_at = now + TICK_S
            out += self._tick(now)
        return out

    def _is_due(self, path: PathRecord, now: float) -> bool:
        at = silent_at(path, self._peer_uses, heard_ever=self._heard_ever)
        return at is not None and now >= at

    def _suspect(self, number: int, path: PathRecord, now: float) -> list[ManagerCommand]:
        """Everything goes by another path as well, at once, and so does what may have been lost."""
        if path.state is not PathState.ACTIVE:
            return []
        out = [*self._change(number, Cause.SILENT, now), Revalidate(number)]
        since = lost_since(path, now)
        out += [SendAgain(number, carrier, since) for carrier in self._carriers if carrier != number]
        return out + self._tell(number, path, now)

    def _die(self, number: int, path: PathRecord, now: float) -> list[ManagerCommand]:
        heard = self._last_heard()
        path.died = now
        path.proven = False
        path.missed_since = None
        return self._change(number, Cause.STILL_SILENT, now) + self._check_silence(heard, now)

    def _tell(self, number: int, path: PathRecord, now: float) -> list[ManagerCommand]:
        silent_from = path.silent_from
        if path.kind == "relay" or silent_from is None or not is_silent(path, self._peer_uses, now):
            return []
        if now < path.told + TELL_EVERY_S - CLOCK_SLACK_S:
            return []
        path.told = now
        return [ReportSilence(number, now - silent_from)]

    def _missed(self, number: int, path: PathRecord, silent_s: float, now: float) -> list[ManagerCommand]:
        """Whatever the path is now: what was sent on it is missing. It is also no path to change to."""
        if path.missed_since is None:
            path.missed_since = now
        path.missed_at = now
        out = self._suspect(number, path, now)
        for carrier in self._carriers:
            if carrier != number:
                since = missing_since(path, self._paths[carrier], silent_s, now)
                out.append(SendAgain(number, carrier, since))
        return out

    def _refute(self, number: int, path: PathRecord, now: float) -> list[ManagerCommand]:
        """The path carries something there after all."""
        path.missed_since = None
        if path.state is not PathState.SUSPECT or is_silent(path, self._peer_uses, now):
            return []
        out = self._change(number, Cause.HEARD, now)
        self._cover_with(fallback(self._paths, number), now + COVER_S)
        return out

    def _tick(self, now: float) -> list[ManagerCommand]:
        """What may be late by a twentieth of a second."""
        out: list[ManagerCommand] = []
        for number, path in list(self._paths.items()):
            match path.state:
                case PathState.SUSPECT:
                    out += self._tick_suspect(number, path, now)
                case PathState.STANDBY if path.kind == "direct":
                    out += self._tick_standby(number, path, now)
                case PathState.DEAD if path.kind == "direct" and now >= path.died + REMEMBER_DEAD_S:
                    if number not in self._carriers:
                        out += self._forget(number)
                case _:
                    pass
        if self._cover is not None and now >= self._cover[1]:
            self._cover = None
        out += self._judge(now)
        out += self._consider(now)
        self._route()
        return out

    def _tick_suspect(self, number: int, path: PathRecord, now: float) -> list[ManagerCommand]:
        trip = path.quality.round_trip.smoothed or 0.0
        if path.missed_since is not None and now >= path.missed_since + DEAD_AFTER_S + trip:
            return self._die(number, path, now)
        return self._tell(number, path, now)

    def _tick_standby(self, number: int, path: PathRecord, now: float) -> list[ManagerCommand]:
        silent_from = path.silent_from
        if silent_from is not None and now >= silent_from + STANDBY_DEAD_AFTER_S:
            return self._die(number, path, now)
        media_at = path.quality.media_at
        if media_at is not None and now - media_at < DEAD_AFTER_S:
            # The peer perhaps talks by a path that we do not send by, or tries it. That it does so it may have said in
            # vain; if it has left that path it takes no notice.
            return self._tell(number, path, now)
        return []

    def _last_heard(self) -> float | None:
        return max(
            (path.quality.heard for path in self._paths.values() if path.quality.heard is not None), default=None
        )

    def _check_silence(self, heard: float | None, now: float) -> list[ManagerCommand]:
        if heard is None or self._silent_since is not None or self._usable():
            return []
        self._silent_since = heard
        self._revalidate_at = now + REVALIDATE_EVERY_S
        return [ConnectivityLost(heard)]

    def _usable(self) -> bool:
        return any(path.state in USABLE for path in self._paths.values())

    # -- better paths --------------------------------------------------------------------------------------------

    def _media(self, now: float) -> list[ManagerCommand]:
        paused = now - self._media_at > TALKING_S
        self._media_at = now
        if not paused:
            return []
        if self._trial is not None:
            self._trial.talk(now)
        return self._consider(now)

    def _echoed(self, number: int, path: PathRecord, rtt_s: float, now: float) -> list[ManagerCommand]:
        out: list[ManagerCommand] = []
        if path.missed_since is not None and now - rtt_s > path.missed_at:
            # Asked after the peer's word had come, by this path alone, and answered.
            out = self._refute(number, path, now)
        if self._trial is not None:
            self._trial.echoed(number)
            out += self._judge(now)
        return out

    def _counted(self, event: PeerCounted, now: float) -> list[ManagerCommand]:
        known = [(self._paths[count.path], count) for count in event.counts if count.path in self._paths]
        if any(count.expected < path.reported for path, count in known):
            # Overtaken by a newer one.
            return []
        for path, count in known:
            path.reported = count.expected
            path.behind = count.behind_s
        if self._trial is not None:
            self._trial.report({count.path: (count.frames, count.expected) for _, count in known})
            return self._judge(now)
        for path, count in known:
            self._doubt(path, count)
        return []

    def _doubt(self, path: PathRecord, count: PathCounted) -> None:
        """A path in use that loses too much has to prove itself again."""
        if path.counted is None:
            path.counted = (count.frames, count.expected)
        expected = count.expected - path.counted[1]
        if expected >= DOUBTFUL_FRAMES:
            lost = expected - (count.frames - path.counted[0])
            path.counted = None
            if lost > DOUBTFUL_LOSS * expected:
                path.proven = False

    def _consider(self, now: float) -> list[ManagerCommand]:
        """Begin a trial if there is a path that deserves one."""
        active = self._active()
        if self._trial is not None or active is None:
            return []
        number, path = active
        talking = now - self._media_at <= TALKING_S
        standbys = [(n, p) for n, p in self._paths.items() if p.state is PathState.STANDBY]
        other = fallback(self._paths, number)
        if path.kind == "direct" and talking and other is not None and now >= path.wait_until:
            rested = now >= self._changed_at + DWELL_S
            if not path.proven or (rested and _is_outrun(path, standbys)):
                self._begin_trial(number, other, now, talking=True)
                return []
        if now < self._changed_at + DWELL_S:
            return []
        better = [
            (p.quality.round_trip.smoothed or 0.0, n)
            for n, p in standbys
            if now >= p.wait_until and (is_better(p.seen, path.seen) or self._is_led_to(p, path, now))
        ]
        if better:
            self._begin_trial(min(better)[1], number, now, talking=talking)
        return []

    def _is_led_to(self, path: PathRecord, active: PathRecord, now: float) -> bool:
        """Whether the peer has settled on this path, which is as good as the one that we talk by."""
        if not self._follows or path.kind != "direct" or active.kind != "direct":
            return False
        voice_at = path.quality.media_at
        return (
            voice_at is not None
            and now - voice_at <= TALKING_S
            and now - (active.quality.media_at or NEVER) > DWELL_S
            and is_acceptable(path.seen, active.seen)
        )

    def _begin_trial(self, candidate: int, other: int, now: float, *, talking: bool) -> None:
        self._cover = None
        self._trial = PathEvaluation(candidate, other, now, talking=talking)
        self._route()

    def _judge(self, now: float) -> list[ManagerCommand]:
        trial = self._trial
        if trial is None:
            return []
        candidate, other = self._paths[trial.candidate], self._paths[trial.other]
        verdict = trial.verdict(candidate.seen, other.seen, now)
        if verdict is Verdict.PASSED and (
            is_silent(candidate, self._peer_uses, now) or candidate.missed_since is not None
        ):
            # It was good, and has died since, in either direction.
            verdict = Verdict.GOING if now < trial.deadline else Verdict.FAILED
        match verdict:
            case Verdict.PASSED:
                self._trial = None
                candidate.proven = candidate.proven or trial.talking
                if trial.talking:
                    # How it fares is looked at again, but not at once.
                    candidate.failures = 0
                    candidate.wait_until = now + park_s(1)
                return self._swap(trial.other, trial.candidate, now)
            case Verdict.FAILED:
                self._trial = None
                candidate.failures += 1
                candidate.wait_until = now + park_s(candidate.failures)
                return self._swap(trial.candidate, trial.other, now)
            case Verdict.GOING:
                return []

    def _swap(self, old: int, new: int, now: float) -> list[ManagerCommand]:
        """``new`` carries the call, if it does not yet; both do for a while longer."""
        before, after = self._paths[old], self._paths[new]
        slower = (after.behind or 0.0) - (before.behind or 0.0)
        if before.state not in IN_USE or after.state is not PathState.STANDBY:
            self._cover_with(old if before.state is PathState.STANDBY else None, now + OVERLAP_S)
            return []
        self._changed_at = now
        out = self._apply(old, Cause.REPLACED, now) + self._apply(new, Cause.CHOSEN, now)
        after.watched_from = before.missed_since = None
        self._cover_with(old, now + overlap_s(slower))
        return out

    # -- who carries ---------------------------------------------------------------------------------------------

    def _active(self) -> "tuple[int, PathRecord] | None":
        return next(((n, path) for n, path in self._paths.items() if path.state is PathState.ACTIVE), None)

    def _cover_with(self, number: int | None, until: float) -> None:
        if number is not None:
            self._cover = (number, until)
        self._route()

    def _change(self, number: int, cause: Cause, now: float) -> list[ManagerCommand]:
        """Apply one cause to one path, then restore the invariant."""
        was_suspect = self._paths[number].state is PathState.SUSPECT
        out = self._apply(number, cause, now)
        if not any(path.state in IN_USE for path in self._paths.values()):
            standby = self._next_in_use(was_suspect)
            if standby is not None:
                chosen = self._paths[standby]
                out += self._apply(standby, Cause.CHOSEN, now)
                if self._heard_ever and standby != number:
                    # It is given a round trip to show that it lives.
                    chosen.watched_from = now + (chosen.quality.round_trip.smoothed or 0.0)
                    self._changed_at = now
        self._route()
        return out

    def _next_in_use(self, had_cover: bool) -> int | None:
        if had_cover and len(self._carriers) > 1:
            cover = self._carriers[1]
            if self._paths[cover].state is PathState.STANDBY:
                return cover
        return fallback(self._paths, None)

    def _apply(self, number: int, cause: Cause, now: float) -> list[ManagerCommand]:
        path = self._paths[number]
        state = TRANSITIONS.get((path.state, cause))
        if state is None:
            return []
        if state is PathState.ACTIVE and path.state is PathState.STANDBY:
            path.active_from, path.active_to = now, None
        elif path.state in IN_USE and state not in IN_USE:
            path.active_to = now
        path.state = state
        if state not in USABLE:
            self._drop_from_plans(number)
        return [StateChanged(number, state)]

    def _drop_from_plans(self, number: int) -> None:
        if self._trial is not None and number in (self._trial.candidate, self._trial.other):
            self._trial = None
        if self._cover is not None and self._cover[0] == number:
            self._cover = None

    def _route(self) -> None:
        """Which paths carry the next packet, and which are asked how often."""
        plan = Plan(self._trial, None if self._cover is None else self._cover[0], self._peer_uses)
        self._carriers = carriers(self._paths, plan)
        self.echo_paces = echo_paces(self._paths, self._carriers, plan)
        if not any(path.kind == "direct" for path in self._paths.values()):
            self._tick_at = None
        elif self._tick_at is None:
            self._tick_at = 0.0


def _is_outrun(path: PathRecord, standbys: list[tuple[int, PathRecord]]) -> bool:
    """Whether the relay, standing by, has become so much faster that the direct ``path`` in use would not be."""
    rtt = path.quality.round_trip.smoothed
    if rtt is None:
        return False
    return any(
        other.kind == "relay" and not is_acceptable(Seen(path.kind, rtt - RTT_HYSTERESIS_S), other.seen)
        for _, other in standbys
    )
