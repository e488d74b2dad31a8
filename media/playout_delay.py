"""How long playout lags behind the fastest packets, and the tempo that takes it there (pure).

The delay aimed at follows the measured variation: it grows at once and shrinks after ten calm seconds, by stretching
the voice alone. Playing catches up in a hurry after a stall (:mod:`media.stall_detector`).
"""

from collections import deque

from media.delay_estimator import DelayConfig, DelayEstimator, transit_s
from media.playout import JitterConfig, Tempo
from media.rtp_source import MAX_AHEAD_S
from media.stall_detector import STALL_S, StallWatch

# The margin before underrun is judged over a few frames: a sound card that takes 40 ms at once alternates.
_LEAD_FRAMES = 10


class PlayoutDelay:
    """Of one time line of the sender. ``now`` as in :class:`media.jitter.JitterBuffer`."""

    def __init__(self, config: JitterConfig, delay: DelayConfig | None) -> None:
        self._config = config
        self._estimate = DelayEstimator(delay)
        self._watch = StallWatch()
        self._pulled: float | None = None
        self._previous_transit: float | None = None
        self._leads: deque[float] = deque(maxlen=_LEAD_FRAMES)
        self._tempo = Tempo.STEADY
        self.target_s = config.floor_s
        """What playout aims at."""
        self.catching_up = False
        """A stall is over, and what it held up is not worked off yet."""

    @property
    def base_s(self) -> float | None:
        """Transit of the fastest packets."""
        return self._estimate.base_s

    def arrived(self, timestamp: int, now: float, jitter_s: float, *, playing: bool) -> float:
        """A packet has come; the interarrival jitter of RFC 3550 §6.4.1, which was ``jitter_s`` before it."""
        transit = transit_s(timestamp, now)
        if self._watch.arrived(transit, now, self._estimate):
            self.catching_up = playing
        counts = self._watch.counts(transit, now, self._estimate)
        if counts:
            self._learn(transit, now)
            if self._previous_transit is not None:
                jitter_s += (abs(transit - self._previous_transit) - jitter_s) / 16
        self._previous_transit = transit
        return jitter_s

    def copy_arrived(self, timestamp: int, now: float) -> None:
        """A packet that came before has come again by a slower path: see :meth:`JitterBuffer.observe_copy`."""
        transit = transit_s(timestamp, now)
        base_s = self.base_s
        if base_s is None or not self._watch.counts(transit, now, self._estimate):
            return
        if base_s <= transit <= base_s + MAX_AHEAD_S:
            self._learn(transit, now)

    def pulled(self, now: float) -> None:
        """The speaker wants a frame. If it has not for long, it or all of us stood still."""
        if self._pulled is not None and now - self._pulled > STALL_S:
            self.catching_up = True
        self._pulled = now

    def must_skip(self, surplus_s: float) -> bool:
        """After a stall: whether more than can be worked off in a hurry waits, ``surplus_s`` beyond the target. It is
        over when so little waits that nothing would be shortened."""
        if not self.catching_up:
            return False
        if surplus_s <= self._config.drain_above_s and self._watch.settled:
            self.catching_up = False
        return surplus_s > max(self._config.skip_above_s, self._config.drain_above_s)

    def skipped(self) -> None:
        """What was known of the frames before a skip says nothing of those behind it."""
        self._leads.clear()

    def played(self, timestamp: int, now: float, surplus_s: float | None) -> Tempo:
        """A frame is played; at which tempo. ``surplus_s`` as in :meth:`must_skip`, None if nothing else waits."""
        self._leads.append(transit_s(timestamp, now))
        if self.catching_up and surplus_s is not None and surplus_s > self._config.drain_above_s:
            return Tempo.HURRY
        base_s = self._watch.line_s(self._estimate)
        if base_s is None or len(self._leads) < _LEAD_FRAMES:
            return Tempo.STEADY
        delay_s = min(self._leads) - base_s
        config = self._config
        needed_s = self._needed_s()
        drained = self._tempo is Tempo.FASTER and delay_s <= self.target_s + config.margin_s
        if drained or (self._tempo is Tempo.SLOWER and delay_s >= needed_s + config.margin_s):
            self._tempo = Tempo.STEADY
        if delay_s > max(self.target_s + config.drain_above_s, self._estimate.worst_s):
            self._tempo = Tempo.FASTER
        elif delay_s < needed_s and self._watch.settled:
            # The margin is still there: a sound card that runs too fast is met before the buffer is dry.
            self._tempo = Tempo.SLOWER
        return self._tempo

    def _learn(self, transit_s: float, now: float) -> None:
        self._estimate.add(transit_s, now)
        config = self._config
        needed_s = max(config.floor_s, self._needed_s())
        calm_s = max(config.floor_s, self._estimate.worst_s + config.margin_s)
        self.target_s = min(max(min(self.target_s, calm_s), needed_s), config.max_delay_s)

    def _needed_s(self) -> float:
        variation_s = max(self._estimate.usual_s, self._estimate.recurring_peak_s)
        return min(variation_s + self._config.margin_s, self._config.max_delay_s)
