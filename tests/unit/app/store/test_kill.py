"""app.store: a process killed in the middle of writing leaves all that it reported as written, and a sound file."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.store import Store

WRITE = """
import sys
from pathlib import Path
from app.store import Store
from transport.wire.addresses import parse_person
store = Store(Path(sys.argv[1]))
number = len(store.people.contacts())
while True:
    store.people.add(parse_person(f"p{number:06}@relay.example"), "x" * 90)
    assert store.trouble is None
    print(number, flush=True)
    number += 1
"""


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_kill_at_any_moment_loses_nothing_that_was_written(tmp_path: Path) -> None:
    path = tmp_path / "segue.db"
    for moment in (0, 1, 7, 40):
        command = [sys.executable, "-c", WRITE, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            try:
                for _ in range(moment + 1):
                    last = int(writer.stdout.readline())
            finally:
                writer.send_signal(signal.SIGKILL)
            # What it still printed before it died counts as well.
            lines = [line for line in writer.stdout.read().split("\n")[:-1] if line]
            last = int(lines[-1]) if lines else last
        store = Store(path)
        assert store.take_findings() == ()
        names = [person.address.name for person in store.people.contacts()]
        assert names[: last + 1] == [f"p{number:06}" for number in range(last + 1)]
        assert len(names) <= last + 2
        store.close()
