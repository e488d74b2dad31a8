"""app.report.report and its builder: the contract of DESIGN §10, whole on disk or not there."""

import errno
import json
import os
import stat
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.model.terms import PhaseName
from app.report import recorder
from app.report.recorder import ReportBuilder
from app.report.report import (
    CallReport,
    MediaReport,
    NatReport,
    ReportError,
    Via,
    decode_report,
    encode_report,
    media_report,
    write_report,
)
from app.report.schema import schema_document
from media.stats import MediaStats
from transport.path.stats import PathVia

ROOT = Path(__file__).parents[4]
RELAY = ("relay", "relay", "192.168.1.7:40000", "198.51.100.1:7851")
DIRECT = ("direct", "punch", "192.168.1.7:40001", "203.0.113.9:5000")

# DESIGN §10, word for word, and what later versions have beside it.
FIELDS = {
    "": "version call_id role peer outcome reason times nat phases paths media",
    "times": "placed ringing answered first_audio_sent first_audio_played direct ended",
    "nat": "local remote",
    "nat.local": "mapping filtering allocation delta block address evidence unknowns",
    "phases.0": "name started ended outcome reason packets sockets rounds tried of",
    "paths.0": "kind via local remote active_from active_to rtt_ms loss",
    "media": "frames_sent frames_received frames_lost frames_late frames_duplicate samples_played "
    "samples_concealed samples_stretched samples_skipped underruns overruns playout_delay_ms",
    "media.playout_delay_ms": "p50 p95 max",
}


def a_builder() -> ReportBuilder:
    return ReportBuilder("0f" * 16, "caller", "bob@relay.example:7850", 100.0)


def a_report() -> CallReport:
    builder = a_builder()
    builder.mark("ringing", 100.5)
    builder.mark("answered", 103.0)
    builder.path_active(RELAY, 103.0)
    builder.mark("first_audio_sent", 103.0)
    builder.mark("first_audio_played", 103.08)
    builder.nat(local=NatReport(mapping="endpoint-independent", block=(1024, 2047), delta=2, evidence=("two servers",)))
    builder.phase("punch", 103.1, packets=2, sockets=1, rounds=1)
    builder.phase("punch", 103.1, ended=103.4, outcome="won", packets=6, sockets=1, rounds=1)
    builder.phase("birthday", 103.4, ended=103.4, outcome="skipped", reason="not-needed")
    builder.path_active(DIRECT, 103.4)
    builder.path_figures(DIRECT, 23.5, 0.01)
    builder.path_inactive(RELAY, 103.9)
    builder.media(MediaReport(frames_sent=50, frames_received=49))
    builder.end("answered", "hung-up", 113.0)
    return builder.build()


def at(document: Any, path: str) -> Any:
    for step in filter(None, path.split(".")):
        document = document[int(step) if step.isdigit() else step]
    return document


@pytest.mark.parametrize("path", FIELDS)
def test_the_fields_are_those_of_the_contract(path: str) -> None:
    assert list(at(json.loads(encode_report(a_report())), path)) == FIELDS[path].split()


def test_what_happened_is_told_in_seconds_since_the_start() -> None:
    report = a_report()
    times = report.times
    assert (times.placed, times.ringing, times.answered, times.ended) == (0.0, 0.5, 3.0, 13.0)
    assert times.first_audio_played == pytest.approx(3.08)
    assert times.direct == pytest.approx(3.4)
    relay, direct = report.paths
    assert (relay.active_from, relay.active_to) == (3.0, pytest.approx(3.9))
    assert (direct.active_from, direct.active_to) == (pytest.approx(3.4), 13.0)
    assert (direct.rtt_ms, direct.loss, relay.rtt_ms) == (23.5, 0.01, None)
    assert [(phase.name, phase.outcome) for phase in report.phases] == [("punch", "won"), ("birthday", "skipped")]


def test_a_report_in_mid_call_is_open() -> None:
    builder = a_builder()
    builder.path_active(RELAY, 101.0)
    builder.phase("punch", 101.0)
    report = builder.build()
    assert (report.outcome, report.times.ended) == (None, None)
    assert (report.paths[0].active_to, report.phases[0].outcome) == (None, None)
    builder.end("failed", "lost", 102.0)
    builder.end("answered", "hung-up", 109.0)
    report = builder.build()
    assert (report.outcome, report.reason, report.times.ended) == ("failed", "lost", 2.0)
    assert (report.paths[0].active_to, report.phases[0].outcome) == (2.0, "cancelled")


def test_the_first_time_counts_and_repeats_change_nothing() -> None:
    builder = a_builder()
    for now in (101.0, 102.0):
        builder.mark("answered", now)
        builder.path_active(DIRECT, now)
    builder.path_inactive(RELAY, 102.0)
    report = builder.build()
    assert (report.times.answered, report.times.direct, len(report.paths), report.phases) == (1.0, 1.0, 1, ())


def test_every_way_that_a_path_can_come_about_fits_the_report() -> None:
    assert get_args(Via) == get_args(PathVia)


def test_phases_overlap_and_each_climb_has_its_own() -> None:
    builder = a_builder()
    builder.phase("punch", 101.0)
    builder.phase("birthday", 102.0, tried=100, of=1_024)
    builder.phase("birthday", 102.0, tried=587, of=1_024, packets=900, sockets=1)
    builder.phase("punch", 105.0)
    builder.phase("birthday", 102.0, ended=112.0, outcome="failed", reason="no-answer", tried=1_024, of=1_024)
    found = [
        (phase.name, phase.started, phase.ended, phase.outcome, phase.reason, phase.tried)
        for phase in builder.build().phases
    ]
    assert found == [
        ("punch", 1.0, 5.0, "cancelled", "started anew", 0),
        ("birthday", 2.0, 12.0, "failed", "no-answer", 1_024),
        ("punch", 5.0, None, None, "", 0),
    ]


def test_both_nats_are_kept() -> None:
    builder = a_builder()
    builder.nat(local=NatReport(address="1"))
    builder.nat(remote=NatReport(address="2"))
    builder.nat(local=NatReport(address="3"))
    nat = builder.build().nat
    assert nat.local is not None
    assert nat.remote is not None
    assert (nat.local.address, nat.remote.address) == ("3", "2")


def test_a_flapping_path_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MAX_PATHS", 5)
    monkeypatch.setattr(recorder, "MAX_PHASES", 3)
    builder = a_builder()
    builder.path_active(RELAY, 100.0)
    for number in range(20):
        builder.path_active(DIRECT, 101.0 + number)
        builder.path_inactive(DIRECT, 101.5 + number)
        builder.phase("punch", 101.0 + number)
    report = builder.build()
    assert [path.kind for path in report.paths] == ["relay"] + ["direct"] * 4
    assert report.paths[-1].active_from == 20.0
    assert [phase.started for phase in report.phases] == [18.0, 19.0, 20.0]


moments = st.sampled_from(["ringing", "answered", "first_audio_sent", "first_audio_played", "direct", "ended"])
paths = st.sampled_from([RELAY, DIRECT])
names = st.sampled_from(get_args(PhaseName))
steps = st.one_of(
    st.tuples(st.just("mark"), moments),
    st.tuples(st.sampled_from(["path_active", "path_inactive"]), paths),
    st.tuples(st.sampled_from(["phase runs", "phase ends"]), names),
    st.tuples(st.just("end"), st.just("")),
)


@given(st.lists(st.tuples(st.floats(0, 1e6), steps), max_size=40), st.text())
def test_any_order_of_events_gives_a_report_that_can_be_read(
    events: list[tuple[float, tuple[str, Any]]], reason: str
) -> None:
    builder = a_builder()
    for now, (step, about) in events:
        match step:
            case "mark":
                builder.mark(about, now)
            case "path_active":
                builder.path_active(about, now)
            case "path_inactive":
                builder.path_inactive(about, now)
            case "phase runs":
                builder.phase(about, now, tried=7, of=9)
            case "phase ends":
                builder.phase(about, now, ended=now + 1, outcome="failed", reason=reason)
            case _:
                builder.end("answered", reason, now)
    report = builder.build()
    assert decode_report(encode_report(report)) == report
    validate(json.loads(encode_report(report)))


# -- media -------------------------------------------------------------------------------------------------------------


def test_media_figures_are_copied_by_name() -> None:
    delay = SimpleNamespace(p50=40.0, p95=60.0, max=81.5)
    names = FIELDS["media"].split()[:-1]
    stats = SimpleNamespace(**{name: number for number, name in enumerate(names)}, playout_delay_ms=delay, jitter_ms=1)
    copied = media_report(stats)
    assert [getattr(copied, name) for name in names] == list(range(len(names)))
    assert (copied.playout_delay_ms.p50, copied.playout_delay_ms.p95, copied.playout_delay_ms.max) == (40.0, 60.0, 81.5)


def test_a_media_figure_that_is_missing_costs_no_made_up_zero() -> None:
    with pytest.raises(AttributeError):
        media_report(SimpleNamespace(frames_sent=1))


def test_the_figures_of_the_media_layer_fit() -> None:
    assert media_report(MediaStats()) == MediaReport()


# -- reading and writing -----------------------------------------------------------------------------------------------


@given(st.binary())
def test_no_bytes_but_a_report_are_read(document: bytes) -> None:
    with pytest.raises(ReportError):
        decode_report(document)


def test_another_version_is_refused() -> None:
    with pytest.raises(ReportError, match="version"):
        decode_report(encode_report(a_report()).replace(b'"version": 2', b'"version": 1'))


def test_a_report_on_disk_is_whole_and_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    write_report(path, a_report())
    assert decode_report(path.read_bytes()) == a_report()
    assert os.listdir(tmp_path) == ["report.json"]
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_full_disk_keeps_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ReportError, match="the disk is full"):
        write_report(path, a_report())
    assert path.read_text() == "old"


@pytest.mark.parametrize("place", ["none/report.json", "."])
def test_a_place_that_cannot_be_written_has_words(tmp_path: Path, place: str) -> None:
    with pytest.raises(ReportError, match="could not be written"):
        write_report(tmp_path / place, a_report())


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()), name="reader")
    reader.start()
    write_report(path, a_report())
    reader.join()
    assert decode_report(received[0]) == a_report()
    assert stat.S_ISFIFO(path.stat().st_mode)


# -- the schema --------------------------------------------------------------------------------------------------------


def validate(value: Any, schema: Any = None, root: Any = None) -> None:
    """The part of JSON Schema that msgspec writes; a keyword it does not know fails the test."""
    root = root or json.loads(schema_document())
    schema = root if schema is None else schema
    types = {"string": str, "integer": int, "number": (int, float), "array": list, "object": dict, "null": type(None)}
    for keyword, wanted in schema.items():
        match keyword:
            case "$schema" | "title" | "description" | "default" | "$defs":
                pass
            case "$ref":
                validate(value, root["$defs"][wanted.rpartition("/")[2]], root)
            case "type":
                assert isinstance(value, types[wanted]) and not isinstance(value, bool), (value, wanted)
            case "enum":
                assert value in wanted
            case "anyOf":
                assert any(fits(value, option, root) for option in wanted), value
            case "minimum":
                assert value >= wanted
            case "maximum":
                assert value <= wanted
            case "exclusiveMaximum":
                assert value < wanted
            case "required":
                assert set(wanted) <= set(value)
            case "properties":
                assert set(value) <= set(wanted)
                for name, inner in value.items():
                    validate(inner, wanted[name], root)
            case "prefixItems":
                for inner, inner_schema in zip(value, wanted, strict=True):
                    validate(inner, inner_schema, root)
            case "items":
                for inner in value if wanted else ():
                    validate(inner, wanted, root)
            case "minItems":
                assert len(value) >= wanted
            case "maxItems":
                assert len(value) <= wanted
            case _:
                pytest.fail(f"the schema uses {keyword}")


def fits(value: Any, schema: Any, root: Any) -> bool:
    try:
        validate(value, schema, root)
    except AssertionError:
        return False
    return True


def test_the_written_schema_is_the_present_one() -> None:
    written = (ROOT / "docs" / "report.schema.json").read_bytes()
    assert written == schema_document(), "run: python -m app.report.schema docs/report.schema.json"


def test_a_report_fits_the_schema_and_a_wrong_one_does_not() -> None:
    document = json.loads(encode_report(a_report()))
    root = json.loads(schema_document())
    assert fits(document, root, root)
    for path, wrong in (("role", "bystander"), ("version", 1), ("media.frames_lost", -1), ("paths.0.loss", 1.5)):
        broken = json.loads(encode_report(a_report()))
        where, _, last = path.rpartition(".")
        at(broken, where)[last] = wrong
        assert not fits(broken, root, root), path
    del document["call_id"]
    assert not fits(document, root, root)
