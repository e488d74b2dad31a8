"""NAT-PMP (RFC 6886 §3): codec of requests and answers."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address

from transport.wire.errors import WireError

SERVER_PORT = 5351
ANNOUNCEMENT_PORT = 5350
"""Of clients: where gateways multicast that they have started anew (RFC 6886 §3.2.1, RFC 6887 §14.1)."""
VERSION = 0
_ANSWER_BIT = 0x80
_PUBLIC_ADDRESS, _MAP_UDP = 0, 1
_HEADER = struct.Struct("!BBHI")
_MAPPING = struct.Struct("!HHI")
MAX_LIFETIME_S = 2**32 - 1


class NatPmpResult(IntEnum):
    """RFC 6886 §3.5."""

    SUCCESS = 0
    UNSUPPORTED_VERSION = 1
    NOT_AUTHORIZED = 2
    NETWORK_FAILURE = 3
    OUT_OF_RESOURCES = 4
    UNSUPPORTED_OPCODE = 5


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """The gateway's external address. ``epoch_s`` is how long ago its table of mappings was begun."""

    epoch_s: int
    ip: str


@dataclass(frozen=True, slots=True)
class NatPmpMapped:
    """A UDP mapping stands for ``lifetime_s``; with 0 it is deleted (RFC 6886 §3.4)."""

    epoch_s: int
    internal_port: int
    external_port: int
    lifetime_s: int


@dataclass(frozen=True, slots=True)
class NatPmpRefused:
    """``result`` is a number of :class:`NatPmpResult`, or an unknown one. ``is_mapping``: of a mapping request."""

    epoch_s: int
    result: int
    is_mapping: bool


Answer = PublicAddress | NatPmpMapped | NatPmpRefused


def public_address_request() -> bytes:
    """Two bytes (RFC 6886 §3.2)."""
    return bytes((VERSION, _PUBLIC_ADDRESS))


def map_request(internal_port: int, external_port: int, lifetime_s: int) -> bytes:
    """Ask for a UDP mapping, with a wish for the external port (RFC 6886 §3.3); with ``lifetime_s`` 0 and port 0 it
    is deleted (§3.4)."""
    return bytes((VERSION, _MAP_UDP, 0, 0)) + _MAPPING.pack(internal_port, external_port, lifetime_s)


def parse(data: bytes) -> Answer:
    """What the gateway says. Raises :class:`WireError`."""
    if len(data) < _HEADER.size:
        raise WireError("too short for an answer of NAT-PMP")
    version, opcode, result, epoch_s = _HEADER.unpack_from(data)
    if version != VERSION or not opcode & _ANSWER_BIT:
        raise WireError("not an answer of NAT-PMP")
    about = opcode & ~_ANSWER_BIT
    if result != NatPmpResult.SUCCESS:
        # Some end after the time, some go on with zeros (RFC 6886 §3.5).
        return NatPmpRefused(epoch_s, result, about == _MAP_UDP)
    body = data[_HEADER.size :]
    if about == _PUBLIC_ADDRESS and len(body) == 4:
        return PublicAddress(epoch_s, str(IPv4Address(body)))
    if about == _MAP_UDP and len(body) == _MAPPING.size:
        return NatPmpMapped(epoch_s, *_MAPPING.unpack(body))
    raise WireError("an answer of NAT-PMP of the wrong length, or to what was not asked")
