"""Flows inside QUIC datagrams: a flow identifier (RFC 9000 §16 varint), then the payload (RTP over QUIC).

Flow 0 carries RTP packets, flow 1 echo requests and replies, flow 2 reports about the paths. All are encrypted and
authenticated by QUIC, and none says anything about addresses.
"""

import struct
from dataclasses import dataclass

from transport.wire.errors import WireError

MEDIA_FLOW = 0
ECHO_FLOW = 1
UNRELIABLE_FLOW = 2
RTP_VERSION = 2
RTP_HEADER_BYTES = 12
_ECHO = struct.Struct("!BBI")
_REQUEST = 0
_REPLY = 1
_MEDIA_PREFIX = bytes([MEDIA_FLOW])
_UNRELIABLE_PREFIX = bytes([UNRELIABLE_FLOW])


@dataclass(frozen=True, slots=True)
class MediaFlow:
    """One RTP packet (RFC 3550 §5.1), unparsed."""

    packet: bytes


@dataclass(frozen=True, slots=True)
class EchoRequest:
    """Answer this at once, with the same number (modulo 2**32), on the path it came by."""

    sequence: int


@dataclass(frozen=True, slots=True)
class EchoReply:
    """The answer to the request with this number."""

    sequence: int


@dataclass(frozen=True, slots=True)
class UnreliableMessage:
    """One document of :mod:`transport.wire.call_messages`, unparsed, that is of no use later: a lost one is not sent
    again. On the control stream it would wait for what was lost before it."""

    document: bytes


@dataclass(frozen=True, slots=True)
class RtpPosition:
    """Where an RTP packet stands in its stream: 16-bit sequence number and 32-bit timestamp."""

    sequence: int
    timestamp: int


Flow = MediaFlow | EchoRequest | EchoReply | UnreliableMessage


def encode(flow: Flow) -> bytes:
    """One QUIC datagram."""
    if isinstance(flow, MediaFlow):
        return _MEDIA_PREFIX + flow.packet
    if isinstance(flow, UnreliableMessage):
        return _UNRELIABLE_PREFIX + flow.document
    kind = _REQUEST if isinstance(flow, EchoRequest) else _REPLY
    return _ECHO.pack(ECHO_FLOW, kind, flow.sequence & 0xFFFFFFFF)


def parse(datagram: bytes) -> Flow:
    """Parse one QUIC datagram. Raises :class:`WireError`, also for flows that this version does not know."""
    flow, rest = _varint(datagram)
    if flow == MEDIA_FLOW:
        return MediaFlow(rest)
    if flow == UNRELIABLE_FLOW:
        return UnreliableMessage(rest)
    if flow != ECHO_FLOW:
        raise WireError(f"flow {flow} is not one of this protocol")
    if len(rest) != _ECHO.size - 1 or rest[0] not in (_REQUEST, _REPLY):
        raise WireError("not an echo request or reply")
    sequence = int.from_bytes(rest[1:], "big")
    return EchoRequest(sequence) if rest[0] == _REQUEST else EchoReply(sequence)


def parse_position(packet: bytes) -> RtpPosition | None:
    """Sequence number and timestamp of an RTP packet; None when it cannot be one."""
    if len(packet) < RTP_HEADER_BYTES or packet[0] >> 6 != RTP_VERSION:
        return None
    return RtpPosition(int.from_bytes(packet[2:4], "big"), int.from_bytes(packet[4:8], "big"))


def _varint(data: bytes) -> tuple[int, bytes]:
    if not data:
        raise WireError("an empty datagram")
    length = 1 << (data[0] >> 6)
    if len(data) < length:
        raise WireError("a flow identifier that is cut short")
    value = int.from_bytes(data[:length], "big") & ((1 << (8 * length - 2)) - 1)
    return value, data[length:]
