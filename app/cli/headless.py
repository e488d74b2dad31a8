"""The commands that talk without a window: they run an engine inside themselves and act on what its state says."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.cli.output import complain, say
from app.engine.runner import Engine, EngineConfig
from app.engine.sound_system import SoundPlan
from app.ipc import messages
from app.model.exit_status import ExitStatus, exit_status
from app.system.data_dir import find_home
from app.system.loop import run_on_own_loop
from app.system.parent_watch import watch_parent
from app.text.traversal import phase_line
from transport.io.tasks import Tasks
from transport.wire.addresses import PersonAddress


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What ``listen``, ``call`` and ``echo`` have in common."""

    home: Path | None = None
    play: Path | None = None
    record: Path | None = None
    report: Path | None = None
    trace: Path | None = None
    trace_addresses: bool = False
    always_relay: bool = False
    with_parent: bool = False


Work = Coroutine[Any, Any, ExitStatus]

# A caller who is at home at a slow relay waits so long for it, and then calls as a guest.
ONLINE_TIMEOUT_S = 20.0


class Watch:
    """The newest state of an engine, and waiting for one that will do."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.refused: messages.CommandFailed | None = None
        self._news = asyncio.Event()
        self._told_notices: set[int] = set()
        engine.subscribe(self._told)

    @property
    def state(self) -> messages.EngineState:
        """As it is now."""
        return self.engine.state

    def command(self, message: messages.WindowMessage) -> None:
        """Give the engine a command; a refusal ends up in ``refused``."""
        self.engine.command(message, self._told)

    async def until(self, wanted: Callable[[messages.EngineState], bool]) -> messages.EngineState:
        """Wait for a state for which ``wanted`` is true, or for a refusal."""
        while not wanted(self.engine.state) and self.refused is None:
            self._news.clear()
            await self._news.wait()
        return self.engine.state

    def _told(self, message: messages.EngineMessage) -> None:
        if isinstance(message, messages.CommandFailed):
            self.refused = message
        if isinstance(message, messages.EngineState):
            self._tell_notices(message)
        if isinstance(message, messages.EngineState | messages.CommandFailed):
            self._news.set()

    def _tell_notices(self, state: messages.EngineState) -> None:
        for notice in state.notices:
            if notice.number not in self._told_notices:
                self._told_notices.add(notice.number)
                complain(f"{notice.title}: {notice.text}")


def listen(*, answer_after: float, once: bool, **options: Any) -> ExitStatus:
    """``segue listen``: answer whoever calls."""
    return _run(CallOptions(**options), False, lambda watch: _listen(watch, answer_after, once))


def echo(**options: Any) -> ExitStatus:
    """``segue echo``: answer whoever calls, and send their voice back."""
    return _run(CallOptions(**options), True, lambda watch: _listen(watch, 0.0, once=False))


def call(*, address: PersonAddress, for_s: float | None, **options: Any) -> ExitStatus:
    """``segue call``: call, talk, hang up."""
    return _run(CallOptions(**options), False, lambda watch: _call(watch, address, for_s))


def _run(options: CallOptions, is_echo: bool, work: Callable[[Watch], Work]) -> ExitStatus:
    return run_on_own_loop(_with_engine(options, is_echo, work))


async def _with_engine(options: CallOptions, is_echo: bool, work: Callable[[Watch], Work]) -> ExitStatus:
    engine = Engine(
        EngineConfig(
            home=find_home(options.home),
            sound=SoundPlan(play=options.play, record=options.record, echo=is_echo),
            report=options.report,
            trace=options.trace,
            trace_addresses=options.trace_addresses,
            always_relay=options.always_relay,
        )
    )
    stop = asyncio.Event()
    _stop_on_signals(stop)
    try:
        await engine.start()
        watch = Watch(engine)
        engine.subscribe(_Narrator())
        for notice in watch.state.notices:
            complain(f"{notice.title}: {notice.text}")
        if options.with_parent:
            watch_parent(stop.set)
        return await _until_stopped(watch, work(watch), stop)
    finally:
        await engine.close()


async def _until_stopped(watch: Watch, work: Work, stop: asyncio.Event) -> ExitStatus:
    tasks = Tasks("attendant")
    working = tasks.start(work, name="work")
    stopping = tasks.start(stop.wait(), name="stop")
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return await _stopped_by_user(watch)
        return working.result()
    finally:
        await tasks.close()


async def _stopped_by_user(watch: Watch) -> ExitStatus:
    talk = watch.state.call
    if talk is None or talk.phase == "ended":
        return ExitStatus.OK
    watch.command(messages.HangUp(call_id=talk.call_id))
    state = await watch.until(lambda now: now.call is None or now.call.phase == "ended")
    return ExitStatus.OK if state.call is None else _status(state.call)


async def _listen(watch: Watch, answer_after_s: float, once: bool) -> ExitStatus:
    if not watch.state.me.address:
        complain("This folder has no name yet: run “segue register NAME@HOST[:PORT][#PIN]” first.")
        return ExitStatus.USAGE
    await watch.until(lambda now: now.me.relay in ("online", "refused", "offline"))
    if watch.state.me.relay == "offline":
        complain(watch.state.me.relay_text)
        await watch.until(lambda now: now.me.relay in ("online", "refused"))
    if watch.state.me.relay == "refused":  # a notice has said why
        return ExitStatus.UNREACHABLE
    say(f"listening as {watch.state.me.address}")
    while True:
        state = await watch.until(lambda now: now.call is not None and now.call.phase == "incoming")
        if state.call is None:
            continue
        call_id = state.call.call_id
        say(f"incoming call from {state.call.address}")
        if answer_after_s:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(answer_after_s):
                    await watch.until(lambda now, this=call_id: _is_over(now, this))  # type: ignore[misc]
        watch.command(messages.AnswerCall(call_id=call_id))
        await watch.until(lambda now, this=call_id: _is_talking(now, this) or _is_over(now, this))  # type: ignore[misc]
        if _is_talking(watch.state, call_id):
            say("talking")
        state = await watch.until(lambda now, this=call_id: _is_over(now, this))  # type: ignore[misc]
        watch.refused = None
        say(f"ended: {state.call.end_text if state.call is not None else 'over'}")
        if once:
            return ExitStatus.OK if state.call is None else _status(state.call)
        watch.command(messages.DismissCall(call_id=call_id))


async def _call(watch: Watch, person: PersonAddress, for_s: float | None) -> ExitStatus:
    if watch.state.me.address:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ONLINE_TIMEOUT_S):
                await watch.until(lambda now: now.me.relay in ("online", "refused"))
    say(f"calling {person.short}")
    watch.command(messages.PlaceCall(address=str(person)))
    state = await watch.until(lambda now: now.call is not None and now.call.phase in ("talking", "ended"))
    if watch.refused is not None or state.call is None:
        complain(watch.refused.text if watch.refused is not None else "The call could not be placed.")
        return ExitStatus.FAILED
    call_id = state.call.call_id
    if state.call.phase == "talking":
        say("talking")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                await watch.until(lambda now: _is_over(now, call_id))
        if not _is_over(watch.state, call_id):
            watch.command(messages.HangUp(call_id=call_id))
            await watch.until(lambda now: _is_over(now, call_id))
    over = watch.state.call
    if over is None:
        return ExitStatus.FAILED
    status = _status(over)
    (say if status == ExitStatus.OK else complain)(f"ended: {over.end_text}")
    return status


class _Narrator:
    """Says when the running call loses its connection, has one again, or moves to another path, and what is tried for
    a direct one."""

    def __init__(self) -> None:
        self._phase = ""
        self._path = ""
        self._call_id = ""
        self._tried: dict[str, str] = {}

    def __call__(self, message: messages.EngineMessage) -> None:
        if not isinstance(message, messages.EngineState):
            return
        talk = message.call
        if talk is not None and talk.call_id != self._call_id:
            self._call_id, self._phase, self._path = talk.call_id, "", ""
            self._tried.clear()
        before, self._phase = self._phase, talk.phase if talk is not None else ""
        was_on, self._path = self._path, (talk.path or "") if talk is not None and talk.answered is not None else ""
        if self._phase == "reconnecting" != before:
            say("reconnecting")
        elif (before, self._phase) == ("reconnecting", "talking"):
            say("talking again")
        elif self._phase == "talking" and self._path != was_on and "direct" in (was_on, self._path):
            say("direct" if self._path == "direct" else "on the relay")
        if talk is not None and self._phase != "ended":
            self._tell_phases(talk)

    def _tell_phases(self, talk: messages.CallState) -> None:
        for phase in talk.phases:
            line = phase_line(phase)
            # How it ended is said once, whatever is learnt of the networks later.
            said = line if phase.outcome == "trying" else phase.outcome
            if self._tried.get(phase.name) != said:
                self._tried[phase.name] = said
                if line:
                    say(line)


def _is_over(state: messages.EngineState, call_id: str) -> bool:
    return state.call is None or state.call.call_id != call_id or state.call.phase == "ended"


def _is_talking(state: messages.EngineState, call_id: str) -> bool:
    return state.call is not None and state.call.call_id == call_id and state.call.phase in ("talking", "reconnecting")


def _status(over: messages.CallState) -> ExitStatus:
    return exit_status(over.end_reason, answered=over.answered is not None)


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows: its loops take no signal handlers
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
