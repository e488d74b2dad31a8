"""Paths that come and go in whole calls: when a direct one may be looked for, networks that change, hostile reports."""

from dataclasses import replace

import pytest

from tests.natsim.call import CALLEE_IP, CALLER_IP, Call
from tests.natsim.two_paths import DIRECT_IPS, TwoPaths
from tests.natsim.wire import Wire
from transport.ice.candidates import HostAddress
from transport.link.events import CallAnswered, LegReplaced, LinkConfig
from transport.link.link import Link
from transport.path.events import PathChanged, Reconnected, Reconnecting
from transport.traversal.events import Begin, InterfacesChanged, PathLost, PhaseChanged, Prepare
from transport.wire import call_messages as messages
from transport.wire import datagrams
from transport.wire.framing import frame

# Whole calls in virtual time, or whole pages: seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow

HOSTS = {"caller": (HostAddress(CALLER_IP, 24),), "callee": (HostAddress(CALLEE_IP, 24),)}


def with_hosts(config: LinkConfig) -> LinkConfig:
    return replace(config, hosts=HOSTS[config.role])


def always_relay(config: LinkConfig) -> LinkConfig:
    return replace(config, hosts=HOSTS[config.role], always_relay=True, early=True)


def between_the_two(call: Call) -> list[str]:
    """Packets that one peer has sent to the other's address."""
    ends = {CALLER_IP, CALLEE_IP}
    return [p.source[0] for p in call.network.captured if {p.source[0], p.destination[0]} == ends]


# -- with the traversal agent of the product ---------------------------------------------------------------------


def test_the_traversal_agent_of_the_product_finds_the_path_and_the_call_moves_there() -> None:
    call = Call(1, caller=with_hosts, callee=with_hosts, capture=True).connect()
    for side in call.sides:
        side.driver.submit(CallAnswered())
        side.talk()
    call.run(3.0)
    for side in call.sides:
        stats = side.driver.link.stats(call.clock.now)
        assert [(path.kind, path.state) for path in stats.paths] == [("relay", "standby"), ("direct", "active")]
        assert stats.phases and stats.phases[-1].outcome == "won"
        assert any(isinstance(command, PhaseChanged) for _, command in side.commands)
        side.be_silent()
    call.run(1.0)
    assert call.callee.frames == list(range(call.caller.sent))
    assert call.caller.frames == list(range(call.callee.sent))


def test_before_the_answer_no_packet_goes_between_the_two_and_no_address_is_sent() -> None:
    call = Call(2, caller=with_hosts, callee=with_hosts, capture=True).connect()
    call.run(20.0)
    assert not between_the_two(call)
    assert all(len(side.driver.link.stats(call.clock.now).paths) == 1 for side in call.sides)


@pytest.mark.parametrize("other", [with_hosts, always_relay])
def test_with_always_relay_nothing_is_looked_for_nor_answered(other: object) -> None:
    call = Call(3, caller=always_relay, callee=other, capture=True).connect()  # type: ignore[arg-type]
    for side in call.sides:
        side.driver.submit(CallAnswered())
        side.talk()
    call.run(20.0)
    assert not between_the_two(call)
    assert call.caller.driver.link.stats(call.clock.now).phases == ()
    assert len(call.caller.driver.ports) == 1


def test_for_a_contact_it_is_direct_before_the_answer() -> None:
    def early(config: LinkConfig) -> LinkConfig:
        return replace(with_hosts(config), early=True)

    call = Call(4, caller=early, callee=early).connect()
    call.run(1.5)
    for side in call.sides:
        states = {path.kind: path.state for path in side.driver.link.stats(call.clock.now).paths}
        assert states == {"relay": "standby", "direct": "active"}


# -- with a scripted one -------------------------------------------------------------------------------------------


def test_the_agent_gathers_when_the_peer_is_proven_and_begins_when_the_call_is_taken() -> None:
    rig = TwoPaths(1).connect()
    assert [(agent.count(Prepare), agent.count(Begin)) for agent in rig.agents] == [(1, 0), (1, 0)]
    rig.talk()
    assert [agent.count(Begin) for agent in rig.agents] == [1, 1]
    early = TwoPaths(2, early=True).connect()
    assert [(agent.count(Prepare), agent.count(Begin)) for agent in early.agents] == [(0, 1), (0, 1)]


def test_what_was_found_in_silence_proves_itself_again_when_somebody_talks() -> None:
    rig = TwoPaths(3, early=True).connect()
    rig.find().run(1.5)
    assert [rig.in_use(number) for number in (0, 1)] == ["direct", "direct"]
    rig.talk().run(2.0).finish()
    for voice in rig.voices:
        # On probation: from the first frame on both paths carry it, until the peer has counted.
        assert {len(frame.copies) for frame in voice.frames[:15]} == {2}
        assert {tuple(frame.copies) for frame in voice.frames[-20:]} == {("direct",)}
        assert voice.output == list(range(len(voice.frames)))


def test_a_path_on_which_pings_are_fine_and_audio_is_dead_is_left() -> None:
    """Found while it rang; whatever is as long as a frame of voice is lost on it."""
    rig = TwoPaths(4, early=True).connect()
    rig.find().run(1.5)
    assert rig.in_use(0) == "direct"
    rig.network.tamper = lambda packet: [] if len(packet.data) > 150 else [packet]
    rig.talk().run(6.0).finish()
    assert [rig.in_use(number) for number in (0, 1)] == ["relay", "relay"]
    for voice in rig.voices:
        assert voice.output == list(range(len(voice.frames)))


def talking_directly(seed: int) -> TwoPaths:
    rig = TwoPaths(seed, relay=lambda: Wire(0.04), direct=lambda: Wire(0.01)).connect()
    rig.talk().run(0.5).find().run(2.0)
    assert [rig.in_use(number) for number in (0, 1)] == ["direct", "direct"]
    return rig


def hosts(*addresses: str) -> InterfacesChanged:
    return InterfacesChanged(tuple(HostAddress(address, 24) for address in addresses))


def test_a_change_of_the_network_that_does_not_touch_the_paths_disturbs_nothing() -> None:
    rig = talking_directly(5)
    before = [len(rig.changes(number)) for number in (0, 1)]
    rig.sides[0].driver.submit(hosts(CALLER_IP, DIRECT_IPS[CALLER_IP], "172.16.5.5"))
    rig.run(2.0).finish()
    assert [len(rig.changes(number)) for number in (0, 1)] == before
    assert rig.agents[0].count(InterfacesChanged) == 1
    assert rig.voices[0].output == list(range(len(rig.voices[0].frames)))


def test_a_path_whose_address_is_gone_dies_at_once_and_nothing_is_lost() -> None:
    rig = talking_directly(6)
    at = rig.clock.now
    host = rig.sides[0].driver.host
    host.leave(DIRECT_IPS[CALLER_IP])
    rig.sides[0].driver.submit(hosts(CALLER_IP))
    assert rig.in_use(0) == "relay"
    assert rig.agents[0].count(PathLost) == 1
    rig.run(3.0).finish()
    assert [rig.in_use(number) for number in (0, 1)] == ["relay", "relay"]
    for voice in rig.voices:
        assert voice.arrived == list(range(len(voice.frames)))
    gone = [change for when, change in rig.changes(0) if when == at]
    assert [(change.kind, change.state) for change in gone] == [("direct", "candidate"), ("relay", "active")]


def test_the_relay_leg_gets_another_socket_when_its_address_is_gone() -> None:
    call = Call(7).connect()
    call.caller.talk()
    call.run(1.0)
    before = call.caller.driver.ports
    call.caller.driver.submit(hosts("198.51.100.77"))
    call.run(2.0)
    assert call.caller.driver.ports != before
    stats = call.caller.driver.link.stats(call.clock.now)
    assert stats.paths[0].state == "active" and call.caller.ended is None


def test_a_peer_that_moves_is_followed_only_by_what_the_agent_has_checked() -> None:
    rig = talking_directly(8)
    agent, side = rig.agents[0], rig.sides[0]
    (socket,) = agent.local
    dropped = side.driver.link.stats(rig.clock.now).foreign_dropped
    host = rig.sides[1].driver.host
    host.join(rig.network, "10.9.0.77", Wire(0), Wire(0.01))
    port = rig.agents[1].local[next(iter(rig.agents[1].local))][1]
    # Data from another address, however authentic, counts for nothing.
    original = next(p for p in side.driver.link.stats(rig.clock.now).paths if p.kind == "direct").remote
    host.send(port, agent.local[socket], b"\x40" * 60, ip="10.9.0.77")
    rig.run(0.1)
    assert side.driver.link.stats(rig.clock.now).foreign_dropped == dropped + 1
    agent.find(socket, ("10.9.0.77", port), 0.02, rig.clock.now)
    side.driver.submit(CallAnswered())
    rig.run(0.1)
    (path,) = [p for p in side.driver.link.stats(rig.clock.now).paths if p.kind == "direct"]
    assert path.remote == ("10.9.0.77", port) != original and path.state == "active"
    rig.run(1.0).finish()
    for voice in rig.voices:
        assert voice.arrived == list(range(len(voice.frames)))


def test_a_new_grant_in_a_direct_call_goes_unnoticed() -> None:
    rig = talking_directly(9)
    rig.call.relay.stop()
    rig.run(1.0)
    rig.call.relay.restart()
    for side, leg in zip(rig.sides, rig.call.relay.grant(rig.call.call_id, "-new"), strict=True):
        side.driver.submit(LegReplaced(leg))
    rig.run(2.0).finish()
    for number, side in enumerate(rig.sides):
        states = {path.kind: path.state for path in side.driver.link.stats(rig.clock.now).paths}
        assert states == {"relay": "standby", "direct": "active"}
        assert rig.voices[number].output == list(range(len(rig.voices[number].frames)))
        assert not side.of(Reconnecting)


def test_both_paths_dead_is_reconnecting_and_either_one_ends_it() -> None:
    rig = talking_directly(10)
    rig.cut()
    rig.call.relay.stop()
    rig.run(5.0)
    assert all(side.of(Reconnecting) for side in rig.sides)
    rig.cut(False)
    rig.run(3.0)
    assert all(side.of(Reconnected) for side in rig.sides)
    assert [rig.in_use(number) for number in (0, 1)] == ["direct", "direct"]


@pytest.mark.parametrize(
    "message",
    [
        messages.PathQuality([messages.PathCount(n, 2**53 - 1, 0, 600_000.0, 600_000.0) for n in range(5)]),
        messages.PathQuality([]),
        messages.PathSilent(0, 0.0),
        messages.PathSilent(2**53 - 1, 600_000.0),
        messages.PathInUse("direct"),
        messages.Sync(1),
        messages.ConnectAck(70),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_a_hostile_peer_reports_of_the_paths_harms_nobody(message: messages.PeerMessage) -> None:
    rig = talking_directly(11)
    link: Link = rig.sides[1].driver.link
    peer = link._channel.connection
    assert peer is not None
    for _ in range(50):
        document = messages.encode(message)
        peer.send_stream(frame(document))
        peer.send_datagram(datagrams.encode(datagrams.UnreliableMessage(document)), rig.clock.now)
        rig.run(0.05)
    rig.run(2.0).finish()
    assert all(side.ended is None for side in rig.sides)
    for voice in rig.voices:
        assert voice.arrived == list(range(len(voice.frames)))


def test_reports_about_the_paths_count_at_once_or_not_at_all() -> None:
    """On the control stream it would wait for what was lost before it, and be believed when it is no longer true."""
    rig = talking_directly(13)
    peer, link = rig.sides[1].driver.link._channel.connection, rig.sides[0].driver.link
    assert peer is not None
    number = max(rig.sides[1].driver.link._routes.paths._echo_numbers.values())
    complaint = messages.encode(messages.PathSilent(number, 60.0))

    peer.send_stream(frame(complaint))
    rig.run(0.2)
    assert rig.in_use(0) == "direct" and not [1 for _, change in rig.changes(0) if change.state == "suspect"]
    assert link.stats(rig.clock.now).garbage_dropped == 1
    peer.send_datagram(
        datagrams.encode(datagrams.UnreliableMessage(messages.encode(messages.Muted(True)))), rig.clock.now
    )
    rig.run(0.2)
    assert link.stats(rig.clock.now).garbage_dropped == 2 and messages.Muted(True) not in rig.sides[0].messages
    peer.send_datagram(datagrams.encode(datagrams.UnreliableMessage(complaint)), rig.clock.now)
    rig.run(0.2)
    assert [change.state for _, change in rig.changes(0)][-2:] == ["suspect", "active"], "the path answers"


def test_a_peer_that_complains_for_ever_gets_two_copies_of_everything_and_no_more() -> None:
    rig = talking_directly(12)
    peer = rig.sides[1].driver.link._channel.connection
    assert peer is not None
    for _ in range(40):
        for number in range(1, 400):
            report = datagrams.UnreliableMessage(messages.encode(messages.PathSilent(number, 600_000.0)))
            peer.send_datagram(datagrams.encode(report), rig.clock.now) if number % 50 == 0 else None
        rig.run(0.1)
    rig.finish()
    assert max(len(spoken.copies) for spoken in rig.voices[0].frames) <= 2
    assert all(isinstance(change, PathChanged) for _, change in rig.changes(0))


def direct_ends(rig: TwoPaths) -> list[set[object]]:
    """Of the direct path that each talks by, the ends."""
    found: list[set[object]] = []
    for side in rig.sides:
        (active,) = (p for p in side.driver.link.stats(rig.clock.now).paths if p.state == "active")
        assert active.kind == "direct"
        found.append({active.local, active.remote})
    return found


def test_of_two_direct_paths_both_come_to_talk_by_the_same_and_nobody_hears_it() -> None:
    """As after an attempt that one side needed and the other did not. Where each has a path of its own, no voice comes
    by the path that we send on, only the answers to our echoes."""
    rig = TwoPaths(1).connect().talk().run(0.5).find_two(apart_s=0.01).run(2.0)
    mine, theirs = direct_ends(rig)
    assert not mine & theirs
    before = [len(rig.changes(side)) for side in (0, 1)]
    rig.run(6.0)
    assert direct_ends(rig) == [mine, mine], "the caller leads"
    assert not rig.changes(0)[before[0] :]
    swap = [change for _, change in rig.changes(1)[before[1] :]]
    assert [isinstance(change, PathChanged) and change.state for change in swap] == ["standby", "active"]
    rig.run(6.0).finish()
    assert len(rig.changes(0)) + len(rig.changes(1)) == sum(before) + 2, "and they stay"
    for voice in rig.voices:
        assert voice.output == list(range(len(voice.frames)))
