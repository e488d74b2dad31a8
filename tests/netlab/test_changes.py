"""Real calls while the machine changes: its interface goes and another one comes, and it sleeps."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from app.ipc.messages import EngineState, HangUpCall
from tests.gui.real_window import engine_state
from tests.natsim.scenario_file import load
from tests.natsim.wire import WireSpec
from tests.netlab.lab import KernelWorld, kernel_world
from tests.netlab.people import Person, in_call
from tests.processes import processes_of

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.usefixtures("kernel")]

LONGEST_CALL_S = 60.0
WITHOUT_NETWORK_S = 0.5
ASLEEP_S = 5.0
# How long it takes both to notice and to be on the relay again, with room for a busy machine.
NOTICED_S = 2.0
NEW_IP = "192.168.1.77"
FRAMES_PER_S = 50
People = tuple[Person, Person]


@contextlib.contextmanager
def direct_call(folder: Path, losers: tuple[int, ...] = (0, 1)) -> Iterator[tuple[KernelWorld, People]]:
    """Two people behind masquerades, in a direct call, which is hung up when it is direct again after the block.

    ``losers`` are sure to lose the path. Whoever is not may have noticed nothing, and has kept it then."""
    scenario = load("linux")
    one, other = (replace(side, up=WireSpec(delay_ms=0.0), down=WireSpec(delay_ms=0.0)) for side in scenario.sides)
    quick = replace(scenario, sides=(one, other), faults=())
    folder.mkdir()
    with kernel_world(quick) as world, in_call(world, folder, LONGEST_CALL_S) as people:
        since = [await_direct(person) for person in people]
        yield world, people
        # First those who have to wait for it: when they have it, the others are awake.
        for side in sorted((0, 1), key=lambda side: side not in losers):
            await_direct(people[side], after_s=since[side] if side in losers else 0.0)
        call = engine_state(people[0].home).call
        assert call is not None
        engine_state(
            people[0].home, lambda now: now.call is None or now.call.phase == "ended", HangUpCall(call.call_id)
        )


def await_direct(person: Person, after_s: float = 0.0) -> float:
    """Wait until a direct path carries the call that did not do so yet ``after_s`` seconds of talk; gives since when,
    in seconds of talk."""

    def since(state: EngineState) -> float | None:
        span = state.call.spans[-1] if state.call is not None and state.call.spans else None
        return span.start if span is not None and span.kind == "direct" and span.start > after_s else None

    began = since(engine_state(person.home, lambda state: since(state) is not None))
    assert began is not None
    return began


def change_interface(world: KernelWorld) -> None:
    """Take the caller's interface away, and give it another one with another address."""
    host, gateway = world.host(0), world.stacks[0][0]
    world.held.script(
        f"""
        ip -n {host} link del eth0
        sleep {WITHOUT_NETWORK_S}
        ip link add eth0 netns {host} type veth peer name another netns {gateway.name}
        ip -n {gateway.name} link set another master lan
        ip -n {gateway.name} link set another up
        ip -n {host} link set eth0 up
        ip -n {host} addr add {NEW_IP}/{gateway.inside.network.prefixlen} dev eth0
        ip -n {host} route add default via {gateway.inside.ip}
        """
    )


def sleep_and_wake(person: Person) -> None:
    """The whole program stands still, as everything does while a machine sleeps."""
    (pid,) = processes_of(person.folder)
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(ASLEEP_S)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_call_goes_on_and_direct_again(tmp_path: Path) -> None:
    """Both at the same time, in two laboratories, since most of it is waiting."""
    with ThreadPoolExecutor(2, "change") as at_once:
        moved = at_once.submit(call_with_another_interface, tmp_path / "interface")
        slept = at_once.submit(call_with_a_sleep, tmp_path / "sleep")
        assert_it_went_on(moved.result(), WITHOUT_NETWORK_S + NOTICED_S)
        assert_it_went_on(slept.result(), ASLEEP_S + NOTICED_S)
    (mover, _), (waiting, sleeper) = moved.result(), slept.result()
    assert mover.report["paths"][-1]["local"].startswith(NEW_IP + ":"), mover.report["paths"]
    assert waiting.output.index("reconnecting") < waiting.output.index("talking again"), waiting.output
    # The one who slept sees nothing wrong: for it no time has passed.
    assert "reconnecting" not in sleeper.output, sleeper.output


def call_with_another_interface(folder: Path) -> People:
    with direct_call(folder) as (world, people):
        change_interface(world)
    return people


def call_with_a_sleep(folder: Path) -> People:
    # Its loop reads what has waited in the sockets before it looks at the clock, or after that, as the stop caught it.
    with direct_call(folder, losers=(0,)) as (_, people):
        sleep_and_wake(people[1])
    return people


def assert_it_went_on(people: People, silent_s: float) -> None:
    for person in people:
        report, media = person.report, person.report["media"]
        assert (report["outcome"], report["reason"]) == ("answered", "hung-up"), report
        first, *_, last = report["paths"]
        assert (first["kind"], last["kind"]) == ("relay", "direct"), report["paths"]
        times = report["times"]
        received_s = media["frames_received"] / FRAMES_PER_S
        assert received_s > times["ended"] - times["answered"] - silent_s, (media, times)
