"""One direction of sound: all events in all states, and a way back from each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.devices.stream_state import (
    RETRY_S,
    CloseStream,
    Opened,
    OpenFailed,
    OpenStream,
    Release,
    RetryDue,
    State,
    StreamEvent,
    StreamMachine,
    StreamStatus,
    Vanished,
    Want,
)
from tests.playbook import Playbook


def stream(*events: StreamEvent) -> Playbook[StreamMachine]:
    made = Playbook(StreamMachine(), RetryDue())
    for event in events:
        assert ~(made >> event)
    return made


def test_a_device_that_is_missing_is_tried_again_every_two_seconds() -> None:
    usb = stream()
    assert usb >> Want("usb") << OpenStream("usb") >> OpenFailed("not there", missing=True)
    assert usb.machine.status == StreamStatus(State.MISSING, "usb", "not there")
    assert usb.at(RETRY_S - 0.1) >> RetryDue()
    assert usb.timer() << OpenStream("usb") >> OpenFailed("busy", missing=False)
    assert usb.machine.status == StreamStatus(State.FAILED, "usb", "busy")
    assert usb.timer() << OpenStream("usb") and usb.now == 2 * RETRY_S
    assert usb.machine.status == StreamStatus(State.OPENING, "usb", "busy")
    assert usb >> Opened("USB headset")
    assert usb.machine.status == StreamStatus(State.RUNNING, "USB headset")
    assert usb.machine.next_deadline() is None


def test_a_device_that_vanishes_is_closed_and_waited_for() -> None:
    default = stream(Want(None), Opened("default"))
    assert default.at(5.0) >> Vanished("pulled out") << CloseStream()
    assert default.machine.status == StreamStatus(State.MISSING, "default", "pulled out")
    assert default.timer() << OpenStream(None) and default.now == 5.0 + RETRY_S


def test_another_wish_replaces_a_running_device() -> None:
    assert stream(Want("one"), Opened("one")) >> Want("two") << CloseStream() << OpenStream("two")


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], State.CLOSED),
        ([Want("one")], State.OPENING),
        ([Want("one"), Opened("one")], State.RUNNING),
        ([Want("one"), OpenFailed("not there", missing=True)], State.MISSING),
        ([Want("one"), OpenFailed("busy", missing=False)], State.FAILED),
    ],
)
def test_in_every_state_a_device_can_be_wanted_and_released(events: list[StreamEvent], state: State) -> None:
    wanted, released = stream(*events), stream(*events)
    assert wanted.machine.status.state is state
    wanted >> Want("two")
    assert (wanted << CloseStream() if state is State.RUNNING else wanted) << OpenStream("two")
    assert wanted.machine.status.state is State.OPENING and wanted.machine.next_deadline() is None
    released >> Release()
    assert released << CloseStream() if state in (State.OPENING, State.RUNNING) else released
    assert released.machine.status == StreamStatus() and released.machine.next_deadline() is None


events = st.one_of(
    st.builds(Want, st.sampled_from([None, "one", "two"])),
    st.builds(Release),
    st.builds(Opened, st.just("one")),
    st.builds(OpenFailed, st.just("why"), st.booleans()),
    st.builds(Vanished, st.just("why")),
    st.builds(RetryDue),
)


@given(st.lists(st.tuples(events, st.floats(0, 3)), max_size=40))
def test_all_events_in_all_states(steps: list[tuple[StreamEvent, float]]) -> None:
    machine = StreamMachine()
    now, is_open = 0.0, False
    for event, pause in steps:
        now += pause
        if isinstance(event, Opened) and machine.status.state is State.OPENING:
            is_open = True
        for command in machine.handle(event, now):
            is_open = False
            assert isinstance(command, CloseStream | OpenStream)
        assert is_open == (machine.status.state is State.RUNNING)
        waiting = machine.status.state in (State.MISSING, State.FAILED)
        assert waiting == (machine.next_deadline() is not None)
    deadline = machine.next_deadline()
    if deadline is not None:
        assert machine.handle(RetryDue(), deadline) == [OpenStream(machine.status.device or None)]
    else:
        machine.handle(Want("one"), now)
    machine.handle(Opened("one"), now)
    assert machine.status.state is State.RUNNING
