"""Collects the report of a call while it goes on; the engine feeds it (pure)."""

from typing import Literal, TypeVar

import msgspec

from app.model.terms import PathKind, PhaseName
from app.report.report import (
    REPORT_VERSION,
    CallReport,
    MediaReport,
    NatReport,
    Nats,
    Outcome,
    PathReport,
    PhaseReport,
    PhaseResult,
    Role,
    Times,
    Via,
)

Moment = Literal["ringing", "answered", "first_audio_sent", "first_audio_played", "direct", "ended"]
SpanT = TypeVar("SpanT")
PathKey = tuple[PathKind, Via, str, str]

# The other side can make paths come and go; a day-long call on a bad network stays readable. The oldest ended
# stretches and phases go first.
MAX_PATHS = 200
MAX_PHASES = 200


class ReportBuilder:
    """``now`` is in seconds of any monotonic clock, as is ``started``, when the call was placed or received."""

    __slots__ = (
        "_call_id",
        "_media",
        "_nat",
        "_outcome",
        "_paths",
        "_peer",
        "_phases",
        "_reason",
        "_role",
        "_started",
        "_times",
    )

    def __init__(self, call_id: str, role: Role, peer: str, started: float) -> None:
        self._call_id = call_id
        self._role: Role = role
        self._peer = peer
        self._started = started
        self._times: dict[str, float] = {}
        self._nat = Nats()
        self._phases: list[PhaseReport] = []
        self._paths: list[PathReport] = []
        self._media = MediaReport()
        self._outcome: Outcome | None = None
        self._reason = ""

    def mark(self, moment: Moment, now: float) -> None:
        """Something happened; only its first time counts."""
        self._times.setdefault(moment, self._since(now))

    def nat(self, *, local: NatReport | None = None, remote: NatReport | None = None) -> None:
        """A profile is known; the newest of each side counts."""
        self._nat = Nats(local or self._nat.local, remote or self._nat.remote)

    def phase(
        self,
        name: PhaseName,
        started: float,
        *,
        ended: float | None = None,
        outcome: PhaseResult | None = None,
        reason: str = "",
        packets: int = 0,
        sockets: int = 0,
        rounds: int = 0,
        tried: int = 0,
        of: int = 0,
    ) -> None:
        """How the phase that began at ``started`` stands, or how it ended; the newest word counts.

        One of the same name that began before it and has not ended is cancelled by it."""
        since = self._since(started)
        now = PhaseReport(
            name,
            since,
            None if outcome is None else self._since(ended if ended is not None else started),
            outcome,
            reason,
            packets,
            sockets,
            rounds,
            tried,
            of,
        )
        for place, phase in enumerate(self._phases):
            if phase.name == name and phase.started == since:
                self._phases[place] = now
                return
        self._end_phases(started, "started anew", name)
        self._phases.append(now)
        self._phases = _newest(self._phases, [phase.ended for phase in self._phases], MAX_PHASES)

    def path_active(self, path: PathKey, now: float) -> None:
        """This path carries the call from now on; others may do so too. Again for the same one changes nothing."""
        if any(_key(span) == path and span.active_to is None for span in self._paths):
            return
        kind, via, local, remote = path
        if kind == "direct":
            self.mark("direct", now)
        self._paths.append(PathReport(kind, via, local, remote, self._since(now)))
        self._paths = _newest(self._paths, [span.active_to for span in self._paths], MAX_PATHS)

    def path_inactive(self, path: PathKey, now: float) -> None:
        """This path carries the call no more."""
        self._change_active(path, active_to=self._since(now))

    def path_figures(self, path: PathKey, rtt_ms: float | None, loss: float | None) -> None:
        """The newest figures of a path that carries the call; ``loss`` is a share."""
        self._change_active(path, rtt_ms=rtt_ms, loss=loss)

    def media(self, figures: MediaReport) -> None:
        """The figures of the media so far: see :func:`app.report.report.media_report`."""
        self._media = figures

    def end(self, outcome: Outcome, reason: str, now: float) -> None:
        """The call is over, and so is whatever ran; only the first time counts."""
        if self._outcome is not None:
            return
        self._outcome = outcome
        self._reason = reason
        self.mark("ended", now)
        self._end_phases(now, "call-over")
        for span in self._paths:
            self.path_inactive(_key(span), now)

    def build(self) -> CallReport:
        """The report as of now; also in mid-call."""
        return CallReport(
            version=REPORT_VERSION,
            call_id=self._call_id,
            role=self._role,
            peer=self._peer,
            outcome=self._outcome,
            reason=self._reason,
            times=Times(**self._times),
            nat=self._nat,
            phases=tuple(self._phases),
            paths=tuple(self._paths),
            media=self._media,
        )

    def _end_phases(self, now: float, reason: str, name: PhaseName | None = None) -> None:
        """What runs, or of it what has this name, is cancelled."""
        for place, phase in enumerate(self._phases):
            if phase.ended is None and name in (None, phase.name):
                self._phases[place] = msgspec.structs.replace(
                    phase, ended=self._since(now), outcome="cancelled", reason=reason
                )

    def _since(self, now: float) -> float:
        return round(max(0.0, now - self._started), 6)

    def _change_active(self, path: PathKey, **fields: float | None) -> None:
        for place, span in enumerate(self._paths):
            if _key(span) == path and span.active_to is None:
                self._paths[place] = msgspec.structs.replace(span, **fields)


def _key(span: PathReport) -> PathKey:
    return span.kind, span.via, span.local, span.remote


def _newest(spans: list[SpanT], ended: list[float | None], limit: int) -> list[SpanT]:
    if len(spans) <= limit:
        return spans
    oldest = next((place for place, end in enumerate(ended) if end is not None), 0)
    return spans[:oldest] + spans[oldest + 1 :]
