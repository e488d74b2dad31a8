"""The control channel between a client and its relay: QUIC (RFC 9000), one stream, framed messages; without I/O.

The relay opens the one bidirectional stream: its challenge travels with its first flight, and a client sends no
message before it has verified whom it talks to. Either side closes a channel that breaks the rules (another stream,
an impossible frame, more than a session may carry) with a :class:`CloseCode` and a reason in words.

Both ends share this module; :mod:`transport.quic.relay_channel_server` accepts channels and
:mod:`transport.quic.relay_channel_client` verifies the relay.
"""

import logging
from enum import IntEnum
from typing import Protocol

from aioquic.quic import events
from aioquic.quic.connection import NetworkAddress, QuicConnection

from transport.wire.errors import WireError
from transport.wire.framing import Deframer, frame
from transport.wire.relay_messages import ClientMessage, RelayMessage, encode

_log = logging.getLogger(__name__)

# Three lost pings of 15 s; long enough for a laptop to change networks, short enough that presence is true.
IDLE_TIMEOUT_S = 50.0
# Two largest messages. QUIC doubles the window as a stream is used, so the sum below is what bounds memory.
WINDOW_BYTES = 32_768
# A year of pings is under 1 MiB. Whoever has used this up reconnects; nothing else bounds aioquic's windows.
MAX_RECEIVED_BYTES = 4 * 1024 * 1024
MAX_SENT_BYTES = 32 * 1024 * 1024
# The first bidirectional stream that a server opens (RFC 9000 §2.1).
STREAM_ID = 1


class CloseCode(IntEnum):
    """Application error codes (RFC 9000 §20.2) of ``segue-relay/1``."""

    DONE = 0
    PROTOCOL = 1
    TOO_MUCH = 2
    FULL = 3
    STOPPING = 4


class ChannelHandler(Protocol):
    """Receives what happens on a channel. Must not block."""

    def channel_open(self, channel: "ControlChannel") -> None:
        """The connection stands and messages may be sent."""

    def channel_document(self, channel: "ControlChannel", document: bytes) -> None:
        """One whole message has arrived, not yet decoded."""

    def channel_closed(self, channel: "ControlChannel", alert: int | None, reason: str) -> None:
        """The end, once; ``reason`` in words, ``alert`` the TLS alert (RFC 8446 §6) if there was one.

        A server hears nothing of channels that never were open.
        """


class ControlChannel:
    """One end of a control connection. Call :meth:`receive` and :meth:`advance`, then send :meth:`datagrams_to_send`.

    ``remote`` is the peer's address at the beginning; ``number`` is free for the handler's own use.
    """

    def __init__(self, quic: QuicConnection, handler: ChannelHandler) -> None:
        self._quic = quic
        self._is_client = quic.configuration.is_client
        self._handler = handler
        self._deframer = Deframer()
        self.is_open = False
        self._over = False
        self._received = 0
        self._sent = 0
        self.remote: NetworkAddress = ("", 0)
        self.number = 0

    def connect(self, remote: NetworkAddress, now: float) -> None:
        """Client: start the handshake; does nothing the second time."""
        if not self.remote[0]:
            self.remote = remote
            self._quic.connect(remote, now)

    def receive(self, data: bytes, source: NetworkAddress, now: float) -> None:
        """Take one datagram from the socket."""
        if self._is_client:
            if not self.remote[0]:
                return
        elif not self.is_open:
            # Later packets may come from anywhere until they are authenticated; this one's address is validated.
            self.remote = (source[0], source[1])
        try:
            self._quic.receive_datagram(data, source, now)
        except Exception:
            # aioquic parses TLS and X.509 from strangers. What it forgets to catch ends this connection alone.
            _log.exception("a packet broke the QUIC connection")
            self.end(CloseCode.PROTOCOL, "the other side sent something impossible")
        self._take_events()

    def advance(self, now: float) -> None:
        """Run what is due at ``now``; harmless when nothing is."""
        due = self.next_deadline()
        if due is not None and due <= now:
            self._quic.handle_timer(now)
            self._take_events()

    def next_deadline(self) -> float | None:
        """When :meth:`advance` is due; also after the end, until QUIC has drained (RFC 9000 §10.2)."""
        return self._quic.get_timer() if self.remote[0] else None

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, NetworkAddress]]:
        """UDP payloads to send now, each with its destination."""
        return self._quic.datagrams_to_send(now) if self.remote[0] else []

    def send(self, message: ClientMessage | RelayMessage) -> bool:
        """Queue one message; ``False`` when the channel is over or the session has carried all it may."""
        if self._over:
            return False
        data = frame(encode(message))
        self._sent += len(data)
        if self._sent > MAX_SENT_BYTES:
            self.end(CloseCode.TOO_MUCH, "this session has carried all that one session may; connect again")
            return False
        self._quic.send_stream_data(STREAM_ID, data)
        return True

    def end(self, code: CloseCode, reason: str) -> None:
        """Close with a code and a reason; the handler hears of it, once."""
        if not self._over:
            if self.remote[0]:
                self._quic.close(error_code=code, reason_phrase=reason)
            self._finish(reason)

    def _take_events(self) -> None:
        while (event := self._quic.next_event()) is not None:
            self._on_event(event)

    def _on_event(self, event: events.QuicEvent) -> None:
        if self._over:
            return
        match event:
            case events.StreamDataReceived():
                self._on_stream_data(event)
            case events.ProtocolNegotiated():
                if not self._is_client:
                    self._open()
            case events.HandshakeCompleted():
                if self._is_client:
                    self._open()
            case events.ConnectionTerminated():
                # RFC 9001 §4.8: TLS alerts are QUIC errors 0x100 to 0x1ff; an application's close has no frame type.
                is_alert = event.frame_type is not None and 0x100 <= event.error_code <= 0x1FF
                reason = event.reason_phrase or "closed by the other side"
                self._finish(reason, event.error_code & 0xFF if is_alert else None)
            case events.StreamReset() | events.StopSendingReceived():
                self.end(CloseCode.PROTOCOL, "the control stream was broken off")

    def _open(self) -> None:
        if not self.is_open:
            self.is_open = True
            self._handler.channel_open(self)

    def _on_stream_data(self, event: events.StreamDataReceived) -> None:
        if event.stream_id != STREAM_ID:
            self.end(CloseCode.PROTOCOL, "a control connection has one stream")
            return
        self._received += len(event.data)
        if self._received > MAX_RECEIVED_BYTES:
            self.end(CloseCode.TOO_MUCH, "this session has carried all that one session may; connect again")
            return
        try:
            for document in self._deframer.feed(event.data):
                self._handler.channel_document(self, document)
                if self._over:
                    return
        except WireError as error:
            self.end(CloseCode.PROTOCOL, str(error))
            return
        if event.end_stream:
            self.end(CloseCode.DONE, "the other side has ended the session")

    def _finish(self, reason: str, alert: int | None = None) -> None:
        if not self._over:
            self._over = True
            if self.is_open or self._is_client:
                self._handler.channel_closed(self, alert, reason)
