"""UDP in IPv4 packets, as a router sees them: read, rewritten, checksums right (RFC 791, RFC 768, RFC 1071). Pure."""

import socket
import struct
from dataclasses import dataclass

Address = tuple[str, int]

IPV4_HEADER_BYTES = 20
UDP_HEADER_BYTES = 8
UDP_PROTOCOL = 17
_FRAGMENT = 0x3FFF
"""More-fragments flag and fragment offset: where one of them is set, the ports may be in another packet."""


@dataclass(frozen=True, slots=True)
class UdpPacket:
    """An IPv4 packet that holds a whole UDP datagram; ``options`` of the IP header travel along unread."""

    source: Address
    destination: Address
    payload: bytes
    ttl: int
    tos: int = 0
    identification: int = 0
    options: bytes = b""


def parse(packet: bytes) -> UdpPacket | None:
    """``None`` for anything that is not an unfragmented IPv4/UDP packet with right lengths and checksums."""
    if len(packet) < IPV4_HEADER_BYTES + UDP_HEADER_BYTES or packet[0] >> 4 != 4:
        return None
    head = (packet[0] & 0xF) * 4
    tos, length, identification, fragment, ttl, protocol = struct.unpack_from("!xBHHHBB", packet)
    if head < IPV4_HEADER_BYTES or protocol != UDP_PROTOCOL or fragment & _FRAGMENT:
        return None
    if not head + UDP_HEADER_BYTES <= length <= len(packet) or checksum(packet[:head]):
        return None
    source_port, destination_port, udp_length, udp_checksum = struct.unpack_from("!HHHH", packet, head)
    if not UDP_HEADER_BYTES <= udp_length <= length - head:
        return None
    udp = packet[head : head + udp_length]
    # A checksum of 0 says that there is none.
    if udp_checksum and checksum(_pseudo_header(packet[12:20], udp_length) + udp):
        return None
    return UdpPacket(
        (socket.inet_ntoa(packet[12:16]), source_port),
        (socket.inet_ntoa(packet[16:20]), destination_port),
        udp[UDP_HEADER_BYTES:],
        ttl,
        tos,
        identification,
        packet[IPV4_HEADER_BYTES:head],
    )


def build(packet: UdpPacket) -> bytes:
    """The bytes of a packet, both checksums computed."""
    addresses = socket.inet_aton(packet.source[0]) + socket.inet_aton(packet.destination[0])
    udp_length = UDP_HEADER_BYTES + len(packet.payload)
    head = IPV4_HEADER_BYTES + len(packet.options)
    ports = struct.pack("!HHH", packet.source[1], packet.destination[1], udp_length)
    # RFC 768: a computed 0 is sent as all ones.
    udp_checksum = checksum(_pseudo_header(addresses, udp_length) + ports + b"\0\0" + packet.payload) or 0xFFFF
    first = struct.pack(
        "!BBHHHBB", 0x40 | head // 4, packet.tos, head + udp_length, packet.identification, 0, packet.ttl, UDP_PROTOCOL
    )
    header_checksum = checksum(first + b"\0\0" + addresses + packet.options)
    header = first + struct.pack("!H", header_checksum) + addresses + packet.options
    return header + ports + struct.pack("!H", udp_checksum) + packet.payload


def checksum(data: bytes) -> int:
    """The internet checksum; 0 over data that holds its own right checksum."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _pseudo_header(addresses: bytes, udp_length: int) -> bytes:
    return addresses + struct.pack("!BBH", 0, UDP_PROTOCOL, udp_length)
