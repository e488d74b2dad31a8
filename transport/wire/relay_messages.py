"""Messages between a client and its relay (ALPN ``segue-relay/1``), one bidirectional stream per session.

A session in order: the relay sends :class:`Challenge`; the client answers with :class:`Authenticate`; the relay
answers :class:`Welcome` or :class:`Refused` and closes. Everything else needs a welcome first. The relay never
learns what two people say to each other: that is :mod:`transport.wire.call_messages`.

Limits stand in the types, so that a message which decodes is within them.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from transport.wire.addresses import MAX_NAME_CHARS, NAME_PATTERN
from transport.wire.errors import WireError

CONTROL_ALPN = "segue-relay/1"
CONTROL_VERSION = 1

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS, pattern=NAME_PATTERN)]
Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""A raw Ed25519 public key (RFC 8032)."""
Certificate = Annotated[bytes, Meta(min_length=1, max_length=2048)]
"""An X.509 certificate in DER form."""
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
"""A raw Ed25519 signature (RFC 8032)."""
Nonce = Annotated[bytes, Meta(min_length=32, max_length=32)]
CallId = Annotated[str, Meta(min_length=32, max_length=32, pattern=r"^[0-9a-f]{32}$")]
"""128 random bits in hex, made by the caller."""
RequestId = Annotated[int, Meta(ge=0, lt=2**32)]
Port = Annotated[int, Meta(gt=0, lt=65536)]
Text = Annotated[str, Meta(max_length=300)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]

RefusalCode = Literal[
    "version",  # the other side speaks another protocol version
    "bad-message",  # not a message of this protocol, or not now
    "bad-proof",  # a signature that does not verify
    "name-taken",  # registered to another key
    "unknown-name",  # nobody has registered it
    "not-registered",  # logging in with a name that this key does not hold
    "limit",  # too many of something; see retry_after_s
    "draining",  # the relay is about to stop
    "storage",  # the relay could not write it down; nothing was changed
]
EndReason = Literal[
    "declined",
    "busy",
    "cancelled",
    "no-answer",
    "offline",
    "hung-up",
    "failed",
    "unknown-name",
    "limit",
    "draining",
]


class ControlMessage(Struct, frozen=True, tag=True, omit_defaults=True):
    """Base of all relay control messages; the tag is the class name."""


class LegCredentials(Struct, frozen=True):
    """What a client needs to bind its leg: STUN short-term credentials (RFC 8489 §9.1) and the media port."""

    username: Annotated[str, Meta(min_length=8, max_length=64)]
    password: Annotated[str, Meta(min_length=16, max_length=64)]
    port: Port
    lifetime_s: Seconds


class DirectoryEntry(Struct, frozen=True):
    """Somebody as the relay knows them. A guest's ``home`` is what the guest says, vouched for by nobody."""

    name: Annotated[str, Meta(max_length=MAX_NAME_CHARS)]
    home: Annotated[str, Meta(max_length=400)]
    key: Key
    certificate: Certificate


# -- client to relay ---------------------------------------------------------------------------------------------


class Authenticate(ControlMessage, frozen=True):
    """Prove the key: ``signature`` is over :func:`transport.identity.statements.session_statement`.

    ``name`` is the registered name, or ``""`` for a guest; ``home`` the full address at which a guest is at home.
    """

    version: int
    key: Key
    certificate: Certificate
    signature: Signature
    name: Annotated[str, Meta(max_length=MAX_NAME_CHARS)] = ""
    home: Annotated[str, Meta(max_length=400)] = ""


class Register(ControlMessage, frozen=True):
    """Claim ``name`` for this session's key, or replace its certificate. First come, first served.

    ``signature`` is over :func:`transport.identity.statements.registration_statement`.
    """

    request: RequestId
    name: Name
    certificate: Certificate
    signature: Signature


class Lookup(ControlMessage, frozen=True):
    """Ask for a person's key and certificate. Answered by :class:`Found` or :class:`Refused`."""

    request: RequestId
    name: Name


class Watch(ControlMessage, frozen=True):
    """Be told when these people come and go; replaces the list before it."""

    names: Annotated[list[Name], Meta(max_length=256)]


class Invite(ControlMessage, frozen=True):
    """Call somebody. Answered by :class:`Granted` and later messages with the same ``call_id``."""

    call_id: CallId
    callee: Name


class Ring(ControlMessage, frozen=True):
    """Callee: the phone is ringing."""

    call_id: CallId


class Answer(ControlMessage, frozen=True):
    """Callee: taken. The relay stops its no-answer clock; the accept itself travels end to end."""

    call_id: CallId


class Decline(ControlMessage, frozen=True):
    """Callee: not taken."""

    call_id: CallId
    reason: Literal["declined", "busy"] = "declined"


class HangUp(ControlMessage, frozen=True):
    """Either side: over. Before the answer it is the caller's cancel."""

    call_id: CallId


class Resume(ControlMessage, frozen=True):
    """Either side of a call that is going on, after the relay has forgotten it (a restart), or may have: give us legs
    again. Answered by :class:`Resumed` once the other side, ``peer``, has asked for the same."""

    call_id: CallId
    peer: Key


class Ping(ControlMessage, frozen=True):
    """Keeps the session alive and measures its round trip; answered by :class:`Pong`."""

    request: RequestId


# -- relay to client ---------------------------------------------------------------------------------------------


class Challenge(ControlMessage, frozen=True):
    """First word of the relay: sign ``nonce``. ``certificate`` is its own (DER), to be checked against the pin."""

    version: int
    nonce: Nonce
    certificate: Certificate


class Welcome(ControlMessage, frozen=True):
    """The session stands. ``observed`` is the client's address as the relay sees it."""

    name: str
    observed: tuple[str, int]
    stun: Annotated[list[tuple[str, int]], Meta(max_length=32)]
    """STUN endpoints (host, port); host ``""`` means the address that this session was opened to."""
    ping_every_s: Seconds
    software: Text = ""


class Registered(ControlMessage, frozen=True):
    """The name is written down, safely on disk, for this key."""

    request: RequestId
    name: Name


class Found(ControlMessage, frozen=True):
    """The answer to :class:`Lookup`."""

    request: RequestId
    name: Name
    key: Key
    certificate: Certificate
    online: bool


class Refused(ControlMessage, frozen=True):
    """No, and why, in words for the person. ``request`` is 0 when it answers no request."""

    request: RequestId
    code: RefusalCode
    text: Text
    retry_after_s: Seconds = 0.0


class Presence(ControlMessage, frozen=True):
    """A watched person came or went."""

    name: Name
    online: bool


class Granted(ControlMessage, frozen=True):
    """Caller: the callee is being called, and this is your leg. ``callee`` is who the directory says they are."""

    call_id: CallId
    callee: DirectoryEntry
    leg: LegCredentials


class Incoming(ControlMessage, frozen=True):
    """Callee: somebody calls. Answer with :class:`Ring` at once, then :class:`Answer` or :class:`Decline`."""

    call_id: CallId
    caller: DirectoryEntry
    leg: LegCredentials


class Ringing(ControlMessage, frozen=True):
    """Caller: it rings at the other end."""

    call_id: CallId


class Answered(ControlMessage, frozen=True):
    """Caller: taken (see :class:`Answer`)."""

    call_id: CallId


class Ended(ControlMessage, frozen=True):
    """The call is over, or never came to be."""

    call_id: CallId
    reason: EndReason
    text: Text = ""


class Resumed(ControlMessage, frozen=True):
    """The answer to :class:`Resume`: bind this leg."""

    call_id: CallId
    leg: LegCredentials


class Draining(ControlMessage, frozen=True):
    """The relay stops: no new calls; running calls keep their legs for this long."""

    seconds: Seconds


class Replaced(ControlMessage, frozen=True):
    """Another session of the same identity took over; this one ends."""


class Pong(ControlMessage, frozen=True):
    """The answer to :class:`Ping`."""

    request: RequestId


ClientMessage = Authenticate | Register | Lookup | Watch | Invite | Ring | Answer | Decline | HangUp | Resume | Ping
RelayMessage = (
    Challenge
    | Welcome
    | Registered
    | Found
    | Refused
    | Presence
    | Granted
    | Incoming
    | Ringing
    | Answered
    | Ended
    | Resumed
    | Draining
    | Replaced
    | Pong
)

_encoder = msgspec.msgpack.Encoder()
_client_decoder: msgspec.msgpack.Decoder[ClientMessage] = msgspec.msgpack.Decoder(ClientMessage)
_relay_decoder: msgspec.msgpack.Decoder[RelayMessage] = msgspec.msgpack.Decoder(RelayMessage)


def encode(message: ClientMessage | RelayMessage) -> bytes:
    """One message as a msgpack document, not yet framed."""
    return _encoder.encode(message)


def decode_client_message(document: bytes) -> ClientMessage:
    """Parse what a client sent. Raises :class:`WireError`."""
    try:
        return _client_decoder.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not a message for a relay: {error}") from error


def decode_relay_message(document: bytes) -> RelayMessage:
    """Parse what a relay sent. Raises :class:`WireError`."""
    try:
        return _relay_decoder.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not a message of a relay: {error}") from error
