"""When a path is evaluated, against which other one, and what follows from the verdict (pure)."""

from collections.abc import Collection, Iterable

from transport.path.liveness import is_silent
from transport.path.path import NEVER, Path, State
from transport.path.schedule import fallback
from transport.path.selector import (
    DOUBTFUL_FRAMES,
    DOUBTFUL_LOSS,
    DWELL_S,
    RTT_HYSTERESIS_S,
    PathEvaluation,
    PathMetrics,
    PathVerdict,
    backoff_s,
    is_acceptable,
    is_better,
    metrics,
)
from transport.path.stats import PathKind
from transport.wire.call_messages import PathCount

# Media flows while the last frame is not older.
TALKING_S = 0.1


class Evaluator:
    """At most one evaluation at a time. ``follows``: of direct paths that are equally good, this end takes the one by
    which the other end talks, since silence is noticed soonest on a path that brings a voice."""

    __slots__ = ("_follows", "_media_at", "changed_at", "current")

    def __init__(self, *, follows: bool) -> None:
        self._follows = follows
        self._media_at = NEVER
        self.changed_at = NEVER
        """When another path was last taken into use."""
        self.current: PathEvaluation | None = None

    def drop(self, path: Path) -> None:
        """The path cannot carry anything any more."""
        if self.current is not None and self.current.concerns(path):
            self.current = None

    def media_sent(self, now: float) -> bool:
        """A frame is about to be sent; whether it is the first after a pause."""
        paused = now - self._media_at > TALKING_S
        self._media_at = now
        if paused and self.current is not None:
            self.current.talk(now)
        return paused

    def counted(self, counts: Iterable[tuple[Path, PathCount]]) -> bool:
        """The peer has counted our frames by each path; whether there may be a verdict now. A count that a newer one
        has overtaken says nothing."""
        counts = list(counts)
        if any(count.expected < path.reported_expected for path, count in counts):
            return False
        for path, count in counts:
            path.reported_expected = count.expected
            path.lag_s = count.behind_ms / 1_000
        if self.current is not None:
            self.current.report({path.number: (count.frames, count.expected) for path, count in counts})
            return True
        for path, count in counts:
            _doubt(path, count)
        return False

    def begin_if_due(self, paths: Collection[Path], now: float) -> bool:
        """Begin an evaluation if there is a path that deserves one; whether it has."""
        active = next((path for path in paths if path.state is State.ACTIVE), None)
        if self.current is not None or active is None:
            return False
        talking = now - self._media_at <= TALKING_S
        settled = now >= self.changed_at + DWELL_S
        standbys = [path for path in paths if path.state is State.STANDBY]
        other = fallback(paths, active)
        if (
            active.kind == "direct"
            and talking
            and other is not None
            and now >= active.backoff_until
            and (not active.passed or (settled and _is_outrun(active, standbys)))
        ):
            self.current = PathEvaluation(active, other, now, talking=True)
        elif settled:
            better = [
                path
                for path in standbys
                if now >= path.backoff_until
                and (is_better(metrics(path), metrics(active)) or self._peer_has_settled_on(path, active, now))
            ]
            if better:
                best = min(better, key=lambda path: (path.rtt_s or 0.0, path.number))
                self.current = PathEvaluation(best, active, now, talking=talking)
        return self.current is not None

    def conclude(self, peer_uses: PathKind, now: float) -> tuple[Path, Path] | None:
        """If there is a verdict: end the evaluation; the path that is not to carry the call, and the one that is."""
        evaluation = self.current
        if evaluation is None:
            return None
        candidate, other = evaluation.candidate, evaluation.other
        verdict = evaluation.verdict(now)
        if verdict is PathVerdict.PASSED and (
            is_silent(candidate, peer_uses, now) or candidate.missed_since is not None
        ):
            # It was good, and has died since, in either direction.
            verdict = PathVerdict.PENDING if now < evaluation.deadline else PathVerdict.FAILED
        if verdict is PathVerdict.PENDING:
            return None
        self.current = None
        if verdict is PathVerdict.FAILED:
            candidate.failures += 1
            candidate.backoff_until = now + backoff_s(candidate.failures)
            return candidate, other
        if evaluation.talking:
            # How it fares is looked at again, but not at once.
            candidate.passed = True
            candidate.failures = 0
            candidate.backoff_until = now + backoff_s(1)
        return other, candidate

    def _peer_has_settled_on(self, path: Path, active: Path, now: float) -> bool:
        """Whether the peer talks by this path, which is as good as the one that we talk by."""
        if not self._follows or path.kind != "direct" or active.kind != "direct":
            return False
        voice_at = path.measured.media_at
        return (
            voice_at is not None
            and now - voice_at <= TALKING_S
            and now - (active.measured.media_at or NEVER) > DWELL_S
            and is_acceptable(metrics(path), metrics(active))
        )


def _doubt(path: Path, count: PathCount) -> None:
    """A path in use that loses too much has to pass again."""
    if path.counted is None:
        path.counted = (count.frames, count.expected)
    expected = count.expected - path.counted[1]
    if expected >= DOUBTFUL_FRAMES:
        lost = expected - (count.frames - path.counted[0])
        path.counted = None
        if lost > DOUBTFUL_LOSS * expected:
            path.passed = False


def _is_outrun(path: Path, standbys: Collection[Path]) -> bool:
    """Whether the relay, standing by, has become so much faster that the direct ``path`` in use is not worth it."""
    if path.rtt_s is None:
        return False
    slightly_better = PathMetrics(path.kind, path.rtt_s - RTT_HYSTERESIS_S)
    return any(other.kind == "relay" and not is_acceptable(slightly_better, metrics(other)) for other in standbys)
