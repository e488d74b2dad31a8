"""Which path carried the call when, for the strip, the report and the line under the name (pure)."""

from app.ipc.messages import PathMark, PathSpan
from app.model.terms import PathKind
from transport.path.events import PathChanged

# The strip of a day-long call with a bad network stays readable, and small; the oldest go first.
MAX_KEPT = 200


class PathsSeen:
    """Spans and marks in seconds of the caller's clock; :meth:`spans` and :meth:`marks` count from the answer."""

    def __init__(self) -> None:
        self._spans: list[tuple[PathKind, str, float, float | None]] = []
        self._marks: list[tuple[float, PathMark]] = []
        self.current: PathKind | None = None
        self.lost_since: float | None = None

    def changed(self, change: PathChanged, now: float) -> None:
        """The path manager moved the call, or a path's state changed."""
        if change.state != "active" or change.kind == self.current:
            return
        if self.current is not None:
            text = "Moved to the direct path" if change.kind == "direct" else "Back on the relay"
            self._mark(now, PathMark(0.0, "swap" if change.kind == "direct" else "failover", text))
        self._end_span(now)
        self._spans.append((change.kind, change.via, now, None))
        del self._spans[:-MAX_KEPT]
        self.current = change.kind

    def lost(self, now: float) -> None:
        """Nothing carries the call."""
        self.lost_since = now
        self._mark(now, PathMark(0.0, "lost", "No connection: reconnecting"))

    def back(self, now: float) -> None:
        """Something does again."""
        self.lost_since = None
        self._mark(now, PathMark(0.0, "back", "Connected again"))

    def network_changed(self, now: float) -> None:
        """This machine's interfaces have other addresses."""
        self._mark(now, PathMark(0.0, "network", "Your network changed"))

    def phase(self, text: str, now: float) -> None:
        """A phase of the ladder began or ended."""
        self._mark(now, PathMark(0.0, "phase", text))

    def ended(self, now: float) -> None:
        """The call is over."""
        self._end_span(now)

    def spans(self, answered: float | None) -> tuple[PathSpan, ...]:
        """What carried the call when, in seconds since the answer; what ended before it is left out."""
        if answered is None:
            return ()
        return tuple(
            PathSpan(kind, via, max(0.0, start - answered), None if end is None else end - answered)
            for kind, via, start, end in self._spans
            if end is None or end > answered
        )

    def marks(self, answered: float | None) -> tuple[PathMark, ...]:
        """What happened when, in seconds since the answer."""
        if answered is None:
            return ()
        return tuple(PathMark(at - answered, mark.kind, mark.text) for at, mark in self._marks if at >= answered)

    def _mark(self, now: float, mark: PathMark) -> None:
        self._marks.append((now, mark))
        del self._marks[:-MAX_KEPT]

    def _end_span(self, now: float) -> None:
        if self._spans and self._spans[-1][3] is None:
            kind, via, start, _ = self._spans[-1]
            self._spans[-1] = (kind, via, start, now)
