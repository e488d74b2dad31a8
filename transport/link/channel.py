"""The end-to-end connection of a link, as messages and flows instead of bytes."""

from collections.abc import Iterator

from transport.quic.call_connection import PeerConnection
from transport.quic.call_events import PeerEvent
from transport.wire import WireError, datagrams
from transport.wire import call_messages as messages
from transport.wire.framing import Deframer, frame

PathReport = messages.PathQuality | messages.PathSilent
"""About the paths, and of no use later: it travels as an unreliable message."""
ReceivedFlow = datagrams.MediaFlow | datagrams.EchoRequest | datagrams.EchoReply | PathReport


class PeerChannel:
    """Over a :class:`PeerConnection`. Before :meth:`connect` nothing can be sent and nothing comes."""

    __slots__ = ("_deframer", "connection", "garbage_dropped", "unsent_dropped")

    def __init__(self) -> None:
        self.connection: PeerConnection | None = None
        self._deframer = Deframer()
        self.garbage_dropped = 0
        self.unsent_dropped = 0

    @property
    def stale_dropped(self) -> int:
        """Media that would have left too late."""
        return 0 if self.connection is None else self.connection.stale_dropped

    @property
    def attempts_refused(self) -> int:
        """Callee: packets that were not let in as the beginning of a connection."""
        return 0 if self.connection is None else self.connection.refused

    def open(self, now: float) -> None:
        """Caller: start the handshake, if it has not begun."""
        if self.connection is not None:
            self.connection.open(now)

    def received(self, packet: bytes, now: float) -> list[PeerEvent]:
        """Take one packet; what QUIC made of it."""
        if self.connection is None:
            return []
        self.connection.receive(packet, now)
        return self.connection.events()

    def advance(self, now: float) -> list[PeerEvent]:
        """Do what is due; what came of it."""
        if self.connection is None:
            return []
        self.connection.advance(now)
        return self.connection.events()

    def next_deadline(self) -> float | None:
        """When :meth:`advance` is due."""
        return None if self.connection is None else self.connection.next_deadline()

    def packets(self, now: float) -> list[bytes]:
        """Encrypted packets to send now."""
        return [] if self.connection is None else self.connection.datagrams_to_send(now)

    def close(self, code: int, text: str) -> None:
        """End the connection; take :meth:`packets` once more."""
        if self.connection is not None:
            self.connection.close(code, text)

    # -- out -----------------------------------------------------------------------------------------------------

    def send(self, message: messages.PeerMessage) -> int | None:
        """Send on the control stream, reliably and in order. The mark whose acknowledgement shows that it has arrived;
        None when it could not be sent."""
        try:
            document = frame(messages.encode(message))
        except WireError:
            document = b""
        mark = self.connection.send_stream(document) if document and self.connection is not None else None
        self.unsent_dropped += mark is None
        return mark

    def send_flow(self, flow: datagrams.Flow, now: float) -> bool:
        """Send in a datagram, now or never. False when it could not be sent."""
        return self.connection is not None and self.connection.send_datagram(datagrams.encode(flow), now)

    def send_report(self, report: PathReport, now: float) -> None:
        """Send in a datagram; a newer one will follow."""
        self.send_flow(datagrams.UnreliableMessage(messages.encode(report)), now)

    # -- in ------------------------------------------------------------------------------------------------------

    def messages(self, stream: bytes) -> Iterator[messages.PeerMessage]:
        """The messages that the next bytes of the control stream complete. Raises :class:`WireError`."""
        return (messages.decode(document) for document in self._deframer.feed(stream))

    def flow(self, datagram: bytes) -> ReceivedFlow | None:
        """What a datagram holds; None, and counted, when that is nothing of this protocol."""
        try:
            flow = datagrams.parse(datagram)
            if not isinstance(flow, datagrams.UnreliableMessage):
                return flow
            report = messages.decode(flow.document)
        except WireError:
            report = None
        if isinstance(report, PathReport):
            return report
        self.garbage_dropped += 1
        return None
