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


def machine_in(*events: StreamEvent) -> StreamMachine:
    machine = StreamMachine()
    for event in events:
        machine.handle(event, 0.0)
    return machine


def test_a_device_that_is_missing_is_tried_again_every_two_seconds() -> None:
    machine = machine_in(Want("usb"), OpenFailed("not there", missing=True))
    assert machine.status.state is State.MISSING
    assert machine.status.reason == "not there"
    assert machine.next_deadline() == RETRY_S
    assert machine.handle(RetryDue(), RETRY_S - 0.1) == []
    assert machine.handle(RetryDue(), RETRY_S) == [OpenStream("usb")]
    machine.handle(OpenFailed("busy", missing=False), RETRY_S)
    assert machine.status.state is State.FAILED
    assert machine.next_deadline() == 2 * RETRY_S
    machine.handle(RetryDue(), 2 * RETRY_S)
    machine.handle(Opened("USB headset"), 2 * RETRY_S)
    assert (machine.status.state, machine.status.device, machine.status.reason) == (State.RUNNING, "USB headset", "")
    assert machine.next_deadline() is None


def test_a_device_that_vanishes_is_closed_and_waited_for() -> None:
    machine = machine_in(Want(None), Opened("default"))
    assert machine.handle(Vanished("pulled out"), 5.0) == [CloseStream()]
    assert machine.status.state is State.MISSING
    assert machine.next_deadline() == 5.0 + RETRY_S


def test_another_wish_replaces_a_running_device() -> None:
    machine = machine_in(Want("one"), Opened("one"))
    assert machine.handle(Want("two"), 1.0) == [CloseStream(), OpenStream("two")]


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
    assert machine_in(*events).status.state is state
    machine = machine_in(*events)
    assert machine.handle(Want("two"), 1.0)[-1] == OpenStream("two")
    assert machine.status.state is State.OPENING and machine.next_deadline() is None
    machine = machine_in(*events)
    assert (machine.handle(Release(), 1.0) == [CloseStream()]) == (state in (State.OPENING, State.RUNNING))
    assert machine.status == StreamStatus() and machine.next_deadline() is None


def test_an_unwanted_device_is_let_go() -> None:
    machine = machine_in(Want("one"), Opened("one"))
    assert machine.handle(Release(), 1.0) == [CloseStream()]
    assert machine.status.state is State.CLOSED
    assert machine.handle(Release(), 1.0) == []


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
