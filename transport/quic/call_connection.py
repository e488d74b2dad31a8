"""The end-to-end QUIC connection of a call (DESIGN D1), without I/O.

The caller is the QUIC client and trusts one certificate, the callee's; the callee is the server. Both give QUIC one
constant synthetic peer address: which socket and which remote address carry a packet is decided below, by the path
manager. One stream carries the control messages; RFC 9221 DATAGRAM frames carry media and never wait.
"""

import logging
from collections import deque

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (
    ConnectionTerminated,
    DatagramFrameReceived,
    HandshakeCompleted,
    PingAcknowledged,
    QuicEvent,
    StreamDataReceived,
    StreamReset,
)
from aioquic.quic.packet import QuicProtocolVersion
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from transport.identity.keys import Identity, certificate_pem
from transport.quic.admission import CID_BYTES, Admission
from transport.quic.call_events import (
    DatagramArrived,
    HandshakeDone,
    PeerEvent,
    StreamAcknowledged,
    StreamBytes,
    Terminated,
    TerminationReason,
    termination_reason,
)
from transport.quic.congestion import VOICE
from transport.quic.work import Cpu, WorkBudget, WorkLimit, uncharged
from transport.wire.call_messages import PEER_ALPN

_log = logging.getLogger(__name__)

# Not an IP address, so that no "preferred address" of a peer (RFC 9000 §9.6) can ever be acted upon.
PEER_ADDRESS = ("peer", 0)
# RFC 9000 §14: every path carries this much; larger packets are not ours to send.
MAX_PACKET_BYTES = 1_200
# What a datagram frame may hold so that one fits into a packet: 1,200 less short header (1 + 8 + 4), authentication
# tag (16), frame header (3), and room for an acknowledgement with a few ranges.
MAX_DATAGRAM_BYTES = 1_100
# The callee opens its first bidirectional stream (RFC 9000 §2.1): it speaks first, in the same flight as its TLS
# handshake, which saves a round trip before the proof.
CONTROL_STREAM = 1
# A call without any other path may wait 30 s for its relay ("reconnecting"); what ends it then is the link, with a
# reason. QUIC's own clock is only the backstop behind that.
IDLE_TIMEOUT_S = 40.0
# RFC 9000 §13.2.1 lets an acknowledgement wait for max_ack_delay, which aioquic announces as 25 ms. Frames leave each
# 20 ms, so an acknowledgement that waits this long rides on one: half the packets of a call, half the relay's work.
ACK_HOLD_S = 0.022
# A frame that could not leave for this long would be played by nobody: jitter buffers are shorter.
STALE_S = 0.2
# One second of frames; more than this waiting can only be a stall, and its oldest are stale.
MAX_WAITING_DATAGRAMS = 50
# Messages that the peer has not acknowledged. A minute of reports, or the candidates of many rounds.
STREAM_BACKLOG_BYTES = 65_536
# What a peer may make us hold of its stream before we have read it.
STREAM_WINDOW_BYTES = 65_536

# A call costs 2 to 5 % of a core here and its handshake 10 ms; a slow machine takes four times as long. The burst is
# longer than any pause of the garbage collector, which would otherwise be taken for the peer's doing.
PEER_WORK = WorkLimit(share=0.25, burst_s=1.0)
COSTLY = "the other side's packets cost too much"


def _configuration(*, is_client: bool) -> QuicConfiguration:
    return QuicConfiguration(
        is_client=is_client,
        alpn_protocols=[PEER_ALPN],
        supported_versions=[QuicProtocolVersion.VERSION_1],
        connection_id_length=CID_BYTES,
        congestion_control_algorithm=VOICE,
        idle_timeout=IDLE_TIMEOUT_S,
        max_datagram_size=MAX_PACKET_BYTES,
        max_datagram_frame_size=MAX_PACKET_BYTES,
        max_data=2 * STREAM_WINDOW_BYTES,
        max_stream_data=STREAM_WINDOW_BYTES,
    )


class PeerConnection:
    """One side of the connection. Feed it with :meth:`receive` and :meth:`advance`, then take :meth:`events` and
    :meth:`datagrams_to_send`; call :meth:`advance` at :meth:`next_deadline`. Nothing here raises on what a peer
    sends."""

    __slots__ = (
        "_admission",
        "_backlog",
        "_backlog_bytes",
        "_cpu",
        "_dirty",
        "_events",
        "_hold_until",
        "_inside",
        "_marks",
        "_quic",
        "_standing",
        "_terminated",
        "_waiting",
        "_work",
        "stale_dropped",
    )

    def __init__(self, quic: QuicConnection | None, admission: Admission | None, cpu: Cpu = uncharged) -> None:
        self._cpu = cpu
        self._work = WorkBudget(PEER_WORK)
        self._quic = quic
        self._admission = admission
        self._events: deque[PeerEvent] = deque()
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._inside: int | None = None
        self._backlog: dict[int, int] = {}
        self._backlog_bytes = 0
        self._marks = 0
        self._dirty = False
        self._hold_until: float | None = None
        self._standing = False
        self._terminated = False
        self.stale_dropped = 0
        """Datagrams given up at the sender because they would have left too late."""

    @classmethod
    def caller(cls, callee_certificate: bytes, token: bytes, cpu: Cpu = uncharged) -> "PeerConnection":
        """The client side; its only trust anchor is ``callee_certificate`` (DER), and ``token`` is what the callee
        admits. Raises IdentityError."""
        configuration = _configuration(is_client=True)
        configuration.token = token
        configuration.cadata = certificate_pem(callee_certificate)
        return cls(QuicConnection(configuration=configuration), None, cpu)

    @classmethod
    def callee(cls, identity: Identity, token: bytes, greeting: bytes, cpu: Cpu = uncharged) -> "PeerConnection":
        """The server side; it admits first packets with ``token``, and ``greeting`` is the first thing it says on
        the control stream."""
        configuration = _configuration(is_client=False)
        configuration.certificate = x509.load_der_x509_certificate(identity.certificate)
        configuration.private_key = Ed25519PrivateKey.from_private_bytes(identity.secret)

        def make(first_cid: bytes) -> QuicConnection:
            return QuicConnection(configuration=configuration, original_destination_connection_id=first_cid)

        def greet(quic: QuicConnection) -> None:
            # Opens CONTROL_STREAM: the first bidirectional stream of a server.
            quic.send_stream_data(quic.get_next_available_stream_id(), greeting)

        return cls(None, Admission(token, make, greet), cpu)

    @property
    def refused(self) -> int:
        """Datagrams that the callee did not let in."""
        return self._admission.refused if self._admission is not None else 0

    def open(self, now: float) -> None:
        """Caller: start the handshake. Does nothing on a callee or the second time."""
        if self._admission is None and self._quic is not None and self._quic.get_peer_address() is None:
            self._quic.connect(PEER_ADDRESS, now)
            self._dirty = True

    def receive(self, data: bytes, now: float) -> None:
        """Take one UDP payload from whatever path. Garbage and duplicates are ignored."""
        if self._terminated or _is_version_negotiation(data):
            return
        if self._quic is None and self._admission is not None:
            self._quic = self._admission.receive(data, now, self._feed)
            self._dirty = True
            if self._quic is None:
                return
            self._standing = True
            self._events.append(HandshakeDone())
        elif self._quic is not None:
            if self._quic.get_peer_address() is None:
                return
            if not self._feed(self._quic, data, now):
                costly = self._work.is_overdrawn(now)
                self._terminate("protocol", COSTLY if costly else "the other side sent something impossible")
                return
            if not self._standing:
                self._dirty = True
            elif self._hold_until is None:
                self._hold_until = now + ACK_HOLD_S
        self._collect()

    def advance(self, now: float) -> None:
        """Run what is due at ``now``; harmless when nothing is."""
        if self._terminated or (self._hold_until is not None and now < self._hold_until):
            return
        for quic in self._connections():
            deadline = quic.get_timer()
            if deadline is not None and deadline <= now:
                quic.handle_timer(now)
                self._dirty = True
        if self._quic is None and self._admission is not None:
            for attempt in self._admission.attempts:
                if any(isinstance(event, ConnectionTerminated) for event in _drain(attempt)):
                    self._admission.discard(attempt)
        self._collect()

    def next_deadline(self) -> float | None:
        """When :meth:`advance` is due."""
        if self._terminated:
            return None
        if self._hold_until is not None:
            return self._hold_until
        timers = [timer for quic in self._connections() if (timer := quic.get_timer()) is not None]
        return min(timers, default=None)

    def send_stream(self, data: bytes) -> int | None:
        """Append to the control stream; returns a mark for :class:`StreamAcknowledged`, or None when refused:
        before the handshake, after the end, or with :data:`STREAM_BACKLOG_BYTES` unacknowledged."""
        if self._quic is None or not self._standing or self._terminated:
            return None
        if self._backlog_bytes + len(data) > STREAM_BACKLOG_BYTES:
            return None
        try:
            self._quic.send_stream_data(CONTROL_STREAM, data)
        except ValueError:
            # Caller: the callee has not opened the stream; or somebody has finished it.
            return None
        self._marks += 1
        self._backlog[self._marks] = len(data)
        self._backlog_bytes += len(data)
        # A PING shares the packet of the stream frame and the fate of it, and its acknowledgement can be seen.
        self._quic.send_ping(self._marks)
        self._dirty = True
        return self._marks

    def send_datagram(self, data: bytes, now: float) -> bool:
        """Send one datagram at once or never. False when it cannot be sent: too long, or no connection."""
        if not self._standing or self._terminated or len(data) > MAX_DATAGRAM_BYTES:
            return False
        if len(self._waiting) == MAX_WAITING_DATAGRAMS:
            self._waiting.popleft()
            self.stale_dropped += 1
        self._waiting.append((now + STALE_S, data))
        self._dirty = True
        return True

    def close(self, code: int, text: str) -> None:
        """Say goodbye with an application error code; take :meth:`datagrams_to_send` once more, then forget it."""
        for quic in self._connections():
            quic.close(error_code=code, reason_phrase=text)
        self._waiting.clear()
        self._dirty = True

    def events(self) -> list[PeerEvent]:
        """What has happened since the last call, in order."""
        happened = list(self._events)
        self._events.clear()
        return happened

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """UDP payloads to send now. Acknowledgements alone wait for :data:`ACK_HOLD_S`."""
        if self._terminated:
            return []
        held = self._hold_until is not None and now >= self._hold_until
        if not (self._dirty or held or self._waiting):
            return []
        self._dirty = False
        self._hold_until = None
        out: list[bytes] = []
        if self._quic is None:
            for attempt in self._connections():
                self._flush(attempt, now, out)
            return out
        if not self._connections():
            return out
        while self._waiting and self._waiting[0][0] < now:
            self._waiting.popleft()
            self.stale_dropped += 1
        while self._waiting and self._inside is None:
            _, data = self._waiting.popleft()
            self._quic.send_datagram_frame(data)
            self._inside = len(data)
            self._flush(self._quic, now, out)
        if not out:
            self._flush(self._quic, now, out)
        return out

    def _flush(self, quic: QuicConnection, now: float, out: list[bytes]) -> None:
        """Collect what ``quic`` wants to send.

        aioquic queues datagram frames without telling how many wait. So it is given one at a time: it puts
        datagrams before stream data, hence any output at least as long as the frame contains the frame.
        """
        packets = [data for data, address in quic.datagrams_to_send(now) if address == PEER_ADDRESS]
        if self._inside is not None and sum(map(len, packets)) > self._inside:
            self._inside = None
        out += packets

    def _feed(self, quic: QuicConnection, data: bytes, now: float) -> bool:
        """Whether ``quic`` may go on: the packet has not broken it, and has not cost more than the peer may."""
        began = self._cpu()
        try:
            quic.receive_datagram(data, PEER_ADDRESS, now)
        except Exception:
            # aioquic parses TLS and X.509 from strangers. What it forgets to catch ends this connection alone.
            _log.exception("a packet broke the QUIC connection")
            return False
        return self._work.charge(self._cpu() - began, now)

    def _connections(self) -> tuple[QuicConnection, ...]:
        if self._quic is not None:
            # Before it knows an address, aioquic has neither timers nor anything to send.
            return (self._quic,) if self._quic.get_peer_address() is not None else ()
        return self._admission.attempts if self._admission is not None else ()

    def _collect(self) -> None:
        if self._quic is None:
            return
        for event in _drain(self._quic):
            self._translate(event)

    def _translate(self, event: QuicEvent) -> None:
        if isinstance(event, DatagramFrameReceived):
            self._events.append(DatagramArrived(event.data))
        elif isinstance(event, PingAcknowledged):
            self._backlog_bytes -= self._backlog.pop(event.uid, 0)
            self._events.append(StreamAcknowledged(event.uid))
        elif isinstance(event, StreamDataReceived):
            if event.stream_id != CONTROL_STREAM or event.end_stream:
                self._terminate("protocol", "the other side used streams as this protocol does not")
            else:
                self._events.append(StreamBytes(event.data))
        elif isinstance(event, StreamReset):
            self._terminate("protocol", "the other side reset a stream")
        elif isinstance(event, HandshakeCompleted):
            self._standing = True
            self._events.append(HandshakeDone())
        elif isinstance(event, ConnectionTerminated):
            self._terminate(termination_reason(event), event.reason_phrase)

    def _terminate(self, reason: TerminationReason, text: str) -> None:
        if not self._terminated:
            self._terminated = True
            self._standing = False
            self._waiting.clear()
            self._events.append(Terminated(reason, text))


def _is_version_negotiation(data: bytes) -> bool:
    """RFC 9000 §17.2.1: nothing authenticates it, and there is one version. One flipped bit makes it of an Initial."""
    return len(data) >= 5 and data[0] & 0x80 != 0 and not any(data[1:5])


def _drain(quic: QuicConnection) -> list[QuicEvent]:
    happened = []
    while (event := quic.next_event()) is not None:
        happened.append(event)
    return happened
