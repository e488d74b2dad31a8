"""RTP header codec: round trips, garbage, and the wrap of both counters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import RtpError
from media.rtp import (
    HEADER_BYTES,
    MAX_PACKET_BYTES,
    SEQUENCE_BITS,
    TIMESTAMP_BITS,
    RtpPacket,
    parse,
    serialize,
    unwrap,
)

packets = st.builds(
    RtpPacket,
    sequence=st.integers(0, 2**16 - 1),
    timestamp=st.integers(0, 2**32 - 1),
    ssrc=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=MAX_PACKET_BYTES - HEADER_BYTES),
    marker=st.booleans(),
)


def test_the_bytes_are_those_of_rfc_3550() -> None:
    packet = RtpPacket(0x0102, 0x03040506, 0x0708090A, b"opus", marker=True)
    assert serialize(packet) == bytes.fromhex("80ef0102030405060708090a") + b"opus"


@given(packets)
def test_round_trip(packet: RtpPacket) -> None:
    assert parse(serialize(packet)) == packet


@given(st.binary(max_size=MAX_PACKET_BYTES + 50))
def test_garbage_raises_only_our_error(data: bytes) -> None:
    try:
        packet = parse(data)
    except RtpError:
        return
    assert packet.payload in data


@given(st.binary(min_size=1, max_size=120), st.integers(0, 63))
def test_garbage_behind_a_good_start_raises_only_our_error(data: bytes, bits: int) -> None:
    try:
        parse(bytes([0x80 | bits, 111]) + data)
    except RtpError:
        return


@given(packets.filter(lambda p: len(p.payload) < 1_200), st.integers(1, 40), st.integers(0, 15), st.integers(0, 9))
def test_csrcs_extension_and_padding_are_skipped(packet: RtpPacket, padding: int, csrcs: int, words: int) -> None:
    data = bytearray(serialize(packet))
    data[0] |= 0x20 | 0x10 | csrcs
    extension = b"\xbe\xde" + words.to_bytes(2, "big") + bytes(4 * words)
    data[HEADER_BYTES:HEADER_BYTES] = bytes(4 * csrcs) + extension
    data += bytes(padding - 1) + bytes([padding])
    assert parse(bytes(data)) == packet


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "bytes"),
        (bytes(12), "version"),
        (bytes([0x80, 0]) + bytes(10), "payload type"),
        (bytes([0x8F, 111]) + bytes(10), "longer"),
        (bytes([0x90, 111]) + bytes(10), "cut off"),
        (bytes([0xA0, 111]) + bytes(10), "padding"),
        (bytes([0xA0, 111]) + bytes(9) + b"\xff", "longer"),
        (bytes([0x80, 111]) + bytes(MAX_PACKET_BYTES), "bytes"),
    ],
)
def test_what_is_wrong_is_named(data: bytes, what: str) -> None:
    with pytest.raises(RtpError, match=what):
        parse(data)


@pytest.mark.parametrize("bits", [SEQUENCE_BITS, TIMESTAMP_BITS])
@given(data=st.data())
def test_unwrap_follows_over_any_number_of_turns(bits: int, data: st.DataObject) -> None:
    reference = data.draw(st.integers(0, 2**64))
    step = data.draw(st.integers(-(2 ** (bits - 1)) + 1, 2 ** (bits - 1)))
    assert unwrap((reference + step) % 2**bits, reference, bits) == reference + step
