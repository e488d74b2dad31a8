"""What a person or a machine can get wrong, done to real processes: words and an exit status, never a traceback.

Exit statuses are those of DESIGN §10: 2 wrong usage, 3 not reachable, 4 declined or busy, 5 failed.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.ipc.client import EngineClient
from app.ipc.messages import BlockContact, EngineState
from tests.processes import SEGUE, TIMEOUT_S, Running, program, read_report, register, relay, run, segue

pytestmark = [pytest.mark.process, pytest.mark.slow]

SPEECH = Path(__file__).parent.parent / "data" / "speech.wav"
# TEST-NET-3 (RFC 5737): no interface of this machine has it.
NOT_OURS = "203.0.113.9"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A relay (its address is in ``relay.txt``) with Alice and Bob; each has a folder."""
    folder = tmp_path_factory.mktemp("place")
    with relay(folder / "relay") as address:
        (folder / "relay.txt").write_text(address)
        for name in ("alice", "bob"):
            register(name, address, folder / name)
        yield folder


def address_of(place: Path, name: str) -> str:
    return f"{name}@{(place / 'relay.txt').read_text()}"


def ends_with(running: Running, status: int, *words: str) -> None:
    """It is over, with that status, and its output has each of these words (in any case)."""
    assert running.wait() == status, running.output
    assert "Traceback" not in running.output, running.output
    for word in words:
        assert word.casefold() in running.output.casefold(), (word, running.output)


def sound(folder: Path, name: str) -> list[str | Path]:
    """Files in place of devices."""
    return ["--play", SPEECH, "--record", folder / f"{name}.wav"]


def ask(home: Path, command: BlockContact) -> None:
    """Give a running engine a command, as a window would, and wait until it is done."""

    async def tell() -> None:
        client = await EngineClient.connect(home, watch_only=True, wait_s=TIMEOUT_S)
        client.send(command)
        async with asyncio.timeout(TIMEOUT_S):
            async for message in client.messages():
                if isinstance(message, EngineState) and any(one.blocked for one in message.contacts):
                    break
        await client.close()

    asyncio.run(tell())


# -- addresses -----------------------------------------------------------------------------------------------------


def test_an_absent_callee_is_explained(place: Path, tmp_path: Path) -> None:
    wrong_pin = f"{address_of(place, 'bob').partition('#')[0]}#{'0' * 32}"
    with contextlib.ExitStack() as stack:
        calls = {
            name: stack.enter_context(segue("call", address, "--home", tmp_path / name, *sound(tmp_path, name)))
            for name, address in (("pin", wrong_pin), ("name", address_of(place, "nobody")))
        }
        ends_with(calls["pin"], 3, "a different relay answers")
        ends_with(calls["name"], 3, "nobody has this name")


def test_a_blocked_caller_is_declined_and_does_not_ring(place: Path, tmp_path: Path) -> None:
    with segue("listen", "--home", place / "bob", *sound(tmp_path, "bob")) as bob:
        bob.wait_for("listening as")
        ask(place / "bob", BlockContact(address=address_of(place, "alice"), blocked=True))
        call = ["call", address_of(place, "bob"), *sound(tmp_path, "out")]
        # To the caller it looks as if somebody had pressed “Decline”: nothing tells that they are blocked.
        ends_with(run(*call, "--home", place / "alice"), 4, "they declined the call")
        # The next caller rings: it was the block, not the listener.
        ends_with(run(*call, "--home", tmp_path / "carol", "--for", "0.5"), 0, "talking")
        bob.wait_for("ended:")
    assert bob.output.count("incoming call") == 1 and "alice" not in bob.output.partition("incoming")[2], bob.output


# -- files ---------------------------------------------------------------------------------------------------------


def wrong_files(folder: Path) -> dict[str, Path]:
    """What is no WAV of 48 kHz, mono, 16 bit."""
    made = {}
    for name, rate_hz, channels, width in (("stereo", 48_000, 2, 2), ("rate", 44_100, 1, 2), ("8bit", 48_000, 1, 1)):
        made[name] = folder / f"{name}.wav"
        with wave.open(str(made[name]), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(width)
            file.setframerate(rate_hz)
            file.writeframes(bytes(rate_hz * channels * width))
    made["cut"] = folder / "cut.wav"
    made["cut"].write_bytes(SPEECH.read_bytes()[:30])
    made["folder"] = folder / "folder.wav"
    made["folder"].mkdir()
    made["missing"] = folder / "missing.wav"
    return made


def test_a_wav_that_cannot_be_played_is_named(place: Path, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        calls = {
            file: stack.enter_context(
                segue(
                    *("call", address_of(place, "bob"), "--home", tmp_path / name),
                    *("--play", file, "--record", tmp_path / "out.wav"),
                )
            )
            for name, file in wrong_files(tmp_path).items()
        }
        for file, running in calls.items():
            ends_with(running, 5, file.name)
            assert "calling" not in running.output, running.output


def test_a_recording_that_cannot_be_written_stops_before_the_call(place: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    for record in (tmp_path / "no" / "such" / "out.wav", tmp_path / "folder.wav"):
        call = run("call", address_of(place, "bob"), "--home", tmp_path / "home", "--play", SPEECH, "--record", record)
        ends_with(call, 5, record.name)
        assert "calling" not in call.output, call.output


def test_a_report_that_cannot_be_written_costs_no_call(place: Path, tmp_path: Path) -> None:
    with segue("listen", "--once", "--home", place / "bob", *sound(tmp_path, "bob")) as bob:
        bob.wait_for("listening as")
        options = ["--home", tmp_path / "dora", "--for", "0.5", "--report", tmp_path / "no" / "such" / "report.json"]
        call = run("call", address_of(place, "bob"), *sound(tmp_path, "out"), *options)
        ends_with(call, 0, "talking", "the report could not be written", "no such folder")
        ends_with(bob, 0)


# -- the folder of the data ----------------------------------------------------------------------------------------


def copied(place: Path, name: str, folder: Path) -> Path:
    """A copy of somebody's folder, to be spoilt."""
    return Path(shutil.copytree(place / name, folder / name, ignore=shutil.ignore_patterns("engine.*")))


def test_a_damaged_database_is_set_aside(place: Path, tmp_path: Path) -> None:
    home = copied(place, "alice", tmp_path)
    spoilt = os.urandom(40_000)
    (home / "segue.db").write_bytes(spoilt)
    for leftover in home.glob("segue.db-*"):
        leftover.unlink()
    call = run("call", address_of(place, "nobody"), "--home", home, *sound(tmp_path, "out"))
    ends_with(call, 3, "could not be read", "kept it as", "nobody has this name")
    kept = list(home.glob("segue.db.damaged-*"))
    assert [one.read_bytes() for one in kept] == [spoilt]
    again = run("call", address_of(place, "nobody"), "--home", home, *sound(tmp_path, "out"))
    ends_with(again, 3)
    assert "could not be read" not in again.output


def test_a_damaged_key_is_set_aside_and_not_taken_for_the_old_one(place: Path, tmp_path: Path) -> None:
    home = copied(place, "alice", tmp_path)
    whole = (home / "identity.key").read_bytes()
    (home / "identity.key").write_bytes(whole[: len(whole) // 2])
    with segue("listen", "--home", home, *sound(tmp_path, "out")) as listener:
        ends_with(listener, 3, "key file was damaged", "new key", "does not let you in")
    kept = list(home.glob("identity.key.damaged-*"))
    assert [one.read_bytes() for one in kept] == [whole[: len(whole) // 2]]
    # With its new key it can still call, as somebody new to the relay: the reason is given, and it is the right one.
    call = run("call", address_of(place, "bob"), "--home", home, *sound(tmp_path, "out"))
    ends_with(call, 3, "register your name again")


def test_a_folder_in_use_is_left_alone(place: Path, tmp_path: Path) -> None:
    home = place / "bob"
    with segue("listen", "--home", home, *sound(tmp_path, "bob")) as bob:
        bob.wait_for("listening as")
        for command in (["listen"], ["call", address_of(place, "alice")], ["echo"]):
            ends_with(run(*command, "--home", home), 5, "already running", str(home))
        assert bob.process.poll() is None


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    ends_with(run("listen", "--home", tmp_path / "file"), 5, "cannot use the folder", "--home")


def namespaces() -> str:
    """Why there is no disk of one's own here, or nothing."""
    if shutil.which("unshare") is None:
        return "unshare is not installed"
    tried = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True, text=True, timeout=TIMEOUT_S
    )
    return "" if tried.returncode == 0 else f"no user and mount namespaces: {tried.stderr.strip()}"


@pytest.mark.skipif(bool(namespaces()), reason=namespaces())
@pytest.mark.parametrize("when", ["running", "starting"])
def test_a_full_disk(place: Path, tmp_path: Path, when: str) -> None:
    """The engine's folder is a disk of its own, full to the last byte before the call comes, or before it starts."""
    home, report = tmp_path / "disk", tmp_path / "report.json"
    home.mkdir()
    address = address_of(place, when)
    listen = ["listen", "--once", *sound(tmp_path, when), "--report", report, "--home", home]
    fill = f"cat /dev/zero >{home}/ballast 2>{tmp_path}/ballast.txt || touch {tmp_path}/full"
    # Within its own mounts only a child of that shell sees the disk; it gives up after 30 s without a sign.
    later = (
        f"(for n in $(seq 300); do if [ -e {tmp_path}/go ]; then {fill}; exit; fi; sleep 0.1; done) >/dev/null 2>&1 &"
    )
    script = f"""
        mount -t tmpfs -o size=1m,mode=700 none {home}
        {" ".join(SEGUE)} register {address} --home {home}
        {later if when == "running" else fill}
        exec {" ".join(SEGUE)} {" ".join(map(str, listen))}
    """
    with program("unshare", "-Urm", "sh", "-ec", script) as listener:
        if when == "starting":
            ends_with(listener, 5, str(home), "the disk is full")
            return
        listener.wait_for("listening as")
        (tmp_path / "go").touch()
        wait_for_file(tmp_path / "full")
        call = run("call", address, "--home", place / "alice", "--for", "1", *sound(tmp_path, "alice"))
        ends_with(call, 0, "talking")
        ends_with(listener, 0, "talking", "the disk is full")
    assert "No space left" in (tmp_path / "ballast.txt").read_text()
    assert read_report(report)["media"]["frames_received"] > 0


def wait_for_file(path: Path) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not path.exists():
        assert time.monotonic() < end, f"waited in vain for {path}"
        time.sleep(0.05)


# -- the relay -----------------------------------------------------------------------------------------------------


def test_a_relay_that_cannot_listen_says_where(tmp_path: Path) -> None:
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        data = ["--data", tmp_path / "relay"]
        in_use = run("relay", "--bind", "127.0.0.1", "--port", port, *data)
        ends_with(in_use, 5, f"127.0.0.1, UDP port {port}", "in use")
        stun = run("relay", "--bind", "127.0.0.1", "--port", "0", "--stun-port", port, *data)
        ends_with(stun, 5, f"127.0.0.1, UDP port {port}", "in use")
    ends_with(run("relay", "--bind", NOT_OURS, "--port", "0", *data), 5, f"cannot listen on {NOT_OURS}")
    ends_with(run("relay", "--bind", "here", "--port", "0", *data), 5, "here")
    ends_with(run("relay", "--port", "70000", *data), 2, "65535")


def test_a_relay_sets_a_damaged_directory_aside_and_keeps_its_address(tmp_path: Path) -> None:
    data = tmp_path / "relay"
    with relay(data) as address:
        pin = address.partition("#")[2]
        register("alice", address, tmp_path / "alice")
    spoilt = os.urandom(9_000)
    for file in data.glob("names.sqlite3*"):
        file.unlink()
    (data / "names.sqlite3").write_bytes(spoilt)
    with segue("relay", "--bind", "127.0.0.1", "--port", "0", "--data", data, "--drain", "0") as running:
        again = running.wait_for("ready ").removeprefix("ready ")
        assert "damaged" in running.output and "Traceback" not in running.output, running.output
        assert again.partition("#")[2] == pin
        register("bob", again, tmp_path / "bob")
    assert [one.read_bytes() for one in data.glob("names.sqlite3.damaged-*")] == [spoilt]


def test_a_relay_does_not_replace_a_damaged_key(tmp_path: Path) -> None:
    """Everybody has pinned it: a new one in silence would be the worse answer."""
    data = tmp_path / "relay"
    data.mkdir()
    (data / "relay.pem").write_text("not a key")
    ends_with(run("relay", "--bind", "127.0.0.1", "--port", "0", "--data", data), 5, "relay.pem", "damaged", "copy")
    assert (data / "relay.pem").read_text() == "not a key"


def test_wrong_usage() -> None:
    wrong = (["call", "bob@"], ["call", "bob@host#zz"], ["register", "@host"], ["sing"], ["listen", "--loud"])
    with contextlib.ExitStack() as stack:
        for running in [stack.enter_context(segue(*arguments)) for arguments in wrong]:
            ends_with(running, 2)
