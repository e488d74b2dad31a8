"""relay.router: who may log in, the directory, presence, limits and draining. Calls: test_router_calls."""

import pytest

from relay.events import (
    DrainRequested,
    GarbageArrived,
    MessageArrived,
    NameStored,
    SessionClosed,
    SessionOpened,
    TimerFired,
)
from relay.limits import RelayLimits, address_subject
from relay.router import AUTHENTICATE_WITHIN_S
from tests.unit.relay.people import authenticate, call_id, person, register
from tests.unit.relay.world import NAMES, RELAY, World
from transport.identity.statements import registration_statement, session_statement
from transport.net.token_bucket import Rate
from transport.wire.relay_messages import (
    CONTROL_VERSION,
    Authenticate,
    Challenge,
    Draining,
    Ended,
    Found,
    Invite,
    Lookup,
    Ping,
    Pong,
    Presence,
    Refused,
    Register,
    Registered,
    Replaced,
    Watch,
    Welcome,
)

STRANGER = person(50)


def refused(messages: list[object] | object) -> Refused:
    assert isinstance(messages, list)
    [found] = [message for message in messages if isinstance(message, Refused)]
    return found


# -- logging in --------------------------------------------------------------------------------------------------


def test_a_session_begins_with_a_challenge_that_is_never_the_same() -> None:
    world = World()
    one, two = world.challenge(world.open()), world.challenge(world.open())
    assert one.version == CONTROL_VERSION and one.certificate == RELAY.certificate
    assert one.nonce != two.nonce


def test_a_guest_and_a_name_are_welcome() -> None:
    world = World()
    guest, named = world.open("203.0.113.9"), world.open()
    [welcome] = world.say(guest, authenticate(world.challenge(guest), STRANGER, home="x@y.example"))
    assert isinstance(welcome, Welcome)
    assert (welcome.name, welcome.observed, welcome.stun) == ("", ("203.0.113.9", 1001), [("", 7851)])
    [welcome] = world.say(named, authenticate(world.challenge(named), person(1), "ann"))
    assert isinstance(welcome, Welcome) and welcome.name == "ann"


def test_another_version_is_refused() -> None:
    world = World()
    session = world.open()
    good = authenticate(world.challenge(session), STRANGER)
    other = Authenticate(CONTROL_VERSION + 1, good.key, good.certificate, good.signature)
    assert refused(world.say(session, other)).code == "version"
    assert session in world.closed


def test_a_replayed_challenge_is_refused() -> None:
    world = World()
    first = world.open()
    answer = authenticate(world.challenge(first), STRANGER)
    assert isinstance(world.say(first, answer)[0], Welcome)
    second = world.open()
    assert refused(world.say(second, answer)).code == "bad-proof"
    assert second in world.closed and first not in world.closed


def test_a_nonce_serves_once_even_in_its_own_session() -> None:
    world = World()
    session = world.open()
    answer = authenticate(world.challenge(session), STRANGER)
    world.say(session, answer)
    assert refused(world.say(session, answer)).code == "bad-message"
    assert session in world.closed


def test_a_proof_for_another_relay_is_refused() -> None:
    world = World()
    session = world.open()
    nonce = world.challenge(session).nonce
    signature = STRANGER.sign(session_statement(nonce, person(1_001).certificate))
    message = Authenticate(CONTROL_VERSION, STRANGER.key, STRANGER.certificate, signature)
    assert refused(world.say(session, message)).code == "bad-proof"


def test_a_certificate_of_another_key_or_none_at_all_is_refused() -> None:
    for certificate in (person(51).certificate, b"no certificate"):
        world = World()
        session = world.open()
        good = authenticate(world.challenge(session), STRANGER)
        message = Authenticate(CONTROL_VERSION, good.key, certificate, good.signature)
        assert refused(world.say(session, message)).code == "bad-proof"


@pytest.mark.parametrize("name", ["bob", "nobody"])
def test_a_name_of_another_key_or_of_nobody_is_refused(name: str) -> None:
    world = World()
    session = world.open()
    assert refused(world.say(session, authenticate(world.challenge(session), STRANGER, name))).code == "not-registered"
    assert session in world.closed


def test_failed_proofs_are_rationed_by_address() -> None:
    world = World(RelayLimits(failed_proof=Rate(2, 0.01)))
    codes = []
    for _ in range(4):
        session = world.open()
        codes.append(refused(world.say(session, authenticate(world.challenge(session), STRANGER, "bob"))).code)
    assert codes == ["not-registered", "not-registered", "limit", "limit"]
    elsewhere = world.open("198.51.100.1")
    assert isinstance(world.say(elsewhere, authenticate(world.challenge(elsewhere), STRANGER))[0], Welcome)
    world.wait(200.0)
    world.login(STRANGER)


def test_silence_after_the_challenge_ends_the_session() -> None:
    world = World()
    session = world.open()
    world.wait(AUTHENTICATE_WITHIN_S - 0.1)
    assert session not in world.closed
    world.wait(0.2)
    assert session in world.closed and world.router.session_count == 0
    assert world.router.next_deadline() is None


@pytest.mark.parametrize("message", [Ping(1), Lookup(1, "bob"), Invite(call_id(1), "bob"), Watch(["bob"])])
def test_nothing_counts_before_the_proof(message: Ping) -> None:
    world = World()
    session = world.open()
    assert refused(world.say(session, message)).code == "bad-message"
    assert session in world.closed


def test_garbage_ends_the_session_with_the_reason() -> None:
    world = World()
    session = world.login(STRANGER)
    world.feed(GarbageArrived(session, "not a message"))
    assert refused(world.received(session)) == Refused(0, "bad-message", "not a message")
    assert session in world.closed


def test_a_newer_session_of_the_same_key_replaces_the_older_unseen_by_watchers() -> None:
    world = World()
    watcher = world.login(STRANGER)
    older = world.named("bob")
    world.say(watcher, Watch(["bob"]))
    world.received(watcher)
    newer = world.named("bob")
    assert world.received(older) == [Replaced()] and older in world.closed
    assert all(message == Presence("bob", True) for message in world.received(watcher))
    world.close(older)
    assert world.say(newer, Ping(5)) == [Pong(5)]
    assert world.router.authenticated_count == 2


# -- the directory -----------------------------------------------------------------------------------------------


def test_a_name_counts_once_it_is_on_disk_and_not_before() -> None:
    world = World()
    session = world.open()
    challenge = world.challenge(session)
    world.say(session, authenticate(challenge, STRANGER))
    assert world.say(session, register(challenge, STRANGER, "dee", 9)) == []
    asker = world.login(person(51))
    assert refused(world.say(asker, Lookup(1, "dee"))).code == "unknown-name"
    world.store()
    assert world.received(session)[-1] == Registered(9, "dee")
    assert world.say(asker, Lookup(2, "dee")) == [Found(2, "dee", STRANGER.key, STRANGER.certificate, True)]


def test_a_full_disk_is_reported_and_the_name_stays_free() -> None:
    world = World()
    session = world.open()
    challenge = world.challenge(session)
    world.say(session, authenticate(challenge, STRANGER))
    world.say(session, register(challenge, STRANGER, "dee", 9))
    world.store("database or disk is full")
    answer = refused(world.received(session))
    assert (answer.request, answer.code) == (9, "storage") and "disk is full" in answer.text
    assert session not in world.closed
    other = world.open()
    world.say(other, authenticate(world.challenge(other), person(51)))
    world.say(other, register(world.challenge(other), person(51), "dee"))
    world.store()
    assert world.received(other)[-1] == Registered(1, "dee")


def test_first_come_first_served_while_the_first_is_still_being_written() -> None:
    world = World()
    first, second = world.open(), world.open()
    for session, who in ((first, STRANGER), (second, person(51))):
        world.say(session, authenticate(world.challenge(session), who))
        world.say(session, register(world.challenge(session), who, "dee"))
    assert refused(world.received(second)).code == "name-taken"
    assert len(world.stores) == 1


def test_a_taken_name_and_a_wrong_signature_change_nothing() -> None:
    world = World()
    session = world.open()
    challenge = world.challenge(session)
    world.say(session, authenticate(challenge, STRANGER))
    assert refused(world.say(session, register(challenge, STRANGER, "bob"))).code == "name-taken"
    good = register(challenge, STRANGER, "dee")
    for_another_name = Register(1, "eve", good.certificate, good.signature)
    assert refused(world.say(session, for_another_name)).code == "bad-proof"
    elsewhere = Challenge(CONTROL_VERSION, b"\0" * 32, RELAY.certificate)
    assert refused(world.say(session, register(elsewhere, STRANGER, "dee"))).code == "bad-proof"
    assert not world.stores and session not in world.closed


def test_the_owner_may_replace_the_certificate_and_callers_get_the_new_one() -> None:
    world = World()
    bob = person(NAMES["bob"])
    renewed = person(NAMES["bob"]).certificate[:-1] + bytes([person(NAMES["bob"]).certificate[-1] ^ 1])
    session = world.open()
    challenge = world.challenge(session)
    world.say(session, authenticate(challenge, bob, "bob"))
    statement = registration_statement(challenge.nonce, challenge.certificate, "bob", renewed)
    world.say(session, Register(3, "bob", renewed, bob.sign(statement)))
    world.store()
    [found] = world.say(world.login(STRANGER), Lookup(1, "bob"))
    assert isinstance(found, Found) and found.certificate == renewed and found.key == bob.key


def test_an_acknowledgement_for_a_session_that_has_left_or_a_ticket_unknown_is_no_trouble() -> None:
    world = World()
    session = world.open()
    world.say(session, authenticate(world.challenge(session), STRANGER))
    world.say(session, register(world.challenge(session), STRANGER, "dee"))
    world.close(session)
    world.store()
    world.feed(NameStored(999, ""))
    assert world.login(STRANGER, "dee")


def test_a_look_up_of_nobody_says_so() -> None:
    world = World()
    answer = refused(world.say(world.login(STRANGER), Lookup(4, "nobody")))
    assert (answer.request, answer.code) == (4, "unknown-name")


def test_a_full_directory_takes_no_new_names_but_keeps_the_old() -> None:
    world = World(RelayLimits(names=len(NAMES)))
    session = world.open()
    world.say(session, authenticate(world.challenge(session), STRANGER))
    assert refused(world.say(session, register(world.challenge(session), STRANGER, "dee"))).code == "limit"
    own = world.open()
    world.say(own, authenticate(world.challenge(own), person(1), "ann"))
    world.say(own, register(world.challenge(own), person(1), "ann"))
    assert len(world.stores) == 1


# -- presence ----------------------------------------------------------------------------------------------------


def test_watchers_are_notified_now_and_later_until_they_watch_others() -> None:
    world = World()
    watcher = world.login(STRANGER)
    assert world.say(watcher, Watch(["bob", "cy", "bob"])) == [Presence("bob", False), Presence("cy", False)]
    world.received(watcher)
    bob = world.named("bob")
    assert world.received(watcher) == [Presence("bob", True)]
    world.close(bob)
    assert world.received(watcher) == [Presence("bob", False)]
    assert world.say(watcher, Watch([])) == []
    world.named("bob")
    assert world.received(watcher) == []
    world.close(watcher)
    world.named("cy")


def asked(world: World, session: int, names: list[str]) -> bool:
    """Whether a list is taken."""
    return all(isinstance(answer, Presence) for answer in world.say(session, Watch(names)))


def test_every_watched_name_is_a_question_by_identity_and_by_address() -> None:
    world = World(RelayLimits(watch=Rate(100, 1.0), watch_address=Rate(130, 0.0)))
    names = [f"name{number}" for number in range(30)]
    ann = world.named("ann")
    # The same names, other names, fewer names: all of them are counted.
    assert [asked(world, ann, names[:size]) for size in (30, 30, 30, 11, 10)] == [True, True, True, False, True]
    # A session of one's own does not begin anew, and a refused list changes nothing.
    again = world.named("ann")
    assert not asked(world, again, ["bob"])
    world.wait(10.0)
    assert asked(world, again, names[:10]) and not asked(world, again, ["cy"])
    # Another identity at the same address gets what is left of it, one elsewhere its own.
    neighbour, far = world.login(person(50)), world.login(person(51), host="198.51.100.1")
    assert not asked(world, neighbour, names) and asked(world, far, names)
    world.received(again)
    world.named("cy")
    assert world.received(again) == []


def test_watching_is_limited_for_guests_and_in_all_and_a_refused_list_changes_nothing() -> None:
    world = World(RelayLimits(watched_by_guest=2, watched=5))
    guest, ann = world.login(STRANGER), world.named("ann")
    assert len(world.say(guest, Watch(["bob", "cy"]))) == 2
    assert refused(world.say(guest, Watch(["a", "b", "c"]))).code == "limit"
    assert refused(world.say(ann, Watch(["a", "b", "c", "d"]))).code == "limit"
    assert len(world.say(ann, Watch(["bob", "cy", "dee"]))) == 3
    # One's own list is replaced, so it does not count against the new one.
    assert len(world.say(ann, Watch(["bob", "dee", "eve"]))) == 3
    world.received(guest)
    world.named("bob")
    assert world.received(guest) == [Presence("bob", True)]
    world.close(guest)
    assert len(world.say(ann, Watch(["a", "b", "c", "d", "e"]))) == 5


# -- limits ------------------------------------------------------------------------------------------------------


def test_sessions_are_limited_by_rate_and_number_per_address_and_in_all() -> None:
    world = World(RelayLimits(session=Rate(3, 1.0), sessions_per_address=2, sessions=4))
    first, second, third = (world.open() for _ in range(3))
    assert {first, second}.isdisjoint(world.closed)
    assert refused(world.received(third)).code == "limit" and third in world.closed
    fourth = world.open()
    answer = refused(world.received(fourth))
    assert 0 < answer.retry_after_s <= 1.0
    world.close(first)
    world.wait(1.0)
    assert world.open() not in world.closed
    assert world.open("2001:db8:0:1::5") not in world.closed
    assert world.open("2001:db8:0:1::6") not in world.closed
    # Another address, but the relay as a whole is full.
    assert world.open("198.51.100.7") in world.closed
    assert world.router.session_count == 4


def test_an_ipv6_network_is_one_address() -> None:
    world = World(RelayLimits(sessions_per_address=1))
    assert world.open("2001:db8:0:1::5") not in world.closed
    assert world.open("2001:db8:0:1:ffff::6") in world.closed
    assert world.open("2001:db8:0:2::6") not in world.closed


def test_registrations_and_look_ups_are_rationed_and_leave_the_session_alone() -> None:
    world = World(RelayLimits(registration=Rate(1, 0.1), lookup=Rate(2, 0.5)))
    session = world.open()
    challenge = world.challenge(session)
    world.say(session, authenticate(challenge, STRANGER))
    world.say(session, register(challenge, STRANGER, "dee"))
    answer = refused(world.say(session, register(challenge, STRANGER, "eve", 2)))
    assert (answer.request, answer.code) == (2, "limit") and 0 < answer.retry_after_s <= 10.0
    assert [type(world.say(session, Lookup(n, "bob"))[0]) for n in range(3)] == [Found, Found, Refused]
    assert session not in world.closed
    world.wait(2.0)
    assert isinstance(world.say(session, Lookup(9, "bob"))[0], Found)


def test_a_session_that_talks_too_much_is_closed() -> None:
    world = World(RelayLimits(messages=Rate(5, 1.0)))
    session = world.login(STRANGER)
    answers = [message for number in range(5) for message in world.say(session, Ping(number))]
    assert [type(message) for message in answers] == [Pong, Pong, Pong, Pong, Refused]
    assert session in world.closed


# -- draining ----------------------------------------------------------------------------------------------------


def test_draining_with_no_call_stops_at_once_and_tells_everyone() -> None:
    world = World()
    session = world.login(STRANGER)
    world.feed(DrainRequested(30.0))
    assert world.received(session) == [Draining(30.0)]
    assert world.stopped and session in world.closed
    assert world.router.next_deadline() is None
    assert world.feed(SessionOpened(99, ("192.0.2.1", 1))) == []
    assert world.feed(MessageArrived(session, Ping(1))) == [] and world.feed(TimerFired()) == []


def test_draining_waits_for_calls_refuses_new_ones_and_ends_in_time() -> None:
    world = World()
    ann, bob = world.named("ann"), world.named("bob")
    world.say(ann, Invite(call_id(1), "bob"))
    world.feed(DrainRequested(30.0))
    assert not world.stopped
    late = world.login(STRANGER)
    [ended] = world.say(late, Invite(call_id(2), "bob"))
    assert isinstance(ended, Ended) and ended.reason == "draining"
    world.wait(29.0)
    assert not world.stopped and world.legs == {call_id(1)}
    # A second request can only bring the end nearer.
    world.feed(DrainRequested(60.0))
    world.wait(1.5)
    assert world.stopped and not world.legs
    assert Ended(call_id(1), "draining", "the relay has stopped") in world.received(bob)


def test_draining_ends_with_the_last_call() -> None:
    world = World()
    ann, bob = world.named("ann"), world.named("bob")
    world.say(ann, Invite(call_id(1), "bob"))
    world.feed(DrainRequested(300.0))
    world.close(bob)
    world.wait(20.0)
    assert world.stopped and not world.legs


def test_whoever_comes_while_draining_is_notified() -> None:
    world = World()
    ann = world.named("ann")
    world.named("bob")
    world.say(ann, Invite(call_id(1), "bob"))
    world.feed(DrainRequested(30.0))
    world.wait(10.0)
    session = world.open()
    messages = world.say(session, authenticate(world.challenge(session), STRANGER))
    assert messages[1:] == [Draining(20.0)]


def test_an_address_is_validated_while_somebody_is_logged_in_from_there() -> None:
    world = World()
    stranger = world.open("192.0.2.1")
    assert not world.router.is_validated(address_subject("192.0.2.1"))
    world.feed(SessionClosed(stranger))
    older = world.login(person(1), host="192.0.2.1")
    newer = world.login(person(1), host="198.51.100.1")
    assert older in world.closed
    assert not world.router.is_validated(address_subject("192.0.2.1"))
    assert world.router.is_validated(address_subject("198.51.100.1"))
    world.feed(SessionClosed(newer))
    assert not world.router.is_validated(address_subject("198.51.100.1"))
