"""Length-prefixed messages on a byte stream: the length, big-endian, then one msgpack document."""

from collections.abc import Iterator
from dataclasses import dataclass

from transport.wire.errors import WireError


@dataclass(frozen=True, slots=True)
class Framing:
    """How long a message may be, and how many bytes tell its length."""

    length_bytes: int
    max_message_bytes: int


# The largest real message carries a certificate (under 1 KiB) and 64 candidates; 16 KiB leaves room to grow
# while a stranger can make us hold no more than that.
NETWORK_FRAMING = Framing(length_bytes=2, max_message_bytes=16_384)
# Between the engine and its windows, on one machine and behind a proof: a state with thousands of contacts fits.
LOCAL_FRAMING = Framing(length_bytes=4, max_message_bytes=8_388_608)


def frame(document: bytes, framing: Framing = NETWORK_FRAMING) -> bytes:
    """Prefix one encoded message with its length. Raises :class:`WireError` when it is empty or too long."""
    if not 0 < len(document) <= framing.max_message_bytes:
        raise WireError(f"a message has 1 to {framing.max_message_bytes} bytes, not {len(document)}")
    return len(document).to_bytes(framing.length_bytes, "big") + document


class Deframer:
    """Cuts a byte stream back into messages. Holds at most one unfinished message."""

    __slots__ = ("_buffer", "_framing")

    def __init__(self, framing: Framing = NETWORK_FRAMING) -> None:
        self._buffer = bytearray()
        self._framing = framing

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield each message that ``data`` completes. Raises :class:`WireError` on an impossible length."""
        self._buffer += data
        head = self._framing.length_bytes
        while len(self._buffer) >= head:
            length = int.from_bytes(self._buffer[:head], "big")
            if not 0 < length <= self._framing.max_message_bytes:
                raise WireError(f"a message has 1 to {self._framing.max_message_bytes} bytes, not {length}")
            if len(self._buffer) < head + length:
                return
            document = bytes(self._buffer[head : head + length])
            del self._buffer[: head + length]
            yield document
