"""The benchmark of hard NATs still runs and counts right. What must hold is in tests/natsim/test_techniques.py."""

import pytest

from tests.bench import bench_hard
from tests.bench.bench_hard import PUNCH_ALONE, fits
from tests.bench.figures import Grid, Section
from tests.natsim.probe_calls import BOTH_CONES, BOTH_RANDOM, CELLS, SEQUENTIAL, ProbeResult, ProbeSideResult

SIDE = ProbeSideResult(40, 20, 4, 3, 28)


def results(*direct_s: float | None) -> list[ProbeResult]:
    return [ProbeResult(each, None if each is not None else 1.5, "", (SIDE, SIDE)) for each in direct_s]


def test_what_is_wanted_is_met_or_not() -> None:
    name = SEQUENTIAL[0].name
    [row] = bench_hard.calls_grid({name: results(*[1.0] * 99, None)}).rows
    assert row[:2] == (name, "99.0 % (94.6–99.8 %)") and row[4] == "yes"
    [late] = bench_hard.calls_grid({name: results(*[1.0] * 90, *[2.5] * 10)}).rows
    [few] = bench_hard.calls_grid({name: results(*[1.0] * 97, *[None] * 3)}).rows
    assert late[4] == few[4] == "NO"


def test_a_single_packet_to_the_peer_is_a_spray() -> None:
    [row] = bench_hard.calls_grid({BOTH_RANDOM.name: results(None, None)}).rows
    assert row[1] == "relay" and row[4] == "NO" and "host: 80" in row[3]


def test_a_call_that_is_direct_later_than_by_punching_alone_is_a_regression() -> None:
    def verdict(whole: list[ProbeResult]) -> str:
        found = {BOTH_CONES.name: whole, PUNCH_ALONE: results(0.5, 0.5)}
        return bench_hard.criteria(found).figures[-1].how

    assert verdict(results(0.5, 0.4)).startswith("met") and verdict(results(0.5, 0.6)).startswith("NOT")
    assert verdict(results(0.5, None)).startswith("NOT")


def test_a_share_that_is_too_good_is_outside() -> None:
    assert fits(200, 400, 0.5, 12)[2]
    assert not fits(270, 400, 0.5, 12)[2] and not fits(130, 400, 0.5, 12)[2]
    # Newcombe 1998, as in test_bench_traverse.
    assert fits(81, 263, 0.3, 1)[:2] == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.slow
def test_every_table_is_filled() -> None:
    names = [name for name in (*CELLS, PUNCH_ALONE) if not name.startswith("block × block")]
    calls, criteria, birthday = bench_hard.run(2, 2, 1, names)
    assert isinstance(calls, Grid) and isinstance(criteria, Section) and isinstance(birthday, Grid)
    assert len(calls.rows) == len(names) - 2 and all(len(row) == len(calls.columns) for row in calls.rows)
    assert len(criteria.figures) == 3 and len(birthday.rows) == 3
