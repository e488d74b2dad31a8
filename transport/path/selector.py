"""Which path is better, and what a path has to show before it carries the call alone.

Direct before relayed, but only as far as *measured*: a path that takes over has carried a copy of everything for
:data:`EVALUATION_S` at least, and the peer, who alone sees the forward path, has reported how that arrived.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from transport.path.path import Path
from transport.path.stats import PathKind

# At least so long, and so many frames of voice in the peer's own count.
EVALUATION_S = 0.3
EVALUATION_FRAMES = 15
# Where frames are lost, 15 of them say little (of 18 % loss they show one or none in every fifth case): 1.5 s do more.
LOSSY_EVALUATION_FRAMES = 75
# A frame more may be lost than on the other path would be, or one in 50: below that, chance decides.
FRAME_MARGIN = 1
LOSS_MARGIN = 0.02
# What the faster path may be ahead in a count; a path that is further behind brings nothing any more.
LAG_FRAMES = 3
# An evaluation without a verdict costs double traffic; three seconds are enough for the slowest pair of paths.
MAX_EVALUATION_S = 3.0
# A direct path whose round trip is longer than the relay's by more is not worth it (iroh takes any).
RTT_MARGIN_S = 0.02
# Between paths of a kind a smaller gain than this is noise.
RTT_HYSTERESIS_S = 0.005
# After a change of paths nothing but failure changes them again for so long.
DWELL_S = 2.0
# Both paths go on for a moment: what is under way on the old one arrives.
OVERLAP_S = 0.1
# To a slower path: the peer's jitter buffer grows by stretching the voice by 5 %, after it has seen the first copies.
GROW_OVERLAP_S = 0.4
STRETCH = 0.05
# The slowest path that carries a call is half a second behind; ten seconds grow its buffer.
MAX_OVERLAP_S = 10.4
# A path that was not good enough is left alone for so long, and twice as long each time.
BACKOFF_S = 5.0
MAX_BACKOFF_S = 80.0
# While nobody talks a path is evaluated with echoes, and then carries the call on probation: media is the judge.
EVALUATION_ECHOES = 5
# A path in use that loses more of its frames than this is measured against the one that stands by.
DOUBTFUL_LOSS = 0.05
DOUBTFUL_FRAMES = 100

_TIERS: dict[PathKind, int] = {"direct": 0, "relay": 1}


@dataclass(frozen=True, slots=True)
class PathMetrics:
    """What the choice between two paths rests on. ``rtt_s`` is end to end, None while unknown."""

    kind: PathKind
    rtt_s: float | None


def metrics(path: Path) -> PathMetrics:
    """Of a path as it is now."""
    return PathMetrics(path.kind, path.rtt_s)


def is_acceptable(candidate: PathMetrics, other: PathMetrics) -> bool:
    """Whether its round trip allows ``candidate`` to carry the call instead of ``other``, as far as is known."""
    if candidate.rtt_s is None or other.rtt_s is None:
        return True
    if candidate.kind == other.kind:
        return candidate.rtt_s <= other.rtt_s + RTT_HYSTERESIS_S
    if _TIERS[candidate.kind] < _TIERS[other.kind]:
        return candidate.rtt_s <= other.rtt_s + RTT_MARGIN_S
    return candidate.rtt_s <= other.rtt_s


def is_better(candidate: PathMetrics, active: PathMetrics) -> bool:
    """Whether ``candidate`` deserves an evaluation while ``active`` carries the call."""
    if candidate.kind != active.kind:
        return _TIERS[candidate.kind] < _TIERS[active.kind] and is_acceptable(candidate, active)
    if candidate.rtt_s is None or active.rtt_s is None:
        return False
    return candidate.rtt_s + RTT_HYSTERESIS_S < active.rtt_s


def overlap_s(lag_s: float) -> float:
    """How long both paths go on after a change to one that is ``lag_s`` slower one way, or faster when negative."""
    if lag_s <= 0:
        return OVERLAP_S
    return min(MAX_OVERLAP_S, GROW_OVERLAP_S + lag_s / STRETCH)


def backoff_s(failures: int) -> float:
    """How long a path is left alone after so many failed evaluations, the first being 1."""
    return float(min(MAX_BACKOFF_S, BACKOFF_S * 2 ** min(failures - 1, 10)))


class PathVerdict(Enum):
    """The result of an evaluation."""

    PENDING = "pending"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(slots=True)
class _Count:
    """What the peer has counted on one path since its first report in the evaluation."""

    frames: int = 0
    expected: int = 0
    base: tuple[int, int] | None = None

    def report(self, frames: int, expected: int) -> None:
        if self.base is None:
            self.base = (frames, expected)
        # A hostile peer may count backwards; it hurts itself alone.
        self.frames = max(0, frames - self.base[0])
        self.expected = max(self.frames, expected - self.base[1])

    @property
    def lost(self) -> int:
        return self.expected - self.frames

    @property
    def loss(self) -> float:
        return self.lost / self.expected if self.expected else 0.0


class PathEvaluation:
    """``candidate`` and ``other`` carry the same; may ``candidate`` do it alone?

    ``talking``: media flows, so the peer counts; otherwise echoes have to do."""

    __slots__ = ("_candidate", "_echoes", "_other", "began", "candidate", "other", "talking")

    def __init__(self, candidate: Path, other: Path, now: float, *, talking: bool) -> None:
        self.candidate = candidate
        self.other = other
        self.began = now
        self.talking = talking
        self._candidate = _Count()
        self._other = _Count()
        self._echoes = 0

    @property
    def deadline(self) -> float:
        """When there will be a verdict at the latest."""
        return self.began + MAX_EVALUATION_S

    def concerns(self, path: Path) -> bool:
        """Whether it is one of the two."""
        return path is self.candidate or path is self.other

    def partner(self, path: Path) -> Path:
        """The other one of the two."""
        return self.other if path is self.candidate else self.candidate

    def talk(self, now: float) -> None:
        """Media flows from now on: it alone counts."""
        if not self.talking:
            self.talking, self.began = True, now

    def report(self, counts: Mapping[int, tuple[int, int]]) -> None:
        """The peer has counted so many frames, of so many expected, by each path. Both are compared from the first
        report on that knows of the candidate."""
        if self.candidate.number in counts:
            self._candidate.report(*counts[self.candidate.number])
        if self.other.number in counts and self._candidate.base is not None:
            self._other.report(*counts[self.other.number])

    def echoed(self, path: Path) -> None:
        """An echo request was answered by this path."""
        self._echoes += path is self.candidate

    def verdict(self, now: float) -> PathVerdict:
        """What is known now."""
        if now < self.began + EVALUATION_S:
            return PathVerdict.PENDING
        candidate = metrics(self.candidate)
        if self._is_shown() and candidate.rtt_s is not None and is_acceptable(candidate, metrics(self.other)):
            return PathVerdict.PASSED
        return PathVerdict.FAILED if now >= self.deadline else PathVerdict.PENDING

    def _is_shown(self) -> bool:
        if not self.talking:
            return self._echoes >= EVALUATION_ECHOES
        mine, other = self._candidate, self._other
        if mine.expected + LAG_FRAMES < other.expected:
            return False
        if mine.lost == 0:
            return mine.expected >= EVALUATION_FRAMES
        margin = max(FRAME_MARGIN, LOSS_MARGIN * mine.expected)
        return mine.expected >= LOSSY_EVALUATION_FRAMES and mine.lost <= other.loss * mine.expected + margin
