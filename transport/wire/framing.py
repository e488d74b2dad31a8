"""Length-prefixed messages on a byte stream: two bytes of length, big-endian, then one msgpack document."""

from collections.abc import Iterator

from transport.wire.errors import WireError

LENGTH_BYTES = 2
# The largest real message carries a certificate (under 1 KiB) and 64 candidates; 16 KiB leaves room to grow
# while a stranger can make us hold no more than that.
MAX_MESSAGE_BYTES = 16_384


def frame(document: bytes) -> bytes:
    """Prefix one encoded message with its length. Raises :class:`WireError` when it is empty or too long."""
    if not 0 < len(document) <= MAX_MESSAGE_BYTES:
        raise WireError(f"a message has 1 to {MAX_MESSAGE_BYTES} bytes, not {len(document)}")
    return len(document).to_bytes(LENGTH_BYTES, "big") + document


class Deframer:
    """Cuts a byte stream back into messages. Holds at most one unfinished message."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield each message that ``data`` completes. Raises :class:`WireError` on an impossible length."""
        self._buffer += data
        while len(self._buffer) >= LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
            if not 0 < length <= MAX_MESSAGE_BYTES:
                raise WireError(f"a message has 1 to {MAX_MESSAGE_BYTES} bytes, not {length}")
            if len(self._buffer) < LENGTH_BYTES + length:
                return
            document = bytes(self._buffer[LENGTH_BYTES : LENGTH_BYTES + length])
            del self._buffer[: LENGTH_BYTES + length]
            yield document
