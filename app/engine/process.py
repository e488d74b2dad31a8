"""``segue engine``: the process behind the window. Nobody types this; :mod:`app.ipc.client` starts it."""

import contextlib
import logging
import logging.handlers
from pathlib import Path

from app.engine.runner import Engine, EngineConfig, raise_priority
from app.engine.sound_system import SoundPlan
from app.model.exit_status import ExitStatus
from app.system.data_dir import AlreadyRunning, Home, find_home, prepare
from app.system.errors import AppError
from app.system.logs import use_handler
from app.system.loop import run_on_own_loop
from app.system.output import say
from transport.io.stop_signals import on_stop_signals

_log = logging.getLogger(__name__)

# Two files of this size: enough for the last days of trouble, nothing that fills a disk.
LOG_BYTES = 500_000


def run_engine_process(home: Path | None) -> ExitStatus:
    """Run an engine until its windows have gone or a signal ends it. Writes its log under the home."""
    place = find_home(home)
    try:
        prepare(place)
        with contextlib.suppress(OSError):  # without a log, a call is still a call
            _log_to(place)
        run_on_own_loop(_run(place))
    except AlreadyRunning:
        return ExitStatus.OK  # two windows were started at once; both talk to the other engine
    except AppError as error:
        # Its standard error is the engine's log file; the window shows that file's last line.
        _log.error("%s", error)
        say(str(error))
        return ExitStatus.FAILED
    return ExitStatus.OK


async def _run(home: Home) -> None:
    engine = Engine(EngineConfig(home, SoundPlan(), follows_windows=True))
    raise_priority()
    with on_stop_signals(engine.ended.set):
        try:
            await engine.start()
            await engine.ended.wait()
        finally:
            await engine.close()


def _log_to(home: Home) -> None:
    path = home.logs / "engine.log"
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
    use_handler(handler, logging.INFO)
