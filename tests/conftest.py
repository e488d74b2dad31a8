"""What holds for every test: quick ones first, nothing left behind, and how hard Hypothesis looks.

A test fails when it leaves a thread, a child process, a socket or an asyncio task behind. Unclosed files and
sockets also reach pytest as ResourceWarning, which ``filterwarnings = error`` turns into a failure.
"""

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# No deadline in any of them: the machines that run this are shared, and a slow example is not a wrong one.
_COMMON: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=25, **_COMMON)
settings.register_profile("ci", max_examples=200, derandomize=True, print_blob=True, **_COMMON)
# For tests marked slow: ``@settings(settings.get_profile("slow"))``.
settings.register_profile("slow", max_examples=5_000, **_COMMON)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# A shell lets what it starts in the background ignore SIGINT, and so would every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

GRACE_S = 2.0
"""How long a thread or a process that was asked to end may take until it counts as left behind."""


@pytest.fixture(scope="session")
def qapp_args() -> list[str]:
    """Qt inside the test's own process needs no display; programs that a test starts choose for themselves."""
    return ["segue", "-platform", "offscreen"]


_ORDER = ("slow", "process", "device")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Unmarked tests first, then slow ones, then those with processes, then devices: quick news of what is broken."""

    def rank(item: pytest.Item) -> int:
        return max((place for place, mark in enumerate(_ORDER, 1) if item.get_closest_marker(mark)), default=0)

    items.sort(key=rank)


def threads() -> dict[int, str]:
    # The interpreter lists a foreign thread (PortAudio's) that once called Python as Dummy-N, even after its end.
    return {
        thread.ident: thread.name
        for thread in threading.enumerate()
        if thread.ident is not None and not thread.name.startswith("Dummy-")
    }


def children() -> dict[int, str]:
    """Direct child processes, zombies as well. Linux only: elsewhere Popen's ResourceWarning has to do."""
    found: dict[int, str] = {}
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            pids = [int(pid) for pid in listing.read_text().split()]
        except OSError:
            continue  # that thread has ended
        for pid in pids:
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # that child has been reaped
            found[pid] = command.strip() or "a zombie"
    return found


def sockets() -> dict[int, str]:
    """Open sockets by inode. Linux only: elsewhere the ResourceWarning has to do."""
    found: dict[int, str] = {}
    if not sys.platform.startswith("linux"):
        return found
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue  # the listing's own descriptor
        if target.startswith("socket:["):
            found[int(target[len("socket:[") : -1])] = f"fd {descriptor}"
    return found


def left_behind(before: tuple[dict[int, str], ...]) -> list[str]:
    kinds = ("thread", "child process", "socket")
    return [
        f"{kind} {name}"
        for kind, was, now in zip(kinds, before, (threads(), children(), sockets()), strict=True)
        for key, name in now.items()
        if key not in was
    ]


@pytest.fixture(autouse=True)
def _nothing_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test that leaves something running. Fixtures of a wider scope may: they were there before."""
    pending: list[str] = []
    close = asyncio.Runner.close

    def close_and_look(runner: asyncio.Runner) -> None:
        # asyncio.run() cancels in silence what the test should have ended itself.
        with suppress(RuntimeError):  # closed already
            pending.extend(f"asyncio task {task.get_name()}" for task in asyncio.all_tasks(runner.get_loop()))
        close(runner)

    before = (threads(), children(), sockets())
    with monkeypatch.context() as patch:
        patch.setattr(asyncio.Runner, "close", close_and_look)
        yield
    if left_behind(before):
        gc.collect()  # an exception's traceback may still hold it
    end = time.monotonic() + GRACE_S
    while (left := left_behind(before)) and time.monotonic() < end:
        time.sleep(0.02)
    if left or pending:
        pytest.fail("left behind: " + ", ".join(sorted(left + pending)), pytrace=False)
