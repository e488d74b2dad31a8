"""The control connection between a client and its relay: QUIC (RFC 9000), one stream, framed messages.

The relay speaks first, so it is the relay that opens the one bidirectional stream: its challenge travels with its
first flight, and a client says nothing at all before it has verified whom it talks to. Either side closes a
connection that breaks the rules (another stream, an impossible frame, more than a session may carry) with a code
of :class:`CloseCode` and a reason in words.

This module has what both ends share; :mod:`transport.quic.relay_channel_server` listens, and
:mod:`transport.quic.relay_channel_client` connects.
"""

from enum import IntEnum
from typing import Protocol

from aioquic.asyncio.protocol import QuicConnectionProtocol, QuicStreamHandler
from aioquic.quic import events
from aioquic.quic.connection import NetworkAddress, QuicConnection

from transport.wire.errors import WireError
from transport.wire.framing import Deframer, frame
from transport.wire.relay_messages import ClientMessage, RelayMessage, encode

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


class ChannelListener(Protocol):
    """Who is told what happens on a channel; called from the event loop, must not block."""

    def channel_open(self, channel: "ControlChannel") -> None:
        """The connection stands and messages may be sent."""

    def channel_document(self, channel: "ControlChannel", document: bytes) -> None:
        """One whole message has arrived, not yet decoded."""

    def channel_closed(self, channel: "ControlChannel", alert: int | None, reason: str) -> None:
        """The end, told once; ``reason`` in words, ``alert`` the TLS alert (RFC 8446 §6) if it was one.

        A server is not told of channels that never were open.
        """


class ControlChannel(QuicConnectionProtocol):
    """One control connection at either end. ``remote`` is the peer's address as it was at the beginning;
    ``number`` is the listener's own, to know the channel by."""

    def __init__(
        self,
        quic: QuicConnection,
        listener: ChannelListener,
        stream_handler: QuicStreamHandler | None = None,
    ) -> None:
        super().__init__(quic, stream_handler)
        self._quic_connection = quic
        self._listener = listener
        self._deframer = Deframer()
        self._is_open = False
        self._over = False
        self._received = 0
        self._sent = 0
        self.remote: tuple[str, int] = ("", 0)
        self.number = 0

    def send(self, message: ClientMessage | RelayMessage) -> bool:
        """Queue one message; ``False`` when the channel is over or the session has carried all it may."""
        if self._over:
            return False
        data = frame(encode(message))
        self._sent += len(data)
        if self._sent > MAX_SENT_BYTES:
            self.end(CloseCode.TOO_MUCH, "this session has carried all that one session may; connect again")
            return False
        self._quic_connection.send_stream_data(STREAM_ID, data)
        self.transmit()
        return True

    def end(self, code: CloseCode, reason: str) -> None:
        """Close with a code and a reason; the listener is told, once."""
        if self._over:
            return
        self.close(error_code=code, reason_phrase=reason)
        self._finish(reason)

    def datagram_received(self, data: bytes | str, addr: NetworkAddress) -> None:
        """One datagram from the socket (asyncio's callback)."""
        if not self._is_open:
            # Later packets may come from anywhere until they are authenticated; this one's address is validated.
            self.remote = (addr[0], addr[1])
        super().datagram_received(data, addr)

    def error_received(self, exc: Exception) -> None:
        """The kernel's word on an earlier packet (ICMP, RFC 1122 §4.1.3.3); before the handshake it is final."""
        if not self._is_open and not self._over and isinstance(exc, ConnectionRefusedError):
            self._finish("nothing listens there")

    def quic_event_received(self, event: events.QuicEvent) -> None:
        """One event of the QUIC machine (aioquic's callback)."""
        if self._over:
            return
        if isinstance(event, events.StreamDataReceived):
            self._stream_data(event)
        elif isinstance(event, events.ProtocolNegotiated):
            if not self._quic_connection.configuration.is_client:
                self._open()
        elif isinstance(event, events.HandshakeCompleted):
            if self._quic_connection.configuration.is_client:
                self._open()
        elif isinstance(event, events.ConnectionTerminated):
            # RFC 9001 §4.8: TLS alerts are QUIC errors 0x100 to 0x1ff; an application's close has no frame type.
            is_alert = event.frame_type is not None and 0x100 <= event.error_code <= 0x1FF
            self._finish(
                event.reason_phrase or "closed by the other side", event.error_code & 0xFF if is_alert else None
            )
        elif isinstance(event, events.StreamReset | events.StopSendingReceived):
            self.end(CloseCode.PROTOCOL, "the control stream was broken off")

    def _open(self) -> None:
        if not self._is_open:
            self._is_open = True
            self._listener.channel_open(self)

    def _stream_data(self, event: events.StreamDataReceived) -> None:
        if event.stream_id != STREAM_ID:
            self.end(CloseCode.PROTOCOL, "a control connection has one stream")
            return
        self._received += len(event.data)
        if self._received > MAX_RECEIVED_BYTES:
            self.end(CloseCode.TOO_MUCH, "this session has carried all that one session may; connect again")
            return
        try:
            for document in self._deframer.feed(event.data):
                self._listener.channel_document(self, document)
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
            if self._is_open or self._quic_connection.configuration.is_client:
                self._listener.channel_closed(self, alert, reason)
