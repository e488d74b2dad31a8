"""Ending with the program that started this one, however that one ends: its end closes our standard input."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable

_READ_BYTES = 4_096


def watch_parent(gone: Callable[[], None]) -> None:
    """Call ``gone`` in the running loop when standard input ends."""
    loop = asyncio.get_running_loop()

    def wait_for_end() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, _READ_BYTES):
                pass
        with contextlib.suppress(RuntimeError):  # our loop has ended before the parent did
            loop.call_soon_threadsafe(gone)

    # A daemon: nothing ends a blocked read of a pipe but its other end.
    threading.Thread(target=wait_for_end, name="parent-watch", daemon=True).start()
