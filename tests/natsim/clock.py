"""Virtual time: a heap of what happens when."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass

# Two links and a relay do some dozens of things at one instant; this many mean that a timer does not advance.
MAX_EVENTS_PER_INSTANT = 5_000


class SpinningError(AssertionError):
    """Too much happens at one instant: something re-arms a timer for a time that has passed."""


@dataclass(slots=True)
class Timer:
    """One thing that will happen, unless it is cancelled."""

    when: float
    action: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class VirtualClock:
    """Runs actions in the order of their time, and those of one time in the order of their making."""

    def __init__(self, start: float = 1_000.0) -> None:
        self.now = start
        self.events = 0
        # Time, then order of making: a tuple is compared without a call into Python.
        self._heap: list[tuple[float, int, Timer]] = []
        self._made = 0
        self._at_this_instant = 0

    @property
    def pending(self) -> int:
        """Timers that are still to fire."""
        return sum(not timer.cancelled for _, _, timer in self._heap)

    def at(self, when: float, action: Callable[[], None]) -> Timer:
        """Do ``action`` at ``when``, or at once when that has passed."""
        self._made += 1
        timer = Timer(max(when, self.now), action)
        heapq.heappush(self._heap, (timer.when, self._made, timer))
        return timer

    def time(self) -> float:
        """As an event loop's."""
        return self.now

    def call_at(self, when: float, action: Callable[[], None]) -> Timer:
        """As an event loop's."""
        return self.at(when, action)

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Do ``action`` in ``seconds``."""
        return self.at(self.now + seconds, action)

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let ``seconds`` pass, or less if ``until`` becomes true; returns whether it did."""
        end = self.now + seconds
        while self._heap and self._heap[0][0] <= end:
            if until is not None and until():
                return True
            timer = heapq.heappop(self._heap)[2]
            if timer.cancelled:
                continue
            self._advance(timer.when)
            timer.action()
        if until is not None and until():
            return True
        self.now = end
        self._at_this_instant = 0
        return False

    def _advance(self, when: float) -> None:
        self.events += 1
        self._at_this_instant = self._at_this_instant + 1 if when == self.now else 0
        if self._at_this_instant > MAX_EVENTS_PER_INSTANT:
            raise SpinningError(f"{self._at_this_instant} events at {self.now}")
        self.now = when
