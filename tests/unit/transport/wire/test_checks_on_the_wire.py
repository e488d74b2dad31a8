import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.wire import WireError, stun
from transport.wire.call_messages import Candidates, WireCandidate, decode, encode
from transport.wire.stun import Check, IceRole

PASSWORD = "p" * 24
CHECK = Check(IceRole.CONTROLLING, 2**63 + 1, 1_853_824_767, use_candidate=True, nomination=7)


def test_a_check_comes_back_as_it_was_made() -> None:
    message = stun.parse(stun.connectivity_check(b"t" * 12, "theirs:ours", PASSWORD, CHECK))
    assert (message.username, message.role, message.priority) == ("theirs:ours", CHECK.role, CHECK.priority)
    assert message.use_candidate and message.nomination == 7
    assert message.authentic(PASSWORD) and not message.authentic("q" * 24)


def test_without_a_nomination_it_is_an_ordinary_check() -> None:
    plain = Check(IceRole.CONTROLLED, 5, 1)
    message = stun.parse(stun.connectivity_check(b"t" * 12, "theirs:ours", PASSWORD, plain))
    assert (message.nomination, message.use_candidate, message.role) == (None, False, IceRole.CONTROLLED)
    assert message.authentic(PASSWORD)


def test_an_answer_tells_the_address_and_what_is_followed() -> None:
    request = stun.parse(stun.connectivity_check(b"t" * 12, "theirs:ours", PASSWORD, CHECK))
    answer = stun.parse(stun.check_answer(request, ("2001:db8::7", 5_000), PASSWORD, 7))
    assert (answer.mapped, answer.nomination, answer.transaction_id) == (("2001:db8::7", 5_000), 7, b"t" * 12)
    assert answer.authentic(PASSWORD)


def test_a_nomination_behind_the_integrity_does_not_count() -> None:
    data = stun.connectivity_check(b"t" * 12, "theirs:ours", PASSWORD, Check(IceRole.CONTROLLING, 5, 1))
    # The fingerprint's eight bytes give way to an attribute that nobody has signed.
    forged = data[:-8] + b"\xc0\x01\x00\x04\x00\x00\x00\x63"
    message = stun.parse(forged)
    assert message.authentic(PASSWORD) and message.nomination is None


@given(st.integers(0, 2**16), st.binary(min_size=1, max_size=4))
def test_no_changed_byte_is_authentic(position: int, noise: bytes) -> None:
    data = bytearray(stun.connectivity_check(b"t" * 12, "theirs:ours", PASSWORD, CHECK))
    before = bytes(data)
    at = position % len(data)
    data[at : at + len(noise)] = noise[: len(data) - at]
    if bytes(data) == before:
        return
    try:
        message = stun.parse(bytes(data))
    except WireError:
        return
    # What the codec accepts after such a change is the fingerprint at most.
    assert not message.authentic(PASSWORD) or bytes(data[:-8]) == before[:-8]


@given(st.binary(max_size=600))
def test_rubbish_is_a_wire_error(data: bytes) -> None:
    with contextlib.suppress(WireError):
        stun.parse(data)


def test_candidates_travel_and_show_no_secret() -> None:
    sent = Candidates(3, "ufragufr", PASSWORD, [WireCandidate("host", "192.0.2.1", 5_000, 77, "h0")])
    assert decode(encode(sent)) == sent
    assert PASSWORD not in repr(sent) and "192.0.2.1" not in repr(sent)


@pytest.mark.parametrize(
    "wrong",
    [
        Candidates(0, "ufragufr", "short", []),
        Candidates(0, "u", PASSWORD, []),
        Candidates(2**16, "ufragufr", PASSWORD, []),
        Candidates(0, "ufragufr", PASSWORD, [WireCandidate("host", "192.0.2.1", 5_000, 77)] * 33),
        Candidates(0, "ufragufr", PASSWORD, [WireCandidate("host", "192.0.2.1", 0, 77)]),
        Candidates(0, "ufragufr", PASSWORD, [WireCandidate("host", "x" * 46, 5_000, 77)]),
    ],
)
def test_limits_stand_in_the_types(wrong: Candidates) -> None:
    with pytest.raises(WireError):
        decode(encode(wrong))
