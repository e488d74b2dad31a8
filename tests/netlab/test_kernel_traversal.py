"""Agents on real sockets through real NATs: the rates that the simulator says; and ICE beside them."""

import pytest

from tests.bench.bench_kernel import compare, from_check
from tests.bench.bench_traverse import Cell
from tests.natsim.scenario import pair
from tests.natsim.wire import WireSpec
from tests.netlab.traversal_calls import traversal_calls
from tests.netlab.traversal_station import Command

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.usefixtures("kernel")]

CALLS = 3


@pytest.mark.parametrize(
    ("cell", "share"),
    [
        (Cell("address-restricted", "symmetric-random"), 1.0),
        (Cell("symmetric-random", "symmetric-random"), 0.0),
    ],
    ids=lambda value: value.name if isinstance(value, Cell) else "",
)
def test_the_kernel_says_what_the_simulator_says(cell: Cell, share: float) -> None:
    agreement = compare(cell, CALLS, simulated_calls=10, profiled=False)
    assert agreement.holds, agreement
    assert agreement.simulated == agreement.share == share


def test_ice_finds_its_path_in_the_same_laboratory() -> None:
    """So that what the benchmark compares is two that can. How soon is measured there: here the machine may be busy."""
    with traversal_calls(pair("port-restricted", "port-restricted", WireSpec(delay_ms=10.0))) as lab:
        answers = [lab.call(Command("aioice", seed=seed, ring_s=0.0, turned=seed == 1)) for seed in (0, 1)]
    assert len(from_check(answers)) == 2 * len(answers)
