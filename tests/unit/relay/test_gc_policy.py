"""relay.gc_policy: full collections come when nobody hears them."""

import asyncio
import gc
import weakref

import pytest

from relay import gc_policy
from transport.io.tasks import Tasks


def test_it_waits_for_silence_but_not_for_ever() -> None:
    assert not gc_policy.is_due(gc_policy.QUIET_SESSIONS - 1, 0)
    assert gc_policy.is_due(gc_policy.QUIET_SESSIONS, 0)
    assert not gc_policy.is_due(gc_policy.QUIET_SESSIONS, 2)
    assert gc_policy.is_due(gc_policy.MOST_SESSIONS, 2)


def test_automatic_full_collections_stop_and_come_back() -> None:
    before = gc.get_threshold()
    full: list[int] = []

    def watch(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            full.append(1)

    with gc_policy.no_full_collections():
        gc.callbacks.append(watch)
        try:
            kept = [[number] for number in range(400_000)]
        finally:
            gc.callbacks.remove(watch)
        assert not full and len(kept) == 400_000
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == before and gc.get_freeze_count() == 0


class Knot:
    def __init__(self) -> None:
        self.itself = self


def test_garbage_goes_once_it_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc_policy, "LOOK_EVERY_S", 0.0)
    legs = 2

    async def main() -> None:
        nonlocal legs
        tasks = Tasks("test")
        with gc_policy.no_full_collections():
            knot = Knot()
            gc.collect()  # into the oldest generation, which only a full collection looks at
            gone = weakref.ref(knot)
            del knot
            tasks.start(gc_policy.collect_when_quiet(lambda: gc_policy.QUIET_SESSIONS, lambda: legs), name="garbage")
            for _ in range(20):
                await asyncio.sleep(0)
            assert gone() is not None
            legs = 0
            for _ in range(20):
                await asyncio.sleep(0)
            assert gone() is None
        await tasks.close()

    asyncio.run(main())
