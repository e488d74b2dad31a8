"""transport.io.tasks: tasks are held, named, logged when they fail, and ended by their owner."""

import asyncio
import gc
import logging
import weakref

import pytest

from transport.io.tasks import Tasks


def test_a_task_is_named_and_its_result_is_returned() -> None:
    async def main() -> None:
        tasks = Tasks("owner")

        async def work() -> int:
            return 7

        task = tasks.start(work(), name="work")
        assert task.get_name() == "owner:work"
        assert await task == 7
        assert len(tasks) == 0
        await tasks.close()

    asyncio.run(main())


def test_a_task_survives_the_garbage_collector() -> None:
    async def main() -> None:
        tasks = Tasks("owner")
        waiting: list[weakref.ref[asyncio.Future[str]]] = []

        async def work() -> str:
            # Nothing but the task holds this future and only the future holds the task: garbage without an owner.
            future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            waiting.append(weakref.ref(future))
            return await future

        tasks.start(work(), name="work")
        await asyncio.sleep(0)
        gc.collect()
        future = waiting[0]()
        assert future is not None
        future.set_result("done")
        await tasks.close()

    asyncio.run(main())


def test_a_failure_is_logged_with_the_name(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        tasks = Tasks("owner")

        async def work() -> None:
            raise ValueError("broken thing")

        await asyncio.wait([tasks.start(work(), name="work")])
        await tasks.close()

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    [record] = caplog.records
    assert "owner:work" in record.getMessage()
    assert record.exc_info is not None and "broken thing" in str(record.exc_info[1])


def test_close_cancels_everything_and_waits_for_the_clean_up() -> None:
    async def main() -> None:
        tasks = Tasks("owner")
        ended: list[int] = []

        async def work(number: int) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.append(number)

        for number in range(3):
            tasks.start(work(number), name=f"work-{number}")
        await asyncio.sleep(0)
        await tasks.close()
        assert sorted(ended) == [0, 1, 2]
        assert len(tasks) == 0

    asyncio.run(main())


def test_a_task_may_close_its_own_owner() -> None:
    async def main() -> None:
        tasks = Tasks("owner")
        ended: list[str] = []

        async def work() -> None:
            await tasks.close()
            ended.append("itself")

        await tasks.start(work(), name="work")
        assert ended == ["itself"]

    asyncio.run(main())


def test_nothing_starts_after_the_close() -> None:
    async def main() -> None:
        tasks = Tasks("owner")
        await tasks.close()

        async def work() -> None:
            raise AssertionError("must not run")

        with pytest.raises(RuntimeError, match="owner is closed"):
            tasks.start(work(), name="work")

    asyncio.run(main())
