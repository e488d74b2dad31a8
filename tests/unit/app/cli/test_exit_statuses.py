"""The command line's exit statuses, which scripts rely on, each by the program itself."""

from pathlib import Path

import pytest

from tests.processes import register, relay, run

pytestmark = [pytest.mark.process, pytest.mark.slow]

SPEECH = Path(__file__).parents[3] / "data" / "speech.wav"


def test_exit_statuses(tmp_path: Path) -> None:
    with relay(tmp_path / "relay") as address:
        register("alice", address, tmp_path / "alice")
        bob = register("bob", address, tmp_path / "bob")
        home = ("--home", tmp_path / "alice")
        silent = ("--play", SPEECH, "--record", tmp_path / "out.wav")
        assert run("call", f"nobody@{address}", *home, *silent).process.returncode == 3
        offline = run("call", bob, *home, *silent)
        assert offline.process.returncode == 3 and "cannot be reached" in offline.output
        wrong_pin = f"bob@{address.partition('#')[0]}#{'0' * 32}"
        pinned = run("call", wrong_pin, *home, *silent)
        assert pinned.process.returncode == 3, pinned.output
        assert run("call", "no address", *home).process.returncode == 2
        assert run("call").process.returncode == 2
        wrong_wav = tmp_path / "wrong.wav"
        wrong_wav.write_bytes(b"RIFF not a wave file")
        bad_file = run("call", bob, *home, "--play", wrong_wav)
        assert bad_file.process.returncode == 5 and "Traceback" not in bad_file.output, bad_file.output
        unregistered = run("listen", "--home", tmp_path / "nobody")
        assert unregistered.process.returncode == 2 and "segue register" in unregistered.output
        taken = run("register", bob, "--home", tmp_path / "thief")
        assert taken.process.returncode == 5 and "Somebody else has this name" in taken.output
    gone = run("register", f"carol@{address}", "--home", tmp_path / "carol")
    assert gone.process.returncode == 3 and "Traceback" not in gone.output
