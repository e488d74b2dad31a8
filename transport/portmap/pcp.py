"""PCP, the Port Control Protocol (RFC 6887): codec of MAP and ANNOUNCE, as far as a client without options needs."""

import ipaddress
import struct
from dataclasses import dataclass
from enum import IntEnum

from transport.net.sockets import Address
from transport.wire.errors import WireError

SERVER_PORT = 5351
VERSION = 2
NONCE_BYTES = 12
MAX_PCP_BYTES = 1_100
"""RFC 6887 §7."""
_ANSWER_BIT = 0x80
_ANNOUNCE, _MAP = 0, 1
_UDP = 17
_REQUEST = struct.Struct("!BBHI16s")
_ANSWER = struct.Struct("!BBBBII12x")
_MAPPING = struct.Struct("!12sB3xHH16s")
_NATPMP_ANSWER = struct.Struct("!BBHI")


class PcpResult(IntEnum):
    """RFC 6887 §7.4."""

    SUCCESS = 0
    UNSUPP_VERSION = 1
    NOT_AUTHORIZED = 2
    MALFORMED_REQUEST = 3
    UNSUPP_OPCODE = 4
    UNSUPP_OPTION = 5
    MALFORMED_OPTION = 6
    NETWORK_FAILURE = 7
    NO_RESOURCES = 8
    UNSUPP_PROTOCOL = 9
    USER_EX_QUOTA = 10
    CANNOT_PROVIDE_EXTERNAL = 11
    ADDRESS_MISMATCH = 12
    EXCESSIVE_REMOTE_PEERS = 13


@dataclass(frozen=True, slots=True)
class PcpAnnounced:
    """The server is there. ``epoch_s`` is how long ago its table of mappings was begun (RFC 6887 §8.5)."""

    epoch_s: int


@dataclass(frozen=True, slots=True)
class PcpMapped:
    """A UDP mapping stands for ``lifetime_s``; with 0 it is deleted (RFC 6887 §15)."""

    epoch_s: int
    nonce: bytes
    internal_port: int
    external: Address
    lifetime_s: int


@dataclass(frozen=True, slots=True)
class PcpRefused:
    """``result`` is a number of :class:`PcpResult`, or one that nobody knows; ``nonce`` is that of the MAP request that
    it answers, empty where it answers none. ``retry_s``: the error lasts at least so long."""

    epoch_s: int
    result: int
    nonce: bytes
    retry_s: int


@dataclass(frozen=True, slots=True)
class PcpOtherVersion:
    """The server speaks only this version of PCP, or NAT-PMP, which is version 0 (RFC 6887 §9, appendix A)."""

    version: int


Answer = PcpAnnounced | PcpMapped | PcpRefused | PcpOtherVersion


def announce_request(client_ip: str) -> bytes:
    """Ask for the epoch time (RFC 6887 §14.1). ``client_ip`` is the request's own source address."""
    return _REQUEST.pack(VERSION, _ANNOUNCE, 0, 0, _packed(client_ip))


def map_request(client_ip: str, nonce: bytes, internal_port: int, wish: Address, lifetime_s: int) -> bytes:
    """Ask for a UDP mapping (RFC 6887 §11.1). ``wish``: the external address and port that are best, or the
    unspecified address of the family and port 0. With ``lifetime_s`` 0 the mapping is deleted (§15)."""
    head = _REQUEST.pack(VERSION, _MAP, 0, lifetime_s, _packed(client_ip))
    return head + _MAPPING.pack(nonce, _UDP, internal_port, wish[1], _packed(wish[0]))


def parse(data: bytes) -> Answer:
    """What the server says. Raises :class:`WireError`."""
    if len(data) > MAX_PCP_BYTES or len(data) < _NATPMP_ANSWER.size or not data[1] & _ANSWER_BIT:
        raise WireError("not an answer of PCP")
    if data[0] != VERSION:
        # Of another version's answer only its beginning can be understood.
        if data[3] != PcpResult.UNSUPP_VERSION:
            raise WireError("an answer of an unknown version of PCP")
        return PcpOtherVersion(data[0])
    if len(data) < _ANSWER.size:
        raise WireError("too short for an answer of PCP")
    _, opcode, _, result, lifetime_s, epoch_s = _ANSWER.unpack_from(data)
    about = opcode & ~_ANSWER_BIT
    body = data[_ANSWER.size : _ANSWER.size + _MAPPING.size]
    if result == PcpResult.UNSUPP_VERSION:
        return PcpOtherVersion(data[0])
    if result != PcpResult.SUCCESS:
        nonce = body[:NONCE_BYTES] if about == _MAP and len(body) == _MAPPING.size else b""
        return PcpRefused(epoch_s, result, nonce, lifetime_s)
    if about == _ANNOUNCE:
        return PcpAnnounced(epoch_s)
    if about != _MAP or len(body) < _MAPPING.size:
        raise WireError("an answer of PCP to what was not asked, or cut off")
    nonce, protocol, internal_port, external_port, external_ip = _MAPPING.unpack(body)
    if protocol != _UDP:
        raise WireError("an answer of PCP about another protocol than UDP")
    return PcpMapped(epoch_s, nonce, internal_port, (_unpacked(external_ip), external_port), lifetime_s)


def unspecified(ip: str) -> str:
    """The address of the same family that stands for none."""
    return "::" if ":" in ip else "0.0.0.0"  # noqa: S104


def _packed(ip: str) -> bytes:
    """IPv4 addresses travel IPv4-mapped (RFC 6887 §5)."""
    parsed = ipaddress.ip_address(ip)
    return bytes(10) + b"\xff\xff" + parsed.packed if parsed.version == 4 else parsed.packed


def _unpacked(packed: bytes) -> str:
    parsed = ipaddress.IPv6Address(packed)
    return str(parsed if parsed.ipv4_mapped is None else parsed.ipv4_mapped)
