"""Segue with a witness inside the seal: each message to or from the relay and the peer is written down as it is.

    python -m tests.netlab.overheard FILE ARGUMENTS OF SEGUE

What crosses the wire is sealed, so a packet capture cannot say what the messages hold. Each line of the file is a JSON
object: "at" (``time.monotonic``), "way" (sent, received), "whom" (relay, peer), "message" (msgpack, in hexadecimal).
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal, TextIO, TypeVar

import msgspec

from app.cli.main import main
from transport.quic import relay_channel as control_stream
from transport.quic import relay_channel_client
from transport.wire import call_messages

Way = Literal["sent", "received"]
Whom = Literal["relay", "peer"]
MessageT = TypeVar("MessageT")
WITNESSED: tuple[tuple[ModuleType, str, Way, Whom], ...] = (
    (control_stream, "encode", "sent", "relay"),
    (relay_channel_client, "decode_relay_message", "received", "relay"),
    (call_messages, "encode", "sent", "peer"),
    (call_messages, "decode", "received", "peer"),
)
"""Where the program turns messages into bytes, and back."""


@dataclass(frozen=True, slots=True)
class Overheard:
    """One message. ``kind`` is its tag, ``at`` ``time.monotonic``."""

    at: float
    way: Way
    whom: Whom
    document: bytes

    @property
    def kind(self) -> str:
        return str(msgspec.msgpack.decode(self.document)["type"])


def overheard(file: Path) -> list[Overheard]:
    """Read such a file."""
    lines = map(json.loads, file.read_text().splitlines())
    return [Overheard(line["at"], line["way"], line["whom"], bytes.fromhex(line["message"])) for line in lines]


def listen_in(file: TextIO) -> None:
    """From now on, in this process."""

    def note(way: Way, whom: Whom, document: bytes) -> None:
        line = {"at": time.monotonic(), "way": way, "whom": whom, "message": document.hex()}
        file.write(json.dumps(line) + "\n")
        file.flush()

    def encoding(encode: Callable[[MessageT], bytes], whom: Whom) -> Callable[[MessageT], bytes]:
        def encoded(message: MessageT) -> bytes:
            document = encode(message)
            note("sent", whom, document)
            return document

        return encoded

    def decoding(decode: Callable[[bytes], MessageT], whom: Whom) -> Callable[[bytes], MessageT]:
        def decoded(document: bytes) -> MessageT:
            note("received", whom, document)
            return decode(document)

        return decoded

    # A program that is to be watched as it is has no way in for this.
    for module, name, way, whom in WITNESSED:
        wrap = encoding if way == "sent" else decoding
        setattr(module, name, wrap(getattr(module, name), whom))


if __name__ == "__main__":
    with open(sys.argv.pop(1), "a") as log:
        listen_in(log)
        main()
