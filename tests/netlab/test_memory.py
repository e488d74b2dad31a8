"""What real calls through a real kernel leave behind: what worked between their networks, and no address of either."""

import sqlite3
from pathlib import Path

import msgspec
import pytest

from app.home import find_home
from app.network_memory import NetworkPair
from tests.natsim.scenario_file import load
from tests.netlab.lab import kernel_world
from tests.netlab.people import in_call

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.usefixtures("kernel")]


def remembered(home: Path) -> list[NetworkPair]:
    connection = sqlite3.connect(find_home(home).database)
    try:
        rows = connection.execute("SELECT record FROM networks").fetchall()
    finally:
        connection.close()
    return [msgspec.json.decode(record, type=NetworkPair) for (record,) in rows]


@pytest.mark.parametrize(("scenario", "way"), [("linux", "punch"), ("symmetric-random", None)])
def test_a_call_leaves_behind_what_worked(tmp_path: Path, scenario: str, way: str | None) -> None:
    with kernel_world(load(scenario)) as world, in_call(world, tmp_path, 4.0) as people:
        pass
    pairs = []
    for person in people:
        [pair] = remembered(person.home)
        assert (pair.way, pair.worked, pair.failed) == (way, int(way is not None), int(way is None))
        assert (pair.seconds is not None and 0 <= pair.seconds < 3) if way else pair.seconds is None
        pairs.append(pair)
        outside = {path["remote"].rpartition(":")[0] for path in person.report["paths"] if path["kind"] == "direct"}
        content = find_home(person.home).database.read_bytes()
        assert not any(ip.encode() in content for ip in outside)
    # Each has a key of its own.
    assert len({tag for pair in pairs for tag in (pair.ours, pair.theirs)}) == 4
    assert pairs[0].our_kind is pairs[1].their_kind and pairs[0].their_kind is pairs[1].our_kind
