"""Messages as msgpack documents, one union of structs for each direction of each protocol."""

from typing import Any, Generic, TypeVar

import msgspec

from transport.wire.errors import WireError

MessageT = TypeVar("MessageT")
_encoder = msgspec.msgpack.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """One message as a document, not yet framed."""
    return _encoder.encode(message)


class MessageDecoder(Generic[MessageT]):
    """For the union ``kinds``; ``purpose`` completes the error's text, "not a message ..."."""

    __slots__ = ("_decoder", "_purpose")

    def __init__(self, kinds: Any, purpose: str) -> None:
        self._decoder: msgspec.msgpack.Decoder[MessageT] = msgspec.msgpack.Decoder(kinds)
        self._purpose = purpose

    def decode(self, document: bytes) -> MessageT:
        """Parse one document from elsewhere. Raises :class:`WireError`."""
        try:
            return self._decoder.decode(document)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise WireError(f"not a message {self._purpose}: {error}") from error
