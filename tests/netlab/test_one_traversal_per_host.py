"""While another program of the same host has the lock, a call leaves probe rounds alone and stays on the relay."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.natsim.scenario_file import load
from tests.netlab.lab import kernel_world
from tests.netlab.people import in_call
from transport.io.host_lock import LOCK_PORT

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.usefixtures("kernel")]


def test_one_traversal_with_probe_rounds_per_host(tmp_path: Path) -> None:
    scenario = load("port-restricted")
    random_side = load("symmetric-random").sides[0]
    with kernel_world(replace(scenario, sides=(random_side, scenario.sides[1]))) as world:
        other_program = world.held.start(world.host(0), "tests.netlab.station")
        other_program.ask({"do": "open", "local": ["127.0.0.1", LOCK_PORT]})
        with in_call(world, tmp_path, 3.0) as people:
            pass
    caller, callee = (
        {phase["name"]: (phase["outcome"], phase["reason"], phase["packets"]) for phase in person.report["phases"]}
        for person in people
    )
    assert caller["birthday"] == ("skipped", "one-at-a-time", 0)
    # Each host has its own lock.
    assert callee["birthday"][0] == "cancelled" and callee["birthday"][2] > 0
    assert [path["kind"] for path in people[0].report["paths"]] == ["relay"]
