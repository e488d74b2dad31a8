"""The simulator's benchmark still runs. What it finds is nobody's business here."""

import pytest

from tests.bench import bench_sim

# Whole calls in virtual time, or whole pages: seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow


def test_the_simulator() -> None:
    section = bench_sim.run(seconds=0.01, cores=1)
    assert len(section.figures) == 3 + bench_sim.LARGEST_SHARES
