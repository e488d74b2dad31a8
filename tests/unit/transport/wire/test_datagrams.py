import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.wire import WireError, datagrams

FLOWS = st.one_of(
    st.builds(datagrams.MediaFlow, st.binary(max_size=1_200)),
    st.builds(datagrams.EchoRequest, st.integers(0, 2**32 - 1)),
    st.builds(datagrams.EchoReply, st.integers(0, 2**32 - 1)),
    st.builds(datagrams.UnreliableMessage, st.binary(max_size=1_200)),
)


@given(FLOWS)
def test_what_is_encoded_is_parsed(sent: datagrams.Flow) -> None:
    assert datagrams.parse(datagrams.encode(sent)) == sent


@given(st.binary(max_size=64))
def test_nothing_but_wire_errors(data: bytes) -> None:
    try:
        datagrams.parse(data)
    except WireError:
        return


@pytest.mark.parametrize("data", [b"", b"\x03abc", b"\x40", b"\xc0\x00", b"\x01", b"\x01\x02\x00\x00\x00\x01"])
def test_what_is_no_flow_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        datagrams.parse(data)


def test_a_flow_identifier_may_be_longer_than_it_needs_to_be() -> None:
    assert datagrams.parse(b"\x40\x00voice") == datagrams.MediaFlow(b"voice")
    assert datagrams.parse(b"\x80\x00\x00\x00voice") == datagrams.MediaFlow(b"voice")


def test_the_rtp_position_is_read_where_rfc_3550_puts_it() -> None:
    packet = bytes([0x80, 111]) + (513).to_bytes(2, "big") + (960).to_bytes(4, "big") + bytes(10)
    assert datagrams.parse_position(packet) == datagrams.RtpPosition(513, 960)
    assert datagrams.parse_position(packet[:11]) is None
    assert datagrams.parse_position(b"\x40" + packet[1:]) is None
