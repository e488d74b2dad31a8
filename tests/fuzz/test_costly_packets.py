"""Packets that are cheap to send and dear to read: whoever sends them is cut off, and nobody else pays."""

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from types import SimpleNamespace

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import PingAcknowledged

from tests.fuzz.quic_frames import packed, sparse_crypto, sparse_stream, stream
from tests.unit.relay.people import person
from tests.unit.transport.quic.test_call_connection import Pair
from transport.quic.call_connection import COSTLY, PEER_WORK
from transport.quic.call_events import Terminated
from transport.quic.relay_channel import ControlChannel
from transport.quic.relay_channel_server import ControlListener
from transport.quic.work import AddressBudgets, Cpu, WorkLimit
from transport.wire.relay_messages import CONTROL_ALPN, CONTROL_VERSION, Challenge

RELAY = person(2_000)
RELAY_ADDRESS = ("192.0.2.1", 7_850)
Charge = Callable[[float, float], bool]
Frames = Iterator[tuple[int, bytes]]

# What the reader keeps as ranges grows with each frame: in TLS's stream, in the control stream, in one that the
# protocol does not have, in several of these by turns, and with what fills some of the gaps again.
KINDS: dict[str, Callable[[], Frames]] = {
    "crypto": lambda: sparse_crypto(10_001),
    "control-stream": lambda: sparse_stream(1, 1),
    "foreign-stream": lambda: sparse_stream(0),
    "streams-by-turns": lambda: chain.from_iterable(zip(sparse_stream(0), sparse_stream(4), strict=False)),
    "gaps-filled": lambda: (stream(0, at - at // 9 % 2, b"xx"[: 1 + at % 7 // 6]) for at in count(3, 2)),
}
PACKETS = 150

pytestmark = pytest.mark.slow


@dataclass
class Alarm:
    """A timer of the relay's."""

    when: float
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class Ground:
    """A relay's listener, and clients beside it, on a clock that stands still unless it is moved."""

    def __init__(self, address_work: WorkLimit | None = None, cpu: Cpu = time.thread_time) -> None:
        self.now = 0.0
        self.closed: list[str] = []
        self.out: list[bytes] = []
        self.alarms: list[Alarm] = []
        budgets = None if address_work is None else AddressBudgets(address_work)
        self.listener = ControlListener(RELAY, self, self, lambda data, _: self.out.append(data), budgets, cpu)

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> "Alarm":
        alarm = Alarm(when, callback)
        self.alarms.append(alarm)
        return alarm

    def step(self, seconds: float) -> None:
        """Let time pass, and the relay's timers fire."""
        self.now += seconds
        due = [alarm for alarm in self.alarms if alarm.when <= self.now]
        self.alarms = [alarm for alarm in self.alarms if alarm.when > self.now]
        for alarm in due:
            if not alarm.cancelled:
                alarm.callback()

    def channel_open(self, channel: ControlChannel) -> None:
        channel.send(Challenge(CONTROL_VERSION, b"n" * 32, RELAY.certificate))

    def channel_document(self, channel: ControlChannel, document: bytes) -> None: ...

    def channel_closed(self, channel: ControlChannel, alert: int | None, reason: str) -> None:
        self.closed.append(reason)

    def connect(self, source: tuple[str, int]) -> QuicConnection:
        """A client from there, as far as it is let in."""
        quic = QuicConnection(configuration=QuicConfiguration(alpn_protocols=[CONTROL_ALPN], verify_mode=ssl.CERT_NONE))
        quic.connect(RELAY_ADDRESS, self.now)
        for _ in range(6):
            self.step(0.01)
            for data, _ in quic.datagrams_to_send(self.now):
                self.listener.receive(data, source)
            for data in self.out:
                quic.receive_datagram(data, RELAY_ADDRESS, self.now)
            self.out.clear()
        return quic

    def is_alive(self, quic: QuicConnection, source: tuple[str, int]) -> bool:
        """Whether the relay answers it."""
        answered = False
        quic.send_ping(1)
        for _ in range(3):
            self.step(0.05)
            for data, _ in quic.datagrams_to_send(self.now):
                self.listener.receive(data, source)
            for data in self.out:
                quic.receive_datagram(data, RELAY_ADDRESS, self.now)
            self.out.clear()
            while (event := quic.next_event()) is not None:
                answered |= isinstance(event, PingAcknowledged)
        return answered


@pytest.mark.parametrize("kind", KINDS)
def test_a_channel_that_costs_too_much_ends(kind: str) -> None:
    ground, source = Ground(), ("198.51.100.7", 4_000)
    attacker = ground.connect(source)
    honest = ground.connect(("203.0.113.5", 4_000))
    taken = 0
    for packet in packed(attacker, KINDS[kind](), PACKETS):
        ground.step(0.001)
        ground.listener.receive(packet, source)
        if ground.closed:
            break
        taken += 1
    assert taken < PACKETS - 1 and "costs the relay too much" in ground.closed[0]
    assert len(ground.closed) == 1 and ground.is_alive(honest, ("203.0.113.5", 4_000))


def test_an_address_that_has_used_up_its_share_opens_no_further_channel() -> None:
    # Each datagram costs a millisecond on this clock.
    ground = Ground(WorkLimit(share=0.001, burst_s=0.05), cpu=partial(next, count(0.0, 0.001)))
    source, let_in = ("198.51.100.7", 4_000), 0
    for port in range(60):
        let_in += ground.is_alive(ground.connect((source[0], port)), (source[0], port))
    assert 5 <= let_in <= 25
    assert ground.is_alive(ground.connect(("203.0.113.5", 4_000)), ("203.0.113.5", 4_000)), "others are let in"
    ground.step(60.0)
    assert ground.is_alive(ground.connect(source), source), "and so is this one, later"


def test_whoever_forges_a_clients_connection_id_does_not_end_its_channel() -> None:
    ground, source, forger = Ground(), ("203.0.113.5", 4_000), ("198.51.100.7", 4_000)
    client = ground.connect(source)
    # The worst case: packets that even decrypt, from an address that is not the client's.
    for packet in packed(client, sparse_crypto(10_001), PACKETS):
        ground.step(0.001)
        ground.listener.receive(packet, forger)
    assert not ground.closed and ground.is_alive(client, source)


@pytest.mark.parametrize(
    ("attacks", "kind"), [*(("caller", kind) for kind in KINDS), ("callee", "crypto"), ("callee", "control-stream")]
)
def test_a_peer_whose_packets_cost_too_much_loses_the_call(attacks: str, kind: str) -> None:
    """At either end, while it rings as in mid-call: the connection is the same one."""
    pair = Pair().connect()
    attacker, victim = (pair.caller, pair.callee) if attacks == "caller" else (pair.callee, pair.caller)
    assert attacker._quic is not None
    # A machine ten times as slow: the budget is used up sooner, and the test as well.
    victim._cpu = lambda: 10 * time.thread_time()
    taken = 0
    for packet in packed(attacker._quic, KINDS[kind](), PACKETS):
        pair.now += 0.001
        victim.receive(packet, pair.now)
        if Terminated("protocol", COSTLY) in victim.events():
            break
        taken += 1
    assert taken < PACKETS - 1


def test_a_long_call_stays_far_below_what_a_peer_may_cost() -> None:
    pair = Pair().connect()
    spent = [0.0, 0.0]
    for peer, index in ((pair.caller, 0), (pair.callee, 1)):
        charge = peer._work.charge

        def counted(cost: float, now: float, charge: Charge = charge, index: int = index) -> bool:
            spent[index] += cost
            return charge(cost, now)

        peer._work = SimpleNamespace(charge=counted)  # type: ignore[assignment]
    began = pair.now
    for _ in range(500):
        pair.caller.send_datagram(bytes(80), pair.now)
        pair.callee.send_datagram(bytes(80), pair.now)
        pair.run(0.02)
    assert max(spent) < PEER_WORK.share * (pair.now - began) / 2
