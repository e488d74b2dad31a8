"""When the relay's process looks for garbage: not while somebody talks.

An ended QUIC connection is a knot of references that only the garbage collector unties, and with a thousand clients
a full collection stops everything for 0.2 s and more [measured], which every call on the relay hears. So the automatic
full collections are turned off, and one is made when no legs exist, or when so much has gathered that memory counts
more.
"""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator

LOOK_EVERY_S = 5.0
# Ended sessions that are worth a collection when nobody hears it: about 40 MB at 80 kB each [measured].
QUIET_SESSIONS = 512
# Ended sessions after which it is made in any case: about 160 MB.
MOST_SESSIONS = 2_048
# CPython's third threshold counts collections of the second generation: this many never come.
_NEVER = 1_000_000_000


def is_due(ended_sessions: int, legs: int) -> bool:
    """Whether to collect now, so many sessions after the last time and with so many legs in use."""
    return ended_sessions >= (MOST_SESSIONS if legs else QUIET_SESSIONS)


@contextlib.contextmanager
def no_full_collections() -> Iterator[None]:
    """Turn the automatic ones off, and set what exists by now aside: it stays for as long as the process does."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(thresholds[0], thresholds[1], _NEVER)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


async def collect_when_quiet(ended_sessions: Callable[[], int], legs: Callable[[], int]) -> None:
    """Look from time to time, for ever. ``ended_sessions`` counts since the relay's start."""
    collected_at = 0
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        ended = ended_sessions()
        if is_due(ended - collected_at, legs()):
            collected_at = ended
            gc.collect()
