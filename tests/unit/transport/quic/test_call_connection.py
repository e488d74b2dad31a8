import random
from collections.abc import Callable

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import HandshakeCompleted
from hypothesis import example, given
from hypothesis import strategies as st

from tests.natsim.call import identity
from transport.quic.call_connection import (
    ACK_HOLD_S,
    IDLE_TIMEOUT_S,
    MAX_DATAGRAM_BYTES,
    MAX_PACKET_BYTES,
    MAX_WAITING_DATAGRAMS,
    PEER_ADDRESS,
    STALE_S,
    STREAM_BACKLOG_BYTES,
    PeerConnection,
)
from transport.quic.call_events import (
    CLOSE_BAD_PROOF,
    CLOSE_NORMAL,
    CLOSE_PROTOCOL,
    DatagramArrived,
    HandshakeDone,
    PeerEvent,
    StreamAcknowledged,
    StreamBytes,
    Terminated,
)
from transport.wire.call_messages import PEER_ALPN

TOKEN = b"sixteen bytes!!!"
CALLEE = identity(2)
DELAY_S = 0.02


class Pair:
    """Caller and callee with a perfect 20 ms between them."""

    def __init__(self, caller: PeerConnection | None = None, callee: PeerConnection | None = None) -> None:
        self.now = 100.0
        self.caller = caller or PeerConnection.caller(CALLEE.certificate, TOKEN)
        self.callee = callee or PeerConnection.callee(CALLEE, TOKEN, b"hello")
        self.events: dict[PeerConnection, list[PeerEvent]] = {self.caller: [], self.callee: []}
        self.sent: list[bytes] = []
        self._flying: list[tuple[float, int, PeerConnection, bytes]] = []
        self.drop: Callable[[bytes], bool] = lambda data: False

    def step(self, end: float) -> None:
        """Send what is to be sent, then go to whatever comes next, or to ``end``."""
        for one, other in ((self.caller, self.callee), (self.callee, self.caller)):
            for data in one.datagrams_to_send(self.now):
                self.sent.append(data)
                if not self.drop(data):
                    self._flying.append((self.now + DELAY_S, len(self.sent), other, data))
        deadlines = [peer.next_deadline() for peer in (self.caller, self.callee)]
        times = [due for due in deadlines if due is not None] + [due for due, *_ in self._flying]
        self.now = max(self.now + 1e-6, min([*times, end]))
        self._flying.sort(key=lambda item: item[:2])
        while self._flying and self._flying[0][0] <= self.now:
            _, _, target, data = self._flying.pop(0)
            target.receive(data, self.now)
        for peer in (self.caller, self.callee):
            peer.advance(self.now)
            self.events[peer] += peer.events()

    def run(self, seconds: float) -> "Pair":
        end = self.now + seconds
        while self.now < end:
            self.step(end)
        return self

    def connect(self) -> "Pair":
        self.caller.open(self.now)
        self.run(0.2)
        assert HandshakeDone() in self.events[self.caller] and HandshakeDone() in self.events[self.callee]
        return self

    def ended(self, peer: PeerConnection) -> str:
        return next((event.reason for event in self.events[peer] if isinstance(event, Terminated)), "")


def test_the_greeting_comes_with_the_handshake() -> None:
    pair = Pair()
    pair.caller.open(pair.now)
    pair.run(2 * DELAY_S + 0.001)
    assert pair.events[pair.caller] == [HandshakeDone(), StreamBytes(b"hello")]


def test_no_packet_is_longer_than_every_path_carries() -> None:
    pair = Pair().connect()
    pair.caller.send_stream(bytes(20_000))
    pair.caller.send_datagram(bytes(MAX_DATAGRAM_BYTES), pair.now)
    pair.run(1.0)
    assert max(map(len, pair.sent)) <= MAX_PACKET_BYTES
    assert DatagramArrived(bytes(MAX_DATAGRAM_BYTES)) in pair.events[pair.callee]
    assert sum(len(event.data) for event in pair.events[pair.callee] if isinstance(event, StreamBytes)) == 20_000


def test_a_datagram_leaves_at_once_and_is_never_repeated() -> None:
    pair = Pair().connect()
    pair.drop = lambda data: len(data) > 500
    before = len(pair.sent)
    assert pair.caller.send_datagram(b"\x01" * 600, pair.now)
    assert len(pair.caller.datagrams_to_send(pair.now)) == 1
    pair.run(5.0)
    assert not [data for data in pair.sent[before + 1 :] if len(data) > 500]


def test_what_cannot_be_sent_is_refused() -> None:
    pair = Pair()
    assert not pair.caller.send_datagram(b"early", pair.now)
    assert pair.caller.send_stream(b"early") is None
    pair.connect()
    assert not pair.caller.send_datagram(bytes(MAX_DATAGRAM_BYTES + 1), pair.now)


def test_stale_datagrams_are_dropped_and_counted() -> None:
    pair = Pair().connect()
    for index in range(MAX_WAITING_DATAGRAMS + 3):
        pair.caller.send_datagram(bytes([index]) * 8, pair.now)
    pair.caller.send_datagram(b"last one", pair.now)
    assert pair.caller.stale_dropped == 4
    late = pair.now + STALE_S + 0.001
    pair.caller.send_datagram(b"in time", late)
    packets = pair.caller.datagrams_to_send(late)
    assert pair.caller.stale_dropped == 4 + MAX_WAITING_DATAGRAMS
    for data in packets:
        pair.callee.receive(data, late)
    assert [event for event in pair.callee.events() if isinstance(event, DatagramArrived)] == [
        DatagramArrived(b"in time")
    ]


def test_a_burst_is_not_held_back_for_longer_than_it_is_worth() -> None:
    pair = Pair().connect()
    for index in range(40):
        pair.caller.send_datagram(bytes([index]) * 160, pair.now)
    sent_at = pair.now
    pair.run(0.1)
    arrived = [event.data[0] for event in pair.events[pair.callee] if isinstance(event, DatagramArrived)]
    assert arrived == list(range(40)) and pair.now - sent_at < STALE_S
    assert pair.caller.stale_dropped == 0


def test_datagrams_do_not_wait_behind_thirty_seconds_of_silence() -> None:
    """A dead path leaves everything unacknowledged: a shrinking window would stop the voice for good."""
    pair = Pair().connect()
    pair.drop = lambda data: True
    for _ in range(1_500):
        pair.caller.send_datagram(bytes(340), pair.now)
        pair.run(0.02)
    pair.drop = lambda data: False
    assert pair.caller.stale_dropped == 0
    pair.events[pair.callee].clear()
    pair.caller.send_datagram(b"back", pair.now)
    pair.run(0.05)
    assert [event for event in pair.events[pair.callee] if isinstance(event, DatagramArrived)] == [
        DatagramArrived(b"back")
    ]


def test_an_acknowledgement_waits_for_a_frame_but_not_too_long() -> None:
    pair = Pair().connect().run(2.0)
    pair.caller.send_datagram(b"frame", pair.now)
    (data,) = pair.caller.datagrams_to_send(pair.now)
    pair.callee.receive(data, pair.now)
    pair.callee.advance(pair.now + 0.01)
    assert pair.callee.datagrams_to_send(pair.now + 0.01) == []
    assert pair.callee.next_deadline() == pytest.approx(pair.now + ACK_HOLD_S)
    assert len(pair.callee.datagrams_to_send(pair.now + ACK_HOLD_S)) == 1


def test_acknowledged_stream_data_is_reported() -> None:
    pair = Pair().connect()
    mark = pair.caller.send_stream(b"a message")
    pair.run(0.5)
    assert StreamAcknowledged(mark or 0) in pair.events[pair.caller]


def test_unacknowledged_stream_data_is_bounded() -> None:
    pair = Pair().connect()
    pair.drop = lambda data: True
    taken = 0
    while pair.caller.send_stream(bytes(1_000)) is not None:
        taken += 1_000
        assert taken < 2 * STREAM_BACKLOG_BYTES
    assert taken > STREAM_BACKLOG_BYTES - 2_000
    pair.drop = lambda data: False
    pair.run(2.0)
    assert pair.caller.send_stream(bytes(1_000)) is not None


@pytest.mark.parametrize(
    ("code", "reason"), [(CLOSE_NORMAL, "closed"), (CLOSE_BAD_PROOF, "bad-proof"), (CLOSE_PROTOCOL, "protocol")]
)
def test_a_close_carries_its_reason(code: int, reason: str) -> None:
    pair = Pair().connect()
    pair.callee.close(code, "why")
    pair.run(3.0)
    assert pair.ended(pair.caller) == reason


def test_silence_ends_the_connection_at_last() -> None:
    pair = Pair().connect()
    pair.drop = lambda data: True
    pair.run(IDLE_TIMEOUT_S - 1.0)
    assert pair.ended(pair.caller) == ""
    pair.run(2.0)
    assert pair.ended(pair.caller) == "idle" == pair.ended(pair.callee)
    assert pair.caller.next_deadline() is None and pair.caller.datagrams_to_send(pair.now) == []


def test_another_certificate_is_a_wrong_certificate() -> None:
    pair = Pair(callee=PeerConnection.callee(identity(3), TOKEN, b"hello"))
    pair.caller.open(pair.now)
    pair.run(5.0)
    assert pair.ended(pair.caller) == "wrong-certificate"
    assert HandshakeDone() not in pair.events[pair.callee] + pair.events[pair.caller]


def test_the_right_certificate_without_its_key_is_a_wrong_certificate() -> None:
    impostor = type(CALLEE)(identity(3).secret, CALLEE.key, CALLEE.certificate)
    pair = Pair(callee=PeerConnection.callee(impostor, TOKEN, b"hello"))
    pair.caller.open(pair.now)
    pair.run(5.0)
    assert pair.ended(pair.caller) == "wrong-certificate"


@pytest.mark.parametrize("token", [b"", b"another token!!!", TOKEN + b"!"])
def test_a_first_packet_without_the_token_is_not_let_in(token: bytes) -> None:
    pair = Pair(caller=PeerConnection.caller(CALLEE.certificate, token))
    pair.caller.open(pair.now)
    pair.run(2.0)
    assert pair.callee.refused >= 3
    assert pair.callee.next_deadline() is None


def raw_caller(**changes: object) -> QuicConnection:
    """aioquic without our rules: what a hostile peer could run."""
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=[PEER_ALPN], max_datagram_frame_size=1_200, verify_mode=0
    )
    configuration.token = TOKEN
    for name, value in changes.items():
        setattr(configuration, name, value)
    quic = QuicConnection(configuration=configuration)
    quic.connect(PEER_ADDRESS, 0.0)
    return quic


def shake(quic: QuicConnection, callee: PeerConnection, rounds: int = 6) -> bool:
    done = False
    for index in range(rounds):
        now = index * 0.05
        for data, _ in quic.datagrams_to_send(now):
            callee.receive(data, now)
        callee.advance(now)
        for data in callee.datagrams_to_send(now + 0.03):
            quic.receive_datagram(data, PEER_ADDRESS, now + 0.03)
        while (event := quic.next_event()) is not None:
            done = done or isinstance(event, HandshakeCompleted)
    return done


def test_another_protocol_is_not_spoken() -> None:
    callee = PeerConnection.callee(CALLEE, TOKEN, b"hello")
    assert not shake(raw_caller(alpn_protocols=["h3"]), callee)
    assert callee.events() == []
    assert shake(raw_caller(), callee)


@pytest.mark.parametrize("stream", [0, 2, 4])
def test_other_streams_are_no_protocol(stream: int) -> None:
    callee = PeerConnection.callee(CALLEE, TOKEN, b"hello")
    quic = raw_caller()
    assert shake(quic, callee)
    quic.send_stream_data(stream, b"something")
    shake(quic, callee)
    assert any(isinstance(event, Terminated) and event.reason == "protocol" for event in callee.events())


def test_the_first_whole_handshake_is_the_connection_and_there_is_no_second() -> None:
    callee = PeerConnection.callee(CALLEE, TOKEN, b"hello")
    half_open = [raw_caller() for _ in range(3)]
    for quic in half_open:
        for data, _ in quic.datagrams_to_send(0.0):
            callee.receive(data, 0.0)
    assert shake(raw_caller(), callee)
    late = raw_caller()
    assert not shake(late, callee)
    assert not any(shake(quic, callee) for quic in half_open)


def test_attempts_are_bounded_in_number_and_rate() -> None:
    callee = PeerConnection.callee(CALLEE, TOKEN, b"hello")
    answers = 0
    for index in range(200):
        (data, _), *_ = raw_caller().datagrams_to_send(0.0)
        callee.receive(data, index * 0.005)
        answers += len(callee.datagrams_to_send(index * 0.005))
    # In one second: four at once and ten more.
    assert callee.refused == pytest.approx(200 - 14, abs=1)
    assert answers <= 2 * 15


def test_no_packet_talks_the_caller_out_of_its_version() -> None:
    pair = Pair()
    pair.caller.open(pair.now)
    [first] = pair.caller.datagrams_to_send(pair.now)
    theirs, rest = first[6 : 6 + first[5]], first[6 + first[5] :]
    ours = rest[1 : 1 + rest[0]]
    head = b"\xc0" + bytes(4) + bytes([len(ours)]) + ours + bytes([len(theirs)]) + theirs
    pair.caller.receive(head + b"\x6b\x33\x43\xcf", pair.now)  # RFC 9000 §17.2.1, with QUIC version 2 alone
    pair.callee.receive(first, pair.now)
    pair.run(0.4)
    assert not pair.ended(pair.caller) and HandshakeDone() in pair.events[pair.caller]


@example(535134, True)
@given(st.integers(0, 2**32), st.booleans())
def test_spoilt_packets_break_nothing(seed: int, early: bool) -> None:
    rng = random.Random(seed)
    pair = Pair()
    if not early:
        pair.connect()
    clean = pair.drop

    def spoil(data: bytes) -> bool:
        copy = bytearray(data[: rng.randrange(1, len(data) + 1)] if rng.random() < 0.3 else data)
        for _ in range(rng.randrange(1, 4)):
            copy[rng.randrange(len(copy))] ^= 1 << rng.randrange(8)
        for peer in (pair.caller, pair.callee):
            peer.receive(bytes(copy), pair.now)
            peer.receive(data, pair.now) if rng.random() < 0.1 else None
        return clean(data)

    pair.drop = spoil
    pair.caller.open(pair.now)
    pair.run(0.4)
    pair.drop = clean
    pair.caller.send_datagram(b"still here", pair.now)
    pair.run(1.0)
    assert DatagramArrived(b"still here") in pair.events[pair.callee]


@given(st.lists(st.binary(max_size=1_300), max_size=10))
def test_garbage_is_ignored_in_every_state(junk: list[bytes]) -> None:
    for pair in (Pair(), Pair().connect()):
        for data in junk:
            for peer in (pair.caller, pair.callee):
                peer.receive(data, pair.now)
                peer.advance(pair.now)
                peer.datagrams_to_send(pair.now)
        assert not pair.ended(pair.caller) and not pair.ended(pair.callee)
