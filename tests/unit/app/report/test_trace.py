"""app.report.trace: what is in a trace, how big it gets, and that nobody is in it who does not want to be."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from app.ipc.messages import CallSample
from app.report.recorder import DENSE_SECONDS, FIRST_EVENTS, LAST_EVENTS, MAX_SAMPLE_PATHS, MAX_SECONDS, Recorder
from app.report.redact import redacted_trace
from app.report.report import CallReport, MediaReport, NatReport, Nats, PathReport, PhaseReport
from app.report.trace import CallTrace, Second, Swapped, encode_trace
from transport.link.events import CandidatesSignalled
from transport.nat.profile import NatProfile
from transport.path.events import PathChanged, Reconnecting
from transport.path.stats import PathStats
from transport.traversal.events import PhaseChanged, PhaseStatus, ProfileKnown

SAMPLE = CallSample("id", 1.0, (), 1.23456, 0.0, None, 0.5, 40.0, 20.0, 20.0, "", 0.0)
DIRECT = PathStats("direct", "punch", ("10.0.0.1", 1), ("8.8.4.4", 2), "active", 1.0, 0.0, 0.5, 5, 6)


def a_report() -> CallReport:
    recorder = Recorder("bob@relay.example:7850", 0.0)
    recorder.begin("0f" * 16, "caller")
    return recorder.report(MediaReport())


def a_recorder() -> Recorder:
    recorder = Recorder("bob@relay.example:7850", 100.0)
    recorder.call_became("calling", 100.0)
    recorder.call_became("calling", 100.1)
    for at, event in (
        (100.2, PathChanged("relay", "relay", ("203.0.113.7", 9), "active")),
        (100.3, CandidatesSignalled("remote", 0, ("host", "host", "server-reflexive"))),
        (100.4, ProfileKnown("local", NatProfile(reflexive=("8.8.8.8", 7)))),
        (100.5, PhaseChanged(PhaseStatus("punch", "trying", 100.5, packets=1))),
        (100.6, PhaseChanged(PhaseStatus("punch", "trying", 100.5, packets=9))),
        (100.7, PhaseChanged(PhaseStatus("punch", "won", 100.5, 100.7, packets=9))),
        (100.8, PathChanged("direct", "punch", ("8.8.4.4", 2), "active")),
        (101.0, Reconnecting(100.9)),
    ):
        recorder.link_event(event, at)
    recorder.network_changed(2, 101.5)
    recorder.second(SAMPLE, [DIRECT], 102.0)
    return recorder


def test_what_is_recorded_and_what_is_not_recorded_twice() -> None:
    document = json.loads(encode_trace(a_recorder().full_trace(a_report())))
    recorded = [(event["what"], event["at"]) for event in document["events"]]
    assert recorded == [
        ("call", 0.0),
        ("path", 0.2),
        ("swap", 0.2),
        ("candidates", 0.3),
        ("nat", 0.4),
        ("phase", 0.5),
        ("phase", 0.7),
        ("path", 0.8),
        ("swap", 0.8),
        ("connection", 1.0),
        ("network", 1.5),
    ]
    assert document["events"][3]["kinds"] == {"host": 2, "server-reflexive": 1}
    assert document["events"][6]["packets"] == 9
    (second,) = document["seconds"]
    assert second["rtt_ms"] == 1.235 and second["paths"][0]["packets_received"] == 6


def test_a_document_is_read_back_as_it_was() -> None:
    trace = a_recorder().full_trace(a_report())
    assert msgspec.json.decode(encode_trace(trace), type=CallTrace) == trace
    bare = Recorder("", 0.0).full_trace(a_report())
    assert msgspec.json.decode(encode_trace(bare), type=CallTrace) == bare


def test_a_day_long_call_that_changes_all_the_time_stays_small() -> None:
    recorder, remote = Recorder("", 0.0), ("2001:db8:1:2:3:4:5:6", 65_535)
    for second in range(24 * 3_600):
        recorder.link_event(PathChanged("direct" if second % 2 else "relay", "punch", remote, "active"), second)
        recorder.second(SAMPLE, [DIRECT] * 20, second)
    trace = recorder.full_trace(a_report())
    assert len(trace.events) == FIRST_EVENTS + LAST_EVENTS
    assert trace.events_dropped == 2 * 24 * 3_600 - len(trace.events)
    assert trace.events[0].at == 0.0 and trace.events[-1] == Swapped(24 * 3_600 - 1, "direct")
    assert MAX_SECONDS // 2 < len(trace.seconds) < MAX_SECONDS
    assert [round(one.at) for one in trace.seconds[:DENSE_SECONDS]] == list(range(DENSE_SECONDS))
    assert trace.seconds[-1].at > 23.9 * 3_600
    assert all(len(one.paths) == MAX_SAMPLE_PATHS for one in trace.seconds)
    gaps = [after.at - before.at for before, after in zip(trace.seconds[-100:], trace.seconds[-99:], strict=False)]
    assert max(gaps) <= 2 * min(gaps)
    assert len(encode_trace(trace)) < 1_000_000


def test_without_addresses_the_story_is_the_same() -> None:
    whole = a_recorder().full_trace(a_report())
    shown = redacted_trace(whole)
    assert whole.has_addresses and not shown.has_addresses
    assert [type(event) for event in shown.events] == [type(event) for event in whole.events]
    text = encode_trace(shown).decode()
    assert not [
        secret for secret in ("203.0.113.7", "8.8.8.8", "8.8.4.4", "bob", "relay.example", "0f0f") if secret in text
    ]
    # The same address is the same pseudonym, in the report and in what happened.
    assert '"remote":"public-' in text and ":2" in text


names = st.text(st.sampled_from("bcdfghjkmqvwxyz"), min_size=5, max_size=12)
ips = st.one_of(
    st.ip_addresses(v=4).map(str).filter(lambda ip: len(ip) > 8),
    st.ip_addresses(v=6).map(str).filter(lambda ip: len(ip) > 20),
)
keys = st.binary(min_size=16, max_size=32).map(bytes.hex)


@given(st.lists(ips, min_size=6, max_size=6, unique=True), keys, names, names, names, names)
def test_no_address_name_or_key_gets_through(
    ips: list[str], key: str, own: str, peer: str, host: str, alias: str
) -> None:
    report = CallReport(
        version=a_report().version,
        call_id=key,
        role="callee",
        peer=f"{peer}@{host}.example:7850#{key}",
        reason=f"{alias} ({own}) wrote {ips[0]} has {key}",
        nat=Nats(NatReport(address=ips[1], evidence=(f"{ips[1]}:5 twice",)), NatReport(address=ips[2])),
        phases=(PhaseReport("punch", 0.0, reason=f"from {ips[3]}"),),
        paths=(
            PathReport("direct", "punch", f"[{ips[4]}]:5", f"{ips[5]}:6" if "." in ips[5] else f"[{ips[5]}]:6", 0.0),
        ),
    )
    recorder = Recorder("", 0.0)
    for ip in ips:
        recorder.link_event(PathChanged("direct", "host", (ip, 5), "active"), 1.0)
        profile = NatProfile(reflexive=(ip, 5), evidence=(f"{own} at {ip}",))
        recorder.link_event(ProfileKnown("remote", profile), 2.0)
        recorder.phase(PhaseStatus("birthday", "failed", 0.0, reason=f"{peer} from {ip}"), 3.0)
    text = encode_trace(redacted_trace(recorder.full_trace(report), [own, host, alias])).decode().casefold()
    # What stands for nothing but itself: words of the document that contain a short secret are no leak of it.
    bare = encode_trace(Recorder("", 0.0).full_trace(a_report())).decode().casefold()
    assert not [secret for secret in (*ips, key, own, peer, host, alias) if secret in text and secret not in bare]


def test_seconds_hold_no_text_of_others() -> None:
    """Whoever adds a field to what is never redacted has to look at this."""
    assert set(Second.__struct_fields__) == {
        "at",
        "rtt_ms",
        "loss",
        "remote_loss",
        "jitter_ms",
        "playout_delay_ms",
        "sent_kbps",
        "received_kbps",
        "concealed_ms",
        "paths",
    }
