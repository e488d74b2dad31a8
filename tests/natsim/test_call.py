"""Whole calls over the relay, in virtual time: they come to stand, carry a voice exactly, and end cleanly."""

from itertools import pairwise

import pytest

from tests.natsim.call import Call, rtp
from tests.natsim.wire import Bernoulli, GilbertElliott, Wire
from transport.link.events import Close, LinkEnded, PeerMessageReceived, PeerProven, SendMedia, SendPeerMessage
from transport.link.link import FAREWELL_S, LINGER_S
from transport.path.events import PathChanged
from transport.wire.call_messages import Accept, Bye, Muted


def test_both_sides_prove_each_other_within_two_and_a_half_round_trips() -> None:
    call = Call(wire=lambda: Wire(delay=0.05)).connect()
    # One way between the people is two wires: 100 ms. Binding the leg costs one round trip to the relay, which is
    # 100 ms as well; then TLS and the proof share their flights: 1.5 round trips for the callee, 2 for the caller.
    assert call.callee.when(PeerProven) == pytest.approx(1000.4, abs=0.01)
    assert call.caller.when(PeerProven) == pytest.approx(1000.5, abs=0.01)
    assert call.caller.of(PeerProven) == [PeerProven()]
    assert call.callee.of(PeerProven) == [PeerProven()]


def test_where_the_relay_has_to_ask_again_a_leg_takes_one_round_trip_to_it_more() -> None:
    call = Call(wire=lambda: Wire(delay=0.05), hosts=("", "")).connect()
    assert call.callee.when(PeerProven) == pytest.approx(1000.5, abs=0.01)
    assert call.caller.when(PeerProven) == pytest.approx(1000.6, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.01, 0.05, 0.25])
@pytest.mark.parametrize("loss", [0.0, 0.05, 0.2])
def test_the_handshake_always_completes(delay: float, loss: float) -> None:
    # Each way has two wires. Half of the loss on each makes at most `loss` between the two people.
    for seed in range(20):
        Call(seed, lambda: Wire(delay=delay / 2, jitter=delay / 4, loss=Bernoulli(loss / 2))).connect()


@pytest.mark.slow
def test_a_minute_of_voice_arrives_complete_once_and_in_order() -> None:
    call = Call(wire=lambda: Wire(delay=0.02, jitter=0.004)).connect()
    for side in call.sides:
        side.talk()
    call.run(60.0)
    for side in call.sides:
        side.be_silent()
    call.run(1.0)
    for side, other in (call.sides, call.sides[::-1]):
        assert other.sent >= 3000
        assert side.frames == list(range(other.sent))


def test_one_dropped_packet_is_one_lost_frame() -> None:
    call = Call().connect()
    victim = rtp(50)[12:]

    dropped = []

    def drop_one(packet):  # type: ignore[no-untyped-def]
        # Encrypted packets look alike, so the 50th large one of the caller is taken.
        if packet.source[0] == call.caller.driver.host.ip and len(packet.data) > len(victim):
            dropped.append(packet)
            if len(dropped) == 50:
                return []
        return [packet]

    call.network.tamper = drop_one
    call.caller.talk()
    call.run(2.0)
    assert len(dropped) > 60
    assert len(set(range(60)) - set(call.callee.frames)) == 1


def test_loss_is_measured_on_the_path() -> None:
    call = Call(wire=lambda: Wire(delay=0.03)).connect()
    call.caller.driver.host.up.loss = GilbertElliott(0.05, 0.45)
    call.caller.talk()
    call.run(10.0)
    stats = call.callee.driver.link.stats(call.clock.now).paths[0]
    assert stats.loss == pytest.approx(0.1, abs=0.08)
    assert stats.rtt_ms == pytest.approx(120, abs=5)
    assert call.callee.driver.link._routes.paths.leg.round_trip.smoothed == pytest.approx(0.06, abs=0.001)
    # What QUIC lost was never sent again: no frame comes twice or late.
    assert call.callee.frames == sorted(set(call.callee.frames))


def test_nothing_waits_in_the_sender_at_a_long_round_trip_with_heavy_loss() -> None:
    call = Call(wire=lambda: Wire(delay=0.1)).connect()
    for side in call.sides:
        side.driver.host.up.loss = Bernoulli(0.2)
    call.network.capture = True
    call.caller.talk()
    call.run(20.0)
    ip = call.caller.driver.host.ip
    sent = [packet for packet in call.network.captured if packet.source[0] == ip and len(packet.data) > 100]
    assert len(sent) >= call.caller.sent
    assert call.caller.driver.link.stats(call.clock.now).stale_dropped == 0
    assert len(call.callee.frames) == pytest.approx(0.8 * call.caller.sent, rel=0.05)


def test_acknowledgements_ride_on_voice() -> None:
    call = Call().connect()
    for side in call.sides:
        side.talk()
    call.run(1.0)
    call.network.capture = True
    frames_before, packets_before = call.caller.sent, len(call.network.captured)
    call.run(10.0)
    ip = call.caller.driver.host.ip
    packets = sum(packet.source[0] == ip for packet in call.network.captured[packets_before:])
    # 50 frames, 4 echo requests and 4 replies a second; QUIC alone would add an acknowledgement for each of the
    # peer's packets.
    assert packets <= 1.3 * (call.caller.sent - frames_before)


def test_the_path_in_use_is_never_silent_for_longer_than_the_keepalive() -> None:
    call = Call().connect()
    call.network.capture = True
    times: list[float] = []

    def note(packet):  # type: ignore[no-untyped-def]
        if packet.destination[0] == call.callee.driver.host.ip:
            times.append(call.clock.now)
        return [packet]

    call.network.tamper = note
    call.run(20.0)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(gaps) > 190
    assert max(gaps) <= 0.101


def test_messages_arrive_in_order_through_loss() -> None:
    call = Call(wire=lambda: Wire(loss=Bernoulli(0.1), jitter=0.02)).connect()
    for index in range(50):
        call.caller.driver.submit(SendPeerMessage(Muted(index % 2 == 0)))
    call.run(10.0)
    assert call.callee.messages == [Muted(index % 2 == 0) for index in range(50)]


def test_an_accept_before_the_proof_is_sent_after_it() -> None:
    call = Call()
    call.callee.driver.submit(SendPeerMessage(Accept()))
    call.connect().run(1.0)
    assert call.caller.messages == [Accept()]


def test_media_before_the_proof_goes_nowhere() -> None:
    call = Call().open()
    call.callee.talk()
    call.run(0.02)
    call.callee.be_silent()
    call.connect().run(1.0)
    assert call.caller.frames == []
    assert call.callee.driver.link.stats(call.clock.now).unsent_dropped == 2


@pytest.mark.parametrize("closing", ["caller", "callee"])
@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_goodbye_ends_both_sides(closing: str, loss: float) -> None:
    call = Call().connect()
    for side in call.sides:
        side.driver.host.up.loss = Bernoulli(loss)
    one, other = call.sides if closing == "caller" else call.sides[::-1]
    one.talk()
    call.run(1.0)
    one.be_silent()
    started = call.clock.now
    one.driver.submit(Close(Bye("hung-up", "so long")))
    call.run_until_ended(2.0)
    assert call.clock.now - started < 1.6
    assert one.of(LinkEnded) == [LinkEnded("closed", "so long")]
    assert other.of(LinkEnded) == [LinkEnded("peer-left", "hung-up")]
    assert other.of(PeerMessageReceived) == [PeerMessageReceived(Bye("hung-up", "so long"))]
    received, over = other.when(PeerMessageReceived), other.when(LinkEnded)
    assert received is not None and over is not None and over - received <= FAREWELL_S + 0.001
    for side in call.sides:
        assert side.driver.ports == () and side.driver.link.next_deadline() is None


@pytest.mark.parametrize("closing", ["caller", "callee"])
def test_a_goodbye_whose_first_packets_are_lost_is_repeated(closing: str) -> None:
    call = Call().connect()
    call.run(1.0)
    one, other = call.sides if closing == "caller" else call.sides[::-1]
    one.driver.host.up.cut = True
    one.driver.submit(Close(Bye()))
    call.run(0.15)
    one.driver.host.up.cut = False
    call.run_until_ended(1.5)
    assert one.of(LinkEnded) == [LinkEnded("closed", "")]
    assert other.of(LinkEnded) == [LinkEnded("peer-left", "hung-up")]


def test_a_goodbye_to_nobody_ends_within_the_linger() -> None:
    call = Call().connect()
    call.callee.driver.host.down.cut = True
    started = call.clock.now
    call.caller.driver.submit(Close(Bye()))
    assert call.clock.run(5.0, lambda: call.caller.ended is not None)
    assert call.clock.now - started <= LINGER_S + 0.01
    assert call.caller.ended == LinkEnded("closed", "")


def test_both_sides_may_say_goodbye_at_once() -> None:
    call = Call().connect()
    for side in call.sides:
        side.driver.submit(Close(Bye()))
    call.run_until_ended(1.0)
    assert {side.ended.reason for side in call.sides if side.ended} == {"closed"}


def test_closing_before_the_proof_ends_at_once() -> None:
    call = Call().open()
    call.caller.driver.submit(Close(Bye()))
    assert call.caller.ended == LinkEnded("closed", "")


def test_nothing_readable_is_on_the_wire() -> None:
    call = Call(capture=True).connect()
    secret = b"my voice is my passport, verify me " * 2
    call.caller.talk(secret)
    call.callee.talk(secret)
    call.run(2.0)
    call.caller.driver.submit(SendPeerMessage(Bye("hung-up", "goodbye in clear words")))
    call.run(2.0)
    assert secret in call.callee.last_packet and call.callee.messages
    wire = b"".join(packet.data for packet in call.network.captured)
    assert len(wire) > 10_000
    for word in (secret[:16], b"home.example", b"goodbye", call.call_id.encode(), call.callee_identity.key):
        assert word not in wire
    # The callee's certificate is sealed as well: a relay sees no more of the handshake than keys made for it.
    assert call.callee_identity.certificate[40:80] not in wire


def test_path_states_are_reported_in_order() -> None:
    call = Call().connect()
    states = [change.state for change in call.caller.of(PathChanged) if isinstance(change, PathChanged)]
    assert states == ["validating", "standby", "active"]


def test_the_same_seed_is_the_same_call() -> None:
    def history() -> tuple[list[float], int]:
        call = Call(7, lambda: Wire(jitter=0.01, loss=Bernoulli(0.05))).connect()
        call.caller.talk()
        call.run(3.0)
        return [at for at, _ in call.caller.commands], len(call.callee.frames)

    assert history() == history()


def test_too_long_media_is_refused_not_sent() -> None:
    call = Call().connect()
    call.caller.driver.submit(SendMedia(bytes(1_400)))
    call.run(1.0)
    assert call.caller.driver.link.stats(call.clock.now).unsent_dropped == 1
    assert call.callee.ended is None
