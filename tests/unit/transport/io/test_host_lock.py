"""transport.io.host_lock: one process of this host at a time."""

import errno
import socket
import subprocess
import sys

import pytest

from transport.ice.pacing import HostLimits
from transport.io.host_lock import HostLock

TIMEOUT_S = 30.0
ACQUIRES_IT = """
import sys
from transport.io.host_lock import HostLock
lock = HostLock(int(sys.argv[1]))
print(lock.acquire(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def port() -> int:
    """One that nobody has: an engine may be running on this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_the_lock_is_one_owners_until_it_releases_it(port: int) -> None:
    one, other = HostLock(port), HostLock(port)
    assert one.acquire() and one.acquire() and not other.acquire()
    other.release()
    assert not other.acquire(), "only its owner releases it"
    one.release()
    one.release()
    assert other.acquire() and not one.acquire()
    other.release()


def test_one_traversal_with_probe_rounds_at_a_time_among_all_processes(port: int) -> None:
    elsewhere, limits = HostLock(port), HostLimits(lock=HostLock(port))
    assert elsewhere.acquire() and not limits.acquire("one"), "another process has it"
    elsewhere.release()
    assert limits.acquire("one") and not elsewhere.acquire()
    assert not limits.acquire("other")
    limits.release("other")
    assert not elsewhere.acquire(), "only its owner releases it"
    limits.release("one")
    assert elsewhere.acquire()
    elsewhere.release()


@pytest.mark.parametrize(
    ("number", "may"),
    [(errno.EAFNOSUPPORT, True), (errno.EADDRNOTAVAIL, True), (errno.EMFILE, False), (errno.EPERM, False)],
)
def test_without_ipv4_everybody_may_and_after_any_other_failure_nobody(
    port: int, monkeypatch: pytest.MonkeyPatch, number: int, may: bool
) -> None:
    def fails(*_: object) -> socket.socket:
        raise OSError(number, "made up")

    lock = HostLock(port)
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", fails)
        assert lock.acquire() is may
    lock.release()


@pytest.mark.process
@pytest.mark.slow
def test_a_process_that_is_killed_has_given_it_back(port: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ACQUIRES_IT, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        lock = HostLock(port)
        try:
            assert process.stdout is not None and process.stdout.readline() == "True\n"
            assert not lock.acquire()
        finally:
            process.kill()
            process.wait(TIMEOUT_S)
        assert lock.acquire()
        lock.release()
