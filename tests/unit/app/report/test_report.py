"""app.report.report and app.report.recorder: the contract of the call report (docs/report.schema.json)."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.model.terms import CallPhase, PhaseName
from app.report import recorder as recorder_module
from app.report.recorder import Recorder, untried
from app.report.report import (
    CallReport,
    MediaReport,
    PathReport,
    PhaseReport,
    Via,
    copied,
    encode_report,
    media_report,
)
from app.report.schema import documents
from app.report.trace import CallTrace, PhaseBecame, encode_trace
from media.stats import MediaStats
from transport.nat.profile import Allocation, Filtering, Mapping, NatProfile
from transport.path.stats import PathStats, PathVia
from transport.portmap.status import MappingStatus
from transport.traversal.events import PhaseOutcome, PhaseStatus, ProfileKnown

ROOT = Path(__file__).parents[4]
RELAY = PathStats("relay", "relay", ("192.168.1.7", 40_000), ("198.51.100.1", 7_851), "active", None, None, None, 0, 0)
DIRECT = replace(RELAY, kind="direct", via="punch", remote=("2001:db8::9", 5_000))
MEDIA = MediaReport(frames_sent=50, frames_received=49)

# DESIGN §10, word for word, and what later versions have beside it.
SCHEMA = documents()["report.schema.json"]

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


def a_recorder() -> Recorder:
    recorder = Recorder("bob@relay.example:7850", 100.0)
    recorder.begin("0f" * 16, "caller")
    return recorder


def paths_are(recorder: Recorder, now: float, *paths: PathStats) -> None:
    stats: Any = SimpleNamespace(paths=paths, phases=())
    recorder.figures(stats, now)


def runs(name: str, started: float, **figures: Any) -> PhaseStatus:
    return PhaseStatus(name, "trying", started, **figures)


def ends(
    name: str, started: float, ended: float, outcome: PhaseOutcome, reason: str = "", **figures: Any
) -> PhaseStatus:
    return PhaseStatus(name, outcome, started, ended, reason=reason, **figures)


def a_report() -> CallReport:
    recorder = a_recorder()
    recorder.call_became("ringing", 100.5)
    recorder.mark("answered", 103.0)
    paths_are(recorder, 103.0, RELAY)
    recorder.mark("first_audio_sent", 103.0)
    recorder.mark("first_audio_played", 103.08)
    mapping, filtering = Mapping.ENDPOINT_INDEPENDENT, Filtering.UNKNOWN
    profile = NatProfile(mapping, filtering, block=(1024, 2047), delta=2, evidence=("two servers",))
    recorder.link_event(ProfileKnown("local", profile), 103.0)
    recorder.phase(runs("punch", 103.1, packets=2, sockets=1, rounds=1), 103.1)
    recorder.phase(ends("punch", 103.1, 103.4, "won", packets=6, sockets=1, rounds=1), 103.4)
    recorder.phase(ends("birthday", 103.4, 103.4, "skipped", "not-needed"), 103.4)
    paths_are(recorder, 103.4, RELAY, replace(DIRECT, rtt_ms=23.5, loss=0.01))
    paths_are(recorder, 103.9, replace(RELAY, state="standby"), replace(DIRECT, rtt_ms=23.5, loss=0.01))
    recorder.end("answered", "hung-up", 113.0)
    return recorder.report(MEDIA)


def at(document: Any, path: str) -> Any:
    for step in filter(None, path.split(".")):
        document = document[int(step) if step.isdigit() else step]
    return document


@pytest.mark.parametrize("path", FIELDS)
def test_the_fields_are_those_of_the_contract(path: str) -> None:
    assert list(at(json.loads(encode_report(a_report())), path)) == FIELDS[path].split()


def test_what_happened_is_in_seconds_since_the_start() -> None:
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
    recorder = a_recorder()
    paths_are(recorder, 101.0, RELAY)
    recorder.phase(runs("punch", 101.0), 101.0)
    report = recorder.report(MEDIA)
    assert (report.outcome, report.times.ended) == (None, None)
    assert (report.paths[0].active_to, report.phases[0].outcome) == (None, None)
    recorder.end("failed", "lost", 102.0)
    recorder.end("answered", "hung-up", 109.0)
    report = recorder.report(MEDIA)
    assert (report.outcome, report.reason, report.times.ended) == ("failed", "lost", 2.0)
    assert (report.paths[0].active_to, report.phases[0].outcome) == (2.0, "cancelled")


def test_the_first_time_counts_and_repeats_change_nothing() -> None:
    recorder = a_recorder()
    for now in (101.0, 102.0):
        recorder.mark("answered", now)
        paths_are(recorder, now, DIRECT, replace(RELAY, state="standby"))
    report = recorder.report(MEDIA)
    assert (report.times.answered, report.times.direct, len(report.paths), report.phases) == (1.0, 1.0, 1, ())


def test_every_way_that_a_path_can_come_about_fits_the_report() -> None:
    assert get_args(Via) == get_args(PathVia)


def test_phases_overlap_and_each_attempt_has_its_own() -> None:
    recorder = a_recorder()
    recorder.phase(runs("punch", 101.0), 101.0)
    recorder.phase(runs("birthday", 102.0, tried=100, of=1_024), 102.0)
    recorder.phase(runs("birthday", 102.0, tried=587, of=1_024, packets=900, sockets=1), 104.0)
    recorder.phase(PhaseStatus("prediction", "waiting", 102.0), 104.0)
    recorder.phase(runs("punch", 105.0), 105.0)
    recorder.phase(ends("birthday", 102.0, 112.0, "failed", "no-answer", tried=1_024, of=1_024), 112.0)
    found = [
        (phase.name, phase.started, phase.ended, phase.outcome, phase.reason, phase.tried)
        for phase in recorder.report(MEDIA).phases
    ]
    assert found == [
        ("punch", 1.0, 5.0, "cancelled", "started anew", 0),
        ("birthday", 2.0, 12.0, "failed", "no-answer", 1_024),
        ("punch", 5.0, None, None, "", 0),
    ]
    # The trace says so, too, and the strip of the window shows one beginning after the other.
    assert ["punch", "cancelled", "started anew"] in [
        [event.name, event.outcome, event.reason] for event in recorder.events if isinstance(event, PhaseBecame)
    ]
    marks = [(mark.phase, mark.outcome) for mark in recorder.strip().marks if mark.phase is not None]
    assert marks == [("punch", "trying"), ("birthday", "trying"), ("punch", "trying"), ("birthday", "failed")]


def test_a_phase_that_was_waiting_is_one_phase() -> None:
    recorder = a_recorder()
    recorder.phase(PhaseStatus("punch", "waiting", 101.0), 101.0)
    recorder.phase(runs("punch", 102.0), 102.0)
    assert [phase.started for phase in recorder.report(MEDIA).phases] == [2.0]


def test_both_nats_are_kept_and_the_newest_counts() -> None:
    recorder = a_recorder()
    for whose, ip in (("local", "192.0.2.1"), ("remote", "192.0.2.2"), ("local", "192.0.2.3")):
        recorder.link_event(ProfileKnown(whose, NatProfile(reflexive=(ip, 9))), 101.0)  # type: ignore[arg-type]
    nat = recorder.report(MEDIA).nat
    assert nat.local is not None
    assert nat.remote is not None
    assert (nat.local.address, nat.remote.address) == ("192.0.2.3", "192.0.2.2")


def test_a_flapping_path_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "MAX_PATHS", 5)
    monkeypatch.setattr(recorder_module, "MAX_PHASES", 3)
    recorder = a_recorder()
    paths_are(recorder, 100.0, RELAY)
    for number in range(20):
        paths_are(recorder, 101.0 + number, RELAY, DIRECT)
        paths_are(recorder, 101.5 + number, RELAY, replace(DIRECT, state="dead"))
        recorder.phase(runs("punch", 101.0 + number), 101.0 + number)
    report = recorder.report(MEDIA)
    assert [path.kind for path in report.paths] == ["relay"] + ["direct"] * 4
    assert report.paths[-1].active_from == 20.0
    assert [phase.started for phase in report.phases] == [18.0, 19.0, 20.0]


HOME = NatProfile(Mapping.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_AND_PORT_DEPENDENT, Allocation.PRESERVING)
RANDOM = NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, allocation=Allocation.RANDOM)
COUNTED = NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, allocation=Allocation.SEQUENTIAL, delta=2)
BLOCK = NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, allocation=Allocation.BLOCK, block=(4_096, 6_143))
BLOCKED = NatProfile(udp_blocked=True)


@pytest.mark.parametrize(
    ("local", "remote", "expected"),
    [
        (None, HOME, {}),
        (HOME, HOME, {"prediction": "not-needed", "birthday": "not-needed"}),
        (HOME, RANDOM, {"prediction": "random"}),
        (COUNTED, HOME, {"birthday": "counted"}),
        (RANDOM, RANDOM, {"prediction": "both-random", "birthday": "both-random"}),
        (BLOCK, BLOCK, {"prediction": "not-opted-in", "birthday": "not-opted-in", "blocks": "not-opted-in"}),
        (HOME, BLOCKED, {"prediction": "udp-blocked", "birthday": "udp-blocked"}),
    ],
)
def test_techniques_that_do_not_fit_are_skipped_with_a_reason(
    local: NatProfile | None, remote: NatProfile | None, expected: dict[str, str]
) -> None:
    assert untried(local, remote, try_harder=False) == expected
    if local is BLOCK:
        assert set(untried(local, remote, try_harder=True)) == {"prediction", "birthday"}


moments = st.sampled_from(get_args(recorder_module.Moment))
calls = st.sampled_from(get_args(CallPhase))
paths = st.lists(
    st.builds(replace, st.sampled_from([RELAY, DIRECT]), state=st.sampled_from(["active", "suspect", "dead"])),
    max_size=2,
)
names = st.sampled_from(get_args(PhaseName))
outcomes = st.sampled_from(get_args(PhaseOutcome))
steps = st.one_of(
    st.tuples(st.just("mark"), moments),
    st.tuples(st.just("call"), calls),
    st.tuples(st.just("paths"), paths),
    st.tuples(st.just("phase"), st.tuples(names, outcomes, st.floats(0, 1e6))),
    st.tuples(st.just("mapping"), st.sampled_from(["trying", "won", "failed"])),
    st.tuples(st.just("end"), st.just("")),
)


@given(st.lists(st.tuples(st.floats(0, 1e6), steps), max_size=40), st.text())
def test_any_order_of_events_gives_a_report_that_can_be_read(
    events: list[tuple[float, tuple[str, Any]]], reason: str
) -> None:
    recorder = a_recorder()
    for now, (step, about) in events:
        match step:
            case "mark":
                recorder.mark(about, now)
            case "call":
                recorder.call_became(about, now)
            case "paths":
                paths_are(recorder, now, *about)
            case "phase":
                name, outcome, started = about
                recorder.phase(PhaseStatus(name, outcome, started, now if outcome == "failed" else None, tried=7), now)
            case "mapping":
                recorder.mapping(MappingStatus(about, reason), now)
            case _:
                recorder.end("answered", reason, now)
    report = recorder.report(MEDIA)
    assert msgspec.json.decode(encode_report(report), type=CallReport) == report
    validate(json.loads(encode_report(report)))
    trace = recorder.full_trace(report)
    assert msgspec.json.decode(encode_trace(trace), type=CallTrace) == trace
    recorder.strip()


def test_a_report_field_that_its_source_has_costs_one_line_in_the_struct() -> None:
    """The recorder names no figure: what a struct has and the source knows is copied (docs/decisions/020)."""

    class More(PathReport, frozen=True):
        packets_received: int = 0

    known = {name: None for name in ("local", "remote", "active_from", "active_to")}
    assert copied(More, replace(DIRECT, packets_received=7), **known).packets_received == 7
    assert copied(PhaseReport, runs("punch", 1.0, packets=9), ended=None, outcome=None).packets == 9


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


# -- the schema --------------------------------------------------------------------------------------------------------


def validate(value: Any, schema: Any = None, root: Any = None) -> None:
    """The part of JSON Schema that msgspec writes; a keyword it does not know fails the test."""
    root = root or json.loads(SCHEMA)
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


@pytest.mark.parametrize("name", documents())
def test_the_written_schema_is_the_present_one(name: str) -> None:
    written = (ROOT / "docs" / name).read_bytes()
    assert written == documents()[name], "run: python -m app.report.schema docs"


def test_a_report_fits_the_schema_and_a_wrong_one_does_not() -> None:
    document = json.loads(encode_report(a_report()))
    root = json.loads(SCHEMA)
    assert fits(document, root, root)
    for path, wrong in (("role", "bystander"), ("version", 1), ("media.frames_lost", -1), ("paths.0.loss", 1.5)):
        broken = json.loads(encode_report(a_report()))
        where, _, last = path.rpartition(".")
        at(broken, where)[last] = wrong
        assert not fits(broken, root, root), path
    del document["call_id"]
    assert not fits(document, root, root)
