"""Records what happens in one call, once: report, trace and window read it from here (pure).

``events`` holds what happened, in order; beside it are the records whose figures change in place (phases of the
traversal, paths, moments) and the samples. Each fact is recorded by one method, and :meth:`Recorder.report`,
:meth:`Recorder.full_trace` and :meth:`Recorder.strip` read it. Figures are copied by the name of the field
(:func:`app.report.report.copied`), so a figure that its source already has costs one line in the struct of
:mod:`app.report.report` or :mod:`app.report.trace`.

``now``, and every time that is not in a report, is in seconds of any monotonic clock.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import msgspec

from app.model.terms import CallOutcome, CallPhase, PathKind, PhaseName
from app.report import trace
from app.report.report import (
    REPORT_VERSION,
    CallReport,
    MediaReport,
    Nats,
    PathReport,
    PhaseReport,
    Role,
    Times,
    Whose,
    address_text,
    copied,
    nat_report,
)
from app.report.strip import STARTED_ANEW, Strip, strip_of
from transport.link import events as link
from transport.link.events import LinkStats
from transport.nat.compatibility import Technique, strategy
from transport.nat.profile import NatProfile
from transport.path.events import PathChanged, Reconnected, Reconnecting
from transport.path.stats import PathStats
from transport.portmap.status import MappingStatus
from transport.traversal.events import PhaseChanged, PhaseStatus, ProfileKnown

Moment = Literal["ringing", "answered", "first_audio_sent", "first_audio_played", "direct", "ended"]
PHASES: frozenset[str] = frozenset(get_args(PhaseName))

# How a call begins explains most of what comes after, and what came last is what somebody asks about.
FIRST_EVENTS = 300
LAST_EVENTS = 300
# A quarter of an hour second by second, an hour by every fourth, a day by every hundredth or so; under a megabyte.
MAX_SECONDS = 900
# The first minute, in which most direct paths are found, stays whole.
DENSE_SECONDS = 60
# Of a sample: the one in use, the relay, and two that are being checked. Dead ones tell nothing new.
MAX_SAMPLE_PATHS = 4
# The other side can make paths come and go; a day-long call on a bad network stays readable. The oldest ended go first.
MAX_PATHS = 200
MAX_PHASES = 200


@dataclass(slots=True)
class CallTimes:
    """When what happened first; ``None``: it did not. ``direct``: the first direct path carried the call."""

    placed: float
    ringing: float | None = None
    answered: float | None = None
    first_audio_sent: float | None = None
    first_audio_played: float | None = None
    direct: float | None = None
    ended: float | None = None


class Recorder:
    """``peer``: the address of the other person; ``local``: what was known of our NAT before the call."""

    def __init__(self, peer: str, placed: float, local: NatProfile | None = None) -> None:
        self.times = CallTimes(placed)
        self.nats: dict[Whose, NatProfile | None] = {"local": local, "remote": None}
        self._call_id = ""
        self._role: Role = "callee"
        self._peer = peer
        self._outcome: CallOutcome | None = None
        self._reason = ""
        self._nat_reports = Nats()
        self._phases: list[PhaseStatus] = []
        self._paths: list[PathReport] = []
        self._first: list[trace.Event] = []
        self._last: deque[trace.Event] = deque(maxlen=LAST_EVENTS)
        self._events_dropped = 0
        self._seconds: list[trace.Second] = []
        self._spacing_s = 1.0
        self._next_second = 0.0
        self._call_phase: CallPhase | None = None
        self._carrier: PathKind | None = None

    # -- in ----------------------------------------------------------------------------------------------------------

    def begin(self, call_id: str, role: Role) -> None:
        """The call has an identifier. What was recorded before belongs to it."""
        self._call_id, self._role = call_id, role

    def mark(self, moment: Moment, at: float) -> None:
        """Something happened; only its first time counts."""
        if getattr(self.times, moment) is None:
            setattr(self.times, moment, at)

    def call_became(self, phase: CallPhase, now: float) -> None:
        """The call is in this phase now."""
        if phase == self._call_phase:
            return
        self._call_phase = phase
        self._add(trace.CallBecame(self._since(now), phase))
        if phase in ("ringing", "incoming"):
            self.mark("ringing", now)
        elif phase == "ended":
            self.mark("ended", now)

    def link_event(self, event: link.Command, now: float) -> bool:
        """What the link reports about paths, traversal and NATs; everything else is left alone. ``True`` where a window
        would show something else than before."""
        match event:
            case PathChanged(kind, via, remote, state):
                at = self._since(now)
                self._add(trace.PathBecame(at, kind, via, state, address_text(remote)))  # type: ignore[arg-type]
                if state == "active" and kind != self._carrier:
                    self._carrier = kind
                    self._add(trace.Swapped(at, kind))
            case Reconnecting() | Reconnected():
                self._add(trace.Connection(self._since(now), isinstance(event, Reconnected)))
            case PhaseChanged(status):
                return self.phase(status, now)
            case ProfileKnown(whose, profile):
                report = nat_report(profile)
                self.nats[whose] = profile
                self._nat_reports = msgspec.structs.replace(self._nat_reports, **{whose: report})
                self._add(trace.NatKnown(self._since(now), whose, report))
                self._skip_untried(now)
            case link.CandidatesSignalled(whose, round_number, kinds):
                self._add(trace.CandidatesExchanged(self._since(now), whose, round_number, dict(Counter(kinds))))
                return False
            case _:
                return False
        return True

    def phase(self, status: PhaseStatus, now: float) -> bool:
        """A phase of the traversal has another status. ``True`` where more has changed than what it counts."""
        before = self.phases.get(status.name)
        self._put_phase(status, now)
        if before is not None and _without_progress(before) == _without_progress(status):
            return False
        self._skip_untried(now)
        return True

    def mapping(self, mapping: MappingStatus, now: float) -> bool:
        """How the request to the router for a port stands: a phase of its own."""
        before = self.phases.get("port_mapping")
        if before is not None and (before.outcome, before.reason) == (mapping.outcome, mapping.reason):
            return False
        started = now if before is None or before.ended is not None else before.started
        ended = now if mapping.outcome in ("won", "failed") else None
        return self.phase(PhaseStatus("port_mapping", mapping.outcome, started, ended, reason=mapping.reason), now)

    def network_changed(self, addresses: int, now: float) -> None:
        """The interfaces of this machine have changed and have so many addresses now."""
        self._add(trace.AddressesChanged(self._since(now), addresses))

    def figures(self, stats: LinkStats | None, now: float) -> bool:
        """The figures of the link. ``True`` where those of a phase have changed."""
        if stats is None:
            return False
        for path in stats.paths:
            self._put_path(path, now)
        changed = False
        newest = {status.name: status for status in stats.phases}
        for status in stats.phases:
            known = next((one for one in self._phases if _same_phase(one, status)), None)
            if status != known and (known is not None or newest[status.name] is status):
                self._put_phase(status, now)
                changed = True
        return changed

    def second(self, sample: Any, paths: Iterable[PathStats], now: float) -> None:
        """The figures of now, about once a second; ``sample`` has the fields of :class:`app.report.trace.Second`."""
        if now < self._next_second:
            return
        self._next_second = now + self._spacing_s * 0.9
        living = [copied(trace.PathSecond, path) for path in paths if path.state != "dead"]
        self._seconds.append(copied(trace.Second, sample, at=self._since(now), paths=tuple(living[:MAX_SAMPLE_PATHS])))
        if len(self._seconds) >= MAX_SECONDS:
            self._spacing_s *= 2
            self._seconds = self._seconds[:DENSE_SECONDS] + self._seconds[DENSE_SECONDS::2]

    def end(self, outcome: CallOutcome, reason: str, now: float) -> None:
        """The call is over, and so is whatever ran; only the first time counts."""
        if self._outcome is not None:
            return
        self._outcome, self._reason = outcome, reason
        self.mark("ended", now)
        self._phases = [_cancelled(one, now, "call-over") for one in self._phases]
        self._paths = [_closed(path, self._since(now)) for path in self._paths]

    # -- out ---------------------------------------------------------------------------------------------------------

    @property
    def phases(self) -> dict[str, PhaseStatus]:
        """The newest status of each phase, by name."""
        return {status.name: status for status in self._phases}

    @property
    def events(self) -> tuple[trace.Event, ...]:
        """What happened, in order; where there was too much of it, the middle is missing."""
        return (*self._first, *self._last)

    def report(self, media: MediaReport) -> CallReport:
        """The report as of now; also in mid-call. ``media``: see :func:`app.report.report.media_report`."""
        tried = sorted((one for one in self._phases if one.outcome != "waiting"), key=lambda one: one.started)
        return CallReport(
            version=REPORT_VERSION,
            call_id=self._call_id,
            role=self._role,
            peer=self._peer,
            outcome=self._outcome,
            reason=self._reason,
            times=copied(Times, self.times, placed=0.0, **{name: self._moment(name) for name in get_args(Moment)}),
            nat=self._nat_reports,
            phases=tuple(self._phase_report(status) for status in tried),
            paths=tuple(self._paths),
            media=media,
        )

    def full_trace(self, report: CallReport) -> trace.CallTrace:
        """The trace as of now, with everything in it: for others take :func:`app.report.redact.redacted_trace` of
        it."""
        return trace.CallTrace(
            version=trace.TRACE_VERSION,
            has_addresses=True,
            report=report,
            events=self.events,
            events_dropped=self._events_dropped,
            seconds=tuple(self._seconds),
        )

    def strip(self) -> Strip:
        """Which path carried the call when, and what happened to it."""
        return strip_of(self.events, self.times.placed)

    # -- records -----------------------------------------------------------------------------------------------------

    def _add(self, event: trace.Event) -> None:
        if len(self._first) < FIRST_EVENTS:
            self._first.append(event)
            return
        self._events_dropped += len(self._last) == LAST_EVENTS
        self._last.append(event)

    def _put_phase(self, status: PhaseStatus, now: float) -> None:
        if status.name not in PHASES:
            return
        before = self.phases.get(status.name)
        for place, known in enumerate(self._phases):
            if _same_phase(known, status):
                self._phases[place] = status
                break
        else:
            if before is not None and before.ended is None and before.outcome == "trying":
                before = _cancelled(before, status.started, STARTED_ANEW)
                self._put_phase(before, now)
            self._phases.append(status)
            _drop_oldest(self._phases, [one.ended is not None for one in self._phases], MAX_PHASES)
        if before is None or _turn(before) != _turn(status):
            self._add(copied(trace.PhaseBecame, status, at=self._since(now)))

    def _skip_untried(self, now: float) -> None:
        """What is not begun, since it does not fit the two networks, has its place in panel and report."""
        phases = self.phases
        punch, blocks = phases.get("punch"), phases.get("blocks")
        if punch is None or punch.ended is None:
            return
        # Both have to want that: where they do, it has begun before the punch came to its end.
        both_try_harder = blocks is not None and blocks.outcome != "skipped"
        for name, reason in untried(self.nats["local"], self.nats["remote"], try_harder=both_try_harder).items():
            known = phases.get(name)
            if known is None or (known.outcome == "skipped" and known.reason != reason):
                at = punch.ended if known is None else known.started
                self._put_phase(PhaseStatus(name, "skipped", at, at, reason=reason), now)

    def _put_path(self, path: PathStats, now: float) -> None:
        """Other paths may carry the call, too: packets go on two while it moves."""
        key = (path.kind, path.via, address_text(path.local), address_text(path.remote))
        place = next((n for n, one in enumerate(self._paths) if one.active_to is None and _key(one) == key), None)
        if path.state == "active" and place is None:
            if path.kind == "direct":
                self.mark("direct", now)
            place = len(self._paths)
            self._paths.append(PathReport(*key, active_from=self._since(now)))
        if place is None:
            return
        known = msgspec.structs.replace(self._paths[place], rtt_ms=path.rtt_ms, loss=path.loss)
        self._paths[place] = known if path.state in ("active", "suspect") else _closed(known, self._since(now))
        _drop_oldest(self._paths, [one.active_to is not None for one in self._paths], MAX_PATHS)

    def _phase_report(self, status: PhaseStatus) -> PhaseReport:
        runs = status.outcome == "trying"
        ended = status.started if status.ended is None else status.ended
        return copied(
            PhaseReport,
            status,
            started=self._since(status.started),
            ended=None if runs else self._since(ended),
            outcome=None if runs else status.outcome,
        )

    def _moment(self, name: Moment) -> float | None:
        at: float | None = getattr(self.times, name)
        return None if at is None else self._since(at)

    def _since(self, now: float) -> float:
        return round(max(0.0, now - self.times.placed), 6)


def untried(local: NatProfile | None, remote: NatProfile | None, *, try_harder: bool) -> dict[str, str]:
    """The techniques that do not fit the two networks, by name, with the code why; empty while one is not known."""
    if local is None or remote is None:
        return {}
    chosen = strategy(local, remote, try_harder=try_harder)
    names = [Technique.PREDICTION, Technique.BIRTHDAY]
    if chosen.reason == "not-opted-in":
        # A block search concerns only those who have blocks.
        names.append(Technique.BLOCKS)
    return {name.value: chosen.reason for name in names if name is not chosen.technique}


def _same_phase(known: PhaseStatus, status: PhaseStatus) -> bool:
    """A phase is known by its beginning; one that waits has not begun."""
    return known.name == status.name and (known.started == status.started or known.outcome == "waiting")


def _without_progress(status: PhaseStatus) -> PhaseStatus:
    return replace(status, packets=0, sockets=0, tried=0)


def _turn(status: PhaseStatus) -> tuple[object, ...]:
    """What makes a status worth an event of its own."""
    return status.outcome, status.reason, status.rounds


def _cancelled(status: PhaseStatus, now: float, reason: str) -> PhaseStatus:
    return replace(status, outcome="cancelled", ended=now, reason=reason) if status.outcome == "trying" else status


def _key(path: PathReport) -> tuple[str, str, str, str]:
    return path.kind, path.via, path.local, path.remote


def _closed(path: PathReport, at: float) -> PathReport:
    return path if path.active_to is not None else msgspec.structs.replace(path, active_to=at)


def _drop_oldest(records: list[Any], ended: list[bool], limit: int) -> None:
    if len(records) > limit:
        del records[ended.index(True) if True in ended else 0]
