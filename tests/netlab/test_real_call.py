"""Relay, listener and caller as separate processes on loopback: what one says is what the other's file holds."""

from pathlib import Path

import pytest

from tests.audio_compare import compare, read_wav
from tests.processes import read_report, register, relay, run, segue

pytestmark = [pytest.mark.process, pytest.mark.slow]

SPEECH = Path(__file__).parent.parent / "data" / "speech.wav"
# Opus at 32 kbit/s and the high-pass of the microphone leave a voice this much like itself, each second.
LEAST_CORRELATION = 0.9


def test_a_voice_both_ways(tmp_path: Path) -> None:
    with relay(tmp_path / "relay") as address:
        bob = register("bob", address, tmp_path / "bob")
        register("alice", address, tmp_path / "alice")
        files = {
            name: [
                "--always-relay",
                *("--home", str(tmp_path / name)),
                *("--play", str(SPEECH)),
                *("--record", str(tmp_path / f"{name}.wav")),
                *("--report", str(tmp_path / f"{name}.json")),
            ]
            for name in ("alice", "bob")
        }
        with segue("listen", "--once", "--answer-after", "0.5", *files["bob"]) as listener:
            listener.wait_for("listening as bob@")
            caller = run("call", bob, "--for", "7.5", *files["alice"])
            assert caller.process.returncode == 0, caller.output
            assert listener.wait() == 0, listener.output
    speech = read_wav(SPEECH)
    for name in ("alice", "bob"):
        comparison = compare(speech, read_wav(tmp_path / f"{name}.wav"))
        assert len(comparison.correlations) >= 4
        assert comparison.worst >= LEAST_CORRELATION, comparison
        report = read_report(tmp_path / f"{name}.json")
        assert report["outcome"] == "answered"
        assert report["media"]["frames_lost"] == 0, report["media"]
        assert report["media"]["samples_concealed"] == 0, report["media"]
        assert [path["kind"] for path in report["paths"]] == ["relay"]


def test_a_voice_that_is_not_the_one_that_was_played_is_noticed(tmp_path: Path) -> None:
    """The comparison itself can fail: half a second later, or another voice, is not the same."""
    speech = read_wav(SPEECH)
    assert compare(speech, speech).worst > 0.999
    cut = speech.copy()
    cut[48_000:] = speech[: speech.size - 48_000]
    assert compare(speech, cut).worst < LEAST_CORRELATION
    hole = speech.copy()
    hole[72_000:82_000] = 0.0
    assert compare(speech, hole).worst < 0.99


def test_echo_sends_the_callers_voice_back(tmp_path: Path) -> None:
    with relay(tmp_path / "relay") as address:
        echo = register("echo", address, tmp_path / "echo")
        with segue("echo", "--home", tmp_path / "echo") as answering:
            answering.wait_for("listening as echo@")
            # Nobody has to be registered to call: a guest is let in, with a key and without a name.
            caller = run(
                *("call", echo, "--home", tmp_path / "guest", "--for", "7.5"),
                *("--play", SPEECH, "--record", tmp_path / "back.wav", "--report", tmp_path / "guest.json"),
            )
            assert caller.process.returncode == 0, caller.output
    # The call goes direct on the way, and the jitter buffers may stretch the voice; that moves a second.
    back = compare(read_wav(SPEECH), read_wav(tmp_path / "back.wav"), slack_s=0.06, pieces=4)
    # Twice through the codec: each time a tenth of the wave form is the codec's own.
    assert back.worst >= 0.75, back
    assert read_report(tmp_path / "guest.json")["media"]["samples_concealed"] == 0
