"""Figures of a talk: frozen snapshots, and the histogram behind the playout delay."""

from dataclasses import dataclass

import numpy as np

from media.playout import JitterStats
from media.processing import Level

# One bin a millisecond up to 2 s, four times the longest delay a jitter buffer aims for; the last bin holds the rest.
_BIN_S = 0.001
_BINS = 2_000
_NO_LEVEL = Level()


@dataclass(frozen=True, slots=True)
class DelaySummary:
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

    def summary(self) -> DelaySummary:
        """p50, p95 and maximum so far; zeros before the first frame."""
        total = int(self._counts.sum())
        if total == 0:
            return DelaySummary()
        reached = np.cumsum(self._counts)
        p50, p95 = (float(np.searchsorted(reached, share * total)) for share in (0.50, 0.95))
        return DelaySummary(p50, p95, round(self._max_s * 1000, 1))


@dataclass(frozen=True, slots=True)
class PlayoutStats:
    """The receiving side. Recovered (FEC) and damaged frames count as concealed: they are not the peer's samples.
    ``samples_skipped``: they came, and were given up unplayed to catch up after a stall. ``malformed``: datagrams that
    are no RTP packets; ``damaged``: payloads that the codec refused."""

    jitter: JitterStats
    samples_played: int
    samples_concealed: int
    samples_stretched: int
    samples_skipped: int
    delay: DelaySummary
    malformed: int
    damaged: int


@dataclass(frozen=True, slots=True)
class MediaStats:
    """The ``media`` block of the report, and what the panel shows beside it.

    ``frames_lost``: due at playout in mid-talk and never seen; ``frames_late``: came after their turn.
    ``samples_stretched``: removed plus added. ``samples_skipped``: they came, and were given up unplayed to catch up
    after a stall. ``underruns``: times the speaker found too little, or the jitter
    buffer ran dry; ``overruns``: times captured or received sound did not fit. ``loss`` is a share of the last
    second. ``frames_dropped``: captured, but too old to be sent.
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
    playout_delay_ms: DelaySummary = DelaySummary()
    frames_dropped: int = 0
    jitter_ms: float = 0.0
    loss: float = 0.0
    bitrate_bps: int = 0
    input_level: Level = _NO_LEVEL
    output_level: Level = _NO_LEVEL

    def report(self) -> dict[str, int | dict[str, float]]:
        """Exactly the ``media`` block of the report (DESIGN §10)."""
        delay = self.playout_delay_ms
        return {
            "frames_sent": self.frames_sent,
            "frames_received": self.frames_received,
            "frames_lost": self.frames_lost,
            "frames_late": self.frames_late,
            "frames_duplicate": self.frames_duplicate,
            "samples_played": self.samples_played,
            "samples_concealed": self.samples_concealed,
            "samples_stretched": self.samples_stretched,
            "samples_skipped": self.samples_skipped,
            "underruns": self.underruns,
            "overruns": self.overruns,
            "playout_delay_ms": {"p50": delay.p50, "p95": delay.p95, "max": delay.max},
        }
