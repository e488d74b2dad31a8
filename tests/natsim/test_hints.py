"""What is remembered of two networks changes when an agent begins what, and how long it goes on; never whether."""

import pytest

from tests.natsim.kinds import STACKS
from tests.natsim.nat import NatKind
from tests.natsim.scenario import Scenario, Side
from tests.natsim.traversal_run import TraversalRun
from tests.natsim.wire import WireSpec
from transport.ice.candidates import HostAddress
from transport.traversal.agent import State
from transport.traversal.context import Hints, Recall
from transport.traversal.events import InterfacesChanged

WIRE = WireSpec(delay_ms=20)
STUN_ALONE = NatKind(allowed_udp_ports=(3_478, 3_479, 3_480, 3_481, 3_482))
"""It lets nothing out but to the relay's STUN servers, and so looks as easy as any."""
NATS = {**STACKS, "STUN alone": (STUN_ALONE,)}
WRONG = (Hints("blocks"), Hints("no such phase"), Hints("birthday", -1.0, 1e12), Hints("punch", 9.0, -1.0))


def given(hints: Hints) -> Recall:
    """These, whatever the two networks are."""
    return lambda ours, theirs: hints


def run(one: str, other: str, recall: Recall | None, seed: int = 1) -> TraversalRun:
    sides = [Side(nats=NATS[name], up=WIRE, down=WIRE) for name in (one, other)]
    made = TraversalRun(
        Scenario(name="hints", sides=(sides[0], sides[1])),
        seed,
        relay_s=0.02,
    )
    for side in made.sides:
        side.agent._recall = recall
    return made


def started(made: TraversalRun, phase: str) -> float | None:
    """When it began on the later side."""
    times = [change.status.started for side in made.sides for change in side.log.phases if change.status.name == phase]
    return max(times, default=None)


@pytest.mark.slow
def test_what_worked_last_time_begins_at_once() -> None:
    sooner = 0
    for seed in range(8):
        begun = []
        for first in (None, "birthday"):
            made = run("symmetric-random", "port-restricted", given(Hints(first)), seed)
            answered = made.answer()
            assert made.until_direct(12.0)
            at = started(made, "birthday")
            assert at is not None
            begun.append(at - answered)
        assert begun[1] <= begun[0]
        sooner += begun[1] <= begun[0] - 0.1
    assert sooner >= 7


def test_memory_is_asked_once_for_each_pair_with_what_servers_see() -> None:
    asked: list[tuple[str, str]] = []

    def recall(ours: str, theirs: str) -> Hints:
        asked.append((ours, theirs))
        return Hints()

    made = run("port-restricted", "port-restricted", recall)
    made.answer()
    assert made.until_direct(5.0)
    made.clock.run(5.0)
    outside = [gateway.nat.addresses[0] for side in made.world.sides for gateway in side.gateways]
    assert sorted(asked) == sorted([(outside[0], outside[1]), (outside[1], outside[0])])


def test_where_nothing_ever_worked_one_attempt_is_enough_until_the_network_changes() -> None:
    runs = []
    for hopeful in (True, False):
        hints = Hints() if hopeful else Hints(hopeless_until=1e6)
        made = run("port-restricted", "STUN alone", given(hints))
        made.answer()
        assert not made.until_direct(30.0)
        runs.append(len([change for change in made.caller.log.phases if change.status.outcome == "failed"]))
        assert (made.caller.agent.state is State.SETTLED) is not hopeful
    assert runs[0] >= 3 and runs[1] == 1
    made.caller.submit(InterfacesChanged((HostAddress("192.168.7.7", 24, "wlan0"),)))
    made.clock.run(1.0)
    assert made.caller.agent.state is not State.SETTLED


@pytest.mark.parametrize("hints", WRONG, ids=lambda hints: str(hints.first))
def test_a_wrong_hint_keeps_no_easy_pair_from_its_path(hints: Hints) -> None:
    made = run("port-restricted", "address-restricted", lambda ours, theirs: hints)
    made.answer()
    assert made.until_direct(5.0)
