"""A call that outlives its relay: both sides ask the restarted relay for legs, and nobody else can."""

import pytest

from relay.call_table import RESUME_WITHIN_S
from relay.events import MessageArrived, PlaceLeg, SessionClosed
from relay.limits import RelayLimits
from tests.unit.relay.people import authenticate, call_id, person
from tests.unit.relay.world import NAMES, World
from transport.wire.relay_messages import (
    Answer,
    HangUp,
    Incoming,
    Invite,
    LegCredentials,
    RelayMessage,
    Resume,
    Resumed,
    Ring,
)

CALL = call_id(1)
ANN, BOB, CY = (person(NAMES[name]) for name in ("ann", "bob", "cy"))


def legs(messages: list[RelayMessage]) -> list[LegCredentials]:
    return [message.leg for message in messages if isinstance(message, Resumed)]


def test_a_relay_that_has_forgotten_a_call_gives_both_new_legs() -> None:
    world = World()
    ann, bob = world.named("ann"), world.named("bob")
    assert world.say(ann, Resume(CALL, BOB.key)) == []
    assert world.legs == set()
    [of_bob] = legs(world.say(bob, Resume(CALL, ANN.key)))
    [of_ann] = legs(world.received(ann))
    assert world.legs == {CALL} and of_ann.username != of_bob.username
    call = world.router.calls.get(CALL)
    assert call is not None and call.other(ANN.key) == BOB.key


def test_a_call_that_the_relay_knows_is_resumed_with_the_same_leg() -> None:
    world = World()
    ann, bob = world.named("ann"), world.named("bob")
    world.say(ann, Invite(CALL, "bob"))
    [incoming] = [message for message in world.received(bob) if isinstance(message, Incoming)]
    world.say(bob, Ring(CALL))
    assert world.say(bob, Resume(CALL, ANN.key)) == [], "not answered yet"
    world.say(bob, Answer(CALL))
    assert legs(world.say(bob, Resume(CALL, ANN.key))) == [incoming.leg]
    assert world.legs == {CALL}


def test_a_stranger_cannot_come_between_two_people_who_resume() -> None:
    world = World()
    ann, bob, cy = world.named("ann"), world.named("bob"), world.named("cy")
    world.say(ann, Resume(CALL, BOB.key))
    assert world.say(cy, Resume(CALL, ANN.key)) == []
    assert world.say(cy, Resume(CALL, BOB.key)) == []
    assert world.legs == set() and legs(world.received(ann)) == []
    assert len(legs(world.say(bob, Resume(CALL, ANN.key)))) == 1
    assert world.say(cy, Resume(CALL, ANN.key)) == []
    assert legs(world.received(cy)) == []


def test_one_cannot_resume_a_call_with_oneself() -> None:
    world = World()
    ann = world.named("ann")
    assert world.say(ann, Resume(CALL, ANN.key)) == []
    assert world.say(ann, Resume(CALL, ANN.key)) == []
    assert world.legs == set()


def test_who_comes_alone_is_forgotten() -> None:
    world = World()
    ann, bob = world.named("ann"), world.named("bob")
    world.say(ann, Resume(CALL, BOB.key))
    world.wait(RESUME_WITHIN_S + 1)
    assert world.say(bob, Resume(CALL, ANN.key)) == []
    assert world.legs == set()
    # And ann, who asks again, completes it.
    assert len(legs(world.say(ann, Resume(CALL, BOB.key)))) == 1


def test_a_call_that_has_just_ended_stays_ended() -> None:
    world = World()
    ann, bob = world.named("ann"), world.named("bob")
    world.say(ann, Resume(CALL, BOB.key))
    world.say(bob, Resume(CALL, ANN.key))
    world.say(ann, HangUp(CALL))
    assert world.say(bob, Resume(CALL, ANN.key)) == [] or not legs(world.received(bob))
    world.say(ann, Resume(CALL, BOB.key))
    assert world.router.calls.get(CALL) is None


def placed(world: World, event: object) -> dict[str, str]:
    commands = world.feed(event)  # type: ignore[arg-type]
    return {command.username: command.host for command in commands if isinstance(command, PlaceLeg)}


def test_legs_are_placed_where_their_owner_is_logged_in_and_follow() -> None:
    world = World()
    ann, bob = world.login(ANN, "ann", host="192.0.2.1"), world.login(BOB, "bob", host="198.51.100.2")
    first = placed(world, MessageArrived(ann, Invite(CALL, "bob")))
    call = world.router.calls.get(CALL)
    assert call is not None
    of_ann, of_bob = call.caller_grant.username, call.callee_grant.username
    assert first == {of_ann: "192.0.2.1", of_bob: "198.51.100.2"}
    world.say(bob, Answer(CALL))
    newer = world.open("203.0.113.3")
    proof = MessageArrived(newer, authenticate(world.challenge(newer), ANN, "ann"))
    assert placed(world, proof) == {of_ann: "203.0.113.3"}
    assert placed(world, SessionClosed(newer)) == {of_ann: ""}
    assert placed(world, SessionClosed(bob)) == {of_bob: ""}


@pytest.mark.parametrize(
    ("attackers", "honest", "is_resumed"),
    [
        (["192.0.2.1"], "192.0.2.9", True),
        (["192.0.2.1"], "192.0.2.1", False),
        ([f"2001:db8:0:{number}::1" for number in range(4)], "2001:db8:1::1", True),
        ([f"2001:db8:0:{number}00::1" for number in range(4)], "2001:db8:0:f00::1", False),
    ],
)
def test_half_resumed_calls_of_one_network_take_no_place_of_another(
    attackers: list[str], honest: str, is_resumed: bool
) -> None:
    limits = RelayLimits(calls_per_address=3, calls_per_56=5, calls_per_48=7)
    world = World(limits)
    sessions = [world.login(person(50 + number), host=host) for number, host in enumerate(attackers)]
    for number in range(40):
        for offset, session in enumerate(sessions):
            world.say(session, Resume(call_id(100 + number * 8 + offset), bytes(32)))
        world.wait(0.5)
        if number == 11:
            ann, bob = world.login(ANN, "ann", host=honest), world.login(BOB, "bob", host="203.0.113.9")
            world.say(ann, Resume(CALL, BOB.key))
            assert (len(legs(world.say(bob, Resume(CALL, ANN.key)))) == 1) is is_resumed
    world.wait(2 * RESUME_WITHIN_S)
    assert len(world.router.calls._resuming_places) == 0
