"""The NATs that punching does not bring together: who comes to a direct path all the same, how soon, at what cost.

Virtual time, agents without media. ``python -m tests.bench hard --update`` writes it into docs/results.md.
"""

import math
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from statistics import NormalDist
from typing import Any, TypeVar

from rich.console import Console

from tests.bench.bench_traverse import wilson
from tests.bench.figures import Figure, Grid, Section, quantile, spread
from tests.natsim import probe_calls
from tests.natsim.birthday import MAPPINGS, PORTS, chance
from tests.natsim.birthday_pair import meets
from tests.natsim.probe_calls import (
    BLOCKS,
    BOTH_BLOCKS,
    BOTH_CONES,
    BOTH_RANDOM,
    BOTH_SEQUENTIAL,
    CELLS,
    RANDOM,
    SEQUENTIAL,
    ProbeResult,
    Wanted,
)
from transport.traversal import hole_punch
from transport.traversal.agent import TECHNIQUES

CALLS = 1_000
CALLS_AT_A_TIME = 25
SEEDS_APART = 1_000_000
TRIALS = 400
TRIALS_AT_A_TIME = 50
DECIDED_S = 2.0
# Issue and DESIGN §8: of block × block so many within such a time.
BLOCK_STAGES = ((120.0, 0.75), (300.0, 0.97))
# Seed 004's own criteria.
ROUTERS, ONE_CONE, ONE_CONE_S = 0.70, 0.90, 10.0
PUNCH_ALONE = "cone × cone, punch alone"
RELAY = "relay"

ResultT = TypeVar("ResultT")
Found = dict[str, list[ProbeResult]]


def _some_calls(name: str, first: int, calls: int) -> list[ProbeResult]:
    if name == PUNCH_ALONE:
        phases, cell = (hole_punch.SPEC,), BOTH_CONES
    else:
        phases, cell = TECHNIQUES, CELLS[name]
    # Other calls for each pair, as what makes no difference would give the same figures again and prove nothing; but
    # the same ones with punching alone.
    first += SEEDS_APART * tuple(CELLS).index(cell.name)
    return [probe_calls.simulate(cell, seed, phases) for seed in range(first, first + calls)]


def _some_trials(mappings: int, ports: int, first: int, trials: int) -> int:
    return sum(meets(mappings, ports, seed) for seed in range(first, first + trials))


def measure(names: Sequence[str], calls: int, processes: int) -> Found:
    """So many calls of each, in so many processes; one is this one."""
    work = [
        (name, first, min(CALLS_AT_A_TIME, calls - first))
        for name in names
        for first in range(0, calls, CALLS_AT_A_TIME)
    ]
    found: Found = {name: [] for name in names}
    for (name, _, _), results in zip(work, _mapped(_some_calls, work, processes), strict=True):
        found[name] += results
    return found


def _mapped(do: Callable[..., ResultT], work: Sequence[tuple[Any, ...]], processes: int) -> Iterator[ResultT]:
    if processes == 1:
        yield from (do(*each) for each in work)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(do, *zip(*work, strict=True))


# -- what came of the calls


def direct_times(results: Sequence[ProbeResult], within_s: float = math.inf) -> list[float]:
    """Of calls that were direct so soon."""
    return [result.direct_s for result in results if result.direct_s is not None and result.direct_s <= within_s]


def _share(count: int, calls: int) -> str:
    low, high = wilson(count, calls)
    return f"{100 * count / calls:.1f} % ({100 * low:.1f}–{100 * high:.1f} %)"


def _is_met(results: Sequence[ProbeResult], wanted: Wanted) -> bool:
    """Whether a cell has what it should, the measured share itself taken for true."""
    times = direct_times(results)
    if len(times) < wanted.share * len(results):
        return False
    return (wanted.p95_s is None or quantile(times, 0.95) <= wanted.p95_s) and (
        wanted.median_s is None or quantile(times, 0.5) <= wanted.median_s
    )


def _wish(wanted: Wanted) -> str:
    parts = [f"≥ {100 * wanted.share:g} %"]
    parts += [f"median ≤ {wanted.median_s:g} s"] if wanted.median_s is not None else []
    parts += [f"p95 ≤ {wanted.p95_s:g} s"] if wanted.p95_s is not None else []
    return ", ".join(parts)


def _cost(results: Sequence[ProbeResult]) -> tuple[str, ...]:
    sides = [side for result in results for side in result.sides]
    return (
        spread([side.packets for side in sides], "").rstrip(),
        str(max(side.sockets for side in sides)),
        str(max(side.tried for side in sides)),
        str(max(side.busiest_second for side in sides)),
    )


def _row(name: str, results: Sequence[ProbeResult], wanted: Wanted, within_s: float = math.inf) -> tuple[str, ...]:
    times = direct_times(results, within_s)
    met = _is_met(results, wanted) if within_s == math.inf else len(times) >= wanted.share * len(results)
    took = spread(times, "s", 2) if times else "–"
    return (name, _share(len(times), len(results)), took, _wish(wanted), "yes" if met else "NO", *_cost(results))


def _random_row(results: Sequence[ProbeResult]) -> tuple[str, ...]:
    decided = [result.decided_s for result in results if result.decided_s is not None]
    sprayed = sum(side.to_peer for result in results for side in result.sides)
    met = len(decided) == len(results) and max(decided) <= DECIDED_S and sprayed == 0
    return (
        BOTH_RANDOM.name,
        RELAY,
        f"decided {spread(decided, 's', 2)}, longest {max(decided, default=0.0):.2f} s",
        f"relay, decided ≤ {DECIDED_S:g} s, 0 packets to the peer's host: {sprayed}",
        "yes" if met else "NO",
        *_cost(results),
    )


def calls_grid(found: Found) -> Grid:
    """A line for each pair, block × block in stages."""
    rows = []
    for name, results in found.items():
        if name in (PUNCH_ALONE, BOTH_CONES.name):
            continue
        if name == BOTH_RANDOM.name:
            rows.append(_random_row(results))
        elif name == BOTH_BLOCKS.name:
            for within_s, wanted in BLOCK_STAGES:
                rows.append(_row(f"{name}, after {within_s:g} s", results, Wanted(wanted), within_s))
        else:
            rows.append(_row(name, results, CELLS[name].wanted))
    calls = len(next(iter(found.values())))
    columns = (
        f"{calls:,} calls each",
        "direct (95 % interval)",
        "answer → direct, p50 / p95",
        "wanted",
        "met",
        "packets a side, p50 / p95",
        "sockets at once, most",
        "ports tried, most",
        "packets in a second, most",
    )
    return Grid("Beyond punching (virtual time)", columns, tuple(rows))


def _criterion(name: str, is_met: bool, figure: str, how: str) -> Figure:
    return Figure(name, figure, f"{'met' if is_met else 'NOT met'}; {how}")


def criteria(found: Found) -> Section:
    """Seed 004's own, each a line."""
    counters = [result for cell in (*SEQUENTIAL, BOTH_SEQUENTIAL) for result in found.get(cell.name, [])]
    one_cone = [cell for cell in (*SEQUENTIAL, RANDOM, *BLOCKS) if cell.name in found]
    figures = []
    if counters:
        direct = len(direct_times(counters))
        figures.append(
            _criterion(
                f"sequential routers: more than {100 * ROUTERS:g} %",
                direct > ROUTERS * len(counters),
                _share(direct, len(counters)),
                "all pairs of them above",
            )
        )
    if one_cone:
        soon = {cell.name: len(direct_times(found[cell.name], ONE_CONE_S)) / len(found[cell.name]) for cell in one_cone}
        worst = min(soon, key=lambda name: soon[name])
        figures.append(
            _criterion(
                f"one cone side: more than {100 * ONE_CONE:g} % within {ONE_CONE_S:g} s",
                soon[worst] > ONE_CONE,
                _share(round(soon[worst] * len(found[worst])), len(found[worst])),
                f"the worst of {len(one_cone)} pairs, {worst}",
            )
        )
    if BOTH_CONES.name in found and PUNCH_ALONE in found:
        whole, alone = found[BOTH_CONES.name], found[PUNCH_ALONE]
        later = [
            (one.direct_s or math.inf) - (other.direct_s or math.inf)
            for one, other in zip(whole, alone, strict=True)
            if one.direct_s is not None or other.direct_s is not None
        ]
        figures.append(
            _criterion(
                "no set-up regression for cone pairs",
                max(later, default=0.0) <= 0.0,
                f"{sum(each > 0 for each in later)} of {len(later):,} later",
                "the same calls with punching alone, call by call; answer → direct "
                f"{spread([1000 * each for each in direct_times(whole)], 'ms')}, punching alone "
                f"{spread([1000 * each for each in direct_times(alone)], 'ms')}",
            )
        )
    return Section("Beyond punching: the criteria of the first design", tuple(figures))


# -- the paradox


def meetings(trials: int, processes: int) -> dict[tuple[int, int], int]:
    """(mappings, ports) → in how many of the trials both sides met."""
    cells = tuple(product(MAPPINGS, PORTS))
    work = [
        (*cell, first, min(TRIALS_AT_A_TIME, trials - first))
        for cell in cells
        for first in range(0, trials, TRIALS_AT_A_TIME)
    ]
    met: Counter[tuple[int, int]] = Counter()
    for (mappings, ports, _, _), hits in zip(work, _mapped(_some_trials, work, processes), strict=True):
        met[mappings, ports] += hits
    return {cell: met[cell] for cell in cells}


def fits(hits: int, trials: int, expected: float, cells: int) -> tuple[float, float, bool]:
    """The 95 % interval of all cells together (Bonferroni), and whether the expected share is inside: of twelve
    intervals of 95 % each, one misses its value in every other table."""
    low, high = wilson(hits, trials, NormalDist().inv_cdf(1 - 0.05 / cells / 2))
    return low, high, low <= expected <= high


def birthday_grid(met: dict[tuple[int, int], int], trials: int) -> Grid:
    """Measured with the phase's own rounds, and the formula."""
    rows = []
    for mappings in MAPPINGS:
        texts = []
        for ports in PORTS:
            hits, expected = met[mappings, ports], chance(mappings, ports)
            low, high, inside = fits(hits, trials, expected, len(met))
            measured = f"{100 * hits / trials:.1f} % ({100 * low:.1f}–{100 * high:.1f} %)"
            texts.append(f"{measured}, {100 * expected:.1f} %{'' if inside else ': OUTSIDE'}")
        rows.append((f"{mappings} sockets", *texts))
    columns = ("random side", *(f"{ports:,} ports" for ports in PORTS))
    title = f"Both sides of the birthday phase: met in {trials:,} trials (95 % interval of all), and 1 − (1 − N/K)^M"
    return Grid(title, columns, tuple(rows))


def run(
    calls: int = CALLS,
    trials: int = TRIALS,
    processes: int = os.cpu_count() or 1,
    names: Sequence[str] = (*CELLS, PUNCH_ALONE),
) -> list[Section | Grid]:
    """The calls, the criteria, and the paradox."""
    found = measure(names, calls, processes)
    return [calls_grid(found), criteria(found), birthday_grid(meetings(trials, processes), trials)]


def main() -> None:
    console = Console()
    for each in run():
        console.print(each.table())


if __name__ == "__main__":
    main()
