"""Ends a program in order on Ctrl-C or a friendly kill."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator

_BOTH = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def on_stop_signals(stop: Callable[[], object], numbers: tuple[signal.Signals, ...] = _BOTH) -> Iterator[None]:
    """Call ``stop`` in the running loop for each of these signals; afterwards they do what they did before."""
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":  # its loops take no signal handlers

        def call_soon(*_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(stop)

        before = {number: signal.signal(number, call_soon) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
