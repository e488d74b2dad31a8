"""The benchmark of direct paths still runs, and its arithmetic is right."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import bench_traverse
from tests.bench.__main__ import ROOT, page, updated
from tests.bench.bench_traverse import CELLS, Cell, simulate, wilson
from tests.bench.figures import Figure, Grid, Section

MEET = Cell("port-restricted", "port-restricted")
LEFT = Cell("symmetric-sequential", "symmetric-random")


def test_wilson_intervals_are_those_of_the_literature() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
    for successes, calls, expected in (
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ):
        assert wilson(successes, calls) == pytest.approx(expected, abs=5e-5)
    low, high = wilson(1_000, 1_000)
    assert low > bench_traverse.ENOUGH and high == 1.0, "a thousand calls are enough to tell"


def test_a_call_is_the_same_one_each_time_and_another_with_each_seed() -> None:
    assert simulate(MEET, 3) == simulate(MEET, 3) != simulate(MEET, 4)


def test_a_call_that_is_direct_or_not_says_when_and_why() -> None:
    direct, left = simulate(MEET, 1), simulate(LEFT, 1)
    assert direct.direct_s is not None and direct.decided_s is None
    assert all(side.from_check_s is not None and side.from_check_s <= direct.direct_s for side in direct.sides)
    assert left.direct_s is None and left.decided_s is not None
    assert {side.reason for side in left.sides} == {"both-symmetric"}
    assert all(side.packets and side.sockets for call in (direct, left) for side in call.sides)


def test_every_pair_is_there_once_under_a_name_of_its_own() -> None:
    assert len({cell.name for cell in CELLS}) == len(CELLS)


def test_a_page_is_updated_where_the_title_is_and_left_alone_elsewhere() -> None:
    one, other = Section("One", (Figure("what", "1 ms"),)), Section("Other", (Figure("what", "2 ms"),))
    before = page([one, other], "a machine", "abc123", "2000-01-01")
    grid = Grid("Grid", ("", "a"), (("a", "relay"),))
    once = updated(before, [Section("One", (Figure("what", "3 ms"),)), grid], "its machine", "def456", "2000-01-02")
    assert other.markdown() in once and "1 ms" not in once and "3 ms" in once
    assert once.count("## One") == once.count("## Grid") == 1 and once.index("## One") < once.index("## Other")
    assert "| a | relay |" in once and "def456" in once and once.endswith("\n") and "\n\n\n" not in once
    assert updated(once, [grid], "its machine", "def456", "2000-01-02") == once


@pytest.mark.slow
def test_two_pairs() -> None:
    summary, matrix, cells = bench_traverse.run(calls=4, cells=(MEET, LEFT), processes=1)
    assert isinstance(summary, Section) and isinstance(matrix, Grid) and isinstance(cells, Grid)
    assert all(figure.value for figure in summary.figures)
    meet, left = cells.rows
    assert (meet[:2], left[:2]) == ((MEET.name, "100.0 %"), (LEFT.name, "relay"))
    assert all(len(row) == len(grid.columns) for grid in (matrix, cells) for row in grid.rows)


@pytest.mark.slow
@pytest.mark.process
def test_all_pairs_once_in_processes_of_their_own_go_into_a_page(tmp_path: Path) -> None:
    made = tmp_path / "results.md"
    made.write_text(page([Section("Kept", (Figure("what", "1 ms"),))], "a machine", "abc123", "2000-01-01"))
    command = [sys.executable, "-m", "tests.bench", "traverse", "--calls", "1", "--update", "--page", str(made)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    text = made.read_text()
    assert "## Kept" in text and all(f"| {cell.name} |" in text for cell in CELLS)
