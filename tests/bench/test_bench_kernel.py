"""The tables of the kernel laboratory still come out, and say when the two laboratories do not agree."""

import pytest

from tests.bench import bench_kernel
from tests.bench.bench_kernel import Agreement
from tests.bench.bench_traverse import RELAY, Cell
from tests.bench.figures import Grid, Section
from tests.netlab.traversal_station import Answer, Side

DIRECT = Answer((Side(0.09, 0.05, via="punch", packets=12, sockets=1),) * 2, True)
LEFT = Answer((Side(None, None, 1.4, "both-symmetric", packets=6, sockets=1),) * 2, False)
CROSSED = Answer(DIRECT.sides, False)


def test_agreement_is_a_share_that_the_kernels_calls_allow() -> None:
    assert Agreement((DIRECT,) * 5, 1.0).holds and Agreement((LEFT,) * 5, 0.0).holds
    assert Agreement((DIRECT,) * 5, 0.6).holds, "five calls do not say more"
    assert not Agreement((DIRECT,) * 5, 0.0).holds and not Agreement((LEFT,) * 20, 0.2).holds
    assert Agreement((DIRECT, CROSSED, LEFT), 0.0).share == pytest.approx(1 / 3), "two ends, two paths: no path"


def test_an_answer_says_when_and_why() -> None:
    assert (DIRECT.direct_s, DIRECT.decided_s) == (0.09, None)
    assert (LEFT.direct_s, LEFT.decided_s) == (None, 1.4)
    assert bench_kernel.from_check((DIRECT, LEFT)) == pytest.approx([0.04, 0.04])


def test_a_pair_is_a_line_and_one_that_does_not_agree_is_named() -> None:
    found = {
        Cell("full-cone", "full-cone"): Agreement((DIRECT,) * 4, 1.0),
        Cell("block", "symmetric-random"): Agreement((LEFT,) * 4, 0.0),
        Cell("linux", "linux"): Agreement((LEFT,) * 4, 1.0),
    }
    summary, table = bench_kernel.tables(found)
    assert isinstance(summary, Section) and isinstance(table, Grid)
    meet, left, odd = table.rows
    assert (meet[2], meet[4]) == ("100 %", "100.0 %") and (left[2], left[4]) == (RELAY, RELAY)
    assert left[7] == "1400 / 1400 ms: both-symmetric"
    assert summary.figures[0].value == "2 of 3" and odd[0] in summary.figures[0].how
    assert all(len(row) == len(table.columns) for row in table.rows)
