"""The benchmark of port mapping counts right, and a router that lies shows in it."""

from tests.bench.bench_portmap import HARD, PLAIN, Row, run, simulate
from tests.bench.figures import Grid, Section


def test_a_mapping_joins_what_nothing_else_does_and_a_lie_does_not() -> None:
    row = Row(HARD, HARD)
    true = [simulate(row, seed) for seed in range(4)]
    assert all(call.direct_s is not None and set(call.vias) == {"port_mapping"} for call in true)
    assert all(call.plain_s is not None and call.sockets == 2 for call in true)
    lies = [simulate(Row(HARD, HARD, is_lie=True), seed) for seed in range(2)]
    assert all(call.direct_s is None for call in lies)


def test_a_call_whose_ends_have_other_paths_is_not_direct() -> None:
    """The share is of calls of which both ends have one and the same path."""
    section, grid = run(2, [Row(PLAIN, PLAIN), Row(HARD, HARD, is_lie=True)])
    assert isinstance(section, Section) and isinstance(grid, Grid)
    assert [row[1] for row in grid.rows] == ["100.0 %", "0.0 %"]
