"""Rubbish at every port of a relay: on the pure handlers by the ten thousand, and on a live one's sockets.

Counted and seeded rather than left to a strategy, so that the number of cases is what it says: about 190,000 in all.
"""

import asyncio
import random
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aioice.stun import message_fingerprint as fingerprint
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from relay.config import Ready
from relay.events import LegGrant
from relay.legs import LegTable, Source
from relay.limits import Limiter, RelayLimits
from relay.media_port import DatagramHandler
from relay.server import Relay
from tests.unit.relay.live import Guest, Udp, log_in, running
from tests.unit.relay.people import authenticate, call_id, person, register
from transport.net.token_bucket import Rate
from transport.quic.relay_channel import STREAM_ID
from transport.wire import stun
from transport.wire.errors import WireError
from transport.wire.framing import Deframer, frame
from transport.wire.relay_messages import (
    CONTROL_ALPN,
    Answer,
    Answered,
    Challenge,
    Granted,
    Incoming,
    Invite,
    Lookup,
    Ping,
    Watch,
    decode_client_message,
    decode_relay_message,
    encode,
)

PURE_CASES = 60_000
LIVE_CASES_PER_PORT = 2_500
CONTROL_SESSIONS = 80
# Sent between two looks at whether the relay still answers.
BATCH = 100

CALLER = LegGrant("caller-leg", "caller-password-1234")
CALLEE = LegGrant("callee-leg", "callee-password-5678")
A: Source = (0, ("192.0.2.1", 1000))
B: Source = (0, ("198.51.100.2", 2000))
THIRD: Source = (0, ("203.0.113.3", 3000))

pytestmark = pytest.mark.slow


def damage(rng: random.Random, seeds: list[bytes]) -> bytes:
    """A truncated, extended, bit-flipped, spliced or wholly random version of a good datagram."""
    good = rng.choice(seeds)
    match rng.randrange(6):
        case 0:
            return good[: rng.randrange(len(good) + 1)]
        case 1:
            return good + rng.randbytes(rng.choice((1, 4, 40, 400, 1_400, 3_000)))
        case 2:
            flipped = bytearray(good)
            for _ in range(rng.randint(1, 8)):
                flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
            return bytes(flipped)
        case 3:
            other = rng.choice(seeds)
            return good[: rng.randrange(len(good) + 1)] + other[rng.randrange(len(other) + 1) :]
        case 4:
            at = rng.randrange(len(good))
            return good[:at] + rng.randbytes(rng.randint(1, 8)) + good[at + 1 :]
        case _:
            return rng.randbytes(rng.choice((0, 1, 19, 20, 21, 28, 100, 548, 549, 1_200, 1_500, 1_501, 2_000)))


def damage_stun(rng: random.Random, seeds: list[bytes]) -> bytes:
    """The same, half of it with length and FINGERPRINT made right again, so that it gets past the first checks."""
    data = damage(rng, seeds)
    if len(data) < 20 or data[0] >= 0x40 or rng.random() < 0.5:
        return data
    whole = data[: len(data) // 4 * 4]
    length = (len(whole) - 20 + 8) & 0xFFFF
    return whole[:2] + struct.pack("!H", length) + whole[4:] + struct.pack("!HHI", 0x8028, 4, fingerprint(whole))


def stun_seeds() -> list[bytes]:
    request = stun.parse(stun.binding_request(b"t" * 12, CALLER.username, CALLER.password))
    return [
        stun.binding_request(b"a" * 12),
        stun.binding_request(b"b" * 12, CALLER.username, CALLEE.password),
        stun.binding_request(b"c" * 12, "somebody-else", "x" * 20),
        stun.binding_success(request, ("192.0.2.1", 5), "some-password-here"),
        stun.binding_success(request, ("2001:db8::1", 5)),
        stun.binding_error(request, 401, "Unauthenticated"),
    ]


def document_seeds() -> list[bytes]:
    challenge = Challenge(1, b"n" * 32, person(9).certificate)
    return [
        encode(authenticate(challenge, person(1), "ann", "home")),
        encode(register(challenge, person(1), "ann")),
        encode(Lookup(1, "ann")),
        encode(Watch(["ann", "bob"])),
        encode(Invite(call_id(1), "bob")),
        encode(Ping(1)),
    ]


def test_the_legs_survive_and_keep_their_places() -> None:
    legs = LegTable(Rate(1e9, 1e9), b"secret")
    legs.create("call", CALLER, CALLEE, 0.0)
    handler = DatagramHandler(legs, Limiter(RelayLimits()))
    legs.place(CALLER.username, A[1][0])
    legs.place(CALLEE.username, B[1][0])
    own = {A: stun.binding_request(b"1" * 12, CALLER.username, CALLER.password)}
    own[B] = stun.binding_request(b"2" * 12, CALLEE.username, CALLEE.password)
    for source, request in own.items():
        handler.media(request, source, 0.0)
    rng = random.Random(1)
    # The leg's own requests are among the seeds: damaged in any way they must not move it.
    seeds = [*stun_seeds(), *own.values(), b"\x40" + bytes(1_199)]
    for case in range(PURE_CASES):
        data = damage_stun(rng, seeds)
        source = rng.choice((A, B, THIRD))
        port = handler.media if rng.random() < 0.8 else handler.question
        for target, answer in port(data, source, case * 0.001):
            # Answers go back to the asker; only QUIC goes anywhere else, and only from one leg to the other.
            assert target == source or (data[0] >= 0x40 and {target, source} == {A, B} and answer == data)
    assert handler.media(b"\x40ab", A, 1e6) == [(B, b"\x40ab")]
    assert handler.media(b"\x40cd", B, 1e6) == [(A, b"\x40cd")]
    assert handler.media(b"\x40ef", THIRD, 1e6) == []


@pytest.mark.parametrize(
    ("parse", "seeds", "damaged"),
    [(stun.parse, stun_seeds, damage_stun), (decode_client_message, document_seeds, damage)],
    ids=["stun", "control"],
)
def test_parsers_give_a_value_or_say_what_is_wrong_and_nothing_else(
    parse: Callable[[bytes], object],
    seeds: Callable[[], list[bytes]],
    damaged: Callable[[random.Random, list[bytes]], bytes],
) -> None:
    rng = random.Random(2)
    good = seeds()
    refused = 0
    for _ in range(PURE_CASES):
        try:
            parsed = parse(damaged(rng, good))
        except WireError as error:
            refused += 1
            assert str(error)
        else:
            assert parsed is not None
    assert 0 < refused < PURE_CASES


def test_a_stream_of_rubbish_holds_no_more_than_one_message() -> None:
    rng = random.Random(3)
    good = document_seeds()
    for _ in range(2_000):
        deframer = Deframer()
        stream = b"".join(damage(rng, good) for _ in range(5))
        try:
            for start in range(0, len(stream), 97):
                for document in deframer.feed(stream[start : start + 97]):
                    with_error(document)
        except WireError as error:
            assert "bytes" in str(error)


def with_error(document: bytes) -> None:
    """Decode, and take the one error that is allowed."""
    try:
        decode_client_message(document)
    except WireError:
        return


def test_a_live_relay_serves_calls_while_and_after_it_is_pelted(tmp_path: Path) -> None:
    async def main() -> None:
        # Limits out of the way, so that every packet is looked at rather than rationed.
        limits = RelayLimits(stun=Rate(1e9, 1e9), leg_packets=Rate(1e9, 1e9))
        async with running(tmp_path, stun_ports=(0,), limits=limits) as (relay, ready):
            bob = await log_in(ready, 2, claim="bob")
            ann = await log_in(ready, 1)
            with Udp() as one, Udp() as two, Udp() as third:
                granted, incoming = await a_call(ann, bob, one, two, 1)
                rng = random.Random(4)
                seeds = [
                    *stun_seeds(),
                    *initial_packets(rng),
                    stun.binding_request(b"w" * 12, granted.leg.username, "wrong-password-here"),
                ]
                stun_port = next(port for _, port in ready.stun if port != ready.media_port)
                for port in (ready.address.port, ready.media_port, stun_port):
                    for batch in range(LIVE_CASES_PER_PORT // BATCH):
                        for _ in range(BATCH):
                            third.send(damage_stun(rng, seeds), port)
                        # The relay keeps up, or packets would only fall out of the kernel's buffer unread.
                        data = b"\x40" + batch.to_bytes(4, "big")
                        one.send(data, granted.leg.port)
                        assert await two.receive() == data
                        while third.pending() is not None:
                            pass
                assert (await third.ask(stun_port)).mapped == third.address
                two.send(b"\xc0reply", incoming.leg.port)
                assert await one.receive() == b"\xc0reply"
                ann.connection.send(Ping(77))
                assert (await ann.receive()).request == 77  # type: ignore[union-attr]
                assert seen(relay) >= 2 * LIVE_CASES_PER_PORT
                await a_call(ann, bob, one, two, 2)
            carol = await log_in(ready, 3)
            for guest in (ann, bob, carol):
                guest.connection.close()

    asyncio.run(main())


def test_a_live_relay_survives_rubbish_on_its_control_streams(tmp_path: Path) -> None:
    """Damaged messages before and after the login, framed and not: each costs its sender a session at the most."""

    async def main() -> None:
        limits = RelayLimits(session=Rate(1e9, 1e9), failed_proof=Rate(1e9, 1e9))
        async with running(tmp_path, limits=limits) as (relay, ready):
            bob = await log_in(ready, 2, claim="bob")
            rng = random.Random(5)
            good = [document for document in document_seeds() if b"Invite" not in document]
            for number in range(CONTROL_SESSIONS):
                rogue = await Rogue.meet(ready)
                if number % 2:
                    rogue.send(frame(encode(authenticate(rogue.challenge, person(4)))))
                for _ in range(5):
                    document = damage(rng, good)
                    rogue.send(frame(document) if document and rng.random() < 0.8 else document)
                rogue.leave()
            ann = await log_in(ready, 1)
            with Udp() as one, Udp() as two:
                await a_call(ann, bob, one, two, 9)
            refusals = relay.snapshot()["refusals_total"]
            assert isinstance(refusals, dict) and refusals["bad-message"] > CONTROL_SESSIONS / 4
            ann.connection.close()
            bob.connection.close()

    asyncio.run(main())


class Rogue(QuicConnectionProtocol):
    """A client that puts any bytes on the stream."""

    challenge: Challenge
    transport: asyncio.DatagramTransport

    def __init__(self, quic: QuicConnection) -> None:
        super().__init__(quic)
        self.raw = quic
        self.deframer = Deframer()
        self.greeted: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    @classmethod
    async def meet(cls, ready: Ready) -> "Rogue":
        configuration = QuicConfiguration(alpn_protocols=[CONTROL_ALPN], verify_mode=ssl.CERT_NONE)
        transport, rogue = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: cls(QuicConnection(configuration=configuration)), local_addr=("127.0.0.1", 0)
        )
        rogue.connect(("127.0.0.1", ready.address.port))
        async with asyncio.timeout(10):
            message = decode_relay_message(await rogue.greeted)
        assert isinstance(message, Challenge)
        rogue.challenge = message
        rogue.transport = transport
        return rogue

    def quic_event_received(self, event: events.QuicEvent) -> None:
        if isinstance(event, events.StreamDataReceived) and not self.greeted.done():
            self.greeted.set_result(next(self.deframer.feed(event.data)))

    def send(self, data: bytes) -> None:
        self.raw.send_stream_data(STREAM_ID, data)
        self.transmit()

    def leave(self) -> None:
        self.close()
        self.transport.close()


async def a_call(ann: Guest, bob: Guest, one: Udp, two: Udp, number: int) -> tuple[Granted, Incoming]:
    """Set up, bind, answer, and carry a packet."""
    ann.connection.send(Invite(call_id(number), "bob"))
    granted, incoming = await ann.receive(), await bob.receive()
    assert isinstance(granted, Granted) and isinstance(incoming, Incoming)
    assert (await one.bind(granted.leg)).mapped == one.address
    assert (await two.bind(incoming.leg)).mapped == two.address
    bob.connection.send(Answer(call_id(number)))
    assert await ann.receive() == Answered(call_id(number))
    one.send(b"\x40first", granted.leg.port)
    assert await two.receive() == b"\x40first"
    return granted, incoming


def initial_packets(rng: random.Random) -> Iterator[bytes]:
    """QUIC long headers (RFC 9000 §17.2) of every type and some versions, padded as a client's are."""
    for first in (0xC0, 0xD0, 0xE0, 0xF0):
        for version in (b"\0\0\0\1", b"\x6b\x33\x43\xcf", b"\0\0\0\0", b"\x0a\x0a\x0a\x0a"):
            connection_ids = b"\x08" + rng.randbytes(8) + b"\x08" + rng.randbytes(8)
            yield (bytes([first]) + version + connection_ids).ljust(1_200, b"\0")


def seen(relay: Relay) -> float:
    received = relay.snapshot()["datagrams_received_total"]
    assert isinstance(received, int)
    return received
