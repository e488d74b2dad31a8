"""STUN Binding messages (RFC 8489), over the codec of ``aioice.stun``.

Only what Segue uses: Binding requests, successes and errors, with short-term credentials (§9.1) where asked, the
connectivity checks of ICE (RFC 8445 §7) and the questions about filters of RFC 5780 §7. Requests without FINGERPRINT
are parsed too, for ordinary STUN clients.
"""

import struct
from dataclasses import dataclass
from enum import Enum

from aioice import stun as codec

from transport.net.sockets import Address
from transport.wire.errors import WireError

TRANSACTION_ID_BYTES = 12
# The longest real message (credentials, IPv6 address, software) is under 200 bytes.
MAX_STUN_BYTES = 548
# A question of RFC 5780 is as long as the longest answer to it (three IPv6 addresses), so that a forged one makes
# nobody receive more than was sent.
QUESTION_BYTES = 100
UNAUTHENTICATED = 401
STALE_LEG = 438
# draft-thatcher-ice-renomination §3, with the number that libwebrtc uses; others may ignore it (RFC 8489 §14).
_NOMINATION = 0xC001
# RFC 5780 §7.2.
_CHANGE_IP, _CHANGE_PORT = 0x4, 0x2
_MESSAGE_INTEGRITY = 0x0008
_FINGERPRINT = 0x8028
_FINGERPRINT_BYTES = 4
_HEADER_BYTES = 20
_ATTRIBUTE_HEADER_BYTES = 4


class StunClass(Enum):
    """RFC 8489 §5: the class of a Binding message."""

    REQUEST = codec.Class.REQUEST
    SUCCESS = codec.Class.RESPONSE
    ERROR = codec.Class.ERROR


class IceRole(Enum):
    """RFC 8445 §6.1.1. By value: the attribute that says it."""

    CONTROLLING = "ICE-CONTROLLING"
    CONTROLLED = "ICE-CONTROLLED"


@dataclass(frozen=True, slots=True)
class Check:
    """What a connectivity check says (RFC 8445 §7.1). From the controlling side ``nomination`` is the counter of
    its nominations, the highest of which wins; from the controlled side it is the one that it has followed."""

    role: IceRole
    tie_breaker: int
    priority: int
    use_candidate: bool = False
    nomination: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """CHANGE-REQUEST (RFC 5780 §7.2): what is to be another one of the address and port that the answer comes from."""

    ip: bool
    port: bool


@dataclass(frozen=True, slots=True)
class StunMessage:
    """A parsed Binding message. ``mapped`` is XOR-MAPPED-ADDRESS, ``error`` the code of ERROR-CODE, ``other``
    OTHER-ADDRESS (RFC 5780 §7.4): where answers come from when address and port are changed. A relay that does not
    know its own address says the unspecified one, "the address that was asked", and changes ports alone.
    ``role`` and what follows are there in connectivity checks only."""

    kind: StunClass
    transaction_id: bytes
    username: str | None
    mapped: Address | None
    error: int | None
    raw: codec.Message
    role: "IceRole | None" = None
    priority: int | None = None
    use_candidate: bool = False
    nomination: int | None = None
    change: Change | None = None
    other: Address | None = None
    nonce: bytes | None = None

    def authentic(self, password: str) -> bool:
        """Whether MESSAGE-INTEGRITY is there and made with ``password``; compared in constant time."""
        return self.raw.check_message_integrity(password.encode())


def parse(data: bytes) -> StunMessage:
    """Parse a Binding message. Raises :class:`WireError`, also for other methods and wrong fingerprints."""
    if len(data) > MAX_STUN_BYTES:
        raise WireError(f"a STUN message of {len(data)} bytes")
    try:
        message = codec.parse_message(data)
        kind = StunClass(message.message_class)
    except (ValueError, KeyError, struct.error, IndexError) as error:
        raise WireError(f"not a STUN message: {error}") from error
    if message.message_method != codec.Method.BINDING:
        raise WireError("not a STUN Binding message")
    attributes = message.attributes
    return StunMessage(
        kind=kind,
        transaction_id=message.transaction_id,
        username=attributes.get("USERNAME"),
        mapped=attributes.get("XOR-MAPPED-ADDRESS"),
        error=message.error_code,
        raw=message,
        role=next((role for role in IceRole if role.value in attributes), None),
        priority=attributes.get("PRIORITY"),
        use_candidate="USE-CANDIDATE" in attributes,
        nomination=_nomination(data),
        change=_change(attributes.get("CHANGE-REQUEST")),
        other=attributes.get("OTHER-ADDRESS"),
        nonce=attributes.get("NONCE"),
    )


def _change(flags: int | None) -> Change | None:
    return None if flags is None else Change(ip=bool(flags & _CHANGE_IP), port=bool(flags & _CHANGE_PORT))


def connectivity_check(transaction_id: bytes, username: str, password: str, check: Check) -> bytes:
    """A connectivity check (RFC 8445 §7.1). ``username`` is "theirs:ours", ``password`` the receiver's."""
    message = codec.Message(codec.Method.BINDING, codec.Class.REQUEST, transaction_id)
    message.attributes["USERNAME"] = username
    message.attributes["PRIORITY"] = check.priority
    message.attributes[check.role.value] = check.tie_breaker
    if check.use_candidate:
        message.attributes["USE-CANDIDATE"] = None
    return _signed(message, password, check.nomination)


def check_answer(request: StunMessage, source: Address, password: str, nomination: int | None = None) -> bytes:
    """The answer to a connectivity check from ``source``, under the password of the request (RFC 8445 §7.2.2).
    ``nomination`` tells which nomination is followed."""
    message = codec.Message(codec.Method.BINDING, codec.Class.RESPONSE, request.transaction_id)
    message.attributes["XOR-MAPPED-ADDRESS"] = source
    return _signed(message, password, nomination)


def binding_request(transaction_id: bytes, username: str = "", password: str = "", nonce: bytes = b"") -> bytes:
    """A Binding request; with credentials it carries USERNAME, NONCE where there is one, and MESSAGE-INTEGRITY, always
    FINGERPRINT."""
    message = codec.Message(codec.Method.BINDING, codec.Class.REQUEST, transaction_id)
    if username:
        message.attributes["USERNAME"] = username
    if nonce:
        message.attributes["NONCE"] = nonce
    return _signed(message, password if username else "")


def question(transaction_id: bytes, change: Change | None = None) -> bytes:
    """A Binding request of RFC 5780 (§4), :data:`QUESTION_BYTES` long."""
    message = codec.Message(codec.Method.BINDING, codec.Class.REQUEST, transaction_id)
    if change is not None:
        message.attributes["CHANGE-REQUEST"] = change.ip * _CHANGE_IP | change.port * _CHANGE_PORT
    missing = QUESTION_BYTES - len(bytes(message)) - 2 * _ATTRIBUTE_HEADER_BYTES - _FINGERPRINT_BYTES
    # PADDING (RFC 5780 §7.6) would oblige the server to answer with as much as the network carries.
    message.attributes["SOFTWARE"] = "Segue".ljust(missing)
    return _signed(message, "")


def binding_success(
    request: StunMessage,
    source: Address,
    password: str = "",
    *,
    origin: Address | None = None,
    other: Address | None = None,
) -> bytes:
    """The answer to ``request`` that came from ``source``; authenticated when a password is given. ``origin`` and
    ``other`` are RESPONSE-ORIGIN and OTHER-ADDRESS (RFC 5780 §7.3, §7.4)."""
    message = codec.Message(codec.Method.BINDING, codec.Class.RESPONSE, request.transaction_id)
    message.attributes["XOR-MAPPED-ADDRESS"] = source
    if origin is not None:
        message.attributes["RESPONSE-ORIGIN"] = origin
    if other is not None:
        message.attributes["OTHER-ADDRESS"] = other
    return _signed(message, password)


def binding_error(request: StunMessage, code: int, reason: str, password: str = "", nonce: bytes = b"") -> bytes:
    """An error answer (RFC 8489 §14.8) to ``request``; ``nonce`` is what the request is to be repeated with."""
    message = codec.Message(codec.Method.BINDING, codec.Class.ERROR, request.transaction_id)
    message.attributes["ERROR-CODE"] = (code, reason)
    if nonce:
        message.attributes["NONCE"] = nonce
    return _signed(message, password)


def _signed(message: codec.Message, password: str, nomination: int | None = None) -> bytes:
    """The message with NOMINATION, which the codec does not know, MESSAGE-INTEGRITY if there is a password, and
    FINGERPRINT."""
    if not password:
        message.add_fingerprint()
        return bytes(message)
    if nomination is None:
        message.add_message_integrity(password.encode())
        return bytes(message)
    data = _with(bytes(message), struct.pack("!HHI", _NOMINATION, 4, nomination))
    integrity = codec.message_integrity(data, password.encode())
    data = _with(data, struct.pack("!HH", _MESSAGE_INTEGRITY, len(integrity)) + integrity)
    return _with(data, struct.pack("!HHI", _FINGERPRINT, 4, codec.message_fingerprint(data)))


def _with(data: bytes, attribute: bytes) -> bytes:
    return codec.set_body_length(data + attribute, len(data) + len(attribute) - _HEADER_BYTES)


def _nomination(data: bytes) -> int | None:
    """NOMINATION in a message that the codec has accepted, if it stands where MESSAGE-INTEGRITY covers it."""
    position = _HEADER_BYTES
    while position + _ATTRIBUTE_HEADER_BYTES <= len(data):
        kind, length = struct.unpack_from("!HH", data, position)
        position += _ATTRIBUTE_HEADER_BYTES
        if kind == _MESSAGE_INTEGRITY:
            return None
        if kind == _NOMINATION and length == 4 and position + length <= len(data):
            return int.from_bytes(data[position : position + length])
        position += length + -length % 4
    return None
