"""Tells a stall from jitter (pure).

While this process or the whole network stands still nothing arrives; then what was held up arrives at once. How late
that is says how long the stall was, and nothing about the next packets: it is no variation that a buffer could cover.
WebRTC's NetEq likewise gives up what a burst puts into its buffer, down to the target (``packet_buffer.cc``, flush).
"""

from media.delay_estimator import DelayEstimator
from media.format import FRAME_S

# As long as the jitter buffer waits at most (``JitterConfig.max_delay_s``): no buffer covers more. Shorter gaps are the
# bursts of Wi-Fi and mobile networks, which come again and have to be covered.
STALL_S = 0.5
# A network that hands out what it held does so faster than it was spoken. Where lateness has not fallen by a frame for
# so long nothing more was held: the sender's own clock stood still, and its packets will stay that late.
SETTLE_S = 0.5


class StallWatch:
    """Sees each packet before the estimate does, and decides whether it belongs there.

    After a stall the line that packets come on is open until one comes as early as they used to, or until they have
    stayed equally late for :data:`SETTLE_S`; then the estimate moves to where they are and keeps what it has learnt.
    """

    def __init__(self) -> None:
        self._last: float | None = None
        self._resumed: float | None = None
        self._drained = 0.0
        self._lowest_s: float | None = None
        self._mark_s = 0.0
        self._marked_at = 0.0

    @property
    def settled(self) -> bool:
        """It is known how late packets come now."""
        return self._lowest_s is None

    def line_s(self, delay: DelayEstimator) -> float | None:
        """Transit of the fastest packets as far as is known now; ``None`` before the first."""
        return delay.base_s if self._lowest_s is None else self._lowest_s

    def arrived(self, transit_s: float, now: float, delay: DelayEstimator) -> bool:
        """A packet has come; True if it is the first one after a stall."""
        ended = self._last is not None and now - self._last > STALL_S
        self._last = now
        if ended:
            self._resumed = self._drained = self._marked_at = now
            self._lowest_s = self._mark_s = transit_s
        if self._lowest_s is not None:
            self._settle(transit_s, now, delay, self._lowest_s)
        return ended

    def _settle(self, transit_s: float, now: float, delay: DelayEstimator, lowest_s: float) -> None:
        base_s = delay.base_s
        if base_s is None or transit_s - base_s <= max(FRAME_S, delay.usual_s):
            self._lowest_s = None
            return
        self._lowest_s = lowest_s = min(lowest_s, transit_s)
        if lowest_s < self._mark_s - FRAME_S:
            self._mark_s, self._marked_at = lowest_s, now
        elif now - self._marked_at >= SETTLE_S:
            delay.shift(lowest_s - base_s)
            self._lowest_s = None

    def counts(self, transit_s: float, now: float, delay: DelayEstimator) -> bool:
        """Whether a packet or a copy that came ``now`` tells of variation: not if it was due before all was read that
        was due before the stall ended. With a full socket for each path that takes a busy machine some 0.4 s, and
        what comes meanwhile waits behind it."""
        if self._resumed is None or delay.base_s is None:
            return True
        due = now - (transit_s - delay.base_s)
        if due < self._resumed:
            self._drained = now
        return self.settled and due >= self._drained
