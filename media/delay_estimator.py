"""How long the network takes, seen from the receiver alone (pure).

Sender's and receiver's clocks share no zero, so a packet's *transit* (arrival minus its RTP time) is known only up
to a constant. The smallest transit of the last seconds stands for "no queue at all"; what others take beyond it is
delay variation, and that is all a jitter buffer has to cover.
"""

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass

from media.format import SAMPLE_RATE_HZ


def transit_s(timestamp: int, now: float) -> float:
    """Arrival less RTP time in seconds, of an extended timestamp: known but for the clocks' unknown offset."""
    return now - timestamp / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class DelayConfig:
    """What is remembered, and for how long."""

    window_s: float = 10.0
    """A buffer shrinks only after this much calm, so variation is remembered as long."""
    percentile: float = 0.99
    """Share of the packets that must arrive in time: concealment starts to be noticed at 1 frame in 100."""
    peak_memory_s: float = 60.0
    """Wi-Fi scans and the like delay a burst every half minute; two such peaks within this time are expected again."""
    peak_distance_s: float = 1.0
    """Packets late within this time belong to the same peak."""
    peak_least_s: float = 0.04
    """Lower ones are covered by the floor of the buffer."""
    max_packets: int = 1_024
    """Twice what a window holds at 50 packets/s; a flood drops the oldest."""


class DelayEstimator:
    """Percentile of the delay variation over a sliding window, with a memory for rare peaks."""

    def __init__(self, config: DelayConfig | None = None) -> None:
        self._config = config or DelayConfig()
        self._window: deque[tuple[float, float]] = deque()
        self._sorted: list[float] = []
        self._offset_s = 0.0
        self._peaks: deque[tuple[float, float]] = deque(maxlen=8)

    def add(self, transit_s: float, now: float) -> None:
        """Take the transit of one packet that arrived at ``now``."""
        config = self._config
        while self._window and (now - self._window[0][0] > config.window_s or len(self._window) >= config.max_packets):
            del self._sorted[bisect_left(self._sorted, self._window.popleft()[1])]
        usual = self.usual_s
        above_s = transit_s - self._offset_s
        self._window.append((now, above_s))
        insort(self._sorted, above_s)
        self._note_peak(above_s - self._sorted[0], usual, now)

    def shift(self, by_s: float) -> None:
        """The sender's clock stood still for ``by_s``: all transits grow by that, the variation stays what it was."""
        self._offset_s += by_s

    def _note_peak(self, variation_s: float, usual_s: float, now: float) -> None:
        config = self._config
        while self._peaks and now - self._peaks[0][0] > config.peak_memory_s:
            self._peaks.popleft()
        if variation_s < max(config.peak_least_s, 2 * usual_s):
            return
        if self._peaks and now - self._peaks[-1][0] < config.peak_distance_s:
            began, height = self._peaks[-1]
            self._peaks[-1] = (began, max(height, variation_s))
        else:
            self._peaks.append((now, variation_s))

    @property
    def base_s(self) -> float | None:
        """The smallest transit in the window; ``None`` before the first packet."""
        return self._sorted[0] + self._offset_s if self._sorted else None

    @property
    def usual_s(self) -> float:
        """Variation that the configured share of the packets stays below."""
        if not self._sorted:
            return 0.0
        index = int(self._config.percentile * (len(self._sorted) - 1))
        return self._sorted[index] - self._sorted[0]

    @property
    def worst_s(self) -> float:
        """The largest variation in the window."""
        return self._sorted[-1] - self._sorted[0] if self._sorted else 0.0

    @property
    def recurring_peak_s(self) -> float:
        """Height of peaks that came at least twice within the memory (the second highest); else 0."""
        if len(self._peaks) < 2:
            return 0.0
        return sorted(height for _, height in self._peaks)[-2]
