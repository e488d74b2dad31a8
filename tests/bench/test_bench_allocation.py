"""The benchmark of verdicts, guesses and odds still runs. What must hold is in tests/natsim/test_verdicts.py."""

from tests.bench import bench_allocation
from tests.bench.figures import Grid, Section


def test_every_table_is_filled() -> None:
    verdicts, guesses, birthday, cost = bench_allocation.run(nats=60, trials=20, guessed=20)
    for grid, rows in ((verdicts, 9), (guesses, 5), (birthday, 3)):
        assert isinstance(grid, Grid)
        assert len(grid.rows) == rows and all(len(row) == len(grid.columns) and all(row) for row in grid.rows)
    assert isinstance(cost, Section) and len(cost.figures) == 2
