"""The simulator's benchmark still runs. What it finds is nobody's business here."""

from tests.bench import bench_sim


def test_the_simulator() -> None:
    section = bench_sim.run(seconds=0.01, cores=1)
    assert len(section.figures) == 3 + bench_sim.LARGEST_SHARES
