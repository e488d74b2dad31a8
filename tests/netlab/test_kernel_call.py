"""Real programs, real kernel: calls through NATs, over delay, and across a NAT that forgets everything."""

import contextlib
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from app.model.network_history import NetworkPair
from app.system.data_dir import find_home
from tests.audio_compare import compare, read_wav
from tests.natsim.scenario import Fault, Scenario
from tests.natsim.scenario_file import load
from tests.natsim.wire import WireSpec
from tests.netlab.lab import kernel_world
from tests.netlab.people import SPEECH, Person, in_call

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.usefixtures("kernel")]

FRAME_SAMPLES = 960
# As in test_real_call.py: what the codec leaves of a voice's wave form.
LEAST_CORRELATION = 0.9


def between(name: str, delay_ms: float) -> Scenario:
    """A scenario of the folder with other wires; what happens in it is the test's affair."""
    scenario, wire = load(name), WireSpec(delay_ms=delay_ms)
    one, other = (replace(side, up=wire, down=wire) for side in scenario.sides)
    return replace(scenario, sides=(one, other), faults=())


def remembered(person: Person) -> list[NetworkPair]:
    """What the call has left behind of the two networks."""
    with contextlib.closing(sqlite3.connect(find_home(person.home).database)) as connection:
        rows = connection.execute("SELECT record FROM networks").fetchall()
    return [msgspec.json.decode(record, type=NetworkPair) for (record,) in rows]


def assert_nothing_is_missing(person: Person) -> float:
    """No frame was lost and the voice is the one that was played; returns when it began, in s of the recording."""
    media = person.report["media"]
    assert media["frames_received"] > 100, media
    assert (media["frames_lost"], media["samples_concealed"]) == (0, 0), media
    recording = read_wav(person.recording)
    # Not the last second: the call ends somewhere in it.
    comparison = compare(read_wav(SPEECH)[: recording.size - 48_000], recording)
    assert len(comparison.correlations) >= 2
    assert comparison.worst >= LEAST_CORRELATION, comparison
    return comparison.offset_s


def test_a_call_through_two_masquerades_goes_direct_and_loses_nothing(tmp_path: Path) -> None:
    with kernel_world(between("linux", 0.0)) as world, in_call(world, tmp_path, 3.5) as people:
        pass
    for person in people:
        assert_nothing_is_missing(person)
        assert person.report["outcome"] == "answered"
        relay, direct = person.report["paths"]
        assert (relay["kind"], direct["kind"], direct["via"]) == ("relay", "direct", "punch")
        for path in (relay, direct):
            assert path["local"].startswith(f"192.168.{1 + person.side}.10:")
        punch, *others = [phase for phase in person.report["phases"] if phase["name"] != "port_mapping"]
        assert (punch["name"], punch["outcome"]) == ("punch", "won")
        assert {(other["outcome"], other["reason"]) for other in others} <= {("skipped", "not-needed")}
        [pair] = remembered(person)
        assert (pair.way, pair.worked, pair.failed) == ("punch", 1, 0) and pair.seconds is not None
        assert len({pair.ours, pair.theirs}) == 2
        assert direct["remote"].rpartition(":")[0].encode() not in find_home(person.home).database.read_bytes()


def test_a_call_over_40_ms_each_way_loses_nothing(tmp_path: Path) -> None:
    with kernel_world(between("port-restricted", 40.0)) as world, in_call(world, tmp_path, 3.5) as people:
        pass
    caller_hears_s, callee_hears_s = map(assert_nothing_is_missing, people)
    # The callee records from the answer on; the caller begins when that has crossed four wires, and so does its voice.
    assert callee_hears_s - caller_hears_s >= 0.14
    for person in people:
        direct = person.report["paths"][-1]
        assert direct["kind"] == "direct" and direct["rtt_ms"] >= 80.0, "up and down to the peer"


def test_a_direct_call_loses_nothing_when_a_nat_forgets_everything(tmp_path: Path) -> None:
    """What was sent into the dead path is sent again on the relay, within what the jitter buffer holds or adds."""
    with kernel_world(between("nat-flushed", 20.0)) as world, in_call(world, tmp_path, 6.0) as people:
        time.sleep(3.0)
        world.carry_out(Fault(at_s=0.0, what="flush", side=0))
    for person in people:
        report, media = person.report, person.report["media"]
        assert (report["outcome"], report["reason"]) == ("answered", "hung-up"), report
        assert any(path["kind"] == "direct" for path in report["paths"])
        assert media["frames_lost"] == 0, media


def test_a_relayed_call_goes_on_when_a_nat_forgets_everything(tmp_path: Path) -> None:
    with kernel_world(between("nat-flushed", 20.0)) as world:
        with in_call(world, tmp_path, 6.0, "--always-relay") as people:
            time.sleep(2.0)
            before = world.routers["nat00"].ask({"do": "stats"})["mappings"]
            world.carry_out(Fault(at_s=0.0, what="flush", side=0))
        assert before >= 2, "the relay's control and the leg"
    for person in people:
        report, media = person.report, person.report["media"]
        assert (report["outcome"], report["reason"]) == ("answered", "hung-up"), report
        assert person.output[-1] == "ended: The call has ended."
        # Something was lost, or nothing had been forgotten; everything that was is the hole that the flush made.
        assert media["frames_lost"] > 0
        assert media["samples_concealed"] >= media["frames_lost"] * FRAME_SAMPLES
        # The hole is one of the six seconds at most: the leg is bound anew when its echoes fail.
        assert media["frames_lost"] < media["frames_received"] / 5, media
