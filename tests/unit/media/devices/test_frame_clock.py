"""The clock: as many ticks as the time says, never more, and none after the end."""

import threading
import time

from media.devices.frame_clock import FrameClock
from media.format import FRAME_S


def test_ticks_follow_the_clock() -> None:
    ticks = threading.Semaphore(0)
    begun = time.monotonic()
    clock = FrameClock(ticks.release)
    clock.start()
    for _ in range(10):
        assert ticks.acquire(timeout=5)
    # A tick never comes early.
    assert time.monotonic() - begun >= 10 * FRAME_S
    clock.close()
    rest = 0
    while ticks.acquire(blocking=False):
        rest += 1
    assert (10 + rest) * FRAME_S <= time.monotonic() - begun
    assert not ticks.acquire(timeout=3 * FRAME_S)


def test_a_slow_tick_is_made_up_for() -> None:
    first = threading.Event()
    ticks = threading.Semaphore(0)

    def tick() -> None:
        ticks.release()
        if not first.is_set():
            first.set()
            threading.Event().wait(5 * FRAME_S)

    begun = time.monotonic()
    clock = FrameClock(tick)
    clock.start()
    for _ in range(8):
        assert ticks.acquire(timeout=5)
    elapsed = time.monotonic() - begun
    clock.close()
    # Without making up, eight ticks and the pause would take thirteen periods and a bit more; with it, eight.
    assert elapsed >= 8 * FRAME_S


def test_it_may_be_closed_from_its_own_tick_twice_and_before_it_starts() -> None:
    done = threading.Event()
    clock = FrameClock(lambda: (clock.close(), done.set()))  # type: ignore[arg-type, return-value]
    clock.start()
    assert done.wait(5)
    clock.close()
    clock.close()
    FrameClock(lambda: None).close()
