"""The call machine: the ordinary ways through, and every event in every state."""

from hypothesis import given
from hypothesis import strategies as st

from app.call import events as ev
from app.call.machine import CONNECT_TIMEOUT_S, INVITE_TIMEOUT_S, RING_TIMEOUT_S, Call
from transport.wire import call_messages, relay_messages

CALL_ID = "0123456789abcdef" * 2
LEG = relay_messages.Leg(username="user-one", password="p" * 22, port=7851, lifetime_s=60.0)
BOB = relay_messages.Person(name="bob", home="", key=b"b" * 32, certificate=b"bob's")
ALICE = relay_messages.Person(name="alice", home="", key=b"a" * 32, certificate=b"alice's")


def kinds(commands: list[ev.Command]) -> list[str]:
    return [type(command).__name__ for command in commands]


def told_relay(commands: list[ev.Command]) -> list[relay_messages.ClientMessage]:
    return [command.message for command in commands if isinstance(command, ev.TellRelay)]


def finish(commands: list[ev.Command]) -> ev.Finished:
    (finished,) = [command for command in commands if isinstance(command, ev.Finished)]
    return finished


def placed(now: float = 0.0) -> Call:
    call = Call()
    call.handle(ev.Placed(CALL_ID, "bob@relay:7850", "bob"), now)
    return call


def ringing_there() -> Call:
    call = placed()
    call.handle(ev.RelayReady(), 0.1)
    call.handle(ev.CalleeFound(BOB, LEG, "first-use"), 0.2)
    call.handle(ev.RemoteRings(), 0.3)
    return call


def ringing_here(trust: str = "first-use") -> Call:
    call = Call()
    call.handle(ev.CallArrived(CALL_ID, "alice@relay:7850", ALICE, LEG, trust, False), 0.0)  # type: ignore[arg-type]
    return call


def test_an_outgoing_call_that_is_answered() -> None:
    call = placed()
    assert told_relay(call.handle(ev.RelayReady(), 0.1)) == [relay_messages.Invite(call_id=CALL_ID, callee="bob")]
    assert call.handle(ev.CalleeFound(BOB, LEG, "first-use"), 0.2) == [ev.OpenLink("caller", BOB, LEG)]
    assert call.handle(ev.RemoteRings(), 0.3) == [ev.PlayTone("ring-back")]
    assert call.handle(ev.LinkProven("bob@relay"), 0.4) == []
    assert call.handle(ev.PeerSaid(call_messages.Accept()), 2.0) == [ev.StopTone(), ev.StartMedia()]
    assert call.view.phase == "talking"
    end = call.handle(ev.UserHungUp(), 9.0)
    assert finish(end) == ev.Finished("answered", "hung-up")
    assert ev.CloseLink(call_messages.Bye()) in end
    assert told_relay(end) == [relay_messages.HangUp(call_id=CALL_ID)]


def test_an_incoming_call_taken_when_the_link_already_stands() -> None:
    call = ringing_here()
    assert call.view.phase == "incoming"
    assert call.handle(ev.LinkProven("alice@relay"), 0.4) == []
    commands = call.handle(ev.UserAnswered(), 2.0)
    assert told_relay(commands) == [relay_messages.Answer(call_id=CALL_ID)]
    assert kinds(commands)[-3:] == ["TellPeer", "StopTone", "StartMedia"]
    assert call.view.phase == "talking"


def test_an_answer_before_the_link_waits_for_it() -> None:
    call = ringing_here()
    assert "StartMedia" not in kinds(call.handle(ev.UserAnswered(), 1.0))
    assert call.view.phase == "connecting"
    assert kinds(call.handle(ev.LinkProven("alice@relay"), 1.5)) == ["TellPeer", "StopTone", "StartMedia"]


def test_an_answer_whose_link_never_stands_fails_in_time() -> None:
    call = ringing_here()
    call.handle(ev.UserAnswered(), 1.0)
    assert call.next_deadline() == 1.0 + CONNECT_TIMEOUT_S
    assert finish(call.handle(ev.TimerFired(), 1.0 + CONNECT_TIMEOUT_S)).reason == "connect-timeout"


def test_nothing_is_believed_before_the_proof() -> None:
    call = ringing_there()
    assert call.handle(ev.PeerSaid(call_messages.Accept()), 1.0) == []
    assert call.view.phase == "ringing"


def test_a_changed_key_stops_an_outgoing_call_before_any_link() -> None:
    call = placed()
    call.handle(ev.RelayReady(), 0.1)
    commands = call.handle(ev.CalleeFound(BOB, LEG, "changed"), 0.2)
    assert "OpenLink" not in kinds(commands)
    assert finish(commands).outcome == "key-changed"
    assert told_relay(commands) == [relay_messages.HangUp(call_id=CALL_ID)]


def test_a_changed_key_cannot_be_answered_until_it_is_accepted() -> None:
    call = ringing_here("changed")
    assert call.handle(ev.UserAnswered(), 1.0) == []
    call.handle(ev.KeyAccepted("first-use"), 1.1)
    assert told_relay(call.handle(ev.UserAnswered(), 1.2)) == [relay_messages.Answer(call_id=CALL_ID)]


def test_a_blocked_caller_neither_rings_nor_learns_why() -> None:
    call = Call()
    commands = call.handle(ev.CallArrived(CALL_ID, "alice@relay", ALICE, LEG, "first-use", True), 0.0)
    assert told_relay(commands) == [relay_messages.Decline(call_id=CALL_ID, reason="declined")]
    assert "PlayTone" not in kinds(commands) and "OpenLink" not in kinds(commands)
    assert call.finished


def test_the_relay_cannot_end_a_call_that_two_people_have_taken() -> None:
    call = ringing_there()
    call.handle(ev.LinkProven("bob@relay"), 0.4)
    call.handle(ev.PeerSaid(call_messages.Accept()), 1.0)
    assert call.handle(ev.RelayEnded("hung-up"), 2.0) == []
    assert call.view.phase == "talking"
    assert finish(call.handle(ev.PeerSaid(call_messages.Bye()), 3.0)).outcome == "answered"


def test_silence_and_return() -> None:
    call = ringing_there()
    call.handle(ev.LinkProven(""), 0.4)
    call.handle(ev.PeerSaid(call_messages.Accept()), 1.0)
    assert call.handle(ev.LinkSilent(), 5.0) == [ev.PlayTone("reconnecting")]
    assert call.view.phase == "reconnecting"
    assert call.handle(ev.LinkBack(), 6.0) == [ev.StopTone()]
    assert call.view.phase == "talking"


def test_each_way_not_to_be_taken() -> None:
    for reason, outcome in {
        "declined": "declined",
        "busy": "busy",
        "no-answer": "no-answer",
        "offline": "unreachable",
        "unknown-name": "unreachable",
    }.items():
        call = placed()
        call.handle(ev.RelayReady(), 0.1)
        ended = finish(call.handle(ev.RelayEnded(reason), 1.0))  # type: ignore[arg-type]
        assert (ended.outcome, ended.reason) == (outcome, reason)


def test_a_relay_that_says_nothing_is_given_up() -> None:
    call = placed(10.0)
    assert call.next_deadline() == 10.0 + INVITE_TIMEOUT_S
    assert finish(call.handle(ev.TimerFired(), 10.0 + INVITE_TIMEOUT_S)).outcome == "unreachable"


def test_a_new_session_with_the_relay_repeats_the_invitation_until_it_is_granted() -> None:
    call = placed()
    invite = relay_messages.Invite(call_id=CALL_ID, callee="bob")
    assert told_relay(call.handle(ev.RelayReady(), 0.1)) == [invite]
    assert told_relay(call.handle(ev.RelayReady(), 4.0)) == [invite]
    assert call.next_deadline() == 0.1 + INVITE_TIMEOUT_S
    call.handle(ev.CalleeFound(BOB, LEG, "first-use"), 4.1)
    assert call.handle(ev.RelayReady(), 5.0) == []


def test_muting_is_told_to_the_peer_now_or_when_the_call_begins() -> None:
    call = ringing_there()
    call.handle(ev.LinkProven(""), 0.4)
    assert call.handle(ev.UserMuted(True), 0.5) == []
    assert ev.TellPeer(call_messages.Muted(muted=True)) in call.handle(ev.PeerSaid(call_messages.Accept()), 1.0)
    assert call.handle(ev.UserMuted(False), 2.0) == [ev.TellPeer(call_messages.Muted(muted=False))]
    call.handle(ev.PeerSaid(call_messages.Muted(muted=True)), 3.0)
    assert call.view.peer_muted


EVENTS: st.SearchStrategy[ev.Event] = st.sampled_from(
    [
        ev.Placed(CALL_ID, "bob@relay", "bob"),
        ev.RelayReady(),
        ev.RelayFailed("relay-unreachable", "no way there"),
        ev.CalleeFound(BOB, LEG, "first-use"),
        ev.CalleeFound(BOB, LEG, "changed"),
        ev.InviteRefused("limit", "slowly"),
        ev.CallArrived(CALL_ID, "alice@relay", ALICE, LEG, "unknown", False),
        ev.CallArrived(CALL_ID, "alice@relay", ALICE, LEG, "changed", False),
        ev.RemoteRings(),
        ev.RelayEnded("declined"),
        ev.RelayEnded("hung-up"),
        ev.UserAnswered(),
        ev.UserDeclined(),
        ev.UserHungUp(),
        ev.UserMuted(True),
        ev.UserMuted(False),
        ev.KeyAccepted("first-use"),
        ev.LinkProven("somebody@relay"),
        ev.PeerSaid(call_messages.Accept()),
        ev.PeerSaid(call_messages.Bye()),
        ev.PeerSaid(call_messages.Muted(muted=True)),
        ev.PeerSaid(call_messages.PathInUse(kind="direct")),
        ev.LinkSilent(),
        ev.LinkBack(),
        ev.LinkOver("lost"),
        ev.LinkOver("peer-left"),
        ev.LinkOver("wrong-certificate"),
        ev.MediaBroken(),
        ev.TimerFired(),
    ]
)


@given(st.lists(st.tuples(EVENTS, st.floats(0, 30)), max_size=40))
def test_every_event_in_every_state(steps: list[tuple[ev.Event, float]]) -> None:
    """No exception; media only between a taken call and its end; Finished once and last; always a way out."""
    call, now, playing, finished, begun = Call(), 0.0, False, 0, False
    for event, later in steps:
        now += later
        commands = call.handle(event, now)
        begun = begun or isinstance(event, ev.Placed | ev.CallArrived)
        for command in commands:
            assert not finished, "a command after the end"
            playing = isinstance(command, ev.StartMedia) or (playing and not isinstance(command, ev.StopMedia))
            if isinstance(command, ev.Finished):
                finished += 1
        assert finished <= 1
        assert playing == (call.view.phase in ("talking", "reconnecting"))
        assert call.finished == bool(finished)
        if begun and not call.finished and not playing:
            # Not talking: a clock runs that ends it, whatever the others do.
            deadline = call.next_deadline()
            assert deadline is not None and deadline <= now + RING_TIMEOUT_S
    if begun and not call.finished:
        deadline = call.next_deadline()
        end = call.handle(ev.UserHungUp() if deadline is None else ev.TimerFired(), deadline or now)
        assert sum(isinstance(command, ev.Finished) for command in end) == 1
