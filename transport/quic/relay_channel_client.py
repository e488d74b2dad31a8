"""The client's end of a control channel: connect, and verify that the relay is the right one; without I/O.

Trust in a relay comes from its pin or from the public authorities. With a pin the client connects once without
verification, only to *read* the certificate; if that matches the pin it connects again with the certificate as the
only trust anchor. It sends nothing on the first connection. Whoever keeps the certificate saves that round.
"""

import hashlib
import hmac
import ipaddress
from collections import deque
from dataclasses import dataclass

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography import x509

from transport.identity.errors import IdentityError
from transport.identity.keys import certificate_pem
from transport.net.sockets import Address
from transport.quic.relay_channel import IDLE_TIMEOUT_S, WINDOW_BYTES, CloseCode, ControlChannel
from transport.wire.addresses import RelayAddress
from transport.wire.errors import WireError
from transport.wire.relay_messages import (
    CONTROL_ALPN,
    CONTROL_VERSION,
    Challenge,
    ClientMessage,
    Refused,
    RelayMessage,
    decode_relay_message,
)

# TLS alerts (RFC 8446 §6): bad, unsupported, revoked, expired and unknown certificates, and an unknown authority.
_CERTIFICATE_ALERTS = frozenset({42, 43, 44, 45, 46, 48})
_NO_APPLICATION_PROTOCOL = 120
# ssl.CERT_NONE, by its number: a machine without I/O does not import ssl.
_VERIFY_NOTHING = 0

# Trying again makes no sense after these.
FINAL_CODES = frozenset({"wrong-pin", "untrusted", "version", "bad-proof", "not-registered", "replaced"})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a connection or a request came to nothing. ``code``: a refusal code of the relay, ``unreachable``,
    ``protocol``, or one of :data:`FINAL_CODES`; ``text`` is fit to be shown."""

    code: str
    text: str
    retry_after_s: float = 0.0

    @property
    def is_final(self) -> bool:
        """Whether trying again makes no sense."""
        return self.code in FINAL_CODES

    @classmethod
    def of(cls, refused: Refused) -> "Failure":
        """The relay's own refusal."""
        return cls(refused.code, refused.text, refused.retry_after_s)


class RelayConnection:
    """One connection to one address of a relay. :attr:`challenge` is set once the relay is verified, :attr:`failure`
    once the connection is over.

    ``certificate`` (DER) is the trust anchor for an address with a pin; without one (:attr:`is_reading`) the
    connection only reads the certificate into :attr:`challenge` and compares it with the pin. ``authorities`` (PEM)
    replaces the system's public authorities for an address without a pin.
    """

    def __init__(self, address: RelayAddress, certificate: bytes | None = None, authorities: bytes | None = None):
        self._address = address
        self._certificate = certificate if address.pin else None
        self.is_reading = bool(address.pin) and certificate is None
        configuration = QuicConfiguration(
            is_client=True,
            alpn_protocols=[CONTROL_ALPN],
            idle_timeout=IDLE_TIMEOUT_S,
            max_data=WINDOW_BYTES,
            max_stream_data=WINDOW_BYTES,
        )
        if self.is_reading:
            configuration.verify_mode = _VERIFY_NOTHING
        elif self._certificate is not None:
            configuration.cadata = certificate_pem(self._certificate)
        else:
            configuration.server_name = address.host
            configuration.cadata = authorities
        self.channel = ControlChannel(QuicConnection(configuration=configuration), self)
        self.challenge: Challenge | None = None
        self.failure: Failure | None = None
        self.messages: deque[RelayMessage] = deque()
        """What the relay has sent after its challenge, oldest first; the owner takes it from here."""

    def connect(self, remote: Address, now: float) -> None:
        """Start the handshake."""
        self.channel.connect(remote, now)

    def send(self, message: ClientMessage) -> bool:
        """Queue one message; ``False`` when the connection is over."""
        return self.channel.send(message)

    def close(self, reason: str = "") -> None:
        """Say goodbye; send :meth:`ControlChannel.datagrams_to_send` once more, then forget the connection."""
        self.channel.end(CloseCode.DONE, reason)

    # -- ChannelHandler

    def channel_open(self, channel: ControlChannel) -> None:
        """The handshake is done; what counts is the challenge that follows."""

    def channel_document(self, channel: ControlChannel, document: bytes) -> None:
        """Decode one message; the first one has to be the challenge."""
        try:
            message = decode_relay_message(document)
        except WireError as error:
            channel.end(CloseCode.PROTOCOL, str(error))
            return
        if self.challenge is not None:
            self.messages.append(message)
            return
        self.failure = self._problem_with(message)
        if self.failure is not None:
            self.close("not the relay that was called")
        elif isinstance(message, Challenge):
            self.challenge = message

    def channel_closed(self, channel: ControlChannel, alert: int | None, reason: str) -> None:
        """Say why the connection is over."""
        if self.failure is not None:
            return
        host = self._address.host
        if alert == _NO_APPLICATION_PROTOCOL:
            self.failure = Failure("version", f"what answers at {host} is no relay of this version")
        elif alert not in _CERTIFICATE_ALERTS:
            self.failure = Failure("unreachable", reason)
        elif self._certificate is not None:
            self.failure = self._wrong_pin()
        else:
            self.failure = Failure("untrusted", f"no trusted authority vouches for the relay at {host}: {reason}")

    def _problem_with(self, first: RelayMessage) -> Failure | None:
        host = self._address.host
        if isinstance(first, Refused):
            return Failure.of(first)
        if not isinstance(first, Challenge):
            return Failure("protocol", "the relay's first message was not its challenge")
        if first.version != CONTROL_VERSION:
            return Failure("version", f"the relay speaks version {first.version} of its protocol, we {CONTROL_VERSION}")
        if self.is_reading:
            if not matches_pin(first.certificate, self._address.pin):
                return self._wrong_pin()
            try:
                certificate_pem(first.certificate)
            except IdentityError:
                return Failure("wrong-pin", f"the relay at {host} shows a broken certificate")
        elif self._certificate is not None:
            if not hmac.compare_digest(first.certificate, self._certificate):
                return self._wrong_pin()
        elif not _names_host(first.certificate, host):
            return Failure("untrusted", f"the relay's challenge carries a certificate that is not for {host}")
        return None

    def _wrong_pin(self) -> Failure:
        return Failure(
            "wrong-pin",
            f"the relay at {self._address.host} is not the one that its address is pinned to: either it was set up "
            "anew, or somebody stands between you and it",
        )


def _names_host(certificate: bytes, host: str) -> bool:
    """Whether a certificate is for ``host`` (RFC 9525 §6.3, a wildcard for the whole leftmost label).

    TLS has verified the relay's certificate for that name already; this says that what we sign, which is bound to
    the certificate in the challenge, is of no use at a relay of another name.
    """
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    try:
        return ipaddress.ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        wanted = host.rstrip(".").lower()
    parent = "*." + wanted.partition(".")[2]
    return any(name.rstrip(".").lower() in (wanted, parent) for name in names.get_values_for_type(x509.DNSName))


def matches_pin(certificate: bytes, pin: str) -> bool:
    """Whether the SHA-256 of a DER certificate begins with ``pin`` (hex); compared in constant time."""
    digest = hashlib.sha256(certificate).hexdigest()
    return hmac.compare_digest(digest[: len(pin)].encode(), pin.encode())
