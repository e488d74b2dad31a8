"""RTP header codec (RFC 3550 §5.1) for Opus (RFC 7587): version 2, 48 kHz clock.

Sequence numbers (16 bit) and timestamps (32 bit) wrap; :func:`unwrap` extends them next to a known value.
"""

import struct
from dataclasses import dataclass

from media.errors import RtpError

VERSION = 2
# First of the dynamic range's customary values for Opus; RFC 7587 §6.1 leaves the number to the session.
OPUS_PAYLOAD_TYPE = 111
HEADER_BYTES = 12
SEQUENCE_BITS = 16
TIMESTAMP_BITS = 32
# An Opus packet of one 20 ms frame has at most 1,275 bytes (RFC 6716 §3.2.1); the transport's datagrams are
# smaller still. Anything above is not ours and is not copied around.
MAX_PACKET_BYTES = 1_400

_HEADER = struct.Struct("!BBHII")
_EXTENSION = struct.Struct("!HH")
_PADDING_BIT = 0x20
_EXTENSION_BIT = 0x10
_CSRC_COUNT_MASK = 0x0F
_MARKER_BIT = 0x80
_PAYLOAD_TYPE_MASK = 0x7F


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet. ``sequence`` 16 bit, ``timestamp`` 32 bit in samples, ``ssrc`` 32 bit; ``marker`` is set on
    the first packet of a talkspurt (RFC 3551 §4.1)."""

    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    payload_type: int = OPUS_PAYLOAD_TYPE


def serialize(packet: RtpPacket) -> bytes:
    """The packet as bytes: fixed header without CSRCs or extension, then the payload."""
    second = packet.payload_type | (_MARKER_BIT if packet.marker else 0)
    head = _HEADER.pack(VERSION << 6, second, packet.sequence, packet.timestamp, packet.ssrc)
    return head + packet.payload


def parse(data: bytes) -> RtpPacket:
    """Parse one datagram. CSRCs, header extension and padding are skipped. Raises :class:`RtpError`."""
    if not HEADER_BYTES <= len(data) <= MAX_PACKET_BYTES:
        raise RtpError(f"an RTP packet has {HEADER_BYTES} to {MAX_PACKET_BYTES} bytes, not {len(data)}")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != VERSION:
        raise RtpError(f"RTP version {first >> 6}, not {VERSION}")
    payload_type = second & _PAYLOAD_TYPE_MASK
    if payload_type != OPUS_PAYLOAD_TYPE:
        raise RtpError(f"RTP payload type {payload_type}, not {OPUS_PAYLOAD_TYPE}")
    start, end = _payload_bounds(data, first)
    return RtpPacket(sequence, timestamp, ssrc, data[start:end], bool(second & _MARKER_BIT), payload_type)


def _payload_bounds(data: bytes, first: int) -> tuple[int, int]:
    start = HEADER_BYTES + 4 * (first & _CSRC_COUNT_MASK)
    if first & _EXTENSION_BIT:
        if len(data) < start + _EXTENSION.size:
            raise RtpError("RTP header extension cut off")
        words = _EXTENSION.unpack_from(data, start)[1]
        start += _EXTENSION.size + 4 * words
    end = len(data)
    if first & _PADDING_BIT:
        padding = data[-1]
        if padding == 0:
            raise RtpError("RTP padding of zero bytes")
        end -= padding
    if start > end:
        raise RtpError("RTP header longer than the packet")
    return start, end


def unwrap(value: int, reference: int, bits: int) -> int:
    """The integer nearest to ``reference`` whose low ``bits`` bits are ``value``; halfway counts as ahead."""
    half = 1 << (bits - 1)
    return reference + ((value - reference + half - 1) & ((1 << bits) - 1)) - half + 1
