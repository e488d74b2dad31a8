"""relay.router and relay.call_table: every way through a call."""

import pytest

from relay.call_table import LEG_GRACE_S, NO_ANSWER_S, RECONNECT_GRACE_S, State
from relay.events import LegsIdle
from relay.limits import RelayLimits
from tests.unit.relay.people import authenticate, call_id, person
from tests.unit.relay.world import World
from transport.net.token_bucket import Rate
from transport.wire.relay_messages import (
    Answer,
    Answered,
    ClientMessage,
    Decline,
    Ended,
    Granted,
    HangUp,
    Incoming,
    Invite,
    Refused,
    RelayMessage,
    Resume,
    Ring,
    Ringing,
    Welcome,
)

CALL = call_id(1)


def calling(limits: RelayLimits | None = None) -> tuple[World, int, int]:
    """Ann calls Bob; both have been notified, and their messages are taken."""
    world = World(limits)
    ann, bob = world.named("ann"), world.named("bob")
    world.say(ann, Invite(CALL, "bob"))
    world.received(ann)
    world.received(bob)
    return world, ann, bob


def ended(messages: list[RelayMessage]) -> list[str]:
    return [message.reason for message in messages if isinstance(message, Ended)]


def test_an_invitation_gives_both_their_leg_and_each_other() -> None:
    world = World()
    ann, bob = world.named("ann"), world.named("bob")
    [granted] = world.say(ann, Invite(CALL, "bob"))
    [incoming] = world.received(bob)
    assert isinstance(granted, Granted) and isinstance(incoming, Incoming)
    assert (granted.callee.name, granted.callee.key, granted.callee.certificate) == (
        "bob",
        person(2).key,
        person(2).certificate,
    )
    assert (incoming.caller.name, incoming.caller.key) == ("ann", person(1).key)
    assert granted.leg.port == incoming.leg.port == 7851
    assert granted.leg.username != incoming.leg.username and granted.leg.password != incoming.leg.password
    assert world.legs == {CALL}


def test_a_guest_is_shown_with_the_home_that_they_say() -> None:
    world = World()
    guest, bob = world.login(person(50), home="zoe@far.example"), world.named("bob")
    world.say(guest, Invite(CALL, "bob"))
    [incoming] = world.received(bob)
    assert isinstance(incoming, Incoming)
    assert (incoming.caller.name, incoming.caller.home) == ("", "zoe@far.example")


def test_ring_answer_and_hang_up() -> None:
    world, ann, bob = calling()
    world.say(bob, Ring(CALL))
    world.say(bob, Ring(CALL))
    assert world.received(ann) == [Ringing(CALL)]
    world.say(bob, Answer(CALL))
    world.say(bob, Answer(CALL))
    assert world.received(ann) == [Answered(CALL)]
    world.wait(10 * NO_ANSWER_S)
    assert world.say(ann, HangUp(CALL)) == []
    assert ended(world.received(bob)) == ["hung-up"]
    assert world.legs == {CALL}
    world.wait(LEG_GRACE_S + 0.1)
    assert not world.legs and world.router.next_deadline() is None


@pytest.mark.parametrize(
    ("by_caller", "answered", "message", "reason"),
    [
        (True, False, HangUp(CALL), "cancelled"),
        (True, True, HangUp(CALL), "hung-up"),
        (False, False, HangUp(CALL), "declined"),
        (False, True, HangUp(CALL), "hung-up"),
        (False, False, Decline(CALL), "declined"),
        (False, False, Decline(CALL, "busy"), "busy"),
        (False, True, Decline(CALL), "hung-up"),
    ],
)
def test_every_end_tells_the_other_why(by_caller: bool, answered: bool, message: ClientMessage, reason: str) -> None:
    world, ann, bob = calling()
    if answered:
        world.say(bob, Answer(CALL))
        world.received(ann)
    world.say(ann if by_caller else bob, message)
    assert ended(world.received(bob if by_caller else ann)) == [reason]
    assert len(world.router.calls) == 0


def test_nobody_answers() -> None:
    world, ann, bob = calling()
    world.say(bob, Ring(CALL))
    world.wait(NO_ANSWER_S - 0.1)
    assert ended(world.received(ann)) == []
    world.wait(0.2)
    assert ended(world.received(ann)) == ended(world.received(bob)) == ["no-answer"]


@pytest.mark.parametrize("message", [Ring(CALL), Answer(CALL), Decline(CALL)])
def test_the_caller_cannot_answer_for_the_callee(message: ClientMessage) -> None:
    world, ann, bob = calling()
    [refused] = world.say(ann, message)
    assert isinstance(refused, Refused) and refused.code == "bad-message"
    assert ann not in world.closed and world.received(bob) == []


def test_a_stranger_cannot_touch_a_call() -> None:
    world, ann, bob = calling()
    stranger = world.login(person(50))
    assert world.say(stranger, HangUp(CALL)) == [] and world.say(stranger, Decline(CALL)) == []
    assert ended(world.say(stranger, Answer(CALL))) == ["failed"]
    assert ended(world.say(stranger, Invite(CALL, "bob"))) == ["failed"]
    assert world.received(ann) == [] and world.received(bob) == []
    call = world.router.calls.get(CALL)
    assert call is not None and call.state is State.INVITED


def test_answering_a_call_that_is_over_says_so() -> None:
    world, ann, bob = calling()
    world.say(ann, HangUp(CALL))
    world.received(bob)
    assert ended(world.say(bob, Answer(CALL))) == ["failed"]


@pytest.mark.parametrize(("callee", "reason"), [("cy", "offline"), ("nobody", "unknown-name"), ("ann", "failed")])
def test_calls_that_cannot_be(callee: str, reason: str) -> None:
    world = World()
    ann = world.named("ann")
    assert ended(world.say(ann, Invite(CALL, callee))) == [reason]
    assert not world.legs


def test_the_same_invitation_again_gets_the_same_leg() -> None:
    world = World()
    ann, bob = world.named("ann"), world.named("bob")
    first = world.say(ann, Invite(CALL, "bob"))
    assert world.say(ann, Invite(CALL, "bob")) == first
    assert len(world.received(bob)) == 1


# -- sessions that come and go -----------------------------------------------------------------------------------


def test_a_callee_that_comes_back_within_the_grace_still_rings() -> None:
    world, ann, bob = calling()
    world.say(bob, Ring(CALL))
    world.close(bob)
    world.wait(RECONNECT_GRACE_S - 0.5)
    assert ended(world.received(ann)) == []
    again = world.open()
    welcome, incoming = world.say(again, authenticate(world.challenge(again), person(2), "bob"))
    assert isinstance(welcome, Welcome) and isinstance(incoming, Incoming) and incoming.call_id == CALL
    world.wait(RECONNECT_GRACE_S)
    world.say(again, Answer(CALL))
    assert Answered(CALL) in world.received(ann)


def test_a_callee_that_stays_away_is_offline() -> None:
    world, ann, bob = calling()
    world.close(bob)
    world.wait(RECONNECT_GRACE_S + 0.1)
    assert ended(world.received(ann)) == ["offline"]


def test_a_caller_that_stays_away_has_cancelled() -> None:
    world, ann, bob = calling()
    world.close(ann)
    world.wait(RECONNECT_GRACE_S + 0.1)
    assert ended(world.received(bob)) == ["cancelled"]
    # And learns so on return.
    again = world.open()
    assert ended(world.say(again, authenticate(world.challenge(again), person(1), "ann"))) == ["cancelled"]


def test_an_end_is_kept_for_whoever_was_away() -> None:
    world, ann, bob = calling()
    world.say(bob, Answer(CALL))
    world.close(bob)
    world.wait(100.0)
    world.say(ann, HangUp(CALL))
    again = world.open()
    assert ended(world.say(again, authenticate(world.challenge(again), person(2), "bob"))) == ["hung-up"]
    once_more = world.open()
    assert ended(world.say(once_more, authenticate(world.challenge(once_more), person(2), "bob"))) == []


def test_a_caller_that_comes_back_learns_what_it_missed() -> None:
    for answered in (False, True):
        world, ann, bob = calling()
        world.close(ann)
        world.say(bob, Answer(CALL) if answered else Ring(CALL))
        again = world.open()
        messages = world.say(again, authenticate(world.challenge(again), person(1), "ann"))
        assert isinstance(messages[1], Granted)
        assert messages[2] == (Answered(CALL) if answered else Ringing(CALL))


def test_a_replaced_session_keeps_its_calls() -> None:
    world, ann, _ = calling()
    newer = world.named("bob")
    world.wait(RECONNECT_GRACE_S + 1.0)
    world.say(newer, Answer(CALL))
    assert world.received(ann) == [Answered(CALL)]


def test_an_answered_call_needs_no_session_while_its_legs_live() -> None:
    world, ann, bob = calling()
    world.say(bob, Answer(CALL))
    world.close(ann)
    world.close(bob)
    world.wait(3_600.0)
    assert len(world.router.calls) == 1
    world.feed(LegsIdle(CALL))
    assert len(world.router.calls) == 0
    world.wait(LEG_GRACE_S + 0.1)
    assert not world.legs


@pytest.mark.parametrize("leaves", [(), ("ann",), ("bob",)])
def test_idle_legs_are_freed_without_a_word_to_who_may_talk_on_a_direct_path(leaves: tuple[str, ...]) -> None:
    world, ann, bob = calling()
    world.say(bob, Answer(CALL))
    for session, name in ((ann, "ann"), (bob, "bob")):
        world.received(session)
        if name in leaves:
            world.close(session)
    world.feed(LegsIdle(CALL))
    world.feed(LegsIdle(call_id(404)))
    assert len(world.router.calls) == 0 and world.legs == {CALL}
    world.wait(LEG_GRACE_S + 0.1)
    assert not world.legs
    assert not world.received(ann) and not world.received(bob)


def test_a_call_that_rings_is_not_ended_by_its_idle_legs() -> None:
    world, _, _ = calling()
    world.feed(LegsIdle(CALL))
    assert len(world.router.calls) == 1


# -- limits ------------------------------------------------------------------------------------------------------


def test_invitations_are_rationed() -> None:
    world = World(RelayLimits(invite=Rate(2, 0.1)))
    ann = world.named("ann")
    reasons = [ended(world.say(ann, Invite(call_id(number), "cy"))) for number in range(4)]
    assert reasons == [["offline"], ["offline"], ["limit"], ["limit"]]
    world.wait(10.0)
    assert ended(world.say(ann, Invite(call_id(9), "cy"))) == ["offline"]


@pytest.mark.parametrize(
    ("hosts", "limited"),
    [
        (["192.0.2.1"] * 3, [False, False, True]),
        (["192.0.2.1", "192.0.2.2"] * 2, [False] * 4),
        (["2001:db8::1", "2001:db8::2", "2001:db8::3"], [False, False, True]),
        ([f"2001:db8:0:{number}::1" for number in range(4)], [False, False, False, True]),
        ([f"2001:db8:0:{number}00::1" for number in range(5)], [False, False, False, False, True]),
        ([f"2001:db8:{number}::1" for number in range(6)], [False] * 6),
    ],
)
@pytest.mark.parametrize("way", ["invite", "resume"])
def test_calls_at_once_are_limited_per_network_and_its_places_are_given_back(
    hosts: list[str], limited: list[bool], way: str
) -> None:
    world = World(RelayLimits(calls_per_address=2, calls_per_56=3, calls_per_48=4))
    bob = world.login(person(2), "bob", host="203.0.113.9")
    sessions = [world.login(person(50 + number), host=host) for number, host in enumerate(hosts)]
    for number, (session, is_limited) in enumerate(zip(sessions, limited, strict=True)):
        if way == "invite":
            reasons = ended(world.say(session, Invite(call_id(number), "bob")))
            assert reasons == (["limit"] if is_limited else [])
        else:
            world.say(bob, Resume(call_id(number), person(50 + number).key))
            world.say(session, Resume(call_id(number), person(2).key))
        assert (call_id(number) in world.legs) is not is_limited
    for number, session in enumerate(sessions):
        world.say(session, HangUp(call_id(number)))
    world.wait(LEG_GRACE_S + 0.1)
    assert not world.legs and len(world.router._places) == 0
    assert ended(world.say(sessions[-1], Invite(call_id(99), "bob"))) == []


def test_calls_at_once_are_limited_per_caller_per_callee_and_in_all() -> None:
    world = World(RelayLimits(calls_per_caller=2, calls_per_callee=3, calls=4))
    ann, _, cy = world.named("ann"), world.named("bob"), world.named("cy")
    assert [ended(world.say(ann, Invite(call_id(number), "bob"))) for number in range(3)] == [[], [], ["limit"]]
    assert ended(world.say(cy, Invite(call_id(10), "bob"))) == []
    assert ended(world.say(cy, Invite(call_id(11), "bob"))) == ["limit"]
    guest = world.login(person(50))
    assert ended(world.say(guest, Invite(call_id(12), "cy"))) == []
    assert ended(world.say(guest, Invite(call_id(13), "cy"))) == ["limit"]
    # Legs are in use until they are released.
    world.say(cy, HangUp(call_id(10)))
    assert ended(world.say(guest, Invite(call_id(14), "cy"))) == ["limit"]
    world.wait(LEG_GRACE_S + 0.1)
    assert ended(world.say(guest, Invite(call_id(15), "cy"))) == []


def test_a_call_id_is_not_used_again_while_its_legs_are_being_released() -> None:
    world, ann, _ = calling()
    world.say(ann, HangUp(CALL))
    assert ended(world.say(ann, Invite(CALL, "bob"))) == ["failed"]
    world.wait(LEG_GRACE_S + 0.1)
    assert ended(world.say(ann, Invite(CALL, "bob"))) == []
