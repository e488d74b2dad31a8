"""transport.quic.relay_channel and its client: real QUIC on loopback, well-behaved and not."""

import asyncio
import datetime
import hashlib
import ipaddress
import ssl
from collections.abc import Awaitable, Callable

import pytest
import uvloop
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from tests.unit.relay.people import person
from tests.unit.transport.quic.control_client import ControlClient, connect_control, fails
from transport.identity.keys import Identity
from transport.quic import relay_channel
from transport.quic.relay_channel import CloseCode, ControlChannel
from transport.quic.relay_channel_server import ControlServer, bind_udp
from transport.wire.addresses import RelayAddress
from transport.wire.framing import frame
from transport.wire.relay_messages import (
    CONTROL_ALPN,
    CONTROL_VERSION,
    Challenge,
    Ping,
    Pong,
    Refused,
    RelayMessage,
    decode_client_message,
    encode,
)

RELAY = person(2_000)
WAIT_S = 10.0


class Listener:
    """A relay that greets, and echoes pings."""

    def __init__(self, greeting: RelayMessage) -> None:
        self.greeting = greeting
        self.channels: list[ControlChannel] = []
        self.documents: list[bytes] = []
        self.ends: asyncio.Queue[str] = asyncio.Queue()

    def channel_open(self, channel: ControlChannel) -> None:
        self.channels.append(channel)
        channel.send(self.greeting)

    def channel_document(self, channel: ControlChannel, document: bytes) -> None:
        self.documents.append(document)
        message = decode_client_message(document)
        if isinstance(message, Ping):
            channel.send(Pong(message.request))

    def channel_closed(self, channel: ControlChannel, alert: int | None, reason: str) -> None:
        self.ends.put_nowait(reason)

    async def end(self) -> str:
        async with asyncio.timeout(WAIT_S):
            return await self.ends.get()


Scenario = Callable[[Listener, RelayAddress], Awaitable[None]]


def serve(
    scenario: Scenario,
    *,
    identity: Identity = RELAY,
    greeting: RelayMessage | None = None,
    host: str = "127.0.0.1",
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    async def main() -> None:
        listener = Listener(greeting or Challenge(CONTROL_VERSION, b"n" * 32, identity.certificate))
        server = ControlServer(identity, listener)
        udp = bind_udp(host, 0)
        port = udp.getsockname()[1]
        await server.listen(udp)
        try:
            pin = hashlib.sha256(identity.certificate).hexdigest()[:32]
            await scenario(listener, RelayAddress(host, port, pin))
        finally:
            server.close()
            await asyncio.sleep(0)  # transports close in the loop's next turn

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


async def receive(connection: ControlClient) -> RelayMessage:
    async with asyncio.timeout(WAIT_S):
        return await connection.receive()


async def talk(listener: Listener, address: RelayAddress) -> None:
    verified = await connect_control(address)
    assert verified.challenge.nonce == b"n" * 32
    for number in range(3):
        assert verified.send(Ping(number))
        assert await receive(verified) == Pong(number)
    verified.close("that was all")
    # The first connection, which only read the certificate, sent nothing; the second sent only the pings.
    assert len(listener.channels) == 2 and len(listener.documents) == 3
    ends = {await listener.end(), await listener.end()}
    assert "that was all" in ends
    assert not verified.send(Ping(9))
    with fails("unreachable", "that was all"):
        await receive(verified)


@pytest.mark.parametrize("factory", [asyncio.SelectorEventLoop, uvloop.new_event_loop])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_messages_both_ways_on_either_loop(factory: Callable[[], asyncio.AbstractEventLoop], host: str) -> None:
    serve(talk, host=host, loop_factory=factory)


def test_a_certificate_that_is_known_saves_the_first_connection() -> None:
    async def scenario(listener: Listener, address: RelayAddress) -> None:
        verified = await connect_control(address, certificate=RELAY.certificate)
        assert len(listener.channels) == 1
        verified.close()

    serve(scenario)


def test_a_wrong_pin_is_its_own_error_and_the_client_has_sent_nothing() -> None:
    async def scenario(listener: Listener, address: RelayAddress) -> None:
        with fails("wrong-pin", "not the one that its address is pinned to"):
            await connect_control(RelayAddress(address.host, address.port, "0" * 32))
        assert not listener.documents

    serve(scenario)


def test_showing_a_certificate_is_not_having_its_key() -> None:
    """Somebody in between shows the right certificate in the challenge, over TLS with a key of their own."""

    async def scenario(listener: Listener, address: RelayAddress) -> None:
        pin = hashlib.sha256(RELAY.certificate).hexdigest()[:32]
        right = RelayAddress(address.host, address.port, pin)
        for known in (None, RELAY.certificate):
            with fails("wrong-pin"):
                await connect_control(right, certificate=known)
        assert not listener.documents

    serve(scenario, identity=person(2_001), greeting=Challenge(CONTROL_VERSION, b"n" * 32, RELAY.certificate))


def test_the_right_relay_that_passes_on_another_relays_challenge_is_found_out() -> None:
    """What we signed for it would be good at the other relay."""

    async def scenario(listener: Listener, address: RelayAddress) -> None:
        with fails("wrong-pin"):
            await connect_control(address, certificate=RELAY.certificate)
        assert not listener.documents

    serve(scenario, greeting=Challenge(CONTROL_VERSION, b"n" * 32, person(2_001).certificate))


def test_without_a_pin_nobody_vouches_for_a_self_signed_certificate() -> None:
    async def scenario(listener: Listener, address: RelayAddress) -> None:
        with fails("untrusted"):
            await connect_control(RelayAddress(address.host, address.port))
        assert not listener.documents

    serve(scenario)


def test_without_a_pin_an_authority_vouches_for_the_host_and_for_no_other() -> None:
    secret, certificate = _certificate_for("127.0.0.1")

    async def scenario(listener: Listener, address: RelayAddress) -> None:
        unpinned = RelayAddress(address.host, address.port)
        authorities = x509.load_der_x509_certificate(certificate).public_bytes(serialization.Encoding.PEM)
        verified = await connect_control(unpinned, authorities=authorities)
        verified.close()
        with fails("untrusted"):
            await connect_control(RelayAddress("localhost", address.port), authorities=authorities)

    serve(scenario, identity=Identity(secret, b"", certificate))


def test_a_relay_that_passes_on_another_relays_challenge_is_found_out() -> None:
    """What we sign is bound to the certificate in the challenge, so it must be for the host that we dialled."""
    secret, certificate = _certificate_for("127.0.0.1")
    _, of_another = _certificate_for("192.0.2.55")

    async def scenario(listener: Listener, address: RelayAddress) -> None:
        authorities = x509.load_der_x509_certificate(certificate).public_bytes(serialization.Encoding.PEM)
        with fails("untrusted", "not for 127"):
            await connect_control(RelayAddress(address.host, address.port), authorities=authorities)

    serve(
        scenario,
        identity=Identity(secret, b"", certificate),
        greeting=Challenge(CONTROL_VERSION, b"n" * 32, of_another),
    )


def test_a_relay_of_another_version_and_one_that_refuses() -> None:
    async def other_version(listener: Listener, address: RelayAddress) -> None:
        with fails("version"):
            await connect_control(address)

    async def refusing(listener: Listener, address: RelayAddress) -> None:
        with fails("limit") as refused:
            await connect_control(address)
        assert refused.value.failure.retry_after_s == 7.0

    serve(other_version, greeting=Challenge(CONTROL_VERSION + 1, b"n" * 32, RELAY.certificate))
    serve(refusing, greeting=Refused(0, "limit", "too many connections", 7.0))


# -- clients that break the rules ---------------------------------------------------------------------------------


class Rogue(QuicConnectionProtocol):
    """A client that does what the test wants, whatever the protocol says."""

    def __init__(self, quic: QuicConnection) -> None:
        super().__init__(quic)
        self.raw = quic
        self.ready = asyncio.Event()
        self.ended: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    def quic_event_received(self, event: events.QuicEvent) -> None:
        if isinstance(event, events.StreamDataReceived):
            self.ready.set()
        elif isinstance(event, events.ConnectionTerminated):
            self.ended.set_result((event.error_code, event.reason_phrase))


def rogue(act: Callable[[Rogue], None]) -> tuple[int, str]:
    """Connect, let ``act`` misbehave, and return the code and reason that the relay closes with."""
    result: list[tuple[int, str]] = []

    async def scenario(listener: Listener, address: RelayAddress) -> None:
        configuration = QuicConfiguration(is_client=True, alpn_protocols=[CONTROL_ALPN], verify_mode=ssl.CERT_NONE)
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Rogue(QuicConnection(configuration=configuration)), local_addr=("127.0.0.1", 0)
        )
        protocol.connect((address.host, address.port))
        async with asyncio.timeout(WAIT_S):
            await protocol.ready.wait()
            act(protocol)
            protocol.transmit()
            result.append(await protocol.ended)
        assert await listener.end() == result[0][1]
        transport.close()
        # It hurt nobody else.
        verified = await connect_control(address, certificate=RELAY.certificate)
        verified.send(Ping(1))
        assert await receive(verified) == Pong(1)
        verified.close()

    serve(scenario)
    return result[0]


def test_a_second_stream_is_a_breach() -> None:
    def act(client: Rogue) -> None:
        client.raw.send_stream_data(client.raw.get_next_available_stream_id(), b"hello")

    code, reason = rogue(act)
    assert code == CloseCode.PROTOCOL and "one stream" in reason


def test_many_streams_are_a_breach() -> None:
    def act(client: Rogue) -> None:
        for _ in range(100):
            client.raw.send_stream_data(client.raw.get_next_available_stream_id(is_unidirectional=True), b"x")

    assert rogue(act)[0] == CloseCode.PROTOCOL


@pytest.mark.parametrize("data", [b"\xff\xff" + bytes(100), b"\0\0"])
def test_an_impossible_frame_is_a_breach(data: bytes) -> None:
    code, reason = rogue(lambda client: client.raw.send_stream_data(relay_channel.STREAM_ID, data))
    assert code == CloseCode.PROTOCOL and "1 to 16384 bytes" in reason


def test_breaking_the_stream_off_is_a_breach_and_ending_it_is_a_goodbye() -> None:
    assert rogue(lambda client: client.raw.reset_stream(relay_channel.STREAM_ID, 3))[0] == CloseCode.PROTOCOL
    assert rogue(lambda client: client.raw.stop_stream(relay_channel.STREAM_ID, 3))[0] == CloseCode.PROTOCOL
    code, reason = rogue(lambda client: client.raw.send_stream_data(relay_channel.STREAM_ID, b"", end_stream=True))
    assert code == CloseCode.DONE and "ended the session" in reason


def test_a_session_that_carries_too_much_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_channel, "MAX_RECEIVED_BYTES", 20_000)
    pings = frame(encode(Ping(1))) * 4_000
    code, reason = rogue(lambda client: client.raw.send_stream_data(relay_channel.STREAM_ID, pings))
    assert code == CloseCode.TOO_MUCH and "connect again" in reason


def _certificate_for(host: str) -> tuple[bytes, bytes]:
    """A secret and a self-signed certificate for an IP address, which is its own authority."""
    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(host.encode()).digest())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a relay")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(77)
        .not_valid_before(datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2200, 1, 1, tzinfo=datetime.UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .sign(private, None)
    )
    return private.private_bytes_raw(), certificate.public_bytes(serialization.Encoding.DER)
