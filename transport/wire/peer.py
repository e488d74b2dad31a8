"""Messages between two people's programs, on the control stream of their end-to-end connection.

The callee (QUIC server) opens with :class:`Hello`; the caller answers with :class:`Prove`; the callee with
:class:`Proven`. Before that nothing else is believed by either side (DESIGN D9). The relay sees none of it.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from transport.wire.control import CallId, Certificate, Key, Nonce, Signature, Text
from transport.wire.errors import WireError

PEER_ALPN = "segue-call/1"
PEER_VERSION = 1

Count = Annotated[int, Meta(ge=0, lt=2**53)]
Milliseconds = Annotated[float, Meta(ge=0, le=600_000)]
Fraction = Annotated[float, Meta(ge=0, le=1)]


class Message(Struct, frozen=True, tag=True, omit_defaults=True):
    """Base of all peer control messages; the tag is the class name."""


class Hello(Message, frozen=True):
    """Callee: prove who you are by signing ``nonce``."""

    version: int
    nonce: Nonce


class Prove(Message, frozen=True):
    """Caller: ``signature`` is over :func:`transport.identity.challenge.call_statement`. ``home`` is the
    caller's full address, told to the callee alone."""

    version: int
    call_id: CallId
    key: Key
    certificate: Certificate
    signature: Signature
    home: Annotated[str, Meta(max_length=400)] = ""


class Proven(Message, frozen=True):
    """Callee: you are who you say; from now on messages count. ``home`` is the callee's full address."""

    home: Annotated[str, Meta(max_length=400)] = ""


class Accept(Message, frozen=True):
    """Callee: the call is taken; audio follows at once."""


class Bye(Message, frozen=True):
    """Either side: the call is over."""

    reason: Literal["hung-up", "declined", "busy", "failed"] = "hung-up"
    text: Text = ""


class Muted(Message, frozen=True):
    """Either side: my microphone is off, or on again."""

    muted: bool


class ReceiverReport(Message, frozen=True):
    """What I hear of you, each second (RFC 3550 §6.4.1 in spirit): for your bitrate and your panel."""

    frames_received: Count
    frames_lost: Count
    loss: Fraction
    """Share of the frames lost since the last report."""
    jitter_ms: Milliseconds
    playout_delay_ms: Milliseconds


class PathInUse(Message, frozen=True):
    """I now send on this path (the other direction may differ)."""

    kind: Literal["relay", "direct"]


PeerMessage = Hello | Prove | Proven | Accept | Bye | Muted | ReceiverReport | PathInUse

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[PeerMessage] = msgspec.msgpack.Decoder(PeerMessage)


def encode(message: PeerMessage) -> bytes:
    """One message as a msgpack document, not yet framed."""
    return _encoder.encode(message)


def decode(document: bytes) -> PeerMessage:
    """Parse what the peer sent. Raises :class:`WireError`."""
    try:
        return _decoder.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not a message of a call: {error}") from error
