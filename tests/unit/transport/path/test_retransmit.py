from hypothesis import given
from hypothesis import strategies as st

from transport.path.retransmit import ARRIVALS_KEPT, ARRIVALS_S, SENT_KEPT, SENT_S, Arrivals, Sent
from transport.wire.datagrams import RtpPosition

HERE = RtpPosition(7, 960)


def test_the_same_bytes_by_another_path_are_a_copy_once() -> None:
    arrivals = Arrivals()
    arrivals.remember(b"packet", 0, HERE, 1.0)
    assert arrivals.is_known(b"packet") and not arrivals.is_known(b"packex")
    # By the path that it first came by it is a replay.
    assert arrivals.copy(b"packet", 0) is None
    copy = arrivals.copy(b"packet", 1)
    assert copy is not None and (copy.first_at, copy.position) == (1.0, HERE)
    assert arrivals.copy(b"packet", 1) is None
    assert arrivals.copy(b"forged", 1) is None


def test_a_packet_with_messages_and_voice_keeps_the_place_of_the_voice() -> None:
    arrivals = Arrivals()
    arrivals.remember(b"packet", 0, None, 1.0)
    arrivals.remember(b"packet", 0, HERE, 1.0)
    copy = arrivals.copy(b"packet", 1)
    assert copy is not None and copy.position == HERE


@given(st.lists(st.tuples(st.binary(max_size=2), st.integers(0, 2), st.sampled_from([0.0, 0.02, 3.0])), max_size=700))
def test_what_is_kept_is_bounded_in_number_and_in_time(steps: list[tuple[bytes, int, float]]) -> None:
    arrivals, now = Arrivals(), 0.0
    came: dict[bytes, float] = {}
    for data, path, pause in steps:
        now += pause
        arrivals.remember(data, path, None, now)
        came.setdefault(data, now)
        assert len(arrivals) <= ARRIVALS_KEPT
        copy = arrivals.copy(data, path + 3)
        assert copy is None or now - copy.first_at <= ARRIVALS_S


def test_what_a_path_has_swallowed_is_sent_again_once_and_in_order() -> None:
    sent = Sent()
    for number in range(5):
        sent.remember(bytes([number]), (1,) if number != 2 else (1, 0), number * 0.02)
    sent.remember(b"relay", (0,), 0.1)
    # The third went by both, the last not by the path that has died, the first too long ago.
    assert sent.again(1, 0, 0.02, 0.1) == [b"\x01", b"\x03", b"\x04"]
    assert sent.again(1, 0, 0.0, 0.1) == [b"\x00"]
    assert sent.again(1, 0, 0.0, 0.1) == []


def test_nothing_old_is_sent_again_and_little_is_kept() -> None:
    sent = Sent()
    for number in range(10 * SENT_KEPT):
        sent.remember(number.to_bytes(2, "big"), (1,), number * 0.001)
    now = 10 * SENT_KEPT * 0.001
    assert len(sent) == SENT_KEPT == len(sent.again(1, 0, 0.0, now))
    sent.remember(b"late", (1,), now)
    assert sent.again(1, 0, 0.0, now + SENT_S + 0.01) == []
