"""Admission at the callee: which first packets become a connection.

Anyone who can forge the relay's address can send a first packet, and a callee answers before it knows who calls. So
a first packet has to carry a token (RFC 9000 §8.1) that only those know who know the call: its two sides and their
relay. Of these there is never more than one connection, and before it stands only a bounded number of attempts,
made at a bounded rate, each of which holds some kilobytes. The first attempt whose handshake completes is the
connection; who sits at its other end is then proven on its control stream (:mod:`transport.link.handshake`).
"""

import hmac
from collections.abc import Callable

from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, ProtocolNegotiated
from aioquic.quic.packet import QuicPacketType, QuicProtocolVersion, pull_quic_header

from transport.net.token_bucket import Rate, TokenBucket

# RFC 9000 §14.1: a client pads its first datagram to this; a server drops shorter ones.
MIN_INITIAL_BYTES = 1_200
# RFC 9000 §7.2: a client chooses at least this much for its first destination connection ID.
MIN_FIRST_CID_BYTES = 8
CID_BYTES = 8
# One honest caller makes one attempt. Four let it in beside three forged ones; the oldest makes way for a new one.
MAX_ATTEMPTS = 4
# An attempt costs about 1 ms of CPU: ten in a second are 1 % of a core, and an honest caller, who repeats its
# first packet after 0.2, 0.6, 1.4 … s, still gets through.
ATTEMPTS_PER_S = 10.0
_RATE = Rate(MAX_ATTEMPTS, ATTEMPTS_PER_S)


class Admission:
    """Attempts at a connection to this callee, until one of them has completed its handshake."""

    __slots__ = ("_attempts", "_bucket", "_greet", "_make", "_token", "refused")

    def __init__(
        self,
        token: bytes,
        make: Callable[[bytes], QuicConnection],
        greet: Callable[[QuicConnection], None],
    ) -> None:
        """``make`` builds a server connection for a first destination connection ID; ``greet`` is called once for
        each attempt as soon as data can be sent on it (in the same flight as TLS's, RFC 9001 §4.1.2)."""
        self._token = token
        self._make = make
        self._greet = greet
        self._attempts: list[QuicConnection] = []
        self._bucket = TokenBucket(_RATE, 0.0)
        self.refused = 0
        """Datagrams that were not let in."""

    @property
    def attempts(self) -> tuple[QuicConnection, ...]:
        """Oldest first, at most :data:`MAX_ATTEMPTS`."""
        return tuple(self._attempts)

    def receive(
        self, data: bytes, now: float, feed: Callable[[QuicConnection, bytes, float], bool]
    ) -> QuicConnection | None:
        """Take one datagram; returns the attempt that has just completed its handshake, if one has.

        ``feed`` gives a datagram to a connection and returns False when the connection is broken by it.
        """
        attempt = self._attempt_for(data, now)
        if attempt is None:
            self.refused += 1
            return None
        fresh = attempt not in self._attempts
        sound = feed(attempt, data, now)
        has_events = False
        while sound and (event := attempt.next_event()) is not None:
            has_events = True
            if isinstance(event, ProtocolNegotiated):
                self._greet(attempt)
            elif isinstance(event, HandshakeCompleted):
                self._attempts.clear()
                return attempt
            elif isinstance(event, ConnectionTerminated):
                sound = False
        if fresh and sound and has_events:
            if len(self._attempts) == MAX_ATTEMPTS:
                del self._attempts[0]
            self._attempts.append(attempt)
        elif not sound:
            self.discard(attempt)
        if fresh and not has_events:
            # Not a ClientHello: nothing is kept of it.
            self.refused += 1
        return None

    def discard(self, attempt: QuicConnection) -> None:
        """Forget an attempt that has failed."""
        if attempt in self._attempts:
            self._attempts.remove(attempt)

    def _attempt_for(self, data: bytes, now: float) -> QuicConnection | None:
        try:
            header = pull_quic_header(Buffer(data=data), host_cid_length=CID_BYTES)
        except ValueError:
            return None
        initial = header.packet_type is QuicPacketType.INITIAL
        for attempt in self._attempts:
            if header.destination_cid == attempt.host_cid or (
                initial and header.destination_cid == attempt.original_destination_connection_id
            ):
                return attempt
        if (
            not initial
            or header.version != QuicProtocolVersion.VERSION_1
            or len(data) < MIN_INITIAL_BYTES
            or len(header.destination_cid) < MIN_FIRST_CID_BYTES
            or not hmac.compare_digest(header.token, self._token)
            or self._bucket.take(_RATE, now)
        ):
            return None
        return self._make(header.destination_cid)
