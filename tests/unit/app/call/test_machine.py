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
from app.model.terms import KeyTrust
from tests.playbook import Playbook
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


def sent_to_relay(commands: list[ev.CallCommand]) -> list[relay_messages.ClientMessage]:
    return [command.message for command in commands if isinstance(command, SendRelayMessage)]


def peer(message: call_messages.CallMessage) -> link.PeerMessageReceived:
    return link.PeerMessageReceived(message)


def to_peer(message: call_messages.CallMessage) -> link.SendPeerMessage:
    return link.SendPeerMessage(message)


INVITE = SendRelayMessage(relay_messages.Invite(call_id=CALL_ID, callee="bob"))
ANSWER = SendRelayMessage(relay_messages.Answer(call_id=CALL_ID))
HANG_UP = SendRelayMessage(relay_messages.HangUp(call_id=CALL_ID))


BYE = link.Close(call_messages.Bye())


def calling(now: float = 0.0) -> Playbook[CallMachine]:
    call = Playbook(CallMachine(), TimerFired(), now)
    assert ~(call >> ev.Placed(CALL_ID, "bob@relay:7850", "bob"))
    return call


def ringing_there() -> Playbook[CallMachine]:
    call = calling()
    assert call >> ev.RelayConnected() << INVITE
    assert call >> ev.CalleeFound(BOB, LEG, "first-use") << ev.OpenLink("caller", BOB, LEG)
    assert call >> ev.RemoteRings() << ev.PlayTone("ring-back") >> PROVEN
    return call


def talking() -> Playbook[CallMachine]:
    call = ringing_there()
    assert call.at(2.0) >> ACCEPT << ev.StopTone() << ev.StartAudio()
    return call


def ringing_here(trust: KeyTrust = "first-use") -> Playbook[CallMachine]:
    call = Playbook(CallMachine(), TimerFired())
    assert ~(call >> ev.CallArrived(CALL_ID, "alice@relay:7850", ALICE, LEG, trust))
    return call


def test_an_outgoing_call_that_is_answered() -> None:
    call = calling()
    assert call >> ev.RelayConnected() << INVITE
    assert call >> ev.CalleeFound(BOB, LEG, "first-use") << ev.OpenLink("caller", BOB, LEG)
    assert call >> ev.RemoteRings() << ev.PlayTone("ring-back") >> PROVEN
    assert call >> ACCEPT << ev.StopTone() << ev.StartAudio()
    assert call.machine.view.phase == "talking"
    call >> ev.UserHungUp() << ev.StopTone() << HANG_UP << BYE << ev.StopAudio()
    assert call << ev.Finished("answered", "hung-up")


def test_an_incoming_call_taken_when_the_link_already_stands() -> None:
    call = ringing_here()
    assert call.machine.view.phase == "incoming"
    call >> PROVEN >> ev.UserAnswered() << ev.StopTone() << ANSWER << ev.OpenSpeaker() << ev.OpenMicrophone()
    assert call << to_peer(call_messages.Accept()) << ev.StopTone() << ev.StartAudio()
    assert call.machine.view.phase == "talking"


def test_an_answer_before_the_link_waits_for_it() -> None:
    call = ringing_here()
    assert call >> ev.UserAnswered() << ev.StopTone() << ANSWER << ev.OpenSpeaker() << ev.OpenMicrophone()
    assert call.machine.view.phase == "connecting"
    assert call >> PROVEN << to_peer(call_messages.Accept()) << ev.StopTone() << ev.StartAudio()


def test_an_answer_whose_link_never_stands_fails_in_time() -> None:
    call = ringing_here()
    assert ~(call.at(1.0) >> ev.UserAnswered())
    call.timer() << ev.StopTone() << HANG_UP << link.Close << ev.StopAudio() << ev.PlayTone("busy")
    assert call << ev.Finished("failed", "connect-timeout") and call.now == 1.0 + CONNECT_TIMEOUT_S


def test_nothing_is_believed_before_the_proof() -> None:
    call = calling()
    assert ~(call >> ev.RelayConnected()) and ~(call >> ev.CalleeFound(BOB, LEG, "first-use"))
    assert ~(call >> ev.RemoteRings()) >> ACCEPT
    assert call.machine.view.phase == "ringing"


def test_a_changed_key_stops_an_outgoing_call_before_any_link() -> None:
    call = calling()
    assert call >> ev.RelayConnected() << INVITE
    call >> ev.CalleeFound(BOB, LEG, "changed") << ev.StopTone() << HANG_UP << ev.StopAudio()
    assert call << ev.Finished("key-changed", "key-changed")


def test_a_changed_key_cannot_be_answered_until_it_is_accepted() -> None:
    call = ringing_here("changed")
    call >> ev.UserAnswered() >> ev.KeyAccepted("first-use") >> ev.UserAnswered() << ev.StopTone() << ANSWER
    assert call << ev.OpenSpeaker() << ev.OpenMicrophone()


def test_the_relay_cannot_end_a_call_that_two_people_have_taken() -> None:
    call = talking()
    assert call >> ev.RelayEnded("hung-up")
    assert call.machine.view.phase == "talking"
    call >> peer(call_messages.Bye()) << ev.StopTone() << HANG_UP << BYE << ev.StopAudio() << ev.PlayTone("ended")
    assert call << ev.Finished("answered", "hung-up")


def test_silence_and_return() -> None:
    call = talking()
    assert call >> SILENT << ev.PlayTone("reconnecting")
    assert call.machine.view.phase == "reconnecting"
    assert call >> Reconnected() << ev.StopTone()
    assert call.machine.view.phase == "talking"


def test_each_way_not_to_be_taken() -> None:
    reasons: dict[relay_messages.EndReason, str] = {
        "declined": "declined",
        "busy": "busy",
        "no-answer": "no-answer",
        "offline": "unreachable",
        "unknown-name": "unreachable",
    }
    for reason, outcome in reasons.items():
        call = calling()
        assert call >> ev.RelayConnected() << INVITE
        call >> ev.RelayEnded(reason) << ev.StopTone() << ev.StopAudio() << ev.PlayTone
        assert call << ev.Finished(outcome, reason)


def test_a_relay_that_says_nothing_is_given_up() -> None:
    call = calling(10.0)
    call.timer() << ev.StopTone() << ev.StopAudio() << ev.PlayTone("busy")
    assert call << ev.Finished("unreachable", "relay-unreachable") and call.now == 10.0 + INVITE_TIMEOUT_S


def test_a_new_session_with_the_relay_repeats_the_invitation_until_it_is_granted() -> None:
    call = calling()
    assert call.at(0.1) >> ev.RelayConnected() << INVITE
    assert call.at(4.0) >> ev.RelayConnected() << INVITE
    assert call.machine.next_deadline() == 0.1 + INVITE_TIMEOUT_S
    assert call >> ev.CalleeFound(BOB, LEG, "first-use") << ev.OpenLink("caller", BOB, LEG) >> ev.RelayConnected()


def test_muting_is_sent_to_the_peer_now_or_when_the_call_begins() -> None:
    call = ringing_there()
    call >> ev.UserMuted(True) >> ACCEPT << ev.StopTone() << ev.StartAudio()
    assert call << to_peer(call_messages.Muted(muted=True))
    assert call >> ev.UserMuted(False) << to_peer(call_messages.Muted(muted=False))
    assert call >> peer(call_messages.Muted(muted=True)) and call.machine.view.peer_muted


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


PEER_BYE = link.PeerMessageReceived(call_messages.Bye())
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
        (State.TALKING, PEER_BYE, True),
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
