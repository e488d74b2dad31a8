"""What is kept of a call: its report and trace, for whoever asks and where the command line wants them, and its lines
in the histories of calls and networks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from app.call import events as ev
from app.call.session import CallSession
from app.ipc import messages
from app.model import network_history
from app.model.history import RecentCall
from app.report.redact import redacted, redacted_trace
from app.report.report import CallReport, encode_report
from app.report.trace import CallTrace, encode_trace
from app.system import files
from app.system.errors import AppError, cause_of
from transport.wire.addresses import PersonAddress

# In the history a stopped call to somebody whose key changed is one that failed.
_HISTORY = {"key-changed": "failed"}


@dataclass(frozen=True, slots=True)
class KeptCall:
    """The trace of a call with everything in it, its report included, and the names to take out for others."""

    trace: CallTrace
    names: tuple[str, ...] = field(repr=False)

    @property
    def report(self) -> CallReport:
        """The report of the same call."""
        return self.trace.report

    def trace_document(self, *, with_addresses: bool) -> bytes:
        """For a file; without addresses and names unless they are asked for."""
        return encode_trace(self.trace if with_addresses else redacted_trace(self.trace, self.names))


class CallArchive:
    """``report``, ``trace``: where those of each call are written when it has ended, the trace without addresses and
    names unless ``trace_addresses``. ``complain`` hears what could not be written."""

    def __init__(
        self, report: Path | None, trace: Path | None, *, trace_addresses: bool, complain: Callable[[AppError], None]
    ) -> None:
        self._report = report
        self._trace = trace
        self._trace_addresses = trace_addresses
        self._complain = complain
        self._last: KeptCall | None = None

    def finished(self, session: CallSession, finished: ev.Finished) -> None:
        """The call has ended."""
        ended = session.times.ended
        session.record.end(finished.outcome, finished.reason, ended if ended is not None else session.times.placed)
        self._last = kept = kept_call(session)
        try:
            if self._report is not None:
                write(self._report, encode_report(kept.report), "report")
        except AppError as error:
            self._complain(error)
        try:
            if self._trace is not None:
                write(self._trace, kept.trace_document(with_addresses=self._trace_addresses), "trace")
        except AppError as error:
            self._complain(error)

    def report(self, session: CallSession | None, call_id: str, now: float) -> messages.Report:
        """The report of the call of ``session`` so far, or of the last one, without addresses and names. ``call_id``
        may be empty: whichever there is. Raises :class:`app.system.errors.AppError` in words for the person."""
        report = self._find(session, call_id, "report", now).report
        return messages.Report(report.call_id, encode_report(redacted(report)).decode())

    def save_trace(self, session: CallSession | None, wanted: messages.SaveTrace, now: float) -> messages.TraceSaved:
        """Write the trace of the call of ``session`` so far, or of the last one. Raises the same."""
        kept = self._find(session, wanted.call_id, "trace", now)
        write(Path(wanted.path), kept.trace_document(with_addresses=wanted.with_addresses), "trace")
        return messages.TraceSaved(kept.report.call_id, wanted.path)

    def _find(self, session: CallSession | None, call_id: str, what: str, now: float) -> KeptCall:
        if session is not None and not session.call.finished and call_id in ("", session.call.view.call_id):
            session.note_figures(now)
            return kept_call(session)
        if self._last is None or (call_id and self._last.report.call_id != call_id):
            raise AppError(f"no-{what}")
        return self._last


def kept_call(session: CallSession) -> KeptCall:
    """Report and trace of a session's call as of now."""
    return KeptCall(session.record.full_trace(session.record.report(session.media.report())), session.names())


def write(path: Path, document: bytes, what: str) -> None:
    """Write to ``path``, whole or not at all, for the owner alone: reports hold addresses. Raises :class:`AppError`.

    What is no ordinary file (``/dev/stdout``, a pipe) is written to, never replaced.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                file.write(document)
        else:
            files.write_atomically(path.resolve(), document)
    except OSError as error:
        raise AppError(f"{what}-not-written", path=str(path), cause=cause_of(error)) from error


def recent_call(session: CallSession, finished: ev.Finished, wall_offset_s: float) -> RecentCall:
    """The line in the history."""
    times, view = session.times, session.call.view
    talked = 0.0
    if times.answered is not None and times.ended is not None:
        talked = times.ended - times.answered
    return RecentCall(
        call_id=view.call_id,
        address=str(session.person),
        outgoing=view.outgoing,
        at=times.placed + wall_offset_s,
        seconds=talked,
        outcome=_HISTORY.get(finished.outcome, finished.outcome),  # type: ignore[arg-type]
        was_direct=times.answered is not None and times.direct is not None,
        key=view.key.hex(),
        vouched=session.vouched,
    )


def missed_call(call_id: str, person: PersonAddress, at: float, key: bytes, *, vouched: bool) -> RecentCall:
    """Somebody called who could not ring."""
    return RecentCall(
        call_id=call_id,
        address=str(person),
        outgoing=False,
        at=at,
        seconds=0.0,
        outcome="missed",
        key=key.hex(),
        vouched=vouched,
    )


def between_networks(
    session: CallSession, wall_offset_s: float, now: float
) -> tuple[str, str, network_history.NetworkOutcome] | None:
    """The outside addresses of both networks and what the call showed of them; ``None`` where it showed nothing, or
    went through several networks, so that nobody can say which of them it was."""
    stats, times = session.link_stats(now), session.times
    if len(session.networks) != 1 or stats is None or times.answered is None:
        return None
    [(ours, theirs)] = session.networks
    nats, at = session.record.nats, times.answered + wall_offset_s
    ended = network_history.ended(stats.phases, times.answered, nats["local"], nats["remote"], at)
    return None if ended is None else (ours, theirs, ended)
