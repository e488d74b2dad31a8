"""The relay's listening end of control connections: which datagram belongs to which channel, and who may begin.

``aioquic.asyncio`` has a server too, but it walks through every connection's IDs whenever one ends: with two thousand
clients that stops everything, media included, for milliseconds each time, and for seconds when a network goes away.
Here every datagram and every end costs the same however many clients there are.
"""

import asyncio
import contextlib
import ipaddress
import os
import socket
from typing import cast

from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import NetworkAddress, QuicConnection
from aioquic.quic.packet import (
    QuicHeader,
    QuicPacketType,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.retry import QuicRetryTokenHandler
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from transport.identity.keys import Identity
from transport.quic.relay_channel import IDLE_TIMEOUT_S, WINDOW_BYTES, ChannelListener, CloseCode, ControlChannel
from transport.wire.relay_messages import CONTROL_ALPN

# Holds the first packets of several hundred clients that come at once, as they do after a restart.
LISTEN_BUFFER_BYTES = 1_048_576
# RFC 9000 §14.1: what a client's first datagram is padded to. Shorter ones are never answered, so that no answer is
# longer than what caused it.
MIN_INITIAL_BYTES = 1_200
CID_BYTES = 8
# Connections that have not got as far as a protocol. An honest client is in this state for no time at all, since its
# first packet holds the whole TLS message; the oldest makes way.
MAX_UNOPENED = 256


def bind_udp(host: str, port: int) -> socket.socket:
    """A non-blocking UDP socket bound to one address; IPv6 sockets take IPv6 alone.

    Raises :class:`OSError`, or :class:`ValueError` when ``host`` is not an IP address.
    """
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        with contextlib.suppress(OSError):  # the kernel's maximum may be lower, which is no reason to fail
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LISTEN_BUFFER_BYTES)
        udp.setblocking(False)
        udp.bind((host, port))
    except (OSError, OverflowError):
        udp.close()
        raise
    return udp


class ControlServer:
    """Listens on any number of sockets; :meth:`close` ends every channel."""

    def __init__(self, identity: Identity, listener: ChannelListener) -> None:
        self._listener = listener
        self._doors: list[_Listener] = []
        self._configuration = QuicConfiguration(
            is_client=False,
            alpn_protocols=[CONTROL_ALPN],
            connection_id_length=CID_BYTES,
            idle_timeout=IDLE_TIMEOUT_S,
            max_data=WINDOW_BYTES,
            max_stream_data=WINDOW_BYTES,
        )
        self._configuration.certificate = x509.load_der_x509_certificate(identity.certificate)
        self._configuration.private_key = Ed25519PrivateKey.from_private_bytes(identity.secret)

    async def listen(self, udp: socket.socket) -> None:
        """Take over a bound socket. Every client's address is validated by a Retry (RFC 9000 §8.1.2)."""
        _, door = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Listener(self._configuration, self._listener), sock=udp
        )
        self._doors.append(door)

    def close(self) -> None:
        """End every channel and stop listening."""
        for door in self._doors:
            door.close()
        self._doors.clear()


class _Listener(asyncio.DatagramProtocol):
    """One listening socket and the channels on it, by connection ID."""

    def __init__(self, configuration: QuicConfiguration, listener: ChannelListener) -> None:
        self._configuration = configuration
        self._listener = listener
        self._retry = QuicRetryTokenHandler()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self.channels: dict[bytes, _AcceptedChannel] = {}
        # In the order in which they came.
        self.unopened: dict[_AcceptedChannel, None] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: NetworkAddress) -> None:
        try:
            header = pull_quic_header(Buffer(data=data), host_cid_length=CID_BYTES)
        except ValueError:
            return
        channel = self.channels.get(header.destination_cid) or self._begin(header, len(data), addr)
        if channel is not None:
            channel.datagram_received(data, addr)

    def close(self) -> None:
        for channel in set(self.channels.values()):
            channel.end(CloseCode.STOPPING, "the relay has stopped")
        self.channels.clear()
        self.unopened.clear()
        if self._transport is not None:
            self._transport.close()

    def _begin(self, header: QuicHeader, size: int, addr: NetworkAddress) -> "_AcceptedChannel | None":
        """A new channel for a client's first packet, once its token shows that it is where it says it is."""
        if size < MIN_INITIAL_BYTES or self._transport is None:
            return None
        if header.packet_type is QuicPacketType.VERSION_NEGOTIATION or header.version is None:
            return None
        if header.version not in self._configuration.supported_versions:
            answer = encode_quic_version_negotiation(
                source_cid=header.destination_cid,
                destination_cid=header.source_cid,
                supported_versions=self._configuration.supported_versions,
            )
            self._transport.sendto(answer, addr)
            return None
        if header.packet_type is not QuicPacketType.INITIAL:
            return None
        if not header.token:
            self._transport.sendto(self._retry_for(header, header.version, addr), addr)
            return None
        try:
            first_cid = self._retry.validate_token(
                address=addr, destination_cid=header.destination_cid, token=header.token, now=self._loop.time()
            )
        except ValueError:
            return None  # out of date, or somebody else's: the client begins anew by itself
        while len(self.unopened) >= MAX_UNOPENED:
            next(iter(self.unopened)).end(CloseCode.FULL, "too many connections are being opened")
        connection = QuicConnection(
            configuration=self._configuration,
            original_destination_connection_id=first_cid,
            retry_source_connection_id=header.destination_cid,
        )
        channel = _AcceptedChannel(connection, self._listener, self)
        channel.connection_made(self._transport)
        channel.own(header.destination_cid)
        channel.own(connection.host_cid)
        self.unopened[channel] = None
        return channel

    def _retry_for(self, header: QuicHeader, version: int, addr: NetworkAddress) -> bytes:
        source_cid = os.urandom(CID_BYTES)
        token = self._retry.create_token(
            address=addr,
            original_destination_connection_id=header.destination_cid,
            retry_source_connection_id=source_cid,
            now=self._loop.time(),
        )
        return encode_quic_retry(
            version=version,
            source_cid=source_cid,
            destination_cid=header.source_cid,
            original_destination_cid=header.destination_cid,
            retry_token=token,
        )


class _AcceptedChannel(ControlChannel):
    """A channel that knows its connection IDs, so that its end need not be searched for."""

    def __init__(self, quic: QuicConnection, listener: ChannelListener, door: _Listener) -> None:
        super().__init__(quic, listener)
        self._door = door
        self._cids: set[bytes] = set()

    def own(self, cid: bytes) -> None:
        """Datagrams to this ID are ours."""
        self._cids.add(cid)
        self._door.channels[cid] = self

    def end(self, code: CloseCode, reason: str) -> None:
        """As for every channel; it no longer counts as one that is being opened."""
        self._door.unopened.pop(self, None)
        super().end(code, reason)

    def quic_event_received(self, event: events.QuicEvent) -> None:
        """Keep the door's list, then do what every channel does."""
        match event:
            case events.ConnectionIdIssued(connection_id=cid):
                self.own(cid)
            case events.ConnectionIdRetired(connection_id=cid):
                self._cids.discard(cid)
                self._door.channels.pop(cid, None)
            case events.ProtocolNegotiated():
                self._door.unopened.pop(self, None)
            case events.ConnectionTerminated():
                self._door.unopened.pop(self, None)
                for cid in self._cids:
                    self._door.channels.pop(cid, None)
                self._cids.clear()
        super().quic_event_received(event)
