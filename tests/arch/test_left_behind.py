"""tests/conftest.py catches what a test leaves behind: each kind once, in a pytest of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"

HEAD = "import asyncio, socket, subprocess, threading, time\nkept = []\n"
FOOT = """
def test_afterwards():
    for thing in kept:
        thing.kill() if hasattr(thing, "kill") else None
        thing.wait() if hasattr(thing, "wait") else None
        thing.close() if hasattr(thing, "close") else None
        thing.join() if hasattr(thing, "join") else None
"""


def run(tmp_path: Path, body: str) -> str:
    shutil.copy(CONFTEST, tmp_path / "conftest.py")
    (tmp_path / "test_it.py").write_text(HEAD + body + FOOT)
    # The plugins that the file under test does not need would only make this slower.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:pytest-qt", "-p", "no:asyncio"]
    done = subprocess.run([*command, "-W", "error", "."], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "what"),
    [
        (
            "def test_it():\n    kept.append(threading.Thread(target=time.sleep, args=(3,)))\n    kept[0].start()",
            "thread",
        ),
        ("def test_it():\n    kept.append(subprocess.Popen(['sleep', '30']))", "child process"),
        ("def test_it():\n    kept.append(socket.socket())", "socket"),
        (
            "def test_it():\n    async def main():\n        global task\n"
            "        task = asyncio.create_task(asyncio.sleep(9), name='nobody ends me')\n    asyncio.run(main())",
            "asyncio task nobody ends me",
        ),
    ],
)
def test_a_leak_fails_the_test(tmp_path: Path, body: str, what: str) -> None:
    output = run(tmp_path, body)
    assert f"left behind: {what}" in output
    assert "2 passed, 1 error" in output


@pytest.mark.slow
def test_an_unclosed_socket_that_nobody_holds_fails_the_test(tmp_path: Path) -> None:
    output = run(tmp_path, "def test_it():\n    socket.socket()")
    assert "unclosed <socket.socket" in output
    assert "1 failed, 1 passed" in output


@pytest.mark.slow
def test_a_tidy_test_passes(tmp_path: Path) -> None:
    body = (
        "def test_it():\n    threading.Thread(target=time.sleep, args=(0.1,)).start()\n"
        "    subprocess.run(['true'])\n    socket.socket().close()\n    asyncio.run(asyncio.sleep(0))"
    )
    assert "2 passed" in run(tmp_path, body)
