"""From a call at work to what is kept of it: the report, and the line in the history."""

from dataclasses import dataclass, field

from app.call import events as ev
from app.call.session import CallSession
from app.model import network_history
from app.model.history import RecentCall
from app.report.redact import redacted, redacted_trace
from app.report.report import CallReport, MediaReport, encode_report
from app.report.trace import CallTrace, encode_trace
from transport.wire.addresses import PersonAddress

# In the history a stopped call to somebody whose key changed is one that failed.
_HISTORY = {"key-changed": "failed"}


def final_report(session: CallSession, finished: ev.Finished, media: MediaReport) -> CallReport:
    """Close the books of a call that has just ended."""
    builder = session.report
    builder.media(media)
    ended = session.times.ended
    builder.end(finished.outcome, finished.reason, ended if ended is not None else session.times.placed)
    return builder.build()


def live_report(session: CallSession) -> CallReport:
    """The call so far."""
    session.note_figures()
    session.report.media(session.media_now())
    return session.report.build()


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
        was_direct=any(span.kind == "direct" for span in session.paths.spans(times.answered)),
    )


def between_networks(session: CallSession, wall_offset_s: float) -> tuple[str, str, network_history.Ended] | None:
    """The outside addresses of both networks and what the call showed of them; ``None`` where it showed nothing, or
    went through several networks, so that nobody can say which of them it was."""
    stats, times = session.link_stats(), session.times
    if len(session.networks) != 1 or stats is None or times.answered is None:
        return None
    [(ours, theirs)] = session.networks
    at = times.answered + wall_offset_s
    ended = network_history.ended(stats.phases, times.answered, session.local_nat, session.remote_nat, at)
    return None if ended is None else (ours, theirs, ended)


def missed_call(call_id: str, person: PersonAddress, at: float) -> RecentCall:
    """Somebody called while the user was in another call."""
    return RecentCall(call_id=call_id, address=str(person), outgoing=False, at=at, seconds=0.0, outcome="missed")


def shareable(report: CallReport) -> str:
    """The report as JSON without addresses and names."""
    return encode_report(redacted(report)).decode()


@dataclass(frozen=True, slots=True)
class KeptTrace:
    """A trace with everything in it, and the words that have to be taken out for others."""

    trace: CallTrace
    names: tuple[str, ...] = field(repr=False)

    def document(self, *, with_addresses: bool = False) -> bytes:
        """For a file; without addresses and names unless they are asked for."""
        return encode_trace(self.trace if with_addresses else redacted_trace(self.trace, self.names))


def kept_trace(session: CallSession, report: CallReport) -> KeptTrace:
    """The trace of a session's call, which has this report."""
    return KeptTrace(session.trace.build(report), session.names())
