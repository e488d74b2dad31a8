"""The event loop of the engine and of the commands: asyncio's selector loop on every system.

Windows' default loop (Proactor) has no ``add_reader`` and loses UDP reads to ICMP errors; uvloop is faster but not
there on Windows, and a call's 100 packets a second do not need it. One loop everywhere is one behaviour to test.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


def run_on_own_loop(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run ``work`` to its end on a fresh loop."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(work)
