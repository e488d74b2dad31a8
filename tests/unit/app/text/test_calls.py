"""app.text.calls: there are words for everything that can happen, and a status for scripts."""

import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.model import exit_status
from app.model.exit_status import ExitStatus
from app.model.terms import CallPhase, PathKind
from app.text import calls
from app.text.calls import UserMessage
from transport.wire.relay_messages import EndReason, RefusalCode

REASONS = sorted({*get_args(EndReason), *get_args(RefusalCode), *get_args(calls.LocalReason)})
JARGON = re.compile(
    r"\b(NAT|STUN|QUIC|UDP|TLS|RTT|certificate|handshake|socket|timeout|packet|exception|error|session|null|None)\b",
    re.I,
)


def check(found: UserMessage) -> None:
    assert found.happened
    assert "{" not in found.text
    assert not JARGON.search(found.text), found.text
    for sentence in (found.happened, found.now, found.can_do):
        assert not sentence or sentence[-1] in ".?)", sentence
        assert sentence == sentence.strip()
        assert "  " not in sentence


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("outgoing", [True, False])
@pytest.mark.parametrize("answered", [True, False])
def test_every_reason_has_its_own_words(reason: str, outgoing: bool, answered: bool) -> None:
    found = calls.ended(reason, outgoing=outgoing, answered=answered)
    check(found)
    if reason != "failed":
        assert found != calls.ended("failed")


@pytest.mark.parametrize("reason", sorted(set(REASONS) - {"hung-up", "closed", "peer-left", "cancelled"}))
def test_who_calls_is_told_what_to_do(reason: str) -> None:
    assert calls.ended(reason).can_do


@pytest.mark.parametrize("problem", get_args(calls.RelayProblem))
@pytest.mark.parametrize("retry_s", [None, 0.2, 8.0])
def test_every_trouble_with_the_relay_has_words(problem: calls.RelayProblem, retry_s: float | None) -> None:
    found = calls.relay_problem(problem, "relay.example:7850#" + "ab" * 16, retry_s=retry_s)
    check(found)
    assert "relay.example:7850" in found.happened
    assert "abab" not in found.text
    assert ("tries again" in found.now) == (retry_s is not None)


@pytest.mark.parametrize("side", get_args(calls.DeviceSide))
@pytest.mark.parametrize("problem", get_args(calls.DeviceProblem))
@pytest.mark.parametrize("device", ["", "USB {0} Headset\n"])
def test_every_device_problem_has_words(side: calls.DeviceSide, problem: calls.DeviceProblem, device: str) -> None:
    found = calls.device_problem(side, problem, device)
    check(UserMessage(found.happened.replace("{0} ", ""), found.now, found.can_do))
    assert found.now
    assert found.can_do


@pytest.mark.parametrize(
    ("reason", "answered", "status"),
    [
        ("hung-up", True, 0),
        ("peer-left", True, 0),
        ("lost", True, 5),
        ("failed", True, 5),
        ("offline", False, 3),
        ("unknown-name", False, 3),
        ("no-answer", False, 3),
        ("relay-unreachable", False, 3),
        ("wrong-pin", False, 3),
        ("declined", False, 4),
        ("busy", False, 4),
        ("key-changed", False, 5),
        ("bad-proof", False, 5),
        ("hung-up", False, 5),
        ("", False, 5),
    ],
)
def test_exit_status(reason: str, answered: bool, status: int) -> None:
    assert exit_status.exit_status(reason, answered=answered) == status


@given(st.one_of(st.sampled_from(REASONS), st.text()), st.booleans())
def test_only_an_answered_call_is_a_success(reason: str, answered: bool) -> None:
    status = exit_status.exit_status(reason, answered=answered)
    assert status in (ExitStatus.OK, ExitStatus.UNREACHABLE, ExitStatus.DECLINED, ExitStatus.FAILED)
    if status is ExitStatus.OK:
        assert answered


@given(st.text(), st.text(max_size=2_000))
def test_what_strangers_say_is_cut_and_cleaned(reason: str, detail: str) -> None:
    text = calls.end_text(reason, detail)
    assert len(text) < 500
    assert not set(text) & set("\n\r\0\u202e")


def test_the_relays_own_words_are_quoted_where_they_help() -> None:
    assert "(“try in 30 s”)" in calls.end_text("limit", "try in 30 s")
    assert "hacked" not in calls.end_text("busy", "hacked")


@pytest.mark.parametrize("phase", get_args(CallPhase))
@pytest.mark.parametrize("path", [None, *get_args(PathKind)])
def test_the_line_under_the_name(phase: CallPhase, path: PathKind | None) -> None:
    for rtt_ms in (None, 23.4):
        text = calls.path_text(phase, path, rtt_ms)
        assert ("23 ms" in text) == (phase == "talking" and path is not None and rtt_ms is not None)
    assert calls.path_text("talking", "relay", 23.4) == "On the relay · 23 ms"
    assert calls.path_text("talking", "direct", None) == "Direct"


# What transport.io.relay_session gives as the code of a rejection or a failed request.
CLIENT_CODES = (*get_args(RefusalCode), "unreachable", "wrong-pin", "untrusted", "replaced")


@pytest.mark.parametrize("code", CLIENT_CODES)
def test_every_code_of_the_relay_client_has_words(code: str) -> None:
    assert calls.reason_of_refusal(code) in REASONS
    check(calls.relay_problem(calls.relay_problem_of(code), "relay.example"))
    assert calls.refusal_text(code, "") == calls.ended(calls.reason_of_refusal(code)).text
