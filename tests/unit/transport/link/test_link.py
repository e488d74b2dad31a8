"""The link in every state with every event; whole calls are in tests/natsim."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.natsim.call import CALLEE_IP, CALLER_IP, Call
from tests.natsim.network import Packet
from tests.natsim.scripted_caller import prove, with_scripted_caller
from tests.natsim.wire import Bernoulli, Wire
from transport.ice.candidates import HostAddress
from transport.link.events import (
    CallAnswered,
    Close,
    Command,
    Event,
    LegReplaced,
    LinkConfig,
    LinkEnded,
    Open,
    PeerProven,
    SendMedia,
    SendPeerMessage,
)
from transport.link.link import LOST_AFTER_S, MAX_EARLY_MESSAGES, Link, State
from transport.net.machine import TimerFired
from transport.net.sockets import CloseSocket, DatagramReceived, OpenSocket, SendDatagram, SocketFailed, SocketOpened
from transport.path.events import PathChanged, Reconnected
from transport.path.paths import REOPEN_S
from transport.path.relay_leg import LegAccess
from transport.traversal.events import InterfacesChanged
from transport.wire import call_messages as messages
from transport.wire import datagrams
from transport.wire.framing import frame

HERE = ("198.51.100.1", 4_000)


def new_link(role: str = "caller") -> Link:
    call = Call()
    return call.caller.driver.link if role == "caller" else call.callee.driver.link


@pytest.mark.parametrize("role", ["caller", "callee"])
@pytest.mark.parametrize(
    "event",
    [
        SocketOpened(0, HERE),
        SocketFailed(0, "no"),
        DatagramReceived(0, HERE, b"\x40" * 100),
        SendMedia(bytes(20)),
        SendPeerMessage(messages.Accept()),
        TimerFired(),
        LegReplaced(LegAccess(("192.0.2.7", 1), "someone", "something")),
    ],
    ids=lambda event: type(event).__name__,
)
def test_before_it_is_opened_a_link_does_nothing(role: str, event: Event) -> None:
    link = new_link(role)
    assert link.handle(event, 1.0) == []
    assert link.next_deadline() is None


def test_closing_before_opening_ends() -> None:
    link = new_link()
    assert link.handle(Close(messages.Bye()), 1.0) == [LinkEnded("closed", "")]
    assert link.handle(Open(), 2.0) == []


def test_a_socket_of_the_relays_family_is_asked_for() -> None:
    assert new_link().handle(Open(), 1.0) == [OpenSocket(0, "0.0.0.0", ("192.0.2.1", 7851))]
    six = LegAccess(("2001:db8::1", 7851), "username", "password")
    call = Call(caller=lambda config: replace(config, leg=six))
    assert call.caller.driver.link.handle(Open(), 1.0) == [OpenSocket(0, "::", six.relay)]


def test_a_relay_that_is_a_name_is_refused_when_configured() -> None:
    with pytest.raises(ValueError):
        Call(caller=lambda config: replace(config, leg=LegAccess(("relay.example", 1), "u", "p")))


def test_a_socket_that_cannot_be_opened_is_tried_again_until_the_call_is_lost() -> None:
    link, now, tries = new_link(), 1.0, 0
    out = link.handle(Open(), now)
    while not any(isinstance(command, LinkEnded) for command in out):
        asked = [command for command in out if isinstance(command, OpenSocket)]
        tries += len(asked)
        if asked:
            out = link.handle(SocketFailed(asked[0].socket, "Address family not supported"), now)
            continue
        due = link.next_deadline()
        assert due is not None and due <= now + REOPEN_S
        now = due
        out = link.handle(TimerFired(), now)
    assert out == [LinkEnded("lost", "the other side's program did not answer")]
    assert tries == 30


def test_a_socket_that_dies_in_mid_call_is_replaced() -> None:
    call = Call().connect()
    call.run(1.0)
    driver = call.caller.driver
    driver.host.close(driver.ports[0])
    # The driver's own number for it is 0; what was bound to it is gone.
    driver.submit(SocketFailed(0, "Network is down"))
    call.run(3.0)
    assert call.caller.ended is None and call.caller.of(Reconnected)
    assert call.caller.driver.link.stats(call.clock.now).paths[0].state == "active"


def test_a_new_grant_of_the_other_family_takes_a_new_socket() -> None:
    call = Call().connect()
    out = call.caller.driver.link.handle(LegReplaced(LegAccess(("2001:db8::1", 7851), "u", "p")), call.clock.now)
    assert [type(command) for command in out if isinstance(command, OpenSocket | CloseSocket)] == [
        CloseSocket,
        OpenSocket,
    ]


def test_a_new_grant_whose_relay_is_no_address_is_ignored() -> None:
    call = Call().connect()
    assert call.caller.driver.link.handle(LegReplaced(LegAccess(("relay.example", 1), "u", "p")), call.clock.now) == []


def test_messages_before_the_proof_are_kept_within_a_bound() -> None:
    call = Call()
    for _ in range(MAX_EARLY_MESSAGES + 5):
        call.caller.driver.submit(SendPeerMessage(messages.Muted(True)))
    call.connect().run(1.0)
    assert len(call.callee.messages) == MAX_EARLY_MESSAGES
    assert call.caller.driver.link.stats(call.clock.now).unsent_dropped == 5


def test_the_application_cannot_say_the_proof() -> None:
    call = Call().connect()
    call.callee.driver.submit(SendPeerMessage(messages.Proven("elsewhere")))
    call.run(1.0)
    assert call.caller.ended is None and len(call.caller.of(PeerProven)) == 1


@pytest.mark.parametrize(
    "message",
    [messages.PathInUse("direct"), messages.PathQuality([]), messages.PathSilent(1, 60.0), messages.Connect(0)],
    ids=lambda message: type(message).__name__,
)
def test_the_application_has_no_say_about_the_paths(message: messages.PeerMessage) -> None:
    call = Call().connect()
    call.callee.driver.submit(SendPeerMessage(message))
    call.run(1.0)
    assert call.caller.messages == []
    assert call.callee.driver.link.stats(call.clock.now).unsent_dropped == 1


def test_a_timer_that_fires_a_little_early_does_what_is_due() -> None:
    link = new_link()
    link.handle(Open(), 1.0)
    link.handle(SocketOpened(0, HERE), 1.0)
    due = link.next_deadline()
    assert due is not None
    assert any(isinstance(command, SendDatagram) for command in link.handle(TimerFired(), due - 0.0005))
    later = link.next_deadline()
    assert later is not None and later > due


def test_time_never_runs_backwards_inside() -> None:
    call = Call().connect()
    link = call.caller.driver.link
    for now in (0.0, -5.0, call.clock.now):
        link.handle(SendMedia(bytes(20)), now)
        link.handle(TimerFired(), now)
    assert link.state is State.PROVEN


# -- everything at any time --------------------------------------------------------------------------------------

HOSTILE = st.one_of(
    st.binary(max_size=80),
    st.binary(min_size=1, max_size=1_600).map(lambda data: b"\x40" + data),
    st.binary(min_size=1_200, max_size=1_200).map(lambda data: b"\xc0\x00\x00\x00\x01\x08" + data),
    st.binary(min_size=20, max_size=200).map(lambda data: b"\x01\x01\x00\x0c\x21\x12\xa4\x42" + data),
)
MESSAGES = st.sampled_from(
    [
        messages.Accept(),
        messages.Bye(),
        messages.Muted(True),
        messages.PathInUse("relay"),
        messages.PathInUse("direct"),
        messages.PathQuality([messages.PathCount(1, 9, 9, 0.0, 0.0)]),
        messages.PathSilent(1, 60.0),
        messages.Connect(0),
        messages.Sync(3),
        messages.Proven(),
    ]
)
ADDRESSES = st.sampled_from([("192.0.2.1", 7851), ("192.0.2.1", 7852), ("203.0.113.1", 49_152)])
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.just(Open()),
    st.just(TimerFired()),
    st.builds(SocketOpened, st.integers(0, 3), st.just(HERE)),
    st.builds(SocketFailed, st.integers(0, 1), st.just("down")),
    st.builds(DatagramReceived, st.integers(0, 1), ADDRESSES, HOSTILE),
    st.builds(SendMedia, st.binary(max_size=1_300)),
    st.builds(SendPeerMessage, MESSAGES),
    st.just(CallAnswered()),
    st.builds(InterfacesChanged, st.just((HostAddress("198.51.100.1", 24),))),
    st.builds(InterfacesChanged, st.just((HostAddress("198.51.100.9", 24),))),
    st.builds(LegReplaced, st.builds(LegAccess, ADDRESSES, st.just("username"), st.just("password"))),
    st.just(Close(messages.Bye())),
)
PAUSES = st.sampled_from([0.0, 0.0, 0.013, 0.05, 0.4, 3.0, 31.0])


def check_commands(commands: list[Command]) -> None:
    ends = [index for index, command in enumerate(commands) if isinstance(command, LinkEnded)]
    assert len(ends) <= 1
    assert not ends or ends[0] == len(commands) - 1
    assert len([command for command in commands if isinstance(command, PeerProven)]) <= 1


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.booleans(), EVENTS, PAUSES), max_size=25),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_any_event_at_any_time_leaves_a_link_that_works_or_has_ended(
    steps: list[tuple[bool, Event, float]], connected: bool, looking: bool, seed: int
) -> None:
    def configured(config: LinkConfig) -> LinkConfig:
        ip = CALLER_IP if config.role == "caller" else CALLEE_IP
        return replace(config, hosts=(HostAddress(ip, 24),) if looking else ())

    call = Call(seed, lambda: Wire(loss=Bernoulli(0.05), jitter=0.01), caller=configured, callee=configured)
    if connected:
        call.connect()
    recent: list[Packet] = []
    spoil = random.Random(seed)

    def note(packet: Packet) -> list[Packet]:
        recent[:] = [*recent[-9:], packet]
        return [packet]

    call.network.tamper = note
    for first, event, pause in steps:
        side = call.caller if first else call.callee
        side.driver.submit(event)
        if recent:
            old = spoil.choice(recent)
            call.network.inject(replace(old, data=old.data[: spoil.randrange(len(old.data) + 1)]))
        call.run(pause)
    for side in call.sides:
        side.driver.host.up.cut = side.driver.host.down.cut = True
        side.driver.submit(TimerFired())
    call.run(2 * LOST_AFTER_S + 45.0)
    for first, side in ((True, call.caller), (False, call.callee)):
        commands = [command for _, command in side.commands]
        check_commands(commands)
        opened = connected or any(isinstance(event, Open) and who == first for who, event, _ in steps)
        assert side.ended is not None or not opened, side.driver.link.stats(call.clock.now)


PEER_SAYS = st.one_of(
    st.builds(lambda message: ("stream", frame(messages.encode(message))), MESSAGES),
    st.builds(lambda data: ("stream", frame(data)), st.binary(min_size=1, max_size=60)),
    st.builds(lambda data: ("stream", data), st.binary(min_size=1, max_size=60)),
    st.builds(lambda data: ("datagram", data), st.binary(max_size=60)),
    st.builds(lambda what: ("datagram", datagrams.encode(what)), st.builds(datagrams.EchoReply, st.integers(0, 50))),
    st.builds(
        lambda what: ("datagram", datagrams.encode(what)), st.builds(datagrams.MediaFlow, st.binary(max_size=60))
    ),
)


@given(st.booleans(), st.lists(PEER_SAYS, min_size=1, max_size=12))
def test_a_hostile_peer_can_only_end_the_call(proven: bool, sent: list[tuple[str, bytes]]) -> None:
    call, caller = with_scripted_caller()
    if proven:
        caller.say(prove(call, caller.hello().nonce))
        call.run(0.2)
        assert call.callee.proven
    for how, data in sent:
        if how == "stream":
            caller.quic.send_stream(data)
        else:
            caller.quic.send_datagram(data, call.clock.now)
        caller.flush()
        call.run(0.05)
    call.run(2.0)
    commands = [command for _, command in call.callee.commands]
    check_commands(commands)
    if not proven:
        assert {type(command) for command in commands} <= {PathChanged, LinkEnded}
    call.run(100.0)
    assert call.callee.ended is not None


def spoilt(rng: random.Random, real: list[bytes]) -> bytes:
    """Random, oversized, truncated, bit-flipped or replayed: a datagram as nobody honest sends it."""
    kind = rng.randrange(5)
    if kind == 0 or not real:
        return rng.randbytes(rng.randrange(120))
    if kind == 1:
        return bytes([rng.choice((0x40, 0xC0, 0x00, 0x01))]) + rng.randbytes(rng.randrange(1_190, 1_700))
    data = bytearray(rng.choice(real))
    if kind == 2:
        return bytes(data[: rng.randrange(len(data))])
    if kind == 3:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


@pytest.mark.slow
@settings(max_examples=1_000)
@given(st.integers(0, 2**64 - 1), st.booleans())
def test_a_hundred_thousand_spoilt_datagrams_do_not_hinder_a_call(seed: int, connected: bool) -> None:
    """A hundred an example, from the relay's own address, mixed into a handshake or into a conversation."""
    rng, call = random.Random(seed), Call(seed % 50)
    real: list[bytes] = []

    def note(packet: Packet) -> list[Packet]:
        real[:] = [*real[-30:], packet.data]
        return [packet]

    call.network.tamper = note
    if connected:
        call.connect()
    else:
        call.open()
    for _ in range(50):
        for side in call.sides:
            if side.driver.ports:
                target = (side.driver.host.ip, side.driver.ports[0])
                call.network.inject(Packet(call.relay.address, target, spoilt(rng, real)))
        call.run(0.004)
    assert call.clock.run(15.0, lambda: all(side.proven for side in call.sides))
    call.caller.talk()
    call.run(0.2)
    call.caller.be_silent()
    call.run(0.3)
    assert call.callee.frames == list(range(call.caller.sent))
    assert call.caller.ended is None and call.callee.ended is None


def test_stray_packets_of_the_relay_are_counted() -> None:
    call = Call().connect()
    port = call.caller.driver.ports[0]
    call.network.inject(Packet(call.relay.address, (CALLER_IP, port), b"\x20nonsense"))
    call.network.inject(Packet(("192.0.2.1", 9), (CALLER_IP, port), b"\x40nonsense"))
    call.run(0.1)
    stats = call.caller.driver.link.stats(call.clock.now)
    assert (stats.garbage_dropped, stats.foreign_dropped) == (1, 1)
