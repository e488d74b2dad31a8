"""One direction of sound: all events in all states, and a way back from each."""

from hypothesis import given
from hypothesis import strategies as st

from media.devices.stream_state import (
    RETRY_S,
    CloseStream,
    Opened,
    OpenFailed,
    OpenStream,
    Status,
    StreamEvent,
    StreamMachine,
    Tick,
    Unwant,
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
    assert machine.state.status is Status.MISSING
    assert machine.state.reason == "not there"
    assert machine.next_deadline() == RETRY_S
    assert machine.handle(Tick(), RETRY_S - 0.1) == []
    assert machine.handle(Tick(), RETRY_S) == [OpenStream("usb")]
    machine.handle(OpenFailed("busy", missing=False), RETRY_S)
    assert machine.state.status is Status.FAILED
    assert machine.next_deadline() == 2 * RETRY_S
    machine.handle(Tick(), 2 * RETRY_S)
    machine.handle(Opened("USB headset"), 2 * RETRY_S)
    assert (machine.state.status, machine.state.device, machine.state.reason) == (Status.RUNNING, "USB headset", "")
    assert machine.next_deadline() is None


def test_a_device_that_vanishes_is_closed_and_waited_for() -> None:
    machine = machine_in(Want(None), Opened("default"))
    assert machine.handle(Vanished("pulled out"), 5.0) == [CloseStream()]
    assert machine.state.status is Status.MISSING
    assert machine.next_deadline() == 5.0 + RETRY_S


def test_another_wish_replaces_a_running_device() -> None:
    machine = machine_in(Want("one"), Opened("one"))
    assert machine.handle(Want("two"), 1.0) == [CloseStream(), OpenStream("two")]


def test_an_unwanted_device_is_let_go() -> None:
    machine = machine_in(Want("one"), Opened("one"))
    assert machine.handle(Unwant(), 1.0) == [CloseStream()]
    assert machine.state.status is Status.CLOSED
    assert machine.handle(Unwant(), 1.0) == []


events = st.one_of(
    st.builds(Want, st.sampled_from([None, "one", "two"])),
    st.builds(Unwant),
    st.builds(Opened, st.just("one")),
    st.builds(OpenFailed, st.just("why"), st.booleans()),
    st.builds(Vanished, st.just("why")),
    st.builds(Tick),
)


@given(st.lists(st.tuples(events, st.floats(0, 3)), max_size=40))
def test_all_events_in_all_states(steps: list[tuple[StreamEvent, float]]) -> None:
    machine = StreamMachine()
    now, is_open = 0.0, False
    for event, pause in steps:
        now += pause
        if isinstance(event, Opened) and machine.state.status is Status.OPENING:
            is_open = True
        for command in machine.handle(event, now):
            is_open = False
            assert isinstance(command, CloseStream | OpenStream)
        assert is_open == (machine.state.status is Status.RUNNING)
        waiting = machine.state.status in (Status.MISSING, Status.FAILED)
        assert waiting == (machine.next_deadline() is not None)
    machine.handle(Want("one"), now)
    machine.handle(Opened("one"), now)
    assert machine.state.status is Status.RUNNING
