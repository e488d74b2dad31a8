"""transport.io.host_lock: one process of this machine at a time."""

import errno
import socket
import subprocess
import sys

import pytest

from transport.ice.pacing import HostLimits
from transport.io.host_lock import HostLock

TIMEOUT_S = 30.0
TAKES_IT = """
import sys
from transport.io.host_lock import HostLock
turn = HostLock(int(sys.argv[1]))
print(turn.take(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def port() -> int:
    """One that nobody has: an engine may be running on this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_the_turn_is_one_owners_until_it_ends_it(port: int) -> None:
    one, other = HostLock(port), HostLock(port)
    assert one.take() and one.take() and not other.take()
    other.end()
    assert not other.take(), "only its owner ends a turn"
    one.end()
    one.end()
    assert other.take() and not one.take()
    other.end()


def test_one_hard_traversal_at_a_time_among_all_processes(port: int) -> None:
    elsewhere, allowance = HostLock(port), HostLimits(machine=HostLock(port))
    assert elsewhere.take() and not allowance.take_turn("one"), "another process has it"
    elsewhere.end()
    assert allowance.take_turn("one") and not elsewhere.take()
    assert not allowance.take_turn("other")
    allowance.end_turn("other")
    assert not elsewhere.take(), "only its owner ends a turn"
    allowance.end_turn("one")
    assert elsewhere.take()
    elsewhere.end()


@pytest.mark.parametrize(
    ("number", "may"),
    [(errno.EAFNOSUPPORT, True), (errno.EADDRNOTAVAIL, True), (errno.EMFILE, False), (errno.EPERM, False)],
)
def test_without_ipv4_everybody_may_and_after_any_other_failure_nobody(
    port: int, monkeypatch: pytest.MonkeyPatch, number: int, may: bool
) -> None:
    def fails(*_: object) -> socket.socket:
        raise OSError(number, "made up")

    turn = HostLock(port)
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", fails)
        assert turn.take() is may
    turn.end()


@pytest.mark.process
@pytest.mark.slow
def test_a_process_that_is_killed_has_given_it_back(port: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TAKES_IT, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        turn = HostLock(port)
        try:
            assert process.stdout is not None and process.stdout.readline() == "True\n"
            assert not turn.take()
        finally:
            process.kill()
            process.wait(TIMEOUT_S)
        assert turn.take()
        turn.end()
