"""STUN Binding messages (RFC 8489), over the codec of ``aioice.stun``.

Only what Segue uses: Binding requests, successes and errors, with short-term credentials (§9.1) where asked.
Requests without FINGERPRINT are parsed too, for ordinary STUN clients.
"""

import struct
from dataclasses import dataclass
from enum import Enum

from aioice import stun as codec

from transport.wire.errors import WireError

Address = tuple[str, int]
TRANSACTION_ID_BYTES = 12
# The longest real message (credentials, IPv6 address, software) is under 200 bytes.
MAX_STUN_BYTES = 548
UNAUTHENTICATED = 401
BAD_REQUEST = 400
STALE_LEG = 438


class StunClass(Enum):
    """RFC 8489 §5: the class of a Binding message."""

    REQUEST = codec.Class.REQUEST
    SUCCESS = codec.Class.RESPONSE
    ERROR = codec.Class.ERROR


@dataclass(frozen=True, slots=True)
class StunMessage:
    """A parsed Binding message. ``mapped`` is XOR-MAPPED-ADDRESS, ``error`` the code of ERROR-CODE."""

    kind: StunClass
    transaction_id: bytes
    username: str | None
    mapped: Address | None
    error: int | None
    raw: codec.Message

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
    )


def binding_request(transaction_id: bytes, username: str = "", password: str = "") -> bytes:
    """A Binding request; with credentials it carries USERNAME and MESSAGE-INTEGRITY, always FINGERPRINT."""
    message = codec.Message(codec.Method.BINDING, codec.Class.REQUEST, transaction_id)
    if username:
        message.attributes["USERNAME"] = username
        message.add_message_integrity(password.encode())
    else:
        message.add_fingerprint()
    return bytes(message)


def binding_success(request: StunMessage, source: Address, password: str = "") -> bytes:
    """The answer to ``request`` that came from ``source``; authenticated when a password is given."""
    message = codec.Message(codec.Method.BINDING, codec.Class.RESPONSE, request.transaction_id)
    message.attributes["XOR-MAPPED-ADDRESS"] = source
    if password:
        message.add_message_integrity(password.encode())
    else:
        message.add_fingerprint()
    return bytes(message)


def binding_error(request: StunMessage, code: int, reason: str, password: str = "") -> bytes:
    """An error answer (RFC 8489 §14.8) to ``request``."""
    message = codec.Message(codec.Method.BINDING, codec.Class.ERROR, request.transaction_id)
    message.attributes["ERROR-CODE"] = (code, reason)
    if password:
        message.add_message_integrity(password.encode())
    else:
        message.add_fingerprint()
    return bytes(message)
