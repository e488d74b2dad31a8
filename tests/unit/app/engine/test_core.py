"""app.engine.core: whom it lets through, whom it trusts, and what it asks for. Whole calls are in tests/natsim."""

import pytest

from app.account.status import Trigger
from app.call import events as ev
from app.engine.contacts import ContactCommands
from app.engine.events import (
    BeginCall,
    CallOver,
    CoreCommand,
    FromCall,
    FromRelay,
    PresenceChanged,
    RelayReached,
    ReleaseRoute,
    ToCall,
    ToRelay,
)
from app.engine.view import Notices
from app.ipc import messages
from app.model.settings import Settings
from tests.natsim.call import identity
from tests.unit.app.engine.desk import ANN, ELSEWHERE, HOME, LEG, NOW, WELCOME, Desk, Way, caller
from transport.quic.session_events import (
    Connected,
    Disconnected,
    Rejected,
)
from transport.wire import relay_messages
from transport.wire.addresses import PersonAddress, parse_person

FAR_ANN = PersonAddress("ann", ELSEWHERE)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def failures(commands: list[CoreCommand]) -> list[str]:
    return [command.code for command in commands if isinstance(command, messages.CommandFailed)]


def to_call(commands: list[CoreCommand]) -> list[ev.SessionEvent]:
    return [command.event for command in commands if isinstance(command, ToCall)]


def test_a_call_is_placed_at_the_relay_of_the_address_and_waits_for_its_session(desk: Desk) -> None:
    commands = desk.do(messages.PlaceCall("cy@elsewhere.example"))
    assert desk.asked == [(ELSEWHERE, f"bob@{HOME}")]
    assert [type(command) for command in commands[:2]] == [BeginCall, ToCall]
    assert [type(event) for event in to_call(commands)] == [ev.Placed]
    assert desk.core.in_call


def test_nobody_calls_two_people_or_themselves_or_nonsense(desk: Desk) -> None:
    assert failures(desk.do(messages.PlaceCall(f"bob@{HOME}"))) == ["own-address"]
    [refused] = [c for c in desk.do(messages.PlaceCall("no address")) if isinstance(c, messages.CommandFailed)]
    assert (refused.command, refused.field) == ("PlaceCall", "address")
    desk.do(messages.PlaceCall(str(ANN)))
    assert failures(desk.do(messages.PlaceCall(str(ANN)))) == ["in-call"]


def test_a_relay_that_is_known_to_be_away_or_to_refuse_us_is_not_waited_for(desk: Desk) -> None:
    desk.account.move(Trigger.REGISTERED)
    desk.account.move(Trigger.LOST)
    assert ev.InviteFailed("relay-unreachable") in to_call(desk.do(messages.PlaceCall(str(ANN))))
    desk.account.move(Trigger.REJECTED, rejection=Rejected("not-registered", "no"))
    assert ev.InviteFailed("not-registered", "no") in to_call(desk.do(messages.PlaceCall(str(ANN))))


def test_a_second_caller_hears_busy_and_is_in_the_history(desk: Desk) -> None:
    desk.ring()
    commands = desk.ring("b" * 32, caller(3, "cy"))
    assert ToRelay(desk.way, relay_messages.Decline("b" * 32, "busy")) in commands and to_call(commands) == []
    assert [(call.call_id, call.outcome) for call in desk.memory.calls.recent()] == [("b" * 32, "missed")]


def test_the_same_invitation_again_is_the_same_call(desk: Desk) -> None:
    desk.ring()
    assert desk.ring() == [ev.ViewChanged()]


def test_who_is_blocked_hears_a_decline_and_leaves_nothing(desk: Desk) -> None:
    desk.memory.people.add(ANN)
    desk.memory.people.set_blocked(ANN, True)
    assert desk.ring() == [ToRelay(desk.way, relay_messages.Decline("a" * 32, "declined")), ev.ViewChanged()]
    assert desk.core.session is None and desk.memory.calls.recent() == ()


def test_whose_key_has_changed_rings_with_a_warning_and_is_answered_after_it_is_accepted(desk: Desk) -> None:
    desk.memory.people.meet(ANN, identity(7).key, identity(7).certificate)
    [arrived] = to_call(desk.ring())
    assert isinstance(arrived, ev.CallArrived) and arrived.trust == "changed"
    assert desk.core.session is not None and desk.core.session.first_call
    accepted = to_call(desk.do(messages.TrustKey(str(ANN), identity(1).key.hex(), verified=False)))
    assert accepted == [ev.KeyAccepted("first-use")]
    known = desk.memory.people.get(ANN)
    assert known is not None and known.pin.key == identity(1).key


def test_a_guest_is_who_they_say_and_their_key_is_not_kept_for_them(desk: Desk) -> None:
    desk.memory.people.meet(FAR_ANN, identity(7).key, identity(7).certificate)
    [arrived] = to_call(desk.ring(who=caller(1, "", str(FAR_ANN))))
    assert isinstance(arrived, ev.CallArrived) and (arrived.address, arrived.trust) == (str(FAR_ANN), "changed")
    session = desk.core.session
    assert session is not None
    session.record.mark("answered", NOW)
    desk.do(FromCall(session, ev.ViewChanged()))
    known = desk.memory.people.get(FAR_ANN)
    assert known is not None and known.pin.key == identity(7).key


@pytest.mark.parametrize("known_as", ["met", "verified", "changed"])
@pytest.mark.parametrize("claim", ["vouched", "guest"])
@pytest.mark.parametrize("offered", [1, 7, 8, 9])
@pytest.mark.parametrize("seen", ["the caller's", "the pinned", "another", "nonsense"])
@pytest.mark.parametrize("verified", [False, True])
def test_no_key_is_accepted_but_the_one_that_was_seen_and_vouched_for(
    desk: Desk, known_as: str, claim: str, offered: int, seen: str, verified: bool
) -> None:
    """Key 7 is known, 8 is offered by the home relay beside it (``changed``); the caller has ``offered``."""
    ann = ANN if claim == "vouched" else FAR_ANN
    people = desk.memory.people
    people.meet(ann, identity(7).key, identity(7).certificate)
    if known_as == "verified":
        people.mark_verified(ann)
    if known_as == "changed":
        people.meet(ann, identity(8).key, identity(8).certificate)
    desk.ring(who=caller(offered, *(("ann",) if claim == "vouched" else ("", str(ann)))))
    before = people.get(ann)
    assert before is not None
    keys = {"the caller's": identity(offered).key.hex(), "the pinned": identity(7).key.hex(), "another": "12" * 32}
    commands = desk.do(messages.TrustKey(str(ann), keys.get(seen, "no key"), verified=verified))
    after = people.get(ann)
    assert after is not None
    key = bytes.fromhex(keys.get(seen, ""))
    if verified:
        may = key == before.pin.key and not before.pin.offered_key
        assert after.pin.verified is (may or before.pin.verified) and after.pin.key == before.pin.key
    else:
        may = bool(key) and key == before.pin.offered_key
        assert after.pin.key == (key if may else before.pin.key)
        assert not (may and claim == "guest" and key not in (identity(7).key, identity(8).key))
    assert bool(failures(commands)) is not may


@pytest.mark.parametrize("known_as", ["verified", "met"])
def test_a_guests_key_never_takes_the_place_of_one_that_a_relay_vouched_for(desk: Desk, known_as: str) -> None:
    people, theirs = desk.memory.people, identity(7)
    people.meet(FAR_ANN, theirs.key, theirs.certificate)
    if known_as == "verified":
        people.mark_verified(FAR_ANN)
    before = people.get(FAR_ANN)
    desk.ring(who=caller(1, "", str(FAR_ANN)))
    for verified in (False, True):
        refused = desk.do(messages.TrustKey(str(FAR_ANN), identity(1).key.hex(), verified=verified))
        assert failures(refused) == ["key-not-vouched"]
    assert people.get(FAR_ANN) == before
    assert desk.core.session is not None and desk.core.session.call.view.trust == "changed"


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("number", [1, 7])
@pytest.mark.parametrize(("name", "home"), [("ann", ""), ("", str(FAR_ANN)), ("", "")])
def test_a_claim_is_shown_as_one_unless_relay_or_key_vouches(
    desk: Desk, known: bool, number: int, name: str, home: str
) -> None:
    if known:
        desk.memory.people.meet(FAR_ANN, identity(7).key, identity(7).certificate)
    desk.ring(who=caller(number, name, home))
    session = desk.core.session
    assert session is not None
    assert session.vouched is (not home or (known and number == 7))


@pytest.mark.parametrize("known_as", ["listed", "verified", "remembered", "blocked", "unknown"])
@pytest.mark.parametrize("claim", ["right-key", "other-key", "guest-right-key", "guest-other-key"])
def test_addresses_are_sent_early_to_the_key_of_a_contact_alone(desk: Desk, known_as: str, claim: str) -> None:
    """Whatever address a caller claims: only the key in this call counts, and it must be a listed person's."""
    ann = FAR_ANN if claim.startswith("guest") else ANN
    people, theirs = desk.memory.people, identity(1)
    if known_as != "unknown":
        people.meet(ann, theirs.key, theirs.certificate)
    if known_as in ("listed", "verified", "blocked"):
        people.add(ann, "Annie")
    if known_as == "verified":
        people.mark_verified(ann)
    if known_as == "blocked":
        people.set_blocked(ann, True)
    number = 1 if claim.endswith("right-key") else 9
    name, home = ("", str(ann)) if claim.startswith("guest") else (ann.name, "")
    desk.ring(who=caller(number, name, home))
    session = desk.core.session
    if known_as == "blocked":
        assert session is None
        return
    assert session is not None and session.link is not None
    may = known_as in ("listed", "verified") and number == 1
    assert session.link._config.early is may
    assert (session.title == "Annie") is may


def test_a_guest_who_claims_to_be_at_home_here_is_turned_away(desk: Desk) -> None:
    """Who has a name on this relay logs in with it."""
    for home in (str(ANN), f"mallory@{HOME}", f"ann@{HOME}#{'0' * 32}"):
        assert ToRelay(desk.way, relay_messages.Decline("a" * 32, "declined")) in desk.ring(who=caller(1, "", home))
    assert desk.core.session is None


def test_a_guest_without_a_home_has_a_name_of_their_key_and_one_with_nonsense_is_turned_away(desk: Desk) -> None:
    [arrived] = to_call(desk.ring(who=caller(1, "", "")))
    assert isinstance(arrived, ev.CallArrived)
    assert identity(1).key.hex()[:8] in parse_person(arrived.address).name
    desk.do(messages.HangUpCall("a" * 32))
    turned_away = desk.ring("b" * 32, caller(3, "", "not an address"))
    assert ToRelay(desk.way, relay_messages.Decline("b" * 32, "declined")) in turned_away


def test_the_key_of_somebody_a_relay_vouches_for_is_kept_once_they_talk(desk: Desk) -> None:
    desk.ring()
    session = desk.core.session
    assert session is not None and desk.memory.people.get(ANN) is None
    desk.do(FromCall(session, ev.ViewChanged()))
    assert desk.memory.people.get(ANN) is None
    session.record.mark("answered", NOW)
    desk.do(FromCall(session, ev.ViewChanged()))
    known = desk.memory.people.get(ANN)
    assert known is not None and known.pin.key == identity(1).key


def test_messages_about_another_call_reach_nobody(desk: Desk) -> None:
    desk.ring()
    for message in (
        relay_messages.Ended("b" * 32, "hung-up", ""),
        relay_messages.Resumed("b" * 32, LEG),
        relay_messages.Ringing("b" * 32),
        relay_messages.Granted("b" * 32, caller(3), LEG),
        relay_messages.Refused(5, "limit", "", 0.0),
    ):
        assert to_call(desk.hear(message)) == []
    assert to_call(desk.hear(relay_messages.Ended("a" * 32, "cancelled", ""))) == [ev.RelayEnded("cancelled", "")]


def test_a_relay_only_tells_of_people_one_knows(desk: Desk) -> None:
    desk.memory.people.add(ANN)
    assert PresenceChanged(ANN.short, True) in desk.hear(relay_messages.Presence("ann", True))
    assert desk.hear(relay_messages.Presence("stranger", True)) == [ev.ViewChanged()]


def test_what_the_session_with_the_relay_does_reaches_the_call(desk: Desk) -> None:
    desk.do(messages.PlaceCall(str(ANN)))
    reached = desk.do(FromRelay(desk.way, Connected(WELCOME, "192.0.2.1")))
    assert [type(event) for event in to_call(reached)] == [ev.RelayConnected]
    assert any(isinstance(command, RelayReached) for command in reached)
    lost = desk.do(FromRelay(desk.way, Disconnected("gone", 1.0)))
    assert to_call(lost) == [ev.RelayDisconnected("relay-unreachable", "gone")]
    elsewhere = FromRelay(Way(ELSEWHERE, is_home=False), Disconnected("gone", 1.0))
    assert to_call(desk.do(elsewhere)) == []


def test_a_call_that_is_over_is_archived_and_dismissed_with_its_route(desk: Desk) -> None:
    desk.ring()
    session = desk.core.session
    over = desk.do(messages.DeclineCall("a" * 32))
    assert any(isinstance(command, CallOver) and command.session is session for command in over)
    assert [call.outcome for call in desk.memory.calls.recent()] == ["declined"]
    assert desk.core.session is session and not desk.core.in_call
    dismissed = desk.do(messages.DismissCall("a" * 32))
    assert to_call(dismissed) == [ev.UserLeft()] and ReleaseRoute(desk.way) in dismissed
    assert desk.core.session is None


def test_the_next_call_over_the_same_route_keeps_it(desk: Desk) -> None:
    desk.ring()
    desk.do(messages.DeclineCall("a" * 32))
    commands = desk.do(messages.PlaceCall(str(ANN)))
    assert ReleaseRoute(desk.way) not in commands and ev.UserLeft() in to_call(commands)


LISTED_FAR = PersonAddress("zoe", ELSEWHERE)
WAYS_BACK = [("ann", ""), ("mallory", ""), ("", str(FAR_ANN)), ("", f"someone@{ELSEWHERE}"), ("", "")]


@pytest.mark.parametrize("came_as", [("ann", ""), ("", str(LISTED_FAR)), ("", f"new@{ELSEWHERE}"), ("", "")])
@pytest.mark.parametrize("when", ["rings", "talks", "over"])
@pytest.mark.parametrize("comes_back_as", WAYS_BACK)
def test_who_is_blocked_in_a_call_cannot_ring_under_any_address(
    desk: Desk, came_as: tuple[str, str], when: str, comes_back_as: tuple[str, str]
) -> None:
    people, calls = desk.memory.people, desk.memory.calls
    people.meet(LISTED_FAR, identity(7).key, identity(7).certificate)
    people.add(LISTED_FAR)
    zoe = people.get(LISTED_FAR)
    desk.ring(who=caller(1, *came_as))
    session = desk.core.session
    assert session is not None
    if when == "talks":
        desk.do(messages.AnswerCall("a" * 32))
    if when == "over":
        desk.do(messages.DeclineCall("a" * 32))
    desk.do(messages.BlockCaller("a" * 32))
    assert session.call.finished
    desk.do(messages.DismissCall("a" * 32))
    if came_as[0]:
        people.remove(ANN)
    before = calls.recent()
    declined = desk.ring("b" * 32, caller(1, *comes_back_as))
    assert declined == [ToRelay(desk.way, relay_messages.Decline("b" * 32, "declined")), ev.ViewChanged()]
    assert desk.core.session is None and calls.recent() == before
    assert people.get(LISTED_FAR) == zoe
    desk.ring("c" * 32, caller(7, "", str(LISTED_FAR)))
    assert desk.core.session is not None, "whose address a blocked guest claimed still rings"


@pytest.mark.parametrize("as_contact", [True, False])
def test_unblocking_lets_the_same_key_ring_again(desk: Desk, as_contact: bool) -> None:
    contacts = ContactCommands(desk.memory, Notices(), lambda: None)  # type: ignore[arg-type]
    who = caller(1) if as_contact else caller(1, "", str(FAR_ANN))
    desk.ring(who=who)
    desk.do(messages.BlockCaller("a" * 32))
    assert identity(1).key in desk.memory.blocked_keys
    contacts.handle(
        messages.BlockContact(str(ANN), False) if as_contact else messages.UnblockKey(identity(1).key.hex())
    )
    desk.do(messages.DismissCall("a" * 32))
    desk.ring("b" * 32, who)
    assert desk.core.session is not None


@pytest.mark.parametrize("keys", [(1,), (1, 8)])
def test_blocking_a_contact_blocks_the_keys_met_at_the_address(desk: Desk, keys: tuple[int, ...]) -> None:
    contacts = ContactCommands(desk.memory, Notices(), lambda: None)  # type: ignore[arg-type]
    for key in keys:
        desk.memory.people.meet(ANN, identity(key).key, identity(key).certificate)
    contacts.handle(messages.BlockContact(str(ANN), True))
    contacts.handle(messages.RemoveContact(str(ANN)))
    for key in keys:
        for name, home in WAYS_BACK:
            desk.ring(who=caller(key, name, home))
            assert desk.core.session is None and desk.memory.calls.recent() == ()


CONTACTS = [("ann", "", 1), ("ann", "", 9), ("", str(FAR_ANN), 1), ("", "", 1)]
STRANGERS = [("cy", "", 3), ("", str(ANN).replace("relay", "other"), 3), ("", str(FAR_ANN), 3), ("", "", 3)]


def list_ann(desk: Desk) -> None:
    for ann in (ANN, FAR_ANN):
        desk.memory.people.meet(ann, identity(1).key, identity(1).certificate)
        desk.memory.people.add(ann)


@pytest.mark.parametrize(("name", "home", "number"), [*CONTACTS, *STRANGERS])
def test_only_contacts_ring_where_that_is_wanted(desk: Desk, name: str, home: str, number: int) -> None:
    list_ann(desk)
    desk.memory.documents.change_settings(Settings(contacts_only=True))
    for call_id in ("a" * 32, "b" * 32):
        commands = desk.ring(call_id, caller(number, name, home))
        declined = ToRelay(desk.way, relay_messages.Decline(call_id, "declined")) in commands
        assert declined is (number == 3)
    if number == 3:
        [line] = desk.memory.calls.recent()
        assert (line.outcome, line.count, line.vouched) == ("missed", 2, not home)


@pytest.mark.parametrize("contact", CONTACTS)
@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_who_rings_gives_way_to_a_contact(
    desk: Desk, contact: tuple[str, str, int], stranger: tuple[str, str, int]
) -> None:
    list_ann(desk)
    desk.ring(who=caller(stranger[2], *stranger[:2]))
    first = desk.core.session
    assert first is not None
    commands = desk.ring("b" * 32, caller(contact[2], *contact[:2]))
    assert ToCall(first, ev.UserDeclined("busy")) in commands and first.call.finished
    assert desk.core.session is not None and desk.core.session.is_call("b" * 32) and desk.core.in_call
    assert [(call.call_id, call.outcome) for call in desk.memory.calls.recent()] == [("a" * 32, "missed")]
    again = desk.ring("c" * 32, caller(stranger[2], *stranger[:2]))
    assert ToRelay(desk.way, relay_messages.Decline("c" * 32, "busy")) in again
    assert desk.core.session.is_call("b" * 32)


def test_a_contact_who_rings_and_a_call_that_was_answered_give_way_to_nobody(desk: Desk) -> None:
    list_ann(desk)
    desk.memory.people.add(PersonAddress("cy", HOME))
    desk.ring()
    assert ToRelay(desk.way, relay_messages.Decline("b" * 32, "busy")) in desk.ring("b" * 32, caller(3, "cy"))
    desk.do(messages.HangUpCall("a" * 32))
    desk.ring("c" * 32, caller(4, "stranger"))
    desk.do(messages.AnswerCall("c" * 32))
    assert ToRelay(desk.way, relay_messages.Decline("d" * 32, "busy")) in desk.ring("d" * 32)
