"""The client's end of the control connection: find the relay, make sure it is the right one, connect.

Trust in a relay comes from its pin or from the public authorities. With a pin the client connects once without
verification, only to *read* the certificate; if the pin matches it connects anew with that certificate as the
only trust anchor. Nothing is sent on the first connection. Whoever keeps the certificate saves that round.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from typing import Any

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography import x509

from transport.identity.errors import IdentityError
from transport.identity.keys import certificate_pem
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

# A relay that talks faster than its client reads; 256 presence messages come in one burst.
MAX_UNREAD_MESSAGES = 1_024
# A satellite link, and one retransmission of each flight.
HANDSHAKE_TIMEOUT_S = 6.0


# TLS alerts (RFC 8446 §6): bad, unsupported, revoked, expired and unknown certificates, and an unknown authority.
_CERTIFICATE_ALERTS = frozenset({42, 43, 44, 45, 46, 48})
_NO_APPLICATION_PROTOCOL = 120


class ControlError(Exception):
    """The control connection cannot be had or kept. The message is fit to be shown."""


class Unreachable(ControlError):
    """Nobody answers there, or the connection broke; trying again later makes sense."""


class WrongPin(ControlError):
    """The relay's certificate is not the one that the address is pinned to. Trying again makes no sense."""


class Untrusted(ControlError):
    """No trusted authority vouches for the relay, and the address has no pin."""


class OtherVersion(ControlError):
    """The relay speaks another version of the protocol."""


class RelayRefused(ControlError):
    """The relay's own first word was no. ``refused`` says why and when to try again."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.text)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One resolved address of a relay, as :func:`resolve` gives it."""

    family: socket.AddressFamily
    sockaddr: tuple[Any, ...]

    @property
    def ip(self) -> str:
        """The IP address in text, without a scope."""
        return str(self.sockaddr[0]).partition("%")[0]


async def resolve(address: RelayAddress) -> list[Endpoint]:
    """All addresses of a relay's host, in the system's order (RFC 6724). Raises :class:`Unreachable`."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"the relay's host “{address.host}” cannot be found") from error
    return list(dict.fromkeys(Endpoint(family, sockaddr) for family, _, _, _, sockaddr in found))


class ControlConnection:
    """An open connection to a relay. Made by :func:`connect_control`; owned, and closed, by its caller."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._unread: asyncio.Queue[RelayMessage | None] = asyncio.Queue()
        self._error: ControlError = Unreachable("the connection is not open")
        self._channel: ControlChannel | None = None
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self, configuration: QuicConfiguration) -> None:
        """Start the handshake; :meth:`receive` then gives the challenge or raises what went wrong."""
        loop = asyncio.get_running_loop()
        try:
            self._transport, self._channel = await loop.create_datagram_endpoint(
                lambda: ControlChannel(QuicConnection(configuration=configuration), self),
                family=self.endpoint.family,
                # Connected, so that the kernel drops strangers' packets and tells us when nothing listens there.
                remote_addr=self.endpoint.sockaddr[:2],
            )
        except OSError as error:
            raise Unreachable(f"no way to {self.endpoint.ip}: {error.strerror or error}") from error
        self._channel.connect(self._transport.get_extra_info("peername"))

    def send(self, message: ClientMessage) -> bool:
        """Queue one message; ``False`` when the connection is over."""
        return self._channel is not None and self._channel.send(message)

    async def receive(self) -> RelayMessage:
        """The next message. Once the connection is over: raises the :class:`ControlError` that says why."""
        message = await self._unread.get()
        if message is None:
            self._unread.put_nowait(None)  # for whoever asks again
            raise self._error
        return message

    def close(self, reason: str = "") -> None:
        """Say good-bye and give the socket back."""
        if self._channel is not None:
            self._channel.end(CloseCode.DONE, reason)
        if self._transport is not None:
            self._transport.close()

    # -- ChannelListener

    def channel_open(self, channel: ControlChannel) -> None:
        """The handshake is done; what counts is the challenge that follows."""

    def channel_document(self, channel: ControlChannel, document: bytes) -> None:
        """Decode one message and keep it for :meth:`receive`."""
        try:
            message = decode_relay_message(document)
        except WireError as error:
            channel.end(CloseCode.PROTOCOL, str(error))
            return
        if self._unread.qsize() >= MAX_UNREAD_MESSAGES:
            channel.end(CloseCode.TOO_MUCH, "the relay sends faster than this client reads")
            return
        self._unread.put_nowait(message)

    def channel_closed(self, channel: ControlChannel, alert: int | None, reason: str) -> None:
        """Wake the reader with what happened."""
        if alert in _CERTIFICATE_ALERTS:
            self._error = Untrusted(f"nobody trusted vouches for the relay at {self.endpoint.ip}: {reason}")
        elif alert == _NO_APPLICATION_PROTOCOL:
            self._error = OtherVersion(f"what answers at {self.endpoint.ip} is no relay of this version")
        else:
            self._error = Unreachable(reason)
        self._unread.put_nowait(None)


@dataclass(frozen=True, slots=True)
class Verified:
    """A verified connection and the relay's first word. Keep ``challenge.certificate`` for the next time."""

    connection: ControlConnection
    challenge: Challenge


async def connect_control(
    address: RelayAddress,
    endpoint: Endpoint,
    *,
    certificate: bytes | None = None,
    authorities: bytes | None = None,
    timeout_s: float = HANDSHAKE_TIMEOUT_S,
) -> Verified:
    """Connect to the relay at ``endpoint`` and verify that it is ``address``.

    ``certificate`` (DER) is what an earlier call has learnt; it counts only if it matches the pin.
    ``authorities`` (PEM) stands in for the system's public authorities, where a relay without a pin is vouched for
    by a private one. Raises :class:`Unreachable`, :class:`WrongPin`, :class:`Untrusted`,
    :class:`OtherVersion` or :class:`RelayRefused`.
    """
    if not address.pin:
        configuration = _configuration()
        configuration.server_name = address.host
        configuration.cadata = authorities
        connected = await _handshake(endpoint, configuration, timeout_s)
        if not _names_host(connected.challenge.certificate, address.host):
            connected.connection.close("certificate is for another host")
            raise Untrusted(f"the relay's challenge carries a certificate that is not for {address.host}")
        return connected
    if certificate is None or not matches_pin(certificate, address.pin):
        certificate = await _learn_certificate(address, endpoint, timeout_s)
    configuration = _configuration()
    configuration.cadata = certificate_pem(certificate)
    try:
        connected = await _handshake(endpoint, configuration, timeout_s)
    except Untrusted as error:
        raise WrongPin(_WRONG_PIN.format(host=address.host)) from error
    if not hmac.compare_digest(connected.challenge.certificate, certificate):
        connected.connection.close("challenge carries another certificate")
        raise WrongPin(_WRONG_PIN.format(host=address.host))
    return connected


_WRONG_PIN = (
    "the relay at {host} is not the one that its address is pinned to: either it was set up anew, or somebody "
    "stands between you and it"
)


async def _learn_certificate(address: RelayAddress, endpoint: Endpoint, timeout_s: float) -> bytes:
    configuration = _configuration()
    configuration.verify_mode = ssl.CERT_NONE
    connected = await _handshake(endpoint, configuration, timeout_s)
    connected.connection.close()
    certificate = connected.challenge.certificate
    if not matches_pin(certificate, address.pin):
        raise WrongPin(_WRONG_PIN.format(host=address.host))
    try:
        certificate_pem(certificate)
    except IdentityError as error:
        raise WrongPin(f"the relay at {address.host} shows a broken certificate") from error
    return certificate


def _configuration() -> QuicConfiguration:
    return QuicConfiguration(
        is_client=True,
        alpn_protocols=[CONTROL_ALPN],
        idle_timeout=IDLE_TIMEOUT_S,
        max_data=WINDOW_BYTES,
        max_stream_data=WINDOW_BYTES,
    )


async def _handshake(endpoint: Endpoint, configuration: QuicConfiguration, timeout_s: float) -> Verified:
    connection = ControlConnection(endpoint)
    try:
        async with asyncio.timeout(timeout_s):
            await connection.open(configuration)
            first = await connection.receive()
        if isinstance(first, Refused):
            raise RelayRefused(first)
        if not isinstance(first, Challenge):
            raise ControlError("the relay's first word was not its challenge")
        if first.version != CONTROL_VERSION:
            raise OtherVersion(f"the relay speaks version {first.version} of its protocol, we {CONTROL_VERSION}")
    except TimeoutError as error:
        connection.close()
        raise Unreachable(f"the relay at {endpoint.ip} does not answer") from error
    except BaseException:
        connection.close()
        raise
    return Verified(connection, first)


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
