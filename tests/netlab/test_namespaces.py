"""The laboratory leaves nothing behind, however it ends, and touches nothing of the machine's own network."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.natsim.scenario_file import load
from tests.netlab.lab import kernel_world
from tests.netlab.namespaces import ROOT, NamespaceError, namespaces
from tests.processes import processes_of

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.usefixtures("kernel")]

TIMEOUT_S = 10.0


def test_the_machines_own_network_is_not_touched() -> None:
    def own() -> tuple[list[str], str]:
        return sorted(os.listdir("/sys/class/net")), Path("/proc/net/route").read_text()

    before = own()
    with kernel_world(load("same-nat-hairpin")) as world:
        assert own() == before
        assert world.held.output("h0", "ls", "/sys/class/net").split() == ["eth0", "lo"]
    assert own() == before


def test_everything_ends_with_a_test_that_is_killed(tmp_path: Path) -> None:
    # A folder that only these processes have in their command line tells them from all others.
    code = f"""
import sys
from tests.natsim.scenario_file import load
from tests.netlab.lab import kernel_world
with kernel_world(load("port-restricted")) as world:
    world.held.start("h0", "tests.netlab.station", {str(tmp_path)!r})
    print("built", flush=True)
    sys.stdin.read()
"""
    victim = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with victim:
        assert victim.stdout is not None and victim.stdout.readline() == "built\n"
        alive = {pid: line for pid, line in processes_of(tmp_path).items() if pid != victim.pid}
        assert alive, "the station runs"
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    end = time.monotonic() + TIMEOUT_S
    while (left := processes_of(tmp_path)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left


def test_the_error_of_a_failed_command_has_its_output() -> None:
    with namespaces() as held:
        with pytest.raises(NamespaceError, match="no-such-thing"):
            held.script("ip link show no-such-thing 2>&1 >&2")
        held.script("ip netns add one")
        with pytest.raises(NamespaceError, match="eth7"):
            held.output("one", "ip", "link", "show", "eth7")
        with pytest.raises(NamespaceError, match="status"):
            held.start("one", "tests.netlab.router", "tun9", "{}")
