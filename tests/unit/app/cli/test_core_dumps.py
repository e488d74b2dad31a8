"""No program of Segue leaves a core dump, where the key and the voice would be."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gui.real_window import wait_until
from tests.processes import register, segue

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="reads limits in /proc"),
]


def core_limits(pid: int) -> list[str]:
    [line] = [line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max core file")]
    return line.split()[4:6]


@pytest.fixture(autouse=True)
def dumps_are_wanted_here() -> Iterator[None]:
    """What the programs inherit, as far as the system allows."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


def test_neither_relay_nor_engine_can_dump_core(tmp_path: Path) -> None:
    folder = tmp_path / "relay"
    with segue("relay", "--bind", "127.0.0.1", "--port", "0", "--data", folder, "--drain", "0") as relay:
        address = relay.wait_for("ready ").removeprefix("ready ")
        assert core_limits(relay.process.pid) == ["0", "0"]
        register("bob", address, tmp_path / "bob")
        with segue("echo", "--home", tmp_path / "bob") as echo:
            echo.wait_for("listening")
            assert core_limits(echo.process.pid) == ["0", "0"]
        with segue("engine", "--home", tmp_path / "bob") as engine:
            # Its log is opened long after the limit is set.
            wait_until((tmp_path / "bob" / "logs" / "engine.log").exists, "the engine's log")
            assert core_limits(engine.process.pid) == ["0", "0"]
