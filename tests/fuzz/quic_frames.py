"""QUIC packets that no honest program sends, encrypted with the keys of a real handshake."""

from collections.abc import Iterable, Iterator

from aioquic.buffer import UINT_VAR_MAX, Buffer, size_uint_var
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.tls import Epoch

CRYPTO = 0x06
STREAM_OFF_LEN = 0x0E
# What a packet of 1,200 bytes holds beside header (1 + 8 + 4) and authentication tag (16).
ROOM_BYTES = 1_150
__all__ = ["ROOM_BYTES", "crypto", "packed", "sparse_crypto", "sparse_stream", "stream"]


def crypto(offset: int, data: bytes) -> tuple[int, bytes]:
    """A CRYPTO frame (RFC 9000 §19.6): type and body."""
    return CRYPTO, _numbers(offset, len(data)) + data


def stream(stream_id: int, offset: int, data: bytes) -> tuple[int, bytes]:
    """A STREAM frame with offset and length (RFC 9000 §19.8)."""
    return STREAM_OFF_LEN, _numbers(stream_id, offset, len(data)) + data


def sparse_crypto(first: int = 1) -> Iterator[tuple[int, bytes]]:
    """One byte at every second offset, for ever: each is a range of its own."""
    return (crypto(offset, b"x") for offset in range(first, UINT_VAR_MAX, 2))


def sparse_stream(stream_id: int, first: int = 1) -> Iterator[tuple[int, bytes]]:
    """The same in a stream."""
    return (stream(stream_id, offset, b"x") for offset in range(first, UINT_VAR_MAX, 2))


def packed(quic: QuicConnection, frames: Iterable[tuple[int, bytes]], packets: int) -> list[bytes]:
    """As many ``frames`` as fit into so many packets of ``quic``, whose handshake is complete."""
    remaining = iter(frames)
    made: list[bytes] = []
    held: tuple[int, bytes] | None = None
    for _ in range(packets):
        builder = QuicPacketBuilder(
            host_cid=quic.host_cid,
            is_client=quic.configuration.is_client,
            max_datagram_size=1_200,
            packet_number=quic._packet_number,
            peer_cid=quic._peer_cid.cid,
            version=quic._version,
        )
        builder.start_packet(QuicPacketType.ONE_RTT, quic._cryptos[Epoch.ONE_RTT])
        room = ROOM_BYTES
        while True:
            frame = held or next(remaining, None)
            held = None
            if frame is None:
                break
            kind, body = frame
            if len(body) + 1 > room:
                held = frame
                break
            builder.start_frame(kind, capacity=len(body) + 1).push_bytes(body)
            room -= len(body) + 1
        datagrams, _ = builder.flush()
        quic._packet_number = builder.packet_number
        made += datagrams
    return made


def _numbers(*values: int) -> bytes:
    buffer = Buffer(capacity=sum(size_uint_var(value) for value in values))
    for value in values:
        buffer.push_uint_var(value)
    return bytes(buffer.data)
