"""The relay's end of control channels: which datagram belongs to which channel, and who may open one.

``aioquic.asyncio`` has a server too, but it walks through every connection's IDs whenever one ends: with two thousand
clients that stops everything, media included, for milliseconds each time, and for seconds when a network goes away.
Here every datagram and every end costs the same however many clients there are.

:class:`ControlListener` has no I/O: it takes datagrams and a clock. :class:`ControlServer` runs listeners on asyncio.
"""

import asyncio
import contextlib
import ipaddress
import os
import socket
import time
from collections.abc import Callable
from typing import Protocol

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
from transport.quic.relay_channel import IDLE_TIMEOUT_S, WINDOW_BYTES, ChannelHandler, CloseCode, ControlChannel
from transport.quic.work import AddressBudgets, Cpu, WorkBudget, WorkLimit
from transport.wire.relay_messages import CONTROL_ALPN, ClientMessage, RelayMessage

# Holds the first packets of several hundred clients that come at once, as they do after a restart.
LISTEN_BUFFER_BYTES = 1_048_576
# RFC 9000 §14.1: what a client's first datagram is padded to. Shorter ones are never answered, so that no answer is
# longer than what caused it.
MIN_INITIAL_BYTES = 1_200
CID_BYTES = 8
# Connections that have not got as far as a protocol. An honest client is in this state for no time at all, since its
# first packet holds the whole TLS message; the oldest makes way.
MAX_UNOPENED = 256
# A handshake takes 3 to 8 ms of CPU here and a message 0.1 to 0.3 ms, so that this is 20 times what the most talkative
# honest client costs, on a machine a quarter as fast too.
CHANNEL_WORK = WorkLimit(share=0.05, burst_s=0.2)
# Some 250 handshakes at once, as when an office's clients come back after a restart, and then 30 a second.
ADDRESS_WORK = WorkLimit(share=0.25, burst_s=2.0)


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


class Timer(Protocol):
    """What :meth:`Clock.call_at` returns."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """The part of an event loop that a relay needs; an asyncio loop is one."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer: ...


class ControlServer:
    """Listens on any number of sockets; :meth:`close` ends every channel."""

    def __init__(self, identity: Identity, handler: ChannelHandler, address_work: WorkLimit = ADDRESS_WORK) -> None:
        self._identity = identity
        self._handler = handler
        self._addresses = AddressBudgets(address_work)
        self.listeners: list[ControlListener] = []
        self._transports: list[asyncio.DatagramTransport] = []

    async def listen(self, udp: socket.socket) -> None:
        """Take over a bound socket."""
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(_Protocol, sock=udp)
        protocol.listener = ControlListener(self._identity, self._handler, loop, transport.sendto, self._addresses)
        self._transports.append(transport)
        self.listeners.append(protocol.listener)

    def close(self) -> None:
        """End every channel and stop listening."""
        for listener in self.listeners:
            listener.close()
        for transport in self._transports:
            transport.close()
        self.listeners.clear()
        self._transports.clear()


class _Protocol(asyncio.DatagramProtocol):
    """Hands datagrams to a listener."""

    def __init__(self) -> None:
        self.listener: ControlListener | None = None

    def datagram_received(self, data: bytes, addr: NetworkAddress) -> None:
        if self.listener is not None:
            self.listener.receive(data, addr)


class ControlListener:
    """One listening socket and the channels on it, by connection ID. Every client's address is validated by a Retry
    (RFC 9000 §8.1.2)."""

    def __init__(
        self,
        identity: Identity,
        handler: ChannelHandler,
        clock: Clock,
        send: Callable[[bytes, NetworkAddress], None],
        addresses: AddressBudgets | None = None,
        cpu: Cpu = time.thread_time,
    ) -> None:
        """``addresses`` is what all listeners of a relay share; ``cpu`` the clock that work is charged by."""
        self._addresses = AddressBudgets(ADDRESS_WORK) if addresses is None else addresses
        self._cpu = cpu
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
        self._retry = QuicRetryTokenHandler()
        self.handler = handler
        self.clock = clock
        self.send = send
        self.channels: dict[bytes, AcceptedChannel] = {}
        # In the order in which they came.
        self.unopened: dict[AcceptedChannel, None] = {}

    def receive(self, data: bytes, source: NetworkAddress) -> None:
        """Take one datagram from the socket."""
        try:
            header = pull_quic_header(Buffer(data=data), host_cid_length=CID_BYTES)
        except ValueError:
            return
        began, now = self._cpu(), self.clock.time()
        channel = self.channels.get(header.destination_cid) or self._accept(header, len(data), source)
        if channel is None:
            return
        is_from_client = source[0] == channel.remote[0] or not channel.is_open
        if not is_from_client and channel.elsewhere.is_overdrawn(now):
            return
        channel.receive(data, source, now)
        spent_s = self._cpu() - began
        if not is_from_client:
            # A client that has moved, or somebody who has seen its connection ID: over the budget its packets are
            # lost, but nobody ends a channel from an address that is not its client's.
            channel.elsewhere.charge(spent_s, now)
            return
        self._addresses.charge(source[0], spent_s, now)
        channel.charge(spent_s, now)

    def close(self) -> None:
        """End every channel."""
        for channel in set(self.channels.values()):
            channel.end(CloseCode.STOPPING, "the relay has stopped")
            channel.abandon()
        self.channels.clear()
        self.unopened.clear()

    def _accept(self, header: QuicHeader, size: int, source: NetworkAddress) -> "AcceptedChannel | None":
        """A new channel for a client's first packet, once its token shows that it is where it says it is."""
        if size < MIN_INITIAL_BYTES or header.packet_type is QuicPacketType.VERSION_NEGOTIATION:
            return None
        if header.version is None:
            return None
        if header.version not in self._configuration.supported_versions:
            answer = encode_quic_version_negotiation(
                source_cid=header.destination_cid,
                destination_cid=header.source_cid,
                supported_versions=self._configuration.supported_versions,
            )
            self.send(answer, source)
            return None
        if header.packet_type is not QuicPacketType.INITIAL:
            return None
        if not header.token:
            self.send(self._retry_for(header, header.version, source), source)
            return None
        try:
            first_cid = self._retry.validate_token(
                address=source, destination_cid=header.destination_cid, token=header.token, now=self.clock.time()
            )
        except ValueError:
            return None  # out of date, or somebody else's: the client begins anew by itself
        if self._addresses.is_overdrawn(source[0], self.clock.time()):
            return None  # it tries again by itself, as after a loss
        while len(self.unopened) >= MAX_UNOPENED:
            next(iter(self.unopened)).end(CloseCode.FULL, "too many connections are being opened")
        connection = QuicConnection(
            configuration=self._configuration,
            original_destination_connection_id=first_cid,
            retry_source_connection_id=header.destination_cid,
        )
        channel = AcceptedChannel(connection, self)
        channel.own(header.destination_cid)
        channel.own(connection.host_cid)
        self.unopened[channel] = None
        return channel

    def _retry_for(self, header: QuicHeader, version: int, source: NetworkAddress) -> bytes:
        source_cid = os.urandom(CID_BYTES)
        token = self._retry.create_token(
            address=source,
            original_destination_connection_id=header.destination_cid,
            retry_source_connection_id=source_cid,
            now=self.clock.time(),
        )
        return encode_quic_retry(
            version=version,
            source_cid=source_cid,
            destination_cid=header.source_cid,
            original_destination_cid=header.destination_cid,
            retry_token=token,
        )


class AcceptedChannel(ControlChannel):
    """A channel that sends by itself, and knows its connection IDs, so that its end need not be searched for."""

    def __init__(self, quic: QuicConnection, listener: ControlListener) -> None:
        super().__init__(quic, listener.handler)
        self._acceptor = listener
        self._cids: set[bytes] = set()
        self._timer: Timer | None = None
        self._timer_at: float | None = None
        self._work = WorkBudget(CHANNEL_WORK)
        self.elsewhere = WorkBudget(CHANNEL_WORK)
        """For packets from other addresses than the client's."""

    def own(self, cid: bytes) -> None:
        """Datagrams to this ID are ours."""
        self._cids.add(cid)
        self._acceptor.channels[cid] = self

    def receive(self, data: bytes, source: NetworkAddress, now: float) -> None:
        """As for every channel; what follows is sent."""
        super().receive(data, source, now)
        self._flush()

    def send(self, message: ClientMessage | RelayMessage) -> bool:
        """As for every channel, and sent at once."""
        sent = super().send(message)
        self._flush()
        return sent

    def end(self, code: CloseCode, reason: str) -> None:
        """As for every channel; it no longer counts as one that is being opened."""
        self._acceptor.unopened.pop(self, None)
        super().end(code, reason)
        self._flush()

    def charge(self, spent_s: float, now: float) -> None:
        """Take CPU time off what this client may cost; a channel that has used it up ends."""
        if not self._work.charge(spent_s, now):
            self.end(CloseCode.TOO_MUCH, "this session costs the relay too much; connect again later")

    def abandon(self) -> None:
        """Do not wait for QUIC to drain."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        for data, destination in self.datagrams_to_send(self._acceptor.clock.time()):
            self._acceptor.send(data, destination)
        due = self.next_deadline()
        if self._timer is not None and self._timer_at != due:
            self._timer.cancel()
            self._timer = None
        if self._timer is None and due is not None:
            self._timer = self._acceptor.clock.call_at(due, self._on_timer)
        self._timer_at = due

    def _on_timer(self) -> None:
        due, self._timer = self._timer_at or 0.0, None
        # An event loop may fire within its clock's resolution before the time.
        self.advance(max(due, self._acceptor.clock.time()))
        self._flush()

    def _on_event(self, event: events.QuicEvent) -> None:
        match event:
            case events.ConnectionIdIssued(connection_id=cid):
                self.own(cid)
            case events.ConnectionIdRetired(connection_id=cid):
                self._cids.discard(cid)
                self._acceptor.channels.pop(cid, None)
            case events.ProtocolNegotiated():
                self._acceptor.unopened.pop(self, None)
            case events.ConnectionTerminated():
                self._acceptor.unopened.pop(self, None)
                for cid in self._cids:
                    self._acceptor.channels.pop(cid, None)
                self._cids.clear()
        super()._on_event(event)
