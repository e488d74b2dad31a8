"""What goes wrong: impostors, strangers, relays that alter, vanish and return, peers that vanish."""

import random
from dataclasses import replace

import pytest

from tests.natsim.call import CALLEE_IP, CALLER_IP, Call, identity
from tests.natsim.network import Packet
from tests.natsim.scripted_caller import prove, with_scripted_caller
from tests.natsim.wire import Wire
from transport.link.events import (
    LegReplaced,
    LinkEnded,
    MediaReceived,
    PeerMessageReceived,
    PeerProven,
    SendPeerMessage,
)
from transport.link.handshake import admission_token
from transport.path.events import Reconnected, Reconnecting
from transport.quic.call_connection import PeerConnection
from transport.wire import call_messages as messages
from transport.wire import datagrams as flow
from transport.wire.demux import PacketKind, packet_kind

# Seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow


def reason(end: LinkEnded | None) -> str:
    return end.reason if end is not None else "still up"


# -- who somebody is ---------------------------------------------------------------------------------------------


def test_a_callee_with_another_certificate_is_not_believed() -> None:
    call = Call(callee=lambda config: replace(config, identity=identity(3))).open()
    call.run(5.0)
    assert reason(call.caller.ended) == "wrong-certificate"
    assert not call.caller.proven and not call.callee.proven


def test_a_certificate_of_another_key_ends_the_call_before_a_packet_leaves() -> None:
    call = Call(capture=True, caller=lambda config: replace(config, peer_key=identity(3).key)).open()
    assert reason(call.caller.ended) == "wrong-certificate"
    assert not [packet for packet in call.network.captured if packet.source[0] == CALLER_IP]


def test_an_unreadable_certificate_ends_the_call() -> None:
    call = Call(caller=lambda config: replace(config, peer_certificate=b"no certificate")).open()
    assert reason(call.caller.ended) == "wrong-certificate"


def test_a_caller_with_another_key_is_not_believed() -> None:
    call = Call(caller=lambda config: replace(config, identity=identity(3))).open()
    call.run(5.0)
    assert reason(call.callee.ended) == reason(call.caller.ended) == "bad-proof"
    assert not call.callee.proven and not call.caller.proven


def test_a_caller_of_another_call_is_not_let_in() -> None:
    call = Call(caller=lambda config: replace(config, call_id="0" * 32)).open()
    call.run_until_ended(31.0)
    assert {reason(side.ended) for side in call.sides} == {"lost"}
    assert not call.callee.proven and call.callee.driver.link.stats(call.clock.now).attempts_refused


def test_the_scripted_caller_is_believed_when_it_tells_the_truth() -> None:
    call, caller = with_scripted_caller()
    caller.say(prove(call, caller.hello().nonce))
    call.run(1.0)
    assert call.callee.of(PeerProven) == [PeerProven()]


@pytest.mark.parametrize(
    "sent",
    [
        messages.Accept(),
        messages.Bye(),
        messages.Muted(True),
        messages.Proven(),
        messages.Hello(version=1, nonce=bytes(32)),
        messages.PathInUse("direct"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_before_the_proof_ends_the_call_undelivered(sent: messages.PeerMessage) -> None:
    call, caller = with_scripted_caller()
    caller.say(sent, prove(call, caller.hello().nonce))
    call.run(1.0)
    assert reason(call.callee.ended) == "bad-proof"
    assert not call.callee.proven and not call.callee.of(PeerMessageReceived)


def test_media_before_the_proof_is_not_delivered() -> None:
    call, caller = with_scripted_caller()
    caller.quic.send_datagram(flow.encode(flow.MediaFlow(b"\x80" * 30)), call.clock.now)
    caller.quic.send_datagram(flow.encode(flow.EchoRequest(7)), call.clock.now)
    caller.flush()
    call.run(1.0)
    assert not call.callee.of(MediaReceived) and call.callee.ended is None
    assert not caller.datagrams
    assert call.callee.driver.link.stats(call.clock.now).early_dropped == 2


def test_a_proof_from_another_call_cannot_be_replayed() -> None:
    _, one = with_scripted_caller(1)
    later, other = with_scripted_caller(2)
    assert one.hello().nonce != other.hello().nonce
    # Everything is right but the nonce that was signed.
    replayed = prove(later, one.hello().nonce)
    other.say(replayed)
    later.run(1.0)
    assert reason(later.callee.ended) == "bad-proof"


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"call_id": "f" * 32},
        {"key": identity(3).key},
        {"certificate": identity(3).certificate},
        {"certificate": b"nonsense"},
        {"signature": bytes(64)},
        {"key": identity(3).key, "certificate": identity(3).certificate},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_any_wrong_part_of_the_proof_ends_the_call(changes: dict[str, object]) -> None:
    call, caller = with_scripted_caller()
    caller.say(prove(call, caller.hello().nonce, **changes))
    call.run(1.0)
    assert reason(call.callee.ended) == "bad-proof" and not call.callee.proven


def test_proving_twice_is_no_protocol() -> None:
    call, caller = with_scripted_caller()
    proof = prove(call, caller.hello().nonce)
    caller.say(proof, proof)
    call.run(1.0)
    assert call.callee.proven and reason(call.callee.ended) == "protocol"


def test_nonsense_on_the_control_stream_ends_the_call() -> None:
    for sent in (b"\x00\x00", b"\xff\xff" + bytes(10), b"\x00\x04\xff\xff\xff\xff"):
        call, caller = with_scripted_caller()
        caller.say(prove(call, caller.hello().nonce))
        caller.quic.send_stream(sent)
        caller.flush()
        call.run(1.0)
        assert reason(call.callee.ended) == "protocol"


# -- strangers ---------------------------------------------------------------------------------------------------


def test_packets_of_strangers_change_nothing() -> None:
    call = Call()
    stranger = call.network.host("100.64.0.9", Wire(delay=0.001), Wire(delay=0.001))
    rng = random.Random(5)
    captured: list[bytes] = []

    def listen(packet: Packet) -> list[Packet]:
        captured.append(packet.data)
        return [packet]

    call.network.tamper = listen

    def attack() -> None:
        for ip, side in ((CALLER_IP, call.caller), (CALLEE_IP, call.callee)):
            for port in side.driver.ports:
                old = rng.choice(captured) if captured else b"\x40"
                for data in (rng.randbytes(rng.randrange(1, 1_400)), old):
                    stranger.send(4_444, (ip, port), data)
        call.clock.after(0.003, attack)

    call.clock.after(0.0, attack)
    call.connect(5.0)
    call.caller.talk()
    call.run(5.0)
    assert call.callee.frames == list(range(len(call.callee.frames)))
    assert len(call.callee.frames) > 240
    stats = call.callee.driver.link.stats(call.clock.now)
    assert stats.foreign_dropped > 1_000
    assert stats.paths[0].packets_received < 1_000


@pytest.mark.parametrize(("pause", "insider"), [(0.02, False), (0.3, True)])
def test_forged_first_packets_do_not_lock_the_caller_out(pause: float, insider: bool) -> None:
    """Well-formed Initials from the relay's forged address. Who knows the call's token is admitted at the rate of
    honest attempts, and can keep the caller out by exceeding it; but then it is the relay, and needs no such pains.
    """
    call = Call(wire=lambda: Wire(delay=0.03))
    rng = random.Random(9)
    token = admission_token(call.call_id) if insider else b""

    def forge() -> None:
        for port in call.callee.driver.ports:
            forged = PeerConnection.caller(identity(4).certificate, token)
            forged.open(call.clock.now)
            for data in forged.datagrams_to_send(call.clock.now):
                call.network.inject(Packet(call.relay.address, (CALLEE_IP, port), data))
                junk = data[:30] + rng.randbytes(len(data) - 30)
                call.network.inject(Packet(call.relay.address, (CALLEE_IP, port), junk))
        if not call.callee.proven:
            call.clock.after(pause, forge)

    call.clock.after(0.0, forge)
    call.connect(5.0)
    assert call.callee.driver.link.stats(call.clock.now).attempts_refused


# -- a relay that is not honest, or not well ---------------------------------------------------------------------


def test_a_relay_that_flips_bits_loses_packets_and_nothing_else() -> None:
    call = Call().connect()
    rng = random.Random(3)

    def flip(packet: Packet) -> list[Packet]:
        if rng.random() < 0.2 and packet_kind(packet.data) is PacketKind.QUIC:
            data = bytearray(packet.data)
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            return [replace(packet, data=bytes(data))]
        return [packet]

    call.network.tamper = flip
    call.caller.talk(b"\x55" * 80)
    call.run(10.0)
    assert call.callee.ended is None and call.caller.ended is None
    assert call.callee.frames == sorted(set(call.callee.frames))
    # Each packet passes two hops.
    assert len(call.callee.frames) == pytest.approx(0.64 * call.caller.sent, rel=0.12)
    assert call.callee.last_packet.endswith(b"\x55" * 80)


def test_a_relay_that_doubles_and_reorders_doubles_nothing() -> None:
    call = Call(wire=lambda: Wire(delay=0.01, jitter=0.06, duplicate=0.3)).connect()
    call.caller.talk()
    call.run(10.0)
    call.caller.be_silent()
    call.run(1.0)
    assert sorted(call.callee.frames) == list(range(call.caller.sent))
    assert call.callee.frames != sorted(call.callee.frames)


def test_a_relay_that_replays_everything_later_changes_nothing() -> None:
    call = Call()

    def replay(packet: Packet) -> list[Packet]:
        call.clock.after(0.5, lambda: call.network.inject(packet))
        call.clock.after(3.0, lambda: call.network.inject(packet))
        return [packet]

    call.network.tamper = replay
    call.connect()
    call.caller.talk()
    call.run(5.0)
    call.caller.be_silent()
    call.run(1.0)
    assert call.callee.frames == list(range(call.caller.sent))


@pytest.mark.parametrize("away", [2.0, 10.0, 27.0])
def test_a_relay_that_comes_back_with_a_new_grant_has_its_call_again(away: float) -> None:
    call = Call().connect()
    for side in call.sides:
        side.talk()
    call.run(2.0)
    call.relay.stop()
    call.run(away)
    for side in call.sides:
        assert len(side.of(Reconnecting)) == 1 and not side.of(Reconnected)
        side.driver.submit(SendPeerMessage(messages.Muted(True)))
    call.relay.restart()
    legs = call.relay.grant(call.call_id, "again")
    for side, leg in zip(call.sides, legs, strict=True):
        side.frames.clear()
        side.driver.submit(LegReplaced(leg))
    call.run(2.0)
    for side in call.sides:
        assert len(side.of(Reconnected)) == 1 and side.ended is None
        # What was sent meanwhile is not lost.
        assert side.messages == [messages.Muted(True)]
        # Two seconds of voice, less the time to bind and get through; and nothing of what was spoken meanwhile.
        assert len(side.frames) > 90
        assert side.frames == list(range(side.frames[0], side.frames[0] + len(side.frames)))


def test_a_relay_that_comes_back_and_remembers_needs_no_new_grant() -> None:
    call = Call().connect()
    call.relay.stop()
    call.run(12.0)
    legs, call.relay.running = call.relay.legs, True
    assert legs is call.relay.legs
    call.run(2.0)
    assert all(side.of(Reconnected) and side.ended is None for side in call.sides)


def test_a_relay_that_stays_away_ends_the_call_after_half_a_minute() -> None:
    call = Call().connect()
    call.caller.talk()
    call.run(1.0)
    call.relay.stop()
    stopped = call.clock.now
    call.run_until_ended(60.0)
    assert 30.0 <= call.clock.now - stopped <= 30.5
    assert {reason(side.ended) for side in call.sides} == {"lost"}


def test_a_relay_that_forgot_the_call_refuses_the_leg() -> None:
    call = Call()
    call.relay.restart()
    call.open()
    call.run_until_ended(5.0)
    assert {reason(side.ended) for side in call.sides} == {"leg-refused"}


def test_a_relay_that_forgot_in_mid_call_is_named_in_the_end() -> None:
    call = Call().connect()
    call.relay.restart()
    call.run_until_ended(60.0)
    assert {reason(side.ended) for side in call.sides} == {"leg-refused"}


def test_no_relay_at_all_is_found_out() -> None:
    call = Call()
    call.relay.stop()
    call.open()
    call.run_until_ended(40.0)
    assert {reason(side.ended) for side in call.sides} == {"lost"}


def test_a_peer_that_vanishes_is_missed_after_a_second_and_given_up_after_thirty() -> None:
    call = Call().connect()
    call.run(1.0)
    call.callee.driver.host.up.cut = call.callee.driver.host.down.cut = True
    started = call.clock.now
    call.run(1.2)
    assert call.caller.of(Reconnecting)
    assert call.clock.run(40.0, lambda: call.caller.ended is not None)
    assert reason(call.caller.ended) == "lost"
    assert 30.0 <= call.clock.now - started <= 30.5


def test_a_short_cut_is_repaired_without_a_word_of_the_application() -> None:
    call = Call().connect()
    for side in call.sides:
        side.talk()
    call.run(1.0)
    call.callee.driver.host.down.cut = True
    call.run(0.5)
    call.callee.driver.host.down.cut = False
    call.run(1.0)
    for side in call.sides:
        assert not side.of(Reconnecting) and side.ended is None


def test_a_nat_that_changes_our_address_costs_less_than_half_a_second() -> None:
    call = Call().connect()
    call.callee.talk()
    call.caller.talk()
    call.run(2.0)
    moved = {"port": 61_000}
    old = call.caller.driver.ports[0]

    def renumber(packet: Packet) -> list[Packet]:
        if packet.source == (CALLER_IP, old):
            return [replace(packet, source=(CALLER_IP, moved["port"]))]
        if packet.destination == (CALLER_IP, moved["port"]):
            return [replace(packet, destination=(CALLER_IP, old))]
        if packet.destination == (CALLER_IP, old):
            return []
        return [packet]

    call.network.tamper = renumber
    before = call.caller.frames[-1]
    call.run(2.0)
    after = next(index for index in call.caller.frames if index > before)
    assert (after - before) * 0.02 < 0.5
    assert not call.caller.of(Reconnecting)
    assert call.caller.driver.link._routes.paths.leg.reflexive == (CALLER_IP, 61_000)
