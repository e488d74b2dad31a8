"""Swaps and cuts in the kernel: real programs, Opus, and what was recorded at the far end."""

from pathlib import Path

import pytest

from tests.natsim.scenario import pair
from tests.natsim.wire import WireSpec
from tests.netlab.lab import kernel_world
from tests.netlab.swaps import BROKEN_SEGUE, cut_call, swapping_call

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.usefixtures("kernel")]

HOMES = pair("port-restricted", "port-restricted", WireSpec(delay_ms=10.0))


def test_no_swap_is_audible(tmp_path: Path) -> None:
    with kernel_world(HOMES) as world:
        sides = swapping_call(world, tmp_path, there_and_back=1)
    for recorded in sides:
        assert len(recorded.swaps) >= 3, "to the direct path, back to the relay, and to the direct path again"
        assert not recorded.faults(), recorded


def test_a_broken_swap_is_audible(tmp_path: Path) -> None:
    with kernel_world(HOMES) as world:
        caller, callee = swapping_call(world, tmp_path, there_and_back=0, caller_program=BROKEN_SEGUE)
    assert not caller.faults(), "the callee's swap is whole"
    assert callee.faults()["lost"] >= 2
    assert len(callee.swaps) == 1 and (callee.unjudged or callee.faults()["broken swaps"] == 1)


def test_after_a_cut_the_call_goes_on_and_comes_back(tmp_path: Path) -> None:
    relay_ms = 40.0
    with kernel_world(HOMES) as world:
        cuts = cut_call(world, tmp_path, 2, settle_s=1.0, relay_ms=relay_ms)
    # How long a busy machine takes to notice is the benchmark's affair; that a second would not do is this one's.
    assert all(cut.back_s is not None and cut.concealed_ms < 500.0 for each in cuts for cut in each), cuts
