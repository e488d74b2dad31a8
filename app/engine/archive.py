"""The report and the trace of the last call: kept for whoever asks, and written where the command line wants them."""

from collections.abc import Callable
from pathlib import Path

from app.call import events as ev
from app.call.session import CallSession
from app.engine import reporting
from app.ipc import messages
from app.report.report import CallReport, MediaReport, write_report
from app.report.trace import write_trace
from app.system.errors import AppError


class CallArchive:
    """``report``, ``trace``: where those of each call are written when it has ended, the trace without addresses and
    names unless ``trace_addresses``. ``complain`` hears title and text of what could not be written."""

    __slots__ = ("_complain", "_last_report", "_last_trace", "_report", "_trace", "_trace_addresses")

    def __init__(
        self, report: Path | None, trace: Path | None, *, trace_addresses: bool, complain: Callable[[str, str], None]
    ) -> None:
        self._report = report
        self._trace = trace
        self._trace_addresses = trace_addresses
        self._complain = complain
        self._last_report: CallReport | None = None
        self._last_trace: reporting.KeptTrace | None = None

    def finished(self, session: CallSession, finished: ev.Finished, media: MediaReport) -> None:
        """The call has ended."""
        self._last_report = report = reporting.final_report(session, finished, media)
        self._last_trace = trace = reporting.kept_trace(session, report)
        if self._report is not None:
            try:
                write_report(self._report, report)
            except AppError as error:
                self._complain("The report was not written", str(error))
        if self._trace is not None:
            try:
                write_trace(self._trace, trace.document(with_addresses=self._trace_addresses))
            except AppError as error:
                self._complain("The trace was not written", str(error))

    def report(self, session: CallSession | None, call_id: str) -> messages.Report:
        """The report of the call of ``session`` so far, or of the last one, without addresses and names. ``call_id``
        may be empty: whichever there is. Raises :class:`app.system.errors.AppError` in words for the person."""
        if session is not None and _goes_on(session, call_id):
            return messages.Report(session.call.view.call_id, reporting.shareable(reporting.live_report(session)))
        report = self._last_report
        if report is None or (call_id and report.call_id != call_id):
            raise AppError("There is no report of that call any more: Segue keeps that of the last one.")
        return messages.Report(report.call_id, reporting.shareable(report))

    def save_trace(self, session: CallSession | None, wanted: messages.SaveTrace) -> messages.TraceSaved:
        """Write the trace of the call of ``session`` so far, or of the last one. Raises the same."""
        kept = self._last_trace
        if session is not None and _goes_on(session, wanted.call_id):
            kept = reporting.kept_trace(session, reporting.live_report(session))
        if kept is None or (wanted.call_id and kept.trace.report.call_id != wanted.call_id):
            raise AppError("There is no trace of that call any more: Segue keeps that of the last one.")
        write_trace(Path(wanted.path), kept.document(with_addresses=wanted.with_addresses))
        return messages.TraceSaved(kept.trace.report.call_id, wanted.path)


def _goes_on(session: CallSession, call_id: str) -> bool:
    return not session.call.finished and call_id in ("", session.call.view.call_id)
