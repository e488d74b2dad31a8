"""Every machine of the product on one clock: no exception, no spinning, no deadline in the past, always a way out.

A machine is a class with ``next_deadline``, or with ``handle`` that takes the time (DESIGN D7). One that is added
without being tried here fails the first test. States that only two parties reach together are in the tests of the
calls, and in the property tests beside each machine.
"""

import ast
import inspect
from types import UnionType
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.arch.source import sources
from tests.natsim.call import Call
from tests.natsim.machines import SUBJECTS as OTHER_SUBJECTS
from tests.natsim.machines import Run, Subject
from tests.natsim.portmap_machines import PORTMAP_SUBJECTS
from tests.natsim.probe_machines import PROBE_SUBJECTS
from tests.natsim.session_machines import SESSION_SUBJECTS
from tests.natsim.traversal_machines import TRAVERSAL_SUBJECTS
from transport.link.events import Close, LinkEnded
from transport.net.machine import TimerFired
from transport.wire.call_messages import Bye

SUBJECTS = (*OTHER_SUBJECTS, *TRAVERSAL_SUBJECTS, *PROBE_SUBJECTS, *PORTMAP_SUBJECTS, *SESSION_SUBJECTS)
# Shorter and longer than every timer that the machines have.
PAUSES = (0.0, 0.0, 0.001, 0.02, 0.13, 0.5, 1.1, 6.0, 16.0, 31.0, 61.0)
# The shape itself, and processes that take the time because they draw or drive, not because they decide.
NOT_MACHINES = {
    "transport.net.machine.Machine",
    "transport.portmap.client.DatagramClient",  # the base of two that are tried
    "transport.quic.relay_channel.ControlChannel",  # one connection of a RelaySession
    "transport.traversal.agent.AgentMachine",
    "transport.traversal.technique.Phase",
}


def _is_timed(method: ast.FunctionDef) -> bool:
    names = [argument.arg for argument in method.args.args]
    return method.name == "next_deadline" or (method.name == "handle" and "now" in names)


def _machines_in_the_source() -> set[str]:
    return {
        f"{source.module}.{node.name}"
        for source in sources()
        for node in source.tree.body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(member, ast.FunctionDef) and _is_timed(member) for member in node.body)
    }


def test_every_machine_is_tried() -> None:
    tried = {f"{subject.kind.__module__}.{subject.kind.__qualname__}" for subject in SUBJECTS}
    missing = _machines_in_the_source() - NOT_MACHINES - tried
    assert not missing, f"give these a Subject in tests/natsim/machines.py: {sorted(missing)}"
    assert {
        "app.call.machine.CallMachine",
        "transport.link.link.Link",
        "relay.router.Router",
    } <= _machines_in_the_source()


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.kind.__name__)
def test_every_event_is_tried(subject: Subject) -> None:
    if subject.events is None:
        timed = {
            name
            for name, method in inspect.getmembers(subject.kind, inspect.isfunction)
            if not name.startswith("_") and "now" in inspect.signature(method).parameters
        }
        tried = {name.split()[0] for name in subject.steps}
        assert timed <= tried | subject.once, "a method that takes the time has no step"
        return
    assert isinstance(subject.events, UnionType)
    tried_events = {type(step.event) for step in subject.steps.values() if hasattr(step, "event")}
    assert set(get_args(subject.events)) <= tried_events, "an event of the union has no step"


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.kind.__name__)
@given(data=st.data())
def test_nothing_upsets_it_and_there_is_a_way_out(subject: Subject, data: st.DataObject) -> None:
    steps = st.lists(st.tuples(st.sampled_from(sorted(subject.steps)), st.sampled_from(PAUSES)), max_size=30)
    run = Run(subject)
    for name, pause in data.draw(steps):
        run.step(name)
        run.wait(pause)
    subject.settle(run)


class _Strict:
    """Looks at a link of a whole call after each of its timers."""

    def __init__(self, call: Call) -> None:
        for side in call.sides:
            self._watch(side.driver)

    def _watch(self, driver) -> None:  # type: ignore[no-untyped-def]
        submit = driver.submit

        def watched(event) -> None:  # type: ignore[no-untyped-def]
            submit(event)
            due = driver.link.next_deadline()
            if isinstance(event, TimerFired):
                assert due is None or due > driver.clock.now, f"due at {due} again, at {driver.clock.now}"

        driver.submit = watched


@pytest.mark.slow
@settings(max_examples=20)
@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(0, 7), st.sampled_from(PAUSES[:-2])), max_size=8),
)
def test_two_links_come_out_of_whatever_happens_to_the_network(seed: int, troubles: list[tuple[int, float]]) -> None:
    """Cut, restored and restarted at any moment: both links say their end once, and no later than they may."""
    call = Call(seed)
    _Strict(call)
    call.open()
    call.caller.talk()
    for trouble, pause in troubles:
        match trouble:
            case 0 | 1:
                call.sides[trouble].driver.host.up.cut ^= True
            case 2 | 3:
                call.sides[trouble - 2].driver.host.down.cut ^= True
            case 4:
                call.relay.restart()
            case 5:
                call.relay.stop()
            case 6:
                call.relay.running = True
            case _:
                call.network.tamper = None if call.network.tamper else lambda packet: [packet, packet]
        call.run(pause)
    call.caller.be_silent()
    for side in call.sides:
        side.driver.submit(Close(Bye()))
    call.run(35.0)
    for side in call.sides:
        assert len(side.of(LinkEnded)) == 1
        assert side.driver.link.next_deadline() is None
        assert side.driver.ports == ()
