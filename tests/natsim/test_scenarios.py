"""What can become of a call: with the relay's own router and legs, both call machines and both links, to the second.

Times that are asserted are those that the parts state: 45 s until "no answer" (relay.call_table), 10 s of grace for a
client that is away, 50 s of QUIC's idle time-out on a control session, 30 s until a silent link counts as lost.
"""

import pytest

from app.call.machine import INVITE_TIMEOUT_S, RING_TIMEOUT_S
from app.ipc import messages
from relay.call_table import NO_ANSWER_S, RECONNECT_GRACE_S
from tests.natsim.people import Person, SimCall, World
from transport.link.link import LOST_AFTER_S
from transport.quic.relay_channel import IDLE_TIMEOUT_S
from transport.quic.relay_session import PROBE_TIMEOUT_S
from transport.wire import relay_messages

# Whole calls in virtual time, or whole pages: seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow

# Some crossings of the network, and timers that look once a second.
SLACK_S = 1.5


class Two:
    """Ann and bob are on line; ``ring`` makes ann call bob."""

    def __init__(self) -> None:
        self.world = World()
        self.ann, self.bob = self.world.person("ann"), self.world.person("bob")
        self.world.until(lambda: self.ann.control.is_connected and self.bob.control.is_connected)

    @property
    def now(self) -> float:
        return self.world.clock.now

    def ring(self) -> tuple[SimCall, SimCall]:
        placed = self.ann.call("bob")
        self.world.until(lambda: placed.call.view.phase == "ringing" and bool(self.bob.talks))
        # Until the two programs know each other, as they do long before anybody has picked up.
        self.world.run(1.0)
        return placed, self.bob.talk

    def until_back(self) -> None:
        """Until both have noticed that their session is gone and have another."""
        clients = (self.ann.control, self.bob.control)
        self.world.until(lambda: all(client.is_connected and not client.is_stale for client in clients), 90.0)

    def connect(self) -> tuple[SimCall, SimCall]:
        placed, taken = self.ring()
        self.bob.answer()
        self.world.until(lambda: placed.call.view.phase == taken.call.view.phase == "talking")
        self.world.run(1.0)
        return placed, taken

    def over(self, *talks: SimCall, seconds: float = 120.0) -> None:
        self.world.until(lambda: all(talk.finished is not None for talk in talks), seconds)


@pytest.fixture
def two() -> Two:
    return Two()


def how(talk: SimCall) -> tuple[str, str]:
    """Outcome and reason of a call that is over, given exactly once."""
    assert len(talk.endings) == 1
    assert talk.call.finished and talk.call.next_deadline() is None
    finished = talk.endings[0][1]
    return finished.outcome, finished.reason


def ended_at(talk: SimCall) -> float:
    return talk.endings[0][0]


def assert_nothing_left(two: Two, *people: Person) -> None:
    """Some seconds after a call the relay has forgotten it, its legs are gone, and so are the sockets of both."""
    two.world.run(10.0)
    assert two.world.relay.router.calls.legs_held == 0
    assert len(two.world.relay.media.legs) == 0
    for person in people or (two.ann, two.bob):
        assert person.host.open_ports == person.control.ports


def can_call_again(two: Two) -> None:
    placed, taken = two.connect()
    assert placed.call.view.phase == taken.call.view.phase == "talking"


# -- the ways in which a call is not taken ---------------------------------------------------------------------------


def test_hang_up_ends_both_sides_at_once(two: Two) -> None:
    placed, taken = two.connect()
    begun = two.now
    two.ann.hang_up()
    two.over(placed, taken)
    assert how(placed) == how(taken) == ("answered", "hung-up")
    assert ended_at(placed) == begun
    assert ended_at(taken) - begun < 0.1
    assert_nothing_left(two)
    can_call_again(two)


def test_decline(two: Two) -> None:
    placed, incoming = two.ring()
    begun = two.now
    two.bob.decline()
    two.over(placed, incoming)
    assert how(incoming) == ("declined", "declined")
    assert how(placed) == ("declined", "declined")
    assert ended_at(placed) - begun < 0.1
    assert placed.tones[-1] == "busy"
    assert_nothing_left(two)
    can_call_again(two)


def test_cancel(two: Two) -> None:
    placed, incoming = two.ring()
    begun = two.now
    two.ann.hang_up()
    two.over(placed, incoming)
    assert how(placed) == ("cancelled", "cancelled")
    assert how(incoming) == ("missed", "cancelled")
    assert ended_at(incoming) - begun < 0.1
    assert_nothing_left(two)
    can_call_again(two)


def test_cancel_at_every_moment_before_the_answer_leaves_nothing(two: Two) -> None:
    for tenths in range(0, 40):
        placed = two.ann.call("bob")
        two.world.run(0.01 * tenths)
        two.ann.hang_up()
        two.world.run(3.0)
        assert how(placed) == ("cancelled", "cancelled"), tenths
        if two.bob.talks:
            assert how(two.bob.talk)[0] == "missed"
    assert_nothing_left(two)


def test_answer_and_cancel_at_the_same_moment_agree_in_the_end(two: Two) -> None:
    for gap_ms in range(-40, 44, 4):
        placed, incoming = two.ring()
        first, second = (two.ann.hang_up, two.bob.answer) if gap_ms < 0 else (two.bob.answer, two.ann.hang_up)
        first()
        two.world.run(abs(gap_ms) / 1000)
        second()
        two.over(placed, incoming, seconds=5.0)
        assert how(placed) in (("cancelled", "cancelled"), ("answered", "hung-up")), gap_ms
        assert how(incoming) in (("missed", "cancelled"), ("answered", "hung-up")), gap_ms
        assert how(incoming)[0] == "answered" or how(placed)[0] == "cancelled"
        two.world.run(10.0)
    assert_nothing_left(two)


def test_nobody_answers_for_45_s(two: Two) -> None:
    begun = two.now
    placed, incoming = two.ring()
    two.over(placed, incoming)
    assert how(placed) == ("no-answer", "no-answer")
    assert how(incoming) == ("missed", "no-answer")
    assert ended_at(placed) - begun == pytest.approx(NO_ANSWER_S, abs=0.2)
    assert ended_at(incoming) - begun == pytest.approx(NO_ANSWER_S, abs=0.2)
    assert_nothing_left(two)


def test_a_relay_that_forgets_the_no_answer_does_not_let_it_ring_for_ever(two: Two) -> None:
    begun = two.now
    placed, incoming = two.ring()
    for person in (two.ann, two.bob):
        person.control.cut = True
    two.over(placed, incoming)
    assert how(placed)[0] == "no-answer" and how(incoming)[0] == "missed"
    for talk in (placed, incoming):
        assert ended_at(talk) - begun == pytest.approx(RING_TIMEOUT_S, abs=SLACK_S)


def test_busy(two: Two) -> None:
    placed, taken = two.connect()
    cy = two.world.person("cy")
    two.world.until(lambda: cy.control.is_connected)
    third = cy.call("bob")
    two.over(third)
    assert how(third) == ("busy", "busy")
    assert placed.call.view.phase == taken.call.view.phase == "talking"
    assert len(two.bob.talks) == 1


def test_two_who_call_each_other_are_both_busy_and_can_try_again(two: Two) -> None:
    there, back = two.ann.call("bob"), two.bob.call("ann")
    two.over(there, back)
    assert how(there) == how(back) == ("busy", "busy")
    assert_nothing_left(two)
    can_call_again(two)


def test_offline_and_unknown(two: Two) -> None:
    for name, reason in (("cy", "offline"), ("nobody", "unknown-name")):
        begun = two.now
        placed = two.ann.call(name)
        two.over(placed)
        assert how(placed) == ("unreachable", reason)
        assert ended_at(placed) - begun < 0.1
    assert_nothing_left(two)


def test_the_blocked_are_declined_like_anybody_and_it_never_rings(two: Two) -> None:
    two.bob.memory.people.add(two.ann.address)
    two.bob.memory.people.set_blocked(two.ann.address, True)
    placed = two.ann.call("bob")
    two.over(placed)
    assert how(placed) == ("declined", "declined")
    assert not two.bob.talks, "it never rang, and no packet has left for somebody who is blocked"
    assert_nothing_left(two)


def test_a_changed_key_stops_the_caller_before_a_link_is_opened(two: Two) -> None:
    two.ann.meet("bob", 77)
    placed = two.ann.call("bob")
    two.over(placed)
    assert how(placed) == ("key-changed", "key-changed")
    assert placed.session.link is None
    two.world.run(1.0)
    assert how(two.bob.talk) == ("missed", "cancelled")
    assert_nothing_left(two)


def test_a_caller_with_a_changed_key_rings_but_cannot_be_answered_unseen(two: Two) -> None:
    two.bob.meet("ann", 77)
    placed, incoming = two.ring()
    two.bob.answer()
    two.world.run(2.0)
    assert incoming.call.view.phase == "incoming" and placed.call.view.phase == "ringing"
    two.bob.do(messages.TrustKey(str(two.ann.address), incoming.call.view.key.hex(), verified=False))
    two.bob.answer()
    two.world.until(lambda: placed.call.view.phase == incoming.call.view.phase == "talking", 2.0)


# -- people who vanish -----------------------------------------------------------------------------------------------


def test_the_caller_vanishes_while_it_rings(two: Two) -> None:
    placed, incoming = two.ring()
    begun = two.now
    two.ann.vanish()
    two.over(incoming)
    # The end-to-end link notices first; the relay would after its own time-out and the grace.
    assert ended_at(incoming) - begun <= LOST_AFTER_S + SLACK_S
    assert placed.finished is None
    two.world.run(IDLE_TIMEOUT_S + RECONNECT_GRACE_S + SLACK_S)
    assert_nothing_left(two, two.bob)


def test_the_callee_vanishes_while_it_rings(two: Two) -> None:
    placed, _ = two.ring()
    begun = two.now
    two.bob.vanish()
    two.over(placed)
    assert ended_at(placed) - begun <= LOST_AFTER_S + SLACK_S
    assert how(placed) == ("failed", "lost")
    two.world.run(IDLE_TIMEOUT_S + RECONNECT_GRACE_S + SLACK_S)
    assert_nothing_left(two, two.ann)


@pytest.mark.parametrize("who", ["ann", "bob"])
def test_somebody_vanishes_in_mid_talk(two: Two, who: str) -> None:
    placed, taken = two.connect()
    gone, left = (two.ann, taken) if who == "ann" else (two.bob, placed)
    begun = two.now
    gone.vanish()
    two.world.run(3.0)
    assert left.call.view.phase == "reconnecting"
    assert left.tones[-1] == "reconnecting"
    two.over(left)
    assert how(left) == ("failed", "lost")
    assert ended_at(left) - begun == pytest.approx(LOST_AFTER_S, abs=SLACK_S)


def test_the_callees_control_session_dies_while_it_rings_and_comes_back(two: Two) -> None:
    """A change of networks: the relay finds the new session under the same key, and the call as it was."""
    placed, incoming = two.ring()
    two.world.relay.forget(two.bob.identity.key)
    two.bob.control.network_changed()
    two.world.run(PROBE_TIMEOUT_S + 3.0)
    assert two.bob.control.is_connected
    assert len(two.bob.talks) == 1, "the repeated invitation is the same call"
    two.bob.answer()
    two.world.until(lambda: placed.call.view.phase == incoming.call.view.phase == "talking", 2.0)


# -- a relay that goes ------------------------------------------------------------------------------------------------


def test_the_relays_media_are_away_for_ten_seconds_and_the_talk_goes_on(two: Two) -> None:
    placed, taken = two.connect()
    two.world.relay.media.running = False
    begun = two.now
    two.world.until(lambda: placed.call.view.phase == taken.call.view.phase == "reconnecting", 3.0)
    two.world.run(begun + 10.0 - two.now)
    two.world.relay.media.running = True
    two.world.until(lambda: placed.call.view.phase == taken.call.view.phase == "talking", 2.0)
    for person in (two.ann, two.bob):
        before = person.pump.stats().frames_received
        two.world.run(1.0)
        assert person.pump.stats().frames_received - before >= 49
    two.ann.hang_up()
    two.over(placed, taken, seconds=2.0)
    assert how(placed) == how(taken) == ("answered", "hung-up")


@pytest.mark.slow
def test_control_sessions_that_die_in_mid_talk_take_nothing_with_them(two: Two) -> None:
    placed, taken = two.connect()
    for person in (two.ann, two.bob):
        person.control.cut = True
    two.world.run(120.0)
    assert placed.call.view.phase == taken.call.view.phase == "talking"
    assert two.ann.pump.stats().frames_lost == two.bob.pump.stats().frames_lost == 0
    for person in (two.ann, two.bob):
        person.control.cut = False
    two.world.until(lambda: two.ann.control.is_connected and two.bob.control.is_connected, 60.0)
    two.bob.hang_up()
    two.over(placed, taken, seconds=2.0)
    assert how(placed) == how(taken) == ("answered", "hung-up")
    assert_nothing_left(two)


def test_the_relay_is_killed_in_mid_talk_and_the_talk_goes_on_when_it_is_back(two: Two) -> None:
    """Its register is on disk and its calls are not: both ask for new legs of a call that the relay does not know."""
    placed, taken = two.connect()
    two.world.relay.kill()
    two.world.run(5.0)
    assert placed.call.view.phase == taken.call.view.phase == "reconnecting"
    two.world.relay.start()
    begun = two.now
    two.world.until(lambda: placed.call.view.phase == taken.call.view.phase == "talking", LOST_AFTER_S)
    # A session is tried for again within a few seconds, and the legs are one round trip behind it.
    assert two.now - begun <= 10.0
    for person in (two.ann, two.bob):
        before = person.pump.stats().frames_received
        two.world.run(1.0)
        assert person.pump.stats().frames_received - before >= 49
    two.ann.hang_up()
    two.over(placed, taken, seconds=2.0)
    assert how(placed) == how(taken) == ("answered", "hung-up")
    assert_nothing_left(two)


def test_the_relay_is_killed_in_mid_talk_and_stays_away(two: Two) -> None:
    placed, taken = two.connect()
    begun = two.now
    two.world.relay.kill()
    two.over(placed, taken)
    assert how(placed) == how(taken) == ("failed", "lost")
    for talk in (placed, taken):
        assert ended_at(talk) - begun == pytest.approx(LOST_AFTER_S, abs=SLACK_S)


def test_one_person_alone_cannot_resume_a_call(two: Two) -> None:
    """After a restart anybody can say that they were talking to bob; bob has to say the same of them."""
    placed, _ = two.connect()
    two.world.relay.kill()
    two.bob.vanish()
    two.world.run(2.0)
    two.world.relay.start()
    two.over(placed)
    assert len(two.world.relay.media.legs) == 0
    two.world.run(60.0)
    assert two.world.relay.router.next_deadline() is None


def test_the_relay_is_killed_while_it_rings(two: Two) -> None:
    placed, incoming = two.ring()
    begun = two.now
    two.world.relay.kill()
    two.world.run(2.0)
    two.world.relay.start()
    two.over(placed, incoming)
    for talk in (placed, incoming):
        assert ended_at(talk) - begun <= LOST_AFTER_S + SLACK_S
        assert how(talk)[1] in ("leg-refused", "lost")
    two.until_back()
    can_call_again(two)


def test_the_relay_is_killed_before_the_invitation_reaches_it(two: Two) -> None:
    begun = two.now
    two.world.relay.kill()
    placed = two.ann.call("bob")
    two.over(placed)
    assert how(placed) == ("unreachable", "relay-unreachable")
    assert ended_at(placed) - begun <= INVITE_TIMEOUT_S + SLACK_S
    assert not two.bob.talks


def test_a_relay_that_drains_takes_no_new_calls_and_lets_the_running_one_end(two: Two) -> None:
    placed, taken = two.connect()
    cy = two.world.person("cy")
    two.world.until(lambda: cy.control.is_connected)
    two.world.relay.drain(60.0)
    third = cy.call("bob")
    two.over(third, seconds=2.0)
    assert how(third) == ("unreachable", "draining")
    two.world.run(20.0)
    assert two.world.relay.running
    assert placed.call.view.phase == taken.call.view.phase == "talking"
    two.ann.hang_up()
    two.over(placed, taken, seconds=2.0)
    assert how(placed) == how(taken) == ("answered", "hung-up")
    two.world.until(lambda: not two.world.relay.running, 10.0)


def test_a_relay_that_stops_in_mid_talk_is_a_link_that_is_lost(two: Two) -> None:
    placed, taken = two.connect()
    two.world.relay.drain(5.0)
    two.world.until(lambda: not two.world.relay.running, 6.0)
    two.over(placed, taken)
    for talk in (placed, taken):
        assert talk.finished is not None and talk.finished.outcome == "failed"
        assert talk.phase_at("reconnecting") is not None


def test_answered_while_the_relay_is_away_says_reconnecting_and_not_talking(two: Two) -> None:
    """Silence that began while it rang is still silence after the answer."""
    placed, incoming = two.ring()
    two.world.relay.media.running = False
    two.world.run(3.0)
    two.bob.answer()
    assert incoming.call.view.phase == "reconnecting"
    two.world.relay.media.running = True
    two.world.until(lambda: placed.call.view.phase == incoming.call.view.phase == "talking", 3.0)


def test_a_flood_of_invitations_is_refused_in_words(two: Two) -> None:
    outcomes = []
    for _ in range(40):
        placed = two.ann.call("cy")
        two.over(placed, seconds=2.0)
        outcomes.append(how(placed))
    assert outcomes[0] == ("unreachable", "offline")
    assert outcomes[-1] == ("unreachable", "limit")


def test_messages_of_strangers_do_not_touch_a_call(two: Two) -> None:
    placed, taken = two.connect()
    cy = two.world.person("cy")
    two.world.until(lambda: cy.control.is_connected)
    call_id = placed.call.view.call_id
    for message in (
        relay_messages.HangUp(call_id),
        relay_messages.Decline(call_id),
        relay_messages.Answer(call_id),
        relay_messages.Ring(call_id),
    ):
        cy.control.send(message)
    two.world.run(1.0)
    assert placed.call.view.phase == taken.call.view.phase == "talking"
    assert two.world.relay.router.calls.get(call_id) is not None
