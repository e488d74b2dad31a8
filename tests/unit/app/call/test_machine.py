"""The call machine: the ordinary ways through, every row of its table, and every event in every state."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.call import events as ev
from app.call.machine import (
    CONNECT_TIMEOUT_S,
    INVITE_TIMEOUT_S,
    RING_TIMEOUT_S,
    TRANSITIONS,
    CallMachine,
    State,
    Trigger,
)
from transport.link import events as link
from transport.net.machine import TimerFired
from transport.path.events import Reconnected, Reconnecting
from transport.quic.session_events import SendRelayMessage
from transport.wire import call_messages, relay_messages

CALL_ID = "0123456789abcdef" * 2
LEG = relay_messages.LegCredentials(username="user-one", password="p" * 22, port=7851, lifetime_s=60.0)
BOB = relay_messages.DirectoryEntry(name="bob", home="", key=b"b" * 32, certificate=b"bob's")
PROVEN = link.PeerProven()
SILENT = Reconnecting(0.0)
ACCEPT = link.PeerMessageReceived(call_messages.Accept())
ALICE = relay_messages.DirectoryEntry(name="alice", home="", key=b"a" * 32, certificate=b"alice's")


def kinds(commands: list[ev.CallCommand]) -> list[str]:
    return [type(command).__name__ for command in commands]


def sent_to_relay(commands: list[ev.CallCommand]) -> list[relay_messages.ClientMessage]:
    return [command.message for command in commands if isinstance(command, SendRelayMessage)]


def finish(commands: list[ev.CallCommand]) -> ev.Finished:
    (finished,) = [command for command in commands if isinstance(command, ev.Finished)]
    return finished


def placed(now: float = 0.0) -> CallMachine:
    call = CallMachine()
    call.handle(ev.Placed(CALL_ID, "bob@relay:7850", "bob"), now)
    return call


def ringing_there() -> CallMachine:
    call = placed()
    call.handle(ev.RelayConnected(), 0.1)
    call.handle(ev.CalleeFound(BOB, LEG, "first-use"), 0.2)
    call.handle(ev.RemoteRings(), 0.3)
    return call


def ringing_here(trust: str = "first-use") -> CallMachine:
    call = CallMachine()
    call.handle(ev.CallArrived(CALL_ID, "alice@relay:7850", ALICE, LEG, trust), 0.0)  # type: ignore[arg-type]
    return call


def test_an_outgoing_call_that_is_answered() -> None:
    call = placed()
    assert sent_to_relay(call.handle(ev.RelayConnected(), 0.1)) == [
        relay_messages.Invite(call_id=CALL_ID, callee="bob")
    ]
    assert call.handle(ev.CalleeFound(BOB, LEG, "first-use"), 0.2) == [ev.OpenLink("caller", BOB, LEG)]
    assert call.handle(ev.RemoteRings(), 0.3) == [ev.PlayTone("ring-back")]
    assert call.handle(PROVEN, 0.4) == []
    assert call.handle(ACCEPT, 2.0) == [ev.StopTone(), ev.StartAudio()]
    assert call.view.phase == "talking"
    end = call.handle(ev.UserHungUp(), 9.0)
    assert finish(end) == ev.Finished("answered", "hung-up")
    assert link.Close(call_messages.Bye()) in end
    assert sent_to_relay(end) == [relay_messages.HangUp(call_id=CALL_ID)]


def test_an_incoming_call_taken_when_the_link_already_stands() -> None:
    call = ringing_here()
    assert call.view.phase == "incoming"
    assert call.handle(PROVEN, 0.4) == []
    commands = call.handle(ev.UserAnswered(), 2.0)
    assert sent_to_relay(commands) == [relay_messages.Answer(call_id=CALL_ID)]
    assert kinds(commands)[-3:] == ["SendPeerMessage", "StopTone", "StartAudio"]
    assert call.view.phase == "talking"


def test_an_answer_before_the_link_waits_for_it() -> None:
    call = ringing_here()
    assert "StartAudio" not in kinds(call.handle(ev.UserAnswered(), 1.0))
    assert call.view.phase == "connecting"
    assert kinds(call.handle(PROVEN, 1.5)) == ["SendPeerMessage", "StopTone", "StartAudio"]


def test_an_answer_whose_link_never_stands_fails_in_time() -> None:
    call = ringing_here()
    call.handle(ev.UserAnswered(), 1.0)
    assert call.next_deadline() == 1.0 + CONNECT_TIMEOUT_S
    assert finish(call.handle(TimerFired(), 1.0 + CONNECT_TIMEOUT_S)).reason == "connect-timeout"


def test_nothing_is_believed_before_the_proof() -> None:
    call = ringing_there()
    assert call.handle(ACCEPT, 1.0) == []
    assert call.view.phase == "ringing"


def test_a_changed_key_stops_an_outgoing_call_before_any_link() -> None:
    call = placed()
    call.handle(ev.RelayConnected(), 0.1)
    commands = call.handle(ev.CalleeFound(BOB, LEG, "changed"), 0.2)
    assert "OpenLink" not in kinds(commands)
    assert finish(commands).outcome == "key-changed"
    assert sent_to_relay(commands) == [relay_messages.HangUp(call_id=CALL_ID)]


def test_a_changed_key_cannot_be_answered_until_it_is_accepted() -> None:
    call = ringing_here("changed")
    assert call.handle(ev.UserAnswered(), 1.0) == []
    call.handle(ev.KeyAccepted("first-use"), 1.1)
    assert sent_to_relay(call.handle(ev.UserAnswered(), 1.2)) == [relay_messages.Answer(call_id=CALL_ID)]


def test_the_relay_cannot_end_a_call_that_two_people_have_taken() -> None:
    call = ringing_there()
    call.handle(PROVEN, 0.4)
    call.handle(ACCEPT, 1.0)
    assert call.handle(ev.RelayEnded("hung-up"), 2.0) == []
    assert call.view.phase == "talking"
    assert finish(call.handle(link.PeerMessageReceived(call_messages.Bye()), 3.0)).outcome == "answered"


def test_silence_and_return() -> None:
    call = ringing_there()
    call.handle(PROVEN, 0.4)
    call.handle(ACCEPT, 1.0)
    assert call.handle(SILENT, 5.0) == [ev.PlayTone("reconnecting")]
    assert call.view.phase == "reconnecting"
    assert call.handle(Reconnected(), 6.0) == [ev.StopTone()]
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
        call.handle(ev.RelayConnected(), 0.1)
        ended = finish(call.handle(ev.RelayEnded(reason), 1.0))  # type: ignore[arg-type]
        assert (ended.outcome, ended.reason) == (outcome, reason)


def test_a_relay_that_says_nothing_is_given_up() -> None:
    call = placed(10.0)
    assert call.next_deadline() == 10.0 + INVITE_TIMEOUT_S
    assert finish(call.handle(TimerFired(), 10.0 + INVITE_TIMEOUT_S)).outcome == "unreachable"


def test_a_new_session_with_the_relay_repeats_the_invitation_until_it_is_granted() -> None:
    call = placed()
    invite = relay_messages.Invite(call_id=CALL_ID, callee="bob")
    assert sent_to_relay(call.handle(ev.RelayConnected(), 0.1)) == [invite]
    assert sent_to_relay(call.handle(ev.RelayConnected(), 4.0)) == [invite]
    assert call.next_deadline() == 0.1 + INVITE_TIMEOUT_S
    call.handle(ev.CalleeFound(BOB, LEG, "first-use"), 4.1)
    assert call.handle(ev.RelayConnected(), 5.0) == []


def test_muting_is_told_to_the_peer_now_or_when_the_call_begins() -> None:
    call = ringing_there()
    call.handle(PROVEN, 0.4)
    assert call.handle(ev.UserMuted(True), 0.5) == []
    assert link.SendPeerMessage(call_messages.Muted(muted=True)) in call.handle(ACCEPT, 1.0)
    assert call.handle(ev.UserMuted(False), 2.0) == [link.SendPeerMessage(call_messages.Muted(muted=False))]
    call.handle(link.PeerMessageReceived(call_messages.Muted(muted=True)), 3.0)
    assert call.view.peer_muted


# -- the table ---------------------------------------------------------------------------------------------------------

PLACED = ev.Placed(CALL_ID, "bob@relay:7850", "bob")
ARRIVED = ev.CallArrived(CALL_ID, "alice@relay:7850", ALICE, LEG, "first-use")
FOUND = ev.CalleeFound(BOB, LEG, "first-use")
WAYS: dict[State, tuple[ev.CallEvent, ...]] = {
    State.IDLE: (),
    State.CALLING: (PLACED,),
    State.INVITED: (PLACED, ev.RelayConnected()),
    State.GRANTED: (PLACED, ev.RelayConnected(), FOUND, PROVEN),
    State.RINGING: (PLACED, ev.RelayConnected(), FOUND, PROVEN, ev.RemoteRings()),
    State.INCOMING: (ARRIVED,),
    State.CONNECTING: (ARRIVED, ev.UserAnswered()),
    State.TALKING: (PLACED, ev.RelayConnected(), FOUND, PROVEN, ev.RemoteRings(), ACCEPT),
    State.RECONNECTING: (PLACED, ev.RelayConnected(), FOUND, PROVEN, ev.RemoteRings(), ACCEPT, SILENT),
    State.ENDED: (PLACED, ev.UserHungUp()),
}
"""How each state is reached."""


def in_state(state: State) -> CallMachine:
    call = CallMachine()
    for step in WAYS[state]:
        call.handle(step, 0.0)
    assert call.state is state
    return call


BYE = link.PeerMessageReceived(call_messages.Bye())
CHANGED = ev.CalleeFound(BOB, LEG, "changed")
LATE = 1_000.0
LINKED = "granted ringing incoming connecting talking reconnecting"
ROWS: dict[Trigger, tuple[ev.CallEvent, str]] = {
    Trigger.PLACED: (PLACED, "idle>calling"),
    Trigger.ARRIVED: (ARRIVED, "idle>incoming"),
    Trigger.INVITED: (ev.RelayConnected(), "calling>invited invited>invited"),
    Trigger.GRANTED: (FOUND, "invited>granted"),
    Trigger.KEY_CHANGED: (CHANGED, "invited"),
    Trigger.RINGS: (ev.RemoteRings(), "granted>ringing"),
    Trigger.ANSWERED: (ACCEPT, "granted>talking ringing>talking"),
    Trigger.PROVEN: (PROVEN, "connecting>talking"),
    Trigger.CONNECTIVITY_LOST: (SILENT, "talking>reconnecting"),
    Trigger.CONNECTIVITY_RESTORED: (Reconnected(), "reconnecting>talking"),
    Trigger.HUNG_UP: (ev.UserHungUp(), "calling invited granted ringing connecting talking reconnecting"),
    Trigger.DECLINED: (ev.UserDeclined(), "incoming"),
    Trigger.REFUSED: (ev.InviteFailed("limit"), "calling invited granted"),
    Trigger.RELAY_LOST: (ev.RelayDisconnected("relay-unreachable"), "calling invited"),
    Trigger.RELAY_ENDED: (ev.RelayEnded("failed"), "invited granted ringing incoming connecting"),
    Trigger.TIMED_OUT: (TimerFired(), "calling invited granted ringing incoming connecting"),
    Trigger.PEER_LEFT: (link.LinkEnded("peer-left", ""), LINKED),
    Trigger.LINK_FAILED: (link.LinkEnded("lost", ""), LINKED),
    Trigger.MEDIA_BROKEN: (ev.MediaBroken(), "talking"),
}
"""The states that an event may move, and where to; without ``>`` the call ends."""


def moves(rows: str) -> dict[State, State]:
    pairs = (row.partition(">") for row in rows.split())
    return {State[before.upper()]: State[(after or "ended").upper()] for before, _, after in pairs}


@pytest.mark.parametrize("trigger", list(ROWS))
@pytest.mark.parametrize("before", list(WAYS))
def test_every_event_moves_the_states_that_it_may_and_no_other(before: State, trigger: Trigger) -> None:
    event, rows = ROWS[trigger]
    call = in_state(before)
    call.handle(event, LATE)
    after = moves(rows).get(before, before)
    if before is State.INCOMING and trigger is Trigger.HUNG_UP:
        after = State.ENDED  # hanging up declines
    assert call.state is after


def test_answering_an_incoming_call_waits_for_the_proof_or_has_it_already() -> None:
    for proven, after in ((False, State.CONNECTING), (True, State.TALKING)):
        call = in_state(State.INCOMING)
        if proven:
            call.handle(PROVEN, 0.5)
        call.handle(ev.UserAnswered(), 1.0)
        assert call.state is after


def test_the_table_has_no_row_beyond_these() -> None:
    rows = {(before, trigger): after for trigger, (_, text) in ROWS.items() for before, after in moves(text).items()}
    assert rows | {(State.INCOMING, Trigger.ANSWERED): State.CONNECTING} == TRANSITIONS


def test_what_the_relay_knows_already_is_not_sent_to_it() -> None:
    for before, event, is_sent in (
        (State.CALLING, ev.UserHungUp(), False),
        (State.INVITED, ev.UserHungUp(), True),
        (State.GRANTED, ev.InviteFailed("limit"), False),
        (State.RINGING, ev.RelayEnded("no-answer"), False),
        (State.TALKING, link.LinkEnded("lost", ""), True),
        (State.TALKING, BYE, True),
    ):
        commands = in_state(before).handle(event, 1.0)  # type: ignore[arg-type]
        assert (relay_messages.HangUp(CALL_ID) in sent_to_relay(commands)) == is_sent


def test_a_new_session_with_the_relay_resumes_a_running_call() -> None:
    for before in (State.TALKING, State.RECONNECTING):
        commands = in_state(before).handle(ev.RelayConnected(), 1.0)
        assert sent_to_relay(commands) == [relay_messages.Resume(CALL_ID, BOB.key)]


EVENTS: st.SearchStrategy[ev.CallEvent] = st.sampled_from(
    [
        ev.Placed(CALL_ID, "bob@relay", "bob"),
        ev.RelayConnected(),
        ev.RelayDisconnected("relay-unreachable", "no way there"),
        ev.CalleeFound(BOB, LEG, "first-use"),
        ev.CalleeFound(BOB, LEG, "changed"),
        ev.InviteFailed("limit", "slowly"),
        ev.CallArrived(CALL_ID, "alice@relay", ALICE, LEG, "unknown"),
        ev.CallArrived(CALL_ID, "alice@relay", ALICE, LEG, "changed"),
        ev.RemoteRings(),
        ev.RelayEnded("declined"),
        ev.RelayEnded("hung-up"),
        ev.UserAnswered(),
        ev.UserDeclined(),
        ev.UserHungUp(),
        ev.UserMuted(True),
        ev.UserMuted(False),
        ev.KeyAccepted("first-use"),
        PROVEN,
        ACCEPT,
        link.PeerMessageReceived(call_messages.Bye()),
        link.PeerMessageReceived(call_messages.Muted(muted=True)),
        link.PeerMessageReceived(call_messages.PathInUse(kind="direct")),
        SILENT,
        Reconnected(),
        link.LinkEnded("lost", ""),
        link.LinkEnded("peer-left", ""),
        link.LinkEnded("wrong-certificate", ""),
        ev.MediaBroken(),
        TimerFired(),
    ]
)


@given(st.lists(st.tuples(EVENTS, st.floats(0, 30)), max_size=40))
def test_every_event_in_every_state(steps: list[tuple[ev.CallEvent, float]]) -> None:
    """No exception; media only between a taken call and its end; Finished once and last; always a way out."""
    call, now, playing, finished, begun = CallMachine(), 0.0, False, 0, False
    for event, later in steps:
        now += later
        commands = call.handle(event, now)
        begun = begun or isinstance(event, ev.Placed | ev.CallArrived)
        for command in commands:
            assert not finished, "a command after the end"
            playing = isinstance(command, ev.StartAudio) or (playing and not isinstance(command, ev.StopAudio))
            if isinstance(command, ev.Finished):
                finished += 1
        assert finished <= 1
        assert playing == call.taken == (call.view.phase in ("talking", "reconnecting"))
        assert call.finished == bool(finished)
        if begun and not call.finished and not playing:
            # Not talking: a clock runs that ends it, whatever the others do.
            deadline = call.next_deadline()
            assert deadline is not None and deadline <= now + RING_TIMEOUT_S
    if begun and not call.finished:
        deadline = call.next_deadline()
        end = call.handle(ev.UserHungUp() if deadline is None else TimerFired(), deadline or now)
        assert sum(isinstance(command, ev.Finished) for command in end) == 1
