"""app.report.redact: nothing that tells who or where is left, and the story stays readable."""

import json
from ipaddress import IPv4Address, IPv6Address

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.report.redact import redacted
from app.report.report import CallReport, NatReport, Nats, PathReport, PhaseReport, encode_report

KEY = "deadbeef" * 8


def a_report(**fields: object) -> CallReport:
    plain = CallReport(2, "0f" * 16, "caller", "bob@relay.example:7850")
    return msgspec.structs.replace(plain, **fields)


def test_the_same_thing_has_the_same_pseudonym() -> None:
    report = redacted(
        a_report(
            reason="Bob at relay.example wrote alice@[2001:db8::5]:9 has key " + KEY,
            nat=Nats(
                NatReport(address="8.8.4.4:40000", delta=2, evidence=("8.8.4.4:40000 then 8.8.4.4:40002",)),
                NatReport(address="[2606:4700::1]:9", unknowns=("why 10.0.0.1.",)),
            ),
            phases=(PhaseReport("punch", 0.0, reason="answer from 10.0.0.1:55"),),
            paths=(PathReport("direct", "punch", "10.0.0.1:55", "8.8.4.4:40002", 0.0),),
        )
    )
    assert report.call_id == "call-1"
    assert report.peer == "person-1@host-1:7850"
    assert report.reason == "person-1 at host-1 wrote person-2@private-1:9 has key key-1"
    assert report.nat.local is not None
    assert report.nat.remote is not None
    assert report.nat.local.address == "public-1:40000"
    assert report.nat.local.delta == 2
    assert report.nat.local.evidence == ("public-1:40000 then public-1:40002",)
    assert report.nat.remote.address == "[public-2]:9"
    assert report.nat.remote.unknowns == ("why private-2.",)
    assert report.phases[0].reason == "answer from private-2:55"
    assert (report.paths[0].local, report.paths[0].remote) == ("private-2:55", "public-1:40002")


def test_figures_and_versions_stay() -> None:
    kept = "mapping 12:30:45 in 3.5 s, 20 packets, libopus 1.4.0, code 0x1f"
    assert redacted(a_report(reason=kept)).reason == kept


@pytest.mark.parametrize("peer", ["", "Bob", "bob", "@", "bob@", "the man from 10.0.0.1"])
def test_a_peer_that_is_no_address_is_hidden_whole(peer: str) -> None:
    assert redacted(a_report(peer=peer)).peer == "person-1"


def test_more_names_can_be_hidden() -> None:
    report = redacted(a_report(reason="Ann’s router (ann-home.lan) knows ANN"), ["Ann", "ann-home.lan"])
    assert report.reason == "name-1’s router (name-2) knows name-1"


def test_the_address_of_a_relay_by_ip_is_hidden() -> None:
    report = redacted(a_report(peer="bob@203.0.113.7:7850#" + "ab" * 16, reason="203.0.113.7 is gone"))
    text = encode_report(report).decode()
    assert "203.0.113.7" not in text
    assert "abab" not in text


around = st.text(st.sampled_from(" :.,;()[]/=-#%xazAF019\n☃"), max_size=6)
secrets = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).filter(lambda address: address.exploded.count("0000") < 5).map(str),
    st.binary(min_size=10, max_size=32).map(bytes.hex),
)


@given(st.lists(st.tuples(around, secrets), min_size=1, max_size=4), st.sampled_from(["reason", "phase", "evidence"]))
def test_no_address_or_key_is_left_whatever_stands_around_it(parts: list[tuple[str, str]], place: str) -> None:
    text = "".join(f"{before} {secret}" for before, secret in parts)
    fields: dict[str, object] = {
        "reason": {"reason": text},
        "phase": {"phases": (PhaseReport("punch", 0.0, reason=text),)},
        "evidence": {"nat": Nats(NatReport(evidence=(text,)))},
    }[place]
    shown = json.dumps(json.loads(encode_report(redacted(a_report(**fields)))), ensure_ascii=False)
    for _, secret in parts:
        assert secret not in shown


@given(
    st.ip_addresses(), st.sampled_from(["({})", "{}.", "{}:", "[{}]:4000", "local={},", "from:{}", "{}%eth0", "via{}"])
)
def test_an_address_in_a_sentence_is_found(address: IPv4Address | IPv6Address, sentence: str) -> None:
    shown = redacted(a_report(reason="x " + sentence.format(address) + " y")).reason
    if len(str(address)) > 4:  # “::1” and the like say nothing, and may be part of what replaces another
        assert str(address) not in shown


@given(st.text(max_size=300), st.text(max_size=50), st.lists(st.text(max_size=10), max_size=3))
def test_no_text_is_too_strange(reason: str, peer: str, names: list[str]) -> None:
    report = redacted(a_report(reason=reason, peer=peer), names)
    assert report.call_id == "call-1"
