"""transport.io.machine_turn: one process of this machine at a time."""

import socket
import subprocess
import sys

import pytest

from transport.io.machine_turn import MachineTurn

PATIENCE_S = 30.0
TAKES_IT = """
import sys
from transport.io.machine_turn import MachineTurn
turn = MachineTurn(int(sys.argv[1]))
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
    one, other = MachineTurn(port), MachineTurn(port)
    assert one.take() and one.take() and not other.take()
    other.end()
    assert not other.take(), "only its owner ends a turn"
    one.end()
    one.end()
    assert other.take() and not one.take()
    other.end()


@pytest.mark.process
@pytest.mark.slow
def test_a_process_that_is_killed_has_given_it_back(port: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TAKES_IT, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        turn = MachineTurn(port)
        try:
            assert process.stdout is not None and process.stdout.readline() == "True\n"
            assert not turn.take()
        finally:
            process.kill()
            process.wait(PATIENCE_S)
        assert turn.take()
        turn.end()
