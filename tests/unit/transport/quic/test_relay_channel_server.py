"""transport.quic.relay_channel_server: how it answers packet by packet, and that it forgets whoever has left."""

import asyncio
import hashlib
import ssl
import time
from collections.abc import Awaitable, Callable

import pytest
from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicPacketType, pull_quic_header

from tests.unit.relay.live import Udp
from tests.unit.relay.people import person
from tests.unit.transport.quic.control_client import connect_control
from tests.unit.transport.quic.test_relay_channel import Listener
from transport.quic import relay_channel_server
from transport.quic.relay_channel import CloseCode
from transport.quic.relay_channel_server import ControlServer, bind_udp
from transport.wire.addresses import RelayAddress
from transport.wire.relay_messages import CONTROL_ALPN, CONTROL_VERSION, Challenge

RELAY = person(2_000)
WAIT_S = 10.0


def serve(scenario: Callable[[ControlServer, Listener, int], Awaitable[None]]) -> None:
    async def main() -> None:
        listener = Listener(Challenge(CONTROL_VERSION, b"n" * 32, RELAY.certificate))
        server = ControlServer(RELAY, listener)
        udp = bind_udp("127.0.0.1", 0)
        port = udp.getsockname()[1]
        await server.listen(udp)
        try:
            await scenario(server, listener, port)
        finally:
            server.close()
            await asyncio.sleep(0)

    asyncio.run(main())


def long_header(version: bytes, token: bytes = b"", first: int = 0xC0) -> bytes:
    """An Initial (RFC 9000 §17.2.2) with nothing readable in it."""
    head = bytes([first]) + version + b"\x08" + b"d" * 8 + b"\x08" + b"s" * 8 + bytes([len(token)]) + token
    rest = 1_200 - len(head) - 2
    return head + (0x4000 | rest).to_bytes(2, "big") + bytes(rest)


async def honest(port: int) -> None:
    """A good client still gets in."""
    address = RelayAddress("127.0.0.1", port, hashlib.sha256(RELAY.certificate).hexdigest()[:32])
    (await connect_control(address, certificate=RELAY.certificate)).close()


def test_first_packets_are_answered_by_what_they_are() -> None:
    async def scenario(server: ControlServer, listener: Listener, port: int) -> None:
        with Udp() as udp:
            udp.send(long_header(b"\0\0\0\1"), port)
            retry = await udp.receive()
            assert kind(retry) is QuicPacketType.RETRY and len(retry) < 1_200
            udp.send(long_header(b"\x0a\x0a\x0a\x0a"), port)
            negotiation = await udp.receive()
            assert kind(negotiation) is QuicPacketType.VERSION_NEGOTIATION
            for silent in (
                long_header(b"\0\0\0\1")[:1_199],
                long_header(b"\x0a\x0a\x0a\x0a")[:1_199],
                long_header(b"\0\0\0\0"),
                long_header(b"\0\0\0\1", b"t" * 60),
                long_header(b"\0\0\0\1", first=0xE0),
                b"\x40" * 1_200,
                b"",
            ):
                udp.send(silent, port)
            # Datagrams of one socket stay in order on loopback: after this answer all of them have been looked at.
            udp.send(long_header(b"\0\0\0\1"), port)
            assert kind(await udp.receive()) is QuicPacketType.RETRY
            assert udp.pending() is None
        assert not server.listeners[0].channels

    serve(scenario)


def kind(data: bytes) -> QuicPacketType:
    return pull_quic_header(Buffer(data=data), host_cid_length=8).packet_type


def test_connections_that_never_get_anywhere_make_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_channel_server, "MAX_UNOPENED", 2)

    async def scenario(server: ControlServer, listener: Listener, port: int) -> None:
        sockets = [Udp() for _ in range(4)]
        for udp in sockets:
            # So many protocols that the TLS message needs two packets, of which only the first is sent.
            configuration = QuicConfiguration(alpn_protocols=["x" * 250] * 8, verify_mode=ssl.CERT_NONE)
            client = QuicConnection(configuration=configuration)
            client.connect(("127.0.0.1", port), time.monotonic())
            udp.send(client.datagrams_to_send(time.monotonic())[0][0], port)
            client.receive_datagram(await udp.receive(), ("127.0.0.1", port), time.monotonic())
            udp.send(client.datagrams_to_send(time.monotonic())[0][0], port)
            await udp.receive()  # its acknowledgement
        assert len(server.listeners[0].unopened) == 2
        assert not listener.channels
        await honest(port)
        # It took the place of the oldest while it came in, and left it open.
        assert len(listener.channels) == 1 and len(server.listeners[0].unopened) == 1
        for udp in sockets:
            udp.close()

    serve(scenario)


@pytest.mark.parametrize("who_ends", ["client", "relay"])
def test_it_forgets_every_connection_id_of_whoever_has_left(who_ends: str) -> None:
    async def scenario(server: ControlServer, listener: Listener, port: int) -> None:
        with Udp() as udp:
            configuration = QuicConfiguration(alpn_protocols=[CONTROL_ALPN], verify_mode=ssl.CERT_NONE)
            client = QuicConnection(configuration=configuration)
            client.connect(("127.0.0.1", port), time.monotonic())
            while not listener.channels:
                for data, _ in client.datagrams_to_send(time.monotonic()):
                    udp.send(data, port)
                client.receive_datagram(await udp.receive(), ("127.0.0.1", port), time.monotonic())
            for data, _ in client.datagrams_to_send(time.monotonic()):
                udp.send(data, port)
            client.receive_datagram(await udp.receive(), ("127.0.0.1", port), time.monotonic())
            known = server.listeners[0].channels
            assert len(known) >= 2 and not server.listeners[0].unopened
            if who_ends == "client":
                client.close()
                for data, _ in client.datagrams_to_send(time.monotonic()):
                    udp.send(data, port)
            else:
                listener.channels[0].end(CloseCode.DONE, "enough")
            async with asyncio.timeout(WAIT_S):
                # Closing and draining take three probe time-outs (RFC 9000 §10.2).
                while known:  # noqa: ASYNC110 - nothing but the list is there to wait for
                    await asyncio.sleep(0.01)

    serve(scenario)
