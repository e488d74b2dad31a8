"""Telling packets on one socket apart by their first byte (RFC 7983 and RFC 9443).

STUN starts with two zero bits (0x00–0x03 in practice), QUIC sets its fixed bit (0x40 and above).
"""

from enum import Enum

# Larger datagrams are not ours: QUIC here sends at most 1,200 bytes, and STUN is smaller still.
MAX_DATAGRAM_BYTES = 1_500
QUIC_FIRST_BYTE = 0x40
STUN_LAST_FIRST_BYTE = 0x03
STUN_HEADER_BYTES = 20


class PacketKind(Enum):
    """What a datagram can be."""

    STUN = "stun"
    QUIC = "quic"
    UNKNOWN = "unknown"


def packet_kind(data: bytes) -> PacketKind:
    """Classify one datagram by its first byte and length; never raises."""
    if not data or len(data) > MAX_DATAGRAM_BYTES:
        return PacketKind.UNKNOWN
    first = data[0]
    if first >= QUIC_FIRST_BYTE:
        return PacketKind.QUIC
    if first <= STUN_LAST_FIRST_BYTE and len(data) >= STUN_HEADER_BYTES:
        return PacketKind.STUN
    return PacketKind.UNKNOWN
