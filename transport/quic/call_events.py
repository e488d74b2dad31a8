"""What happens on the connection of a call; see :mod:`transport.quic.call_connection`."""

from dataclasses import dataclass
from typing import Literal

from aioquic.quic.events import (
    ConnectionTerminated,
)
from aioquic.quic.packet import QuicErrorCode
from aioquic.tls import AlertDescription

TerminationReason = Literal["closed", "idle", "wrong-certificate", "bad-proof", "protocol"]


# Application error codes (RFC 9000 §20.2) of ALPN segue-call/1.
CLOSE_NORMAL = 0
CLOSE_BAD_PROOF = 1
CLOSE_PROTOCOL = 2
_CLOSE_REASONS: dict[int, TerminationReason] = {CLOSE_NORMAL: "closed", CLOSE_BAD_PROOF: "bad-proof"}


_CERTIFICATE_ALERTS = frozenset(
    {
        AlertDescription.bad_certificate,
        AlertDescription.unsupported_certificate,
        AlertDescription.certificate_revoked,
        AlertDescription.certificate_expired,
        AlertDescription.certificate_unknown,
        AlertDescription.unknown_ca,
        # The right certificate, shown by somebody without its key.
        AlertDescription.decrypt_error,
    }
)


@dataclass(frozen=True, slots=True)
class HandshakeDone:
    """Keys stand; for the caller the callee's certificate has been verified."""


@dataclass(frozen=True, slots=True)
class StreamBytes:
    """The next bytes of the control stream."""

    data: bytes


@dataclass(frozen=True, slots=True)
class StreamAcknowledged:
    """The peer has received what :meth:`PeerConnection.send_stream` returned ``mark`` for."""

    mark: int


@dataclass(frozen=True, slots=True)
class DatagramArrived:
    """One datagram frame, complete and authentic."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Terminated:
    """The connection is over; nothing follows."""

    reason: TerminationReason
    text: str


PeerEvent = HandshakeDone | StreamBytes | StreamAcknowledged | DatagramArrived | Terminated


def termination_reason(event: ConnectionTerminated) -> TerminationReason:
    """Why a connection has ended, from QUIC's error (RFC 9000 §20, RFC 9001 §4.8)."""
    if event.reason_phrase == "Idle timeout" and event.error_code == QuicErrorCode.INTERNAL_ERROR:
        return "idle"
    if event.error_code == QuicErrorCode.APPLICATION_ERROR:
        # RFC 9000 §10.2.3: what an application close becomes before the handshake is confirmed.
        return "closed"
    if event.frame_type is None:
        return _CLOSE_REASONS.get(event.error_code, "protocol")
    alert = event.error_code - QuicErrorCode.CRYPTO_ERROR
    if alert in _CERTIFICATE_ALERTS:
        return "wrong-certificate"
    return "protocol"
