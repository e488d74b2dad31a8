"""A thread that ticks every 20 ms on an absolute schedule: the sound card where there is none."""

import threading
import time
from collections.abc import Callable

from media.format import FRAME_S

# A machine that slept for longer is not made to play what it missed.
MAX_BEHIND_S = 1.0
# Between two ticks that are both overdue: time for the engine to refill the ring that the first has emptied.
LEAST_GAP_S = FRAME_S / 4
_JOIN_S = 5.0


class FrameClock:
    """Calls ``tick()`` once for each 20 ms that pass, from its own thread, without drift.

    A late wake-up is followed by as many ticks as are due, 5 ms apart, so the count of ticks follows the clock.
    """

    def __init__(self, tick: Callable[[], None], name: str = "segue-audio-clock") -> None:
        self._tick = tick
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start ticking; the first tick comes after 20 ms."""
        self._thread.start()

    def close(self) -> None:
        """Stop and wait for the thread; nothing ticks afterwards. May be called twice, or before ``start``."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        due = time.monotonic() + FRAME_S
        least_wait = 0.0
        while not self._stop.wait(max(least_wait, due - time.monotonic())):
            self._tick()
            due += FRAME_S
            least_wait = LEAST_GAP_S
            if time.monotonic() - due > MAX_BEHIND_S:
                due = time.monotonic() + FRAME_S
