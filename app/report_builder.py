"""Collects the report of a call while it goes on; the engine feeds it (pure)."""

from typing import Literal, TypeVar

import msgspec

from app.protocol import PathKind, PhaseName
from app.report import (
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

    def phase_started(self, name: PhaseName, now: float) -> None:
        """A phase begins; one of the same name that has not ended is cancelled by it."""
        self.phase_ended(name, now, "cancelled", "started anew")
        self._phases.append(PhaseReport(name, self._since(now)))
        self._phases = _newest(self._phases, [phase.ended for phase in self._phases], MAX_PHASES)

    def phase_ended(
        self,
        name: PhaseName,
        now: float,
        outcome: PhaseResult,
        reason: str = "",
        *,
        packets: int = 0,
        sockets: int = 0,
        rounds: int = 0,
    ) -> None:
        """The phase of this name that runs is over; without one nothing happens."""
        for place, phase in enumerate(self._phases):
            if phase.name == name and phase.ended is None:
                self._phases[place] = PhaseReport(
                    name, phase.started, self._since(now), outcome, reason, packets, sockets, rounds
                )

    def phase_skipped(self, name: PhaseName, now: float, reason: str) -> None:
        """A phase that is not needed, or not allowed."""
        self.phase_started(name, now)
        self.phase_ended(name, now, "skipped", reason)

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
        """The figures of the media so far: see :func:`app.report.media_report`."""
        self._media = figures

    def end(self, outcome: Outcome, reason: str, now: float) -> None:
        """The call is over, and so is whatever ran; only the first time counts."""
        if self._outcome is not None:
            return
        self._outcome = outcome
        self._reason = reason
        self.mark("ended", now)
        for phase in self._phases:
            self.phase_ended(phase.name, now, "cancelled", "the call ended")
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
