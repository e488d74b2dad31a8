"""Messages between a client and its relay (ALPN ``segue-relay/1``), one bidirectional stream per session.

A session in order: the relay sends :class:`Challenge`; the client answers with :class:`Authenticate`; the relay
answers :class:`Welcome` or :class:`Refused` and closes. Everything else needs a welcome first. The relay never
learns what two people say to each other: that is :mod:`transport.wire.call_messages`.

Limits stand in the types, so that a message which decodes is within them.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from transport.wire import codec
from transport.wire.addresses import MAX_NAME_CHARS, NAME_PATTERN

CONTROL_ALPN = "segue-relay/1"
CONTROL_VERSION = 1

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS, pattern=NAME_PATTERN)]
NameOrNone = Annotated[str, Meta(max_length=MAX_NAME_CHARS, pattern=rf"^\Z|{NAME_PATTERN}")]
"""A name, or the empty text for somebody who has none."""
Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""A raw Ed25519 public key (RFC 8032)."""
Certificate = Annotated[bytes, Meta(min_length=1, max_length=2048)]
"""An X.509 certificate in DER form."""
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
"""A raw Ed25519 signature (RFC 8032)."""
Nonce = Annotated[bytes, Meta(min_length=32, max_length=32)]
CallId = Annotated[str, Meta(min_length=32, max_length=32, pattern=r"^[0-9a-f]{32}\Z")]
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


class OfCall(ControlMessage, frozen=True):
    """About one call."""

    call_id: CallId


class OfRequest(ControlMessage, frozen=True):
    """A request, or the answer to the one with the same number."""

    request: RequestId


class LegCredentials(Struct, frozen=True):
    """What a client needs to bind its leg: STUN short-term credentials (RFC 8489 §9.1) and the media port."""

    username: Annotated[str, Meta(min_length=8, max_length=64)]
    password: Annotated[str, Meta(min_length=16, max_length=64)]
    port: Port
    lifetime_s: Seconds


class DirectoryEntry(Struct, frozen=True):
    """Somebody as the relay knows them. A guest's ``home`` is what the guest says, vouched for by nobody."""

    name: NameOrNone
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
    name: NameOrNone = ""
    home: Annotated[str, Meta(max_length=400)] = ""


class Register(OfRequest, frozen=True):
    """Claim ``name`` for this session's key, or replace its certificate. First come, first served.

    ``signature`` is over :func:`transport.identity.statements.registration_statement`.
    """

    name: Name
    certificate: Certificate
    signature: Signature


class Lookup(OfRequest, frozen=True):
    """Ask for a person's key and certificate. Answered by :class:`Found` or :class:`Refused`."""

    name: Name


class Watch(ControlMessage, frozen=True):
    """Report when these people come and go; replaces the list before it."""

    names: Annotated[list[Name], Meta(max_length=256)]


class Invite(OfCall, frozen=True):
    """Call somebody. Answered by :class:`Granted` and later messages with the same ``call_id``."""

    callee: Name


class Ring(OfCall, frozen=True):
    """Callee: the phone is ringing."""


class Answer(OfCall, frozen=True):
    """Callee: taken. The relay stops its no-answer clock; the accept itself travels end to end."""


class Decline(OfCall, frozen=True):
    """Callee: not taken."""

    reason: Literal["declined", "busy"] = "declined"


class HangUp(OfCall, frozen=True):
    """Either side: over. Before the answer it is the caller's cancel."""


class Resume(OfCall, frozen=True):
    """Either side of a call that is going on, after the relay has forgotten it (a restart), or may have: give us legs
    again. Answered by :class:`Resumed` once the other side, ``peer``, has asked for the same."""

    peer: Key


class Ping(OfRequest, frozen=True):
    """Keeps the session alive and measures its round trip; answered by :class:`Pong`."""


# -- relay to client ---------------------------------------------------------------------------------------------


class Challenge(ControlMessage, frozen=True):
    """First word of the relay: sign ``nonce``. ``certificate`` is its own (DER), to be checked against the pin."""

    version: int
    nonce: Nonce
    certificate: Certificate


class Welcome(ControlMessage, frozen=True):
    """The session stands. ``observed`` is the client's address as the relay sees it."""

    name: NameOrNone
    observed: tuple[str, int]
    stun: Annotated[list[tuple[str, int]], Meta(max_length=32)]
    """STUN endpoints (host, port); host ``""`` means the address that this session was opened to."""
    ping_every_s: Seconds
    software: Text = ""


class Registered(OfRequest, frozen=True):
    """The name is written down, safely on disk, for this key."""

    name: Name


class Found(OfRequest, frozen=True):
    """The answer to :class:`Lookup`."""

    name: Name
    key: Key
    certificate: Certificate
    online: bool


class Refused(OfRequest, frozen=True):
    """No, and why, in words for the person. ``request`` is 0 when it answers no request."""

    code: RefusalCode
    text: Text
    retry_after_s: Seconds = 0.0


class Presence(ControlMessage, frozen=True):
    """A watched person came or went."""

    name: Name
    online: bool


class Granted(OfCall, frozen=True):
    """Caller: the callee is being called, and this is your leg. ``callee`` is who the directory says they are."""

    callee: DirectoryEntry
    leg: LegCredentials


class Incoming(OfCall, frozen=True):
    """Callee: somebody calls. Answer with :class:`Ring` at once, then :class:`Answer` or :class:`Decline`."""

    caller: DirectoryEntry
    leg: LegCredentials


class Ringing(OfCall, frozen=True):
    """Caller: it rings at the other end."""


class Answered(OfCall, frozen=True):
    """Caller: taken (see :class:`Answer`)."""


class Ended(OfCall, frozen=True):
    """The call is over, or never came to be."""

    reason: EndReason
    text: Text = ""


class Resumed(OfCall, frozen=True):
    """The answer to :class:`Resume`: bind this leg."""

    leg: LegCredentials


class Draining(ControlMessage, frozen=True):
    """The relay stops: no new calls; running calls keep their legs for this long."""

    seconds: Seconds


class Replaced(ControlMessage, frozen=True):
    """Another session of the same identity took over; this one ends."""


class Pong(OfRequest, frozen=True):
    """The answer to :class:`Ping`."""


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

encode = codec.encode
decode_client_message = codec.MessageDecoder[ClientMessage](ClientMessage, "for a relay").decode
decode_relay_message = codec.MessageDecoder[RelayMessage](RelayMessage, "of a relay").decode
