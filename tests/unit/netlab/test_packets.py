"""Packets are rewritten as the kernel would: what is read is what was written, what is spoilt is not read."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.netlab.packets import UdpPacket, build, checksum, parse

ips = st.integers(0, 2**32 - 1).map(lambda number: ".".join(str(byte) for byte in number.to_bytes(4, "big")))
endpoints = st.tuples(ips, st.integers(0, 65_535))
packets = st.builds(
    UdpPacket,
    endpoints,
    endpoints,
    st.binary(max_size=1_400),
    ttl=st.integers(0, 255),
    tos=st.integers(0, 255),
    identification=st.integers(0, 65_535),
    options=st.sampled_from([b"", b"\x01" * 4, b"\x94\x04\0\0"]),
)


@given(packets)
def test_what_was_built_is_parsed(packet: UdpPacket) -> None:
    assert parse(build(packet)) == packet


@given(packets, st.data())
def test_a_flipped_bit_is_noticed(packet: UdpPacket, data: st.DataObject) -> None:
    raw = bytearray(build(packet))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    seen = parse(bytes(raw))
    # Ones' complement has two zeros: a checksum field flipped between "none" and right is all that may pass.
    assert seen is None or replace(seen) == packet


@given(st.binary(max_size=200))
def test_rubbish_is_no_packet_and_no_exception(raw: bytes) -> None:
    assert parse(raw) is None or checksum(raw[: (raw[0] & 0xF) * 4]) == 0


@pytest.mark.parametrize("cut", range(28))
def test_a_cut_packet_is_none(cut: int) -> None:
    whole = build(UdpPacket(("192.0.2.1", 1), ("192.0.2.2", 2), b"", 64))
    assert len(whole) == 28
    assert parse(whole[:cut]) is None


def test_fragments_and_other_protocols_are_none() -> None:
    raw = bytearray(build(UdpPacket(("192.0.2.1", 1), ("192.0.2.2", 2), b"data", 64)))
    for offset, value in ((6, 0x20), (7, 1), (9, 6), (0, 0x65)):
        changed = bytearray(raw)
        changed[offset] = value
        changed[10:12] = b"\0\0"
        changed[10:12] = checksum(bytes(changed[:20])).to_bytes(2, "big")
        assert parse(bytes(changed)) is None


def test_a_missing_udp_checksum_is_allowed_and_replaced() -> None:
    raw = bytearray(build(UdpPacket(("192.0.2.1", 1), ("192.0.2.2", 2), b"data", 64)))
    right = bytes(raw[26:28])
    raw[26:28] = b"\0\0"
    seen = parse(bytes(raw))
    assert seen is not None
    assert build(seen)[26:28] == right


def test_the_checksum_is_the_one_of_the_rfcs_example() -> None:
    # RFC 1071 §3.
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == ~0xDDF2 & 0xFFFF
