"""The one place where asyncio tasks are started, so that each has an owner, a name and an end.

The event loop keeps only weak references to tasks: one that nobody else holds may vanish in mid-work. And a
task whose exception nobody reads fails in silence. Whoever starts tasks owns a :class:`Tasks` and closes it.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

_log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")


class Tasks:
    """The running tasks of one owner. Not thread-safe: use it from its event loop only."""

    __slots__ = ("_closed", "_owner", "_running")

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._running)

    def start(self, coro: Coroutine[Any, Any, ResultT], *, name: str) -> asyncio.Task[ResultT]:
        """Run ``coro`` as the task ``owner:name`` and hold it until it is done.

        A failure is logged with its traceback; awaiting the task raises it as well. After :meth:`close`
        nothing may be started any more: raises :class:`RuntimeError`, and ``coro`` is closed unrun.
        """
        if self._closed:
            coro.close()
            raise RuntimeError(f"{self._owner} is closed and cannot start {name}")
        task = asyncio.get_running_loop().create_task(coro, name=f"{self._owner}:{name}")
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        """Cancel every task and wait until all have ended; a task that calls this ends by itself."""
        self._closed = True
        current = asyncio.current_task()
        # Nothing can start after the flag above, so one pass is enough.
        others = [task for task in self._running if task is not current]
        for task in others:
            task.cancel()
        # Their failures have been logged by the callback; what matters here is that they are over.
        await asyncio.gather(*others, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _log.error("task %s failed", task.get_name(), exc_info=error)
