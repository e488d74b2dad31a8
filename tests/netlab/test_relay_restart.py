"""The relay is killed in mid-call and started again: the call says so, and goes on by itself."""

import re
import signal
from pathlib import Path

import pytest

from tests.processes import read_report, register, segue

pytestmark = [pytest.mark.process, pytest.mark.slow]

SPEECH = Path(__file__).parent.parent / "data" / "speech.wav"


def test_a_relayed_call_survives_its_relay(tmp_path: Path) -> None:
    relay = ("relay", "--bind", "127.0.0.1", "--data", str(tmp_path / "relay"), "--drain", "0")
    with segue(*relay, "--port", "0") as first:
        address = first.wait_for("ready ").removeprefix("ready ")
        port = re.search(r":(\d+)#", address)
        assert port is not None
        bob = register("bob", address, tmp_path / "bob")
        register("alice", address, tmp_path / "alice")
        wavs = {name: ("--play", SPEECH, "--record", tmp_path / f"{name}.wav") for name in ("alice", "bob")}
        reports = {name: ("--report", tmp_path / f"{name}.json") for name in ("alice", "bob")}
        listen = ("listen", "--always-relay", "--home", tmp_path / "bob", "--once", *wavs["bob"], *reports["bob"])
        with segue(*listen) as listener:
            listener.wait_for("listening as")
            call = ("call", bob, "--home", tmp_path / "alice", "--for", "25", *wavs["alice"], *reports["alice"])
            with segue(*call) as caller:
                caller.wait_for("talking")
                first.process.send_signal(signal.SIGKILL)
                first.process.wait()
                caller.wait_for("reconnecting")
                with segue(*relay, "--port", port.group(1)) as second:
                    second.wait_for("ready ")
                    caller.wait_for("talking again")
                    assert caller.wait() == 0, caller.output
                    assert listener.wait() == 0, listener.output
    for name in ("alice", "bob"):
        report = read_report(tmp_path / f"{name}.json")
        assert report["outcome"] == "answered" and report["reason"] == "hung-up"
        # Voice was lost while there was no path, and came again: the last seconds are there.
        assert report["media"]["frames_received"] > 500, report["media"]


def test_a_direct_call_does_not_notice_that_its_relay_dies(tmp_path: Path) -> None:
    options = {
        name: ("--play", SPEECH, "--record", tmp_path / f"{name}.wav", "--report", tmp_path / f"{name}.json")
        for name in ("alice", "bob")
    }
    with segue("relay", "--bind", "127.0.0.1", "--port", "0", "--data", tmp_path / "relay") as relay:
        address = relay.wait_for("ready ").removeprefix("ready ")
        bob = register("bob", address, tmp_path / "bob")
        with segue("listen", "--home", tmp_path / "bob", "--once", *options["bob"]) as listener:
            listener.wait_for("listening as")
            with segue("call", bob, "--home", tmp_path / "alice", "--for", "8", *options["alice"]) as caller:
                caller.wait_for("talking")
                caller.wait_for("direct")
                relay.process.send_signal(signal.SIGKILL)
                assert caller.wait() == 0, caller.output
                assert listener.wait() == 0, listener.output
    for name in ("alice", "bob"):
        media = read_report(tmp_path / f"{name}.json")["media"]
        assert (media["frames_lost"], media["samples_concealed"]) == (0, 0), media
