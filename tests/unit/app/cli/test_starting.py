"""What is started ends, and what cannot start says why."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

import app.account.local_relay
from app.account.account import Account
from app.account.local_relay import LocalRelay, LocalRelayError, loopback_binds
from app.engine.view import ViewInputs
from app.ipc.client import EngineUnreachable
from app.store import Store
from app.system.data_dir import find_home
from app.system.errors import Finding
from app.system.logs import log_level
from app.ui.bridge import LocalEngine
from tests.gui.real_window import wait_until
from tests.processes import SEGUE, await_nothing_left, processes_of, register, relay, run, segue
from tests.unit.relay.live import running
from transport.io.relay_session import RequestFailed


@pytest.mark.parametrize(("value", "level"), [("debug", 10), ("WARNING", 30), ("", 40), ("loud", 40)])
def test_the_environment_names_a_level_or_is_ignored(monkeypatch: pytest.MonkeyPatch, value: str, level: int) -> None:
    monkeypatch.setenv("SEGUE_LOG", value)
    assert log_level(40) == level


def test_a_trial_without_a_place_says_so(tmp_path: Path) -> None:
    (tmp_path / "trial").write_text("a file where a folder should be")

    async def main() -> None:
        trial = LocalRelay(tmp_path, lambda place: None)
        with pytest.raises(LocalRelayError, match="file-in-the-way"):
            await trial.start()
        await trial.close()

    asyncio.run(main())


def test_a_relay_on_loopback_has_two_addresses_where_there_are_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.account.local_relay, "SECOND_LOOPBACK", "192.0.2.1")  # nobody's, as 127.0.0.2 on macOS
    assert loopback_binds() == ("--bind", "127.0.0.1")
    monkeypatch.undo()
    if sys.platform != "linux":
        return
    assert loopback_binds() == ("--bind", "127.0.0.1", "--bind", "127.0.0.2")

    async def main() -> None:
        async with running(tmp_path, binds=loopback_binds()[1::2]) as (_, ready):
            assert ready.address.host == "127.0.0.1"
            ports = {port for _, port in ready.stun}
            assert len(ports) == 3 and len(ready.stun) == 6, "both addresses, and two ports beside the media port"

    asyncio.run(main())


def test_what_begins_by_itself_and_fails_is_shown_to_everybody(tmp_path: Path) -> None:
    notices: list[Finding] = []
    view = ViewInputs()

    async def refuse() -> None:
        raise RequestFailed("name-taken", "")

    async def main() -> None:
        store = Store(tmp_path / "segue.db")
        account = Account(
            find_home(tmp_path),
            store,
            None,  # type: ignore[arg-type]
            view,
            lambda: None,
            notices.append,
        )
        account._relays = type("NoRelays", (), {"home": None})()
        await account._carry_out(refuse(), None, "")
        await account.close()
        store.close()

    asyncio.run(main())
    assert view.me.relay == "offline" and view.busy == ""
    assert [(one.kind, one.code, one.values["code"]) for one in notices] == [("error", "no-local-relay", "name-taken")]


@pytest.mark.slow
@pytest.mark.process
def test_a_trial_that_is_given_up_while_it_starts_leaves_no_process(tmp_path: Path) -> None:
    async def main() -> None:
        trial = LocalRelay(tmp_path, lambda place: None)
        starting = asyncio.ensure_future(trial.start())
        await asyncio.sleep(0.1)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        await trial.close()

    asyncio.run(main())
    assert processes_of(tmp_path) == {}


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_an_engine_that_cannot_start_says_why(tmp_path: Path) -> None:
    open_to_all = tmp_path / "home"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(EngineUnreachable, match="home-open-to-all"):
        LocalEngine(open_to_all).start()
    assert not list(open_to_all.iterdir())
    (tmp_path / "other" / "engine.lock").mkdir(parents=True)
    engine = LocalEngine(tmp_path / "other")
    engine.start()
    with pytest.raises(EngineUnreachable, match="home-not-writable"):
        asyncio.run(engine.connect())


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_a_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    with segue("demo", env={"TMPDIR": str(tmp_path)}) as demo:
        wait_until(lambda: any("call" in command.split() for command in processes_of(tmp_path).values()), "the call")
        os.kill(demo.process.pid, signal.SIGKILL)
        demo.process.wait()
        await_nothing_left(tmp_path)


@pytest.mark.slow
@pytest.mark.process
def test_a_listener_whose_relay_is_away_says_so(tmp_path: Path) -> None:
    with relay(tmp_path / "relay") as address:
        register("bob", address, tmp_path / "bob")
    # With devices, whose library turns standard error away while it looks for them.
    with segue("listen", "--home", tmp_path / "bob") as listener:
        listener.wait_for("The relay")


@pytest.mark.slow
@pytest.mark.process
def test_a_wrong_log_level_stops_nothing() -> None:
    done = run("--help", env={"SEGUE_LOG": "LOUD"})
    assert done.process.returncode == 0 and "Traceback" not in done.output
    assert SEGUE[0] == sys.executable
