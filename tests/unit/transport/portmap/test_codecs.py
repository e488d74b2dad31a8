"""The codecs of NAT-PMP and PCP against the byte layouts of their RFCs, and against rubbish."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.portmap import natpmp, pcp
from transport.wire import WireError

NONCE = bytes(range(12))
V4 = bytes(10) + b"\xff\xff"
PORTS, SECONDS = st.integers(0, 65_535), st.integers(0, 2**32 - 1)
IPS = st.ip_addresses().filter(lambda ip: not (ip.version == 6 and ip.ipv4_mapped)).map(str)


def test_natpmp_requests_as_in_rfc_6886() -> None:
    assert natpmp.public_address_request() == bytes.fromhex("0000")
    assert natpmp.map_request(4_660, 22_136, 3_600) == bytes.fromhex("00010000 1234 5678 00000e10")


def test_natpmp_answers_as_in_rfc_6886() -> None:
    public = bytes.fromhex("00800000 00000102 c6336401")
    assert natpmp.parse(public) == natpmp.PublicAddress(258, "198.51.100.1")
    mapped = bytes.fromhex("00810000 00000102 1234 5678 00000e10")
    assert natpmp.parse(mapped) == natpmp.NatPmpMapped(258, 4_660, 22_136, 3_600)
    refused = natpmp.NatPmpRefused(258, natpmp.NatPmpResult.NOT_AUTHORIZED, True)
    assert natpmp.parse(bytes.fromhex("00810002 00000102")) == refused
    assert natpmp.parse(bytes.fromhex("00810002 00000102 1234 0000 00000000")) == refused


@pytest.mark.parametrize(
    "data", [b"", b"\x00", mapped := bytes.fromhex("0081000000000102123456780000"), b"\x00\x01" * 8]
)
def test_natpmp_refuses_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(WireError):
        natpmp.parse(data)


def test_pcp_map_request_as_in_rfc_6887() -> None:
    request = pcp.map_request("192.168.1.20", NONCE, 4_660, ("0.0.0.0", 22_136), 3_600)
    head = bytes.fromhex("02010000 00000e10") + V4 + bytes((192, 168, 1, 20))
    assert request == head + NONCE + bytes.fromhex("11000000 1234 5678") + V4 + bytes(4)
    assert len(request) == 60
    assert (
        pcp.announce_request("2001:db8::1")
        == bytes.fromhex("02000000 00000000") + ipaddress.ip_address("2001:db8::1").packed
    )


def _answer(opcode: int, result: int, lifetime_s: int, epoch_s: int, body: bytes = b"") -> bytes:
    return struct.pack("!BBBBII12x", 2, 0x80 | opcode, 0, result, lifetime_s, epoch_s) + body


def test_pcp_answers_as_in_rfc_6887() -> None:
    body = NONCE + bytes.fromhex("11000000 1234 5678") + V4 + bytes((198, 51, 100, 1))
    mapped = pcp.PcpMapped(258, NONCE, 4_660, ("198.51.100.1", 22_136), 3_600)
    assert pcp.parse(_answer(1, 0, 3_600, 258, body)) == mapped
    assert pcp.parse(_answer(1, 0, 3_600, 258, body + bytes(8))) == mapped, "options are not ours to read"
    assert pcp.parse(_answer(0, 0, 0, 258)) == pcp.PcpAnnounced(258)
    assert pcp.parse(_answer(1, 2, 1_800, 258, body)) == pcp.PcpRefused(258, 2, NONCE, 1_800)
    assert pcp.parse(_answer(1, 3, 30, 258)) == pcp.PcpRefused(258, 3, b"", 30)
    six = body[:20] + ipaddress.ip_address("2001:db8::7").packed
    assert pcp.parse(_answer(1, 0, 60, 1, six)) == pcp.PcpMapped(1, NONCE, 4_660, ("2001:db8::7", 22_136), 60)


def test_a_natpmp_server_says_to_pcp_that_it_knows_only_version_0() -> None:
    assert pcp.parse(bytes.fromhex("00800001 00000102")) == pcp.PcpOtherVersion(0)
    assert pcp.parse(bytes.fromhex("00810001 00000102 00000000 00000000")) == pcp.PcpOtherVersion(0)
    assert pcp.parse(bytes.fromhex("01800001") + bytes(20)) == pcp.PcpOtherVersion(1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(24),
        _answer(1, 0, 60, 1),
        _answer(1, 0, 60, 1, bytes(35)),
        _answer(1, 0, 60, 1, NONCE + b"\x06" + bytes(23)),
        _answer(2, 0, 60, 1, bytes(56)),
        _answer(0, 0, 60, 1, bytes(1_100)),
        b"\x02" + _answer(0, 0, 60, 1)[1:20],
        b"\x07" + _answer(0, 0, 60, 1)[1:],
    ],
)
def test_pcp_refuses_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(WireError):
        pcp.parse(data)


@given(st.binary(max_size=80))
def test_rubbish_is_refused_or_understood(data: bytes) -> None:
    for parse in (natpmp.parse, pcp.parse):
        try:
            parse(data)
        except WireError:
            continue


@given(st.sampled_from([0x80, 0x81]), st.binary(max_size=72))
def test_rubbish_with_the_right_beginning_is_refused_or_understood(opcode: int, rest: bytes) -> None:
    for version, parse in ((0, natpmp.parse), (2, pcp.parse)):
        try:
            parse(bytes((version, opcode)) + rest)
        except WireError:
            continue


@given(IPS, st.binary(min_size=12, max_size=12), PORTS, IPS, PORTS, SECONDS, SECONDS)
def test_what_a_pcp_server_echoes_is_what_was_asked(
    client: str, nonce: bytes, port: int, wish: str, external: int, lifetime_s: int, epoch_s: int
) -> None:
    request = pcp.map_request(client, nonce, port, (wish, external), lifetime_s)
    echo = _answer(1, 0, lifetime_s, epoch_s, request[24:])
    assert pcp.parse(echo) == pcp.PcpMapped(epoch_s, nonce, port, (wish, external), lifetime_s)
