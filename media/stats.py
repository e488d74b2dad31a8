"""Figures of a call: frozen snapshots, and the histogram behind the playout delay (pure)."""

from dataclasses import dataclass

import numpy as np

from media.playout import JitterStats

# One bin a millisecond up to 2 s, four times the longest delay a jitter buffer aims for; the last bin holds the rest.
_BIN_S = 0.001
_BINS = 2_000


@dataclass(frozen=True, slots=True)
class DelayPercentiles:
    """Milliseconds from a packet's arrival to its first sample at the speaker."""

    p50: float = 0.0
    p95: float = 0.0
    max: float = 0.0


class DelayHistogram:
    """Percentiles of a whole call in constant memory, to one millisecond."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, dtype=np.int64)
        self._max_s = 0.0

    def add(self, delay_s: float) -> None:
        """Take the delay of one frame."""
        self._counts[min(max(int(delay_s / _BIN_S), 0), _BINS - 1)] += 1
        self._max_s = max(self._max_s, delay_s)

    def summary(self) -> DelayPercentiles:
        """p50, p95 and maximum so far; zeros before the first frame."""
        total = int(self._counts.sum())
        if total == 0:
            return DelayPercentiles()
        reached = np.cumsum(self._counts)
        p50, p95 = (float(np.searchsorted(reached, share * total)) for share in (0.50, 0.95))
        return DelayPercentiles(p50, p95, round(self._max_s * 1000, 1))


@dataclass(frozen=True, slots=True)
class PlayoutStats:
    """The receiving side. Recovered (FEC) and damaged frames count as concealed: they are not the peer's samples.
    ``samples_skipped``: they came, and were given up unplayed to catch up after a stall."""

    jitter: JitterStats
    samples_played: int
    samples_concealed: int
    samples_stretched: int
    samples_skipped: int
    delay: DelayPercentiles


@dataclass(frozen=True, slots=True)
class MediaStats:
    """The ``media`` block of the report, and what the panel shows beside it.

    ``frames_lost``: due at playout in mid-call and never seen; ``frames_late``: came after their turn.
    ``samples_stretched``: removed plus added. ``samples_skipped``: they came, and were given up unplayed to catch up
    after a stall. ``underruns``: times the speaker found too little, or the jitter buffer ran dry; ``overruns``: times
    captured or received sound did not fit. ``loss`` is a share of the last second. ``frames_dropped``: captured, but
    too old to be sent.
    """

    frames_sent: int = 0
    frames_received: int = 0
    frames_lost: int = 0
    frames_late: int = 0
    frames_duplicate: int = 0
    samples_played: int = 0
    samples_concealed: int = 0
    samples_stretched: int = 0
    samples_skipped: int = 0
    underruns: int = 0
    overruns: int = 0
    playout_delay_ms: DelayPercentiles = DelayPercentiles()
    frames_dropped: int = 0
    jitter_ms: float = 0.0
    loss: float = 0.0
    bitrate_bps: int = 0
