"""app.text.calls, accounts and devices: there is a sentence for everything that can happen in a call."""

import re
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ipc.engine_state import Busy, CallStatus, DeviceProblem, Me, PathMark
from app.model.end_reasons import LocalReason, end_reason, relay_problem
from app.model.terms import CallPhase, DeviceSide, PathKind, PhaseName, PhaseOutcome, RelayProblem
from app.text import accounts, calls
from app.text.catalogue import UserMessage
from app.text.devices import device_text
from transport.wire.relay_messages import EndReason, RefusalCode

REASONS = sorted({*get_args(EndReason), *get_args(RefusalCode), *get_args(LocalReason)})
CALL = CallStatus("0f", "talking", True, "bob@relay.example", "Bob")
JARGON = re.compile(
    r"\b(NAT|STUN|QUIC|UDP|TLS|RTT|certificate|handshake|socket|timeout|packet|exception|error|session|null|None)\b",
    re.I,
)


def check(text: str) -> None:
    assert text and text[0].isupper() and text[-1] in ".?"
    assert "{" not in text and "  " not in text
    assert not JARGON.search(text), text


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("outgoing", [True, False])
@pytest.mark.parametrize("answered", [True, False])
def test_every_reason_has_its_own_sentence(reason: str, outgoing: bool, answered: bool) -> None:
    text = calls.reason_text(reason, outgoing=outgoing, answered=answered)
    check(text)
    assert reason == "failed" or text != calls.reason_text("failed")


@pytest.mark.parametrize("reason", sorted(set(REASONS) - {"hung-up", "closed", "peer-left", "cancelled"}))
def test_who_calls_learns_what_to_do(reason: str) -> None:
    assert calls.ENDED[reason].action


def test_a_call_that_was_missed_is_not_one_that_failed() -> None:
    missed = msgspec.structs.replace(CALL, phase="ended", outgoing=False, end_reason="no-answer")
    assert calls.end_text(missed) == "You did not answer. You can call them back."
    assert calls.end_text(msgspec.structs.replace(missed, answered=1.0)) == "Nobody answered. Try again later."


@pytest.mark.parametrize("problem", get_args(RelayProblem))
@pytest.mark.parametrize("retry_s", [None, 0.2, 1.2, 8.0])
def test_every_problem_with_the_relay_has_a_sentence(problem: RelayProblem, retry_s: float | None) -> None:
    me = Me(address="me@relay.example:7850#" + "ab" * 16, relay_problem=problem, relay_retry_s=retry_s)
    text = accounts.relay_text(me)
    check(text)
    assert "relay.example:7850" in text or problem == "no-local-relay"
    assert "abab" not in text
    assert ("again in" in text or "trying again now" in text) == (retry_s is not None)
    assert ("1 second." in text) == (retry_s == 1.2)


def test_there_is_no_text_for_a_relay_without_a_problem() -> None:
    assert accounts.relay_text(Me(address="me@relay.example")) == ""


@pytest.mark.parametrize("side", get_args(DeviceSide))
@pytest.mark.parametrize("problem", get_args(DeviceProblem.__annotations__["problem"]))
@pytest.mark.parametrize("device", ["", "USB {0} Headset\n"])
def test_every_device_problem_has_a_sentence(side: DeviceSide, problem: str, device: str) -> None:
    text = device_text(side, DeviceProblem(problem, device))  # type: ignore[arg-type]
    check(text.replace("{0} ", ""))
    assert ("“USB {0} Headset”" in text) == (bool(device) and problem in ("gone", "failed"))
    assert device_text(side, None) == ""


@given(st.text(), st.text(max_size=2_000))
def test_what_strangers_say_is_cut_and_cleaned(reason: str, detail: str) -> None:
    text = calls.reason_text(reason, detail)
    assert len(text) < 500
    assert not set(text) & set("\n\r\0\u202e\u200f\u200b")


def test_the_relays_own_words_are_quoted_where_they_help() -> None:
    assert "The relay says: “try in 30 s”." in calls.reason_text("limit", "try in 30 s")
    assert "hacked" not in calls.reason_text("busy", "hacked")
    assert "strange-code" in calls.reason_text("strange-code")


@pytest.mark.parametrize("phase", get_args(CallPhase))
@pytest.mark.parametrize("path", [None, *get_args(PathKind)])
def test_the_line_under_the_name(phase: CallPhase, path: PathKind | None) -> None:
    for rtt_ms in (None, 23.4):
        text = calls.path_text(msgspec.structs.replace(CALL, phase=phase, path=path, rtt_ms=rtt_ms))
        assert ("23 ms" in text) == (phase == "talking" and path is not None and rtt_ms is not None)
    assert calls.path_text(msgspec.structs.replace(CALL, path="relay", rtt_ms=23.4)) == "On the relay · 23 ms"
    assert calls.path_text(msgspec.structs.replace(CALL, path="direct")) == "Direct"


@pytest.mark.parametrize("name", get_args(PhaseName))
@pytest.mark.parametrize("outcome", get_args(PhaseOutcome))
def test_marks_of_the_timeline(name: PhaseName, outcome: PhaseOutcome) -> None:
    text = calls.mark_text(PathMark(1.0, "phase", name, outcome))
    assert bool(text) == (outcome in ("trying", "won", "failed", "cancelled"))
    assert calls.mark_text(PathMark(1.0, "phase", "birthday", "won")) == "Birthday search succeeded"
    assert all(calls.mark_text(PathMark(1.0, kind)) for kind in calls.MARKS)  # type: ignore[arg-type]


# What transport.io.relay_session gives as the code of a rejection or a failed request.
CLIENT_CODES = (*get_args(RefusalCode), "unreachable", "wrong-pin", "untrusted", "replaced")


@pytest.mark.parametrize("code", CLIENT_CODES)
def test_every_code_of_the_relay_client_has_a_sentence(code: str) -> None:
    assert end_reason(code) in REASONS
    check(accounts.relay_problem_text(relay_problem(code), "relay.example"))


def test_every_long_step_has_a_name() -> None:
    assert set(accounts.BUSY) == set(get_args(Busy))


def test_a_message_is_three_sentences_at_most() -> None:
    assert UserMessage("A {n}.", "B.", "C.").text(n=1) == "A 1. B. C."
