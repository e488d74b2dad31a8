"""``segue listen``, ``call`` and ``echo``: an engine without a window, and what each command does with it.

A command waits for states of the engine (:class:`EngineWatch`) and gives it the commands that a window would give; what
happens meanwhile is printed line by line (:class:`_CallLines`).
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from app.engine.runner import Engine, EngineConfig
from app.engine.sound_system import SoundPlan
from app.ipc import engine_state, messages
from app.model.exit_status import ExitStatus, exit_status
from app.system.data_dir import find_home
from app.system.loop import run_on_own_loop
from app.system.output import complain, say
from app.system.parent_watch import watch_parent
from app.text.accounts import relay_text
from app.text.calls import end_text, incoming_text
from app.text.problems import notice_text, problem_text
from app.text.traversal import step_line
from transport.io.stop_signals import on_stop_signals
from transport.io.tasks import Tasks
from transport.wire.addresses import PersonAddress

# A caller with a name waits this long for a slow home relay, and then calls as a guest.
ONLINE_TIMEOUT_S = 20.0


class EngineWatch:
    """The newest state of an engine, and waiting for one. Notices go to standard error, each once."""

    def __init__(self, engine: Engine) -> None:
        self.refused: messages.CommandFailed | None = None
        self._engine = engine
        self._changed = asyncio.Event()
        self._shown_notices: set[int] = set()
        engine.subscribe(self._receive)
        self._show_notices(engine.state)

    @property
    def state(self) -> messages.EngineState:
        """As it is now."""
        return self._engine.state

    def command(self, message: messages.WindowMessage) -> None:
        """Give the engine a command; a refusal ends up in ``refused``."""
        self._engine.command(message, self._receive)

    async def until(
        self, wanted: Callable[[messages.EngineState], bool], timeout_s: float | None = None
    ) -> messages.EngineState:
        """Wait for a state for which ``wanted`` is true, for a refusal, or for ``timeout_s``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not wanted(self.state) and self.refused is None:
                    self._changed.clear()
                    await self._changed.wait()
        return self.state

    def _receive(self, message: messages.EngineMessage) -> None:
        match message:
            case messages.CommandFailed():
                self.refused = message
                self._changed.set()
            case messages.EngineState():
                self._show_notices(message)
                self._changed.set()

    def _show_notices(self, state: messages.EngineState) -> None:
        for notice in state.notices:
            if notice.number not in self._shown_notices:
                self._shown_notices.add(notice.number)
                complain(": ".join(notice_text(notice.code, notice.values)))


Work = Callable[[EngineWatch], Coroutine[Any, Any, ExitStatus]]


def listen(*, answer_after: float, once: bool, **options: Any) -> ExitStatus:
    """``segue listen``: answer whoever calls."""
    return _run(lambda watch: _listen(watch, answer_after, once), **options)


def echo(**options: Any) -> ExitStatus:
    """``segue echo``: answer whoever calls, and send their voice back."""
    return _run(lambda watch: _listen(watch, 0.0, once=False), echo=True, **options)


def call(*, address: PersonAddress, for_s: float | None, **options: Any) -> ExitStatus:
    """``segue call``: call, talk, hang up."""
    return _run(lambda watch: _call(watch, address, for_s), **options)


def _run(
    work: Work,
    *,
    home: Path | None,
    with_parent: bool,
    play: Path | None = None,
    record: Path | None = None,
    echo: bool = False,
    **options: Any,
) -> ExitStatus:
    """Do ``work`` with an engine. ``options`` are fields of EngineConfig."""
    config = EngineConfig(find_home(home), SoundPlan(play, record, echo), **options)
    return run_on_own_loop(_with_engine(config, with_parent, work))


async def _with_engine(config: EngineConfig, with_parent: bool, work: Work) -> ExitStatus:
    engine = Engine(config)
    tasks = Tasks("headless")
    stop = asyncio.Event()
    with on_stop_signals(stop.set):
        try:
            await engine.start()
            watch = EngineWatch(engine)
            engine.subscribe(_CallLines())
            if with_parent:
                watch_parent(stop.set)
            working = tasks.start(work(watch), name="work")
            stopping = tasks.start(stop.wait(), name="stop")
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else await _hang_up(watch)
        finally:
            await tasks.close()
            await engine.close()


async def _hang_up(watch: EngineWatch) -> ExitStatus:
    """End the call that there may be; its status is the program's."""
    running = watch.state.call
    if running is None or running.phase == "ended":
        return ExitStatus.OK
    watch.command(messages.HangUpCall(call_id=running.call_id))
    over = (await watch.until(lambda state: _is_over(state, running.call_id))).call
    return ExitStatus.OK if over is None else _status(over)


async def _listen(watch: EngineWatch, answer_after_s: float, once: bool) -> ExitStatus:
    if not watch.state.me.address:
        complain("This folder has no name yet: run “segue register NAME@HOST[:PORT][#PIN]” first.")
        return ExitStatus.USAGE
    await watch.until(lambda state: state.me.relay in ("online", "refused", "offline"))
    if watch.state.me.relay == "offline":
        complain(relay_text(watch.state.me))
        await watch.until(lambda state: state.me.relay in ("online", "refused"))
    if watch.state.me.relay == "refused":  # a notice says why
        return ExitStatus.UNREACHABLE
    say(f"listening as {watch.state.me.address}")
    while True:
        incoming = (await watch.until(lambda state: state.call is not None and state.call.phase == "incoming")).call
        if incoming is None:
            continue
        status = await _answer(watch, incoming, answer_after_s)
        if once:
            return status
        watch.command(messages.DismissCall(call_id=incoming.call_id))


async def _answer(watch: EngineWatch, incoming: engine_state.CallStatus, ring_s: float) -> ExitStatus:
    """Let it ring, answer, and wait for the end."""
    call_id = incoming.call_id
    say(incoming_text(incoming))
    if ring_s:
        await watch.until(lambda state: _is_over(state, call_id), ring_s)
    watch.command(messages.AnswerCall(call_id=call_id))
    await watch.until(lambda state: _is_talking(state, call_id) or _is_over(state, call_id))
    if _is_talking(watch.state, call_id):
        say("talking")
    over = (await watch.until(lambda state: _is_over(state, call_id))).call
    watch.refused = None
    say(f"ended: {'over' if over is None else end_text(over)}")
    return ExitStatus.OK if over is None else _status(over)


async def _call(watch: EngineWatch, address: PersonAddress, for_s: float | None) -> ExitStatus:
    if watch.state.me.address:
        await watch.until(lambda state: state.me.relay in ("online", "refused"), ONLINE_TIMEOUT_S)
    say(f"calling {address.short}")
    watch.command(messages.PlaceCall(address=str(address)))
    placed = (await watch.until(lambda state: state.call is not None and state.call.phase in ("talking", "ended"))).call
    if watch.refused is not None or placed is None:
        failed = watch.refused
        complain(problem_text(failed.code, failed.values) if failed is not None else "The call could not be placed.")
        return ExitStatus.FAILED
    call_id = placed.call_id
    if placed.phase == "talking":
        say("talking")
        await watch.until(lambda state: _is_over(state, call_id), for_s)
        if not _is_over(watch.state, call_id):
            watch.command(messages.HangUpCall(call_id=call_id))
            await watch.until(lambda state: _is_over(state, call_id))
    over = watch.state.call
    if over is None:
        return ExitStatus.FAILED
    status = _status(over)
    (say if status == ExitStatus.OK else complain)(f"ended: {end_text(over)}")
    return status


class _CallLines:
    """Prints when the call loses its connection, has one again, or changes its path, and what is tried for a direct
    one."""

    def __init__(self) -> None:
        self._phase = ""
        self._path = ""
        self._call_id = ""
        self._printed: dict[str, str] = {}

    def __call__(self, message: messages.EngineMessage) -> None:
        if not isinstance(message, messages.EngineState):
            return
        now = message.call
        if now is not None and now.call_id != self._call_id:
            self._call_id, self._phase, self._path = now.call_id, "", ""
            self._printed.clear()
        phase, self._phase = self._phase, now.phase if now is not None else ""
        path, self._path = self._path, (now.path or "") if now is not None and now.answered is not None else ""
        if self._phase == "reconnecting" != phase:
            say("reconnecting")
        elif (phase, self._phase) == ("reconnecting", "talking"):
            say("talking again")
        elif self._phase == "talking" and self._path != path and "direct" in (path, self._path):
            say("direct" if self._path == "direct" else "on the relay")
        if now is not None and self._phase != "ended":
            self._print_techniques(now)

    def _print_techniques(self, now: engine_state.CallStatus) -> None:
        for technique in now.phases:
            line = step_line(technique, now)
            # How it ended is printed once, whatever is learnt about the networks later.
            key = line if technique.outcome == "trying" else technique.outcome
            if self._printed.get(technique.name) != key:
                self._printed[technique.name] = key
                if line:
                    say(line)


def _is_over(state: messages.EngineState, call_id: str) -> bool:
    return state.call is None or state.call.call_id != call_id or state.call.phase == "ended"


def _is_talking(state: messages.EngineState, call_id: str) -> bool:
    return state.call is not None and state.call.call_id == call_id and state.call.phase in ("talking", "reconnecting")


def _status(over: engine_state.CallStatus) -> ExitStatus:
    return exit_status(over.end_reason, answered=over.answered is not None)
