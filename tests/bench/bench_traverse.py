"""NAT kind × NAT kind: who comes to a direct path, how soon and at what cost. Virtual time, agents without media.

``python -m tests.bench traverse --calls 1000 --update`` writes it into docs/results.md, without the other benchmarks;
``python -m tests.bench.bench_traverse --calls 1000``
"""

import argparse
import math
import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import combinations_with_replacement

from rich.console import Console

from tests.bench.figures import Figure, Grid, Section, spread
from tests.natsim.kinds import STACKS
from tests.natsim.scenario import Scenario, Side, pair
from tests.natsim.traversal_run import TraversalRun, TraversalSide
from tests.natsim.wire import WireSpec
from transport.traversal.agent import State

CALLS = 1_000
# Small enough that both cores end together, large enough that handing out work costs nothing beside it.
CALLS_AT_A_TIME = 50
# The relay's STUN endpoints by port and then address: its five ports on each of two addresses.
STUN_ENDPOINTS = 10
RING_S = 1.0
# Three rounds of punching and the first three attempts of an agent are over by then.
FOLLOWED_S = 12.0
# What is still under way when both have a path, answers and the last burst, counts as well.
AFTERWARDS_S = 0.5
# DESIGN §8: what a direct path may take beyond the round trips, what share of calls must come to one, and how soon
# the others must know that they do not.
SLACK_MS = 50
ENOUGH = 0.995
DECIDED_S = 2.0
# Two-sided 95 % of the normal distribution.
Z = 1.959964

KINDS = (
    "open",
    "full-cone",
    "address-restricted",
    "port-restricted",
    "symmetric-sequential",
    "symmetric-random",
    "block",
    "cgn-over-home",
    "udp-blocked",
)
RELAY = "relay"


@dataclass(frozen=True, slots=True)
class Cell:
    """Where the two people are. ``shared``: the NAT between both and the internet, "" where each has the own one;
    ``one`` and ``other`` are "" on its LAN then. ``isolated``: a LAN whose hosts do not see each other."""

    one: str
    other: str
    shared: str = ""
    isolated: bool = False
    title: str = ""

    @property
    def name(self) -> str:
        return self.title or f"{self.one} × {self.other}"

    @property
    def is_on_one_lan(self) -> bool:
        return bool(self.shared) and not self.one

    def scenario(self, wire: WireSpec, *, turned: bool) -> Scenario:
        """With such wires; ``turned``: the other one calls."""
        one, other = (self.other, self.one) if turned else (self.one, self.other)
        if not self.shared:
            return pair(one, other, wire)
        sides = [
            Side(nats=STACKS[name] if name else (), up=wire, down=wire, isolated=self.isolated) for name in (one, other)
        ]
        return Scenario(name=self.name, sides=(sides[0], sides[1]), shared=STACKS[self.shared])


PAIRS = tuple(Cell(one, other) for one, other in combinations_with_replacement(KINDS, 2))
SAME_NAT = (
    Cell("", "", "hairpin", title="same NAT with hairpin, one LAN"),
    Cell("", "", "port-restricted", title="same NAT without hairpin, one LAN"),
    Cell("", "", "hairpin", isolated=True, title="same NAT with hairpin, hosts kept apart"),
    Cell("", "", "port-restricted", isolated=True, title="same NAT without hairpin, hosts kept apart"),
    Cell("port-restricted", "port-restricted", "cgn", title="two homes, same carrier NAT with hairpin"),
    Cell("port-restricted", "port-restricted", "cgn-no-hairpin", title="two homes, same carrier NAT without hairpin"),
)
CELLS = (*PAIRS, *SAME_NAT)


@dataclass(frozen=True, slots=True)
class SideResult:
    """One end's cost until the call was direct or settled on the relay, or was followed no longer: packets of all
    kinds, questions to STUN servers and answers to checks included, and sockets opened.

    ``from_check_s``: its first check → its path. ``reason``: why its first attempt failed, "" where it did not.
    """

    packets: int
    sockets: int
    from_check_s: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class CallResult:
    """Seconds since the answer until both had the path, or until both had given up their first attempt.

    The direct round trip is that of the wires and their mean jitter; the control stream over the relay has none.
    ``is_punched``: it needed no more than punching.
    """

    direct_s: float | None
    decided_s: float | None
    relay_rtt_s: float
    direct_rtt_s: float
    sides: tuple[SideResult, SideResult]
    is_punched: bool = True


def wilson(successes: int, calls: int, z: float = Z) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927), of 95 % by default."""
    share, weight = successes / calls, z * z / calls
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / calls + weight / (4 * calls)) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)


def simulate(cell: Cell, seed: int) -> CallResult:
    """One call. The same seed is the same distance, jitter, loss and relay in every cell."""
    rng = random.Random(seed)
    wire = WireSpec(delay_ms=rng.uniform(2.5, 62.5), jitter_ms=rng.uniform(0, 10), loss=rng.uniform(0, 0.01))
    run = TraversalRun(
        cell.scenario(wire, turned=seed % 2 == 1),
        seed,
        relay_s=rng.choice((0.0, 0.02, 0.1)),
        knows_rtt=rng.random() < 0.8,
        stun_endpoints=STUN_ENDPOINTS,
    )
    answered_at = run.answer(RING_S)
    settled = (State.SETTLED, State.STOPPED)
    run.clock.run(FOLLOWED_S, lambda: run.is_direct or all(side.agent.state in settled for side in run.sides))
    if run.is_direct:
        run.clock.run(AFTERWARDS_S)
    found = [side.log.direct_at for side in run.sides if side.log.direct_at is not None]
    direct = max(found) if is_one_path(run) else None
    ends = [end for end in map(given_up_at, run.sides) if end is not None]
    decided = max(ends) if direct is None and len(ends) == len(run.sides) else None
    jitter_s = wire.jitter_ms / 2 / 1000
    return CallResult(
        None if direct is None else direct - answered_at,
        None if decided is None else decided - answered_at,
        2 * run.one_way_s,
        # There and back are four wires.
        run.direct_rtt_s + 4 * jitter_s,
        (side_result(run.caller), side_result(run.callee)),
        all(side.log.found[-1][1].via == "punch" for side in run.sides) if direct is not None else False,
    )


def is_one_path(run: TraversalRun) -> bool:
    """Whether both have a path, and each the one that the other has."""
    if not run.is_direct:
        return False
    mine, theirs = (side.log.found[-1][1] for side in run.sides)
    return (mine.remote, mine.mapped) == (theirs.mapped, theirs.remote)


def given_up_at(side: TraversalSide) -> float | None:
    """When its first attempt had failed."""
    ends = (changed.status.ended for changed in side.log.phases if changed.status.outcome == "failed")
    return next(ends, None)


def side_result(side: TraversalSide) -> SideResult:
    log = side.log
    from_check = None
    if log.direct_at is not None and log.first_check_at is not None:
        from_check = log.direct_at - log.first_check_at
    reasons = (changed.status.reason for changed in log.phases if changed.status.outcome == "failed")
    sockets = sum(status.sockets for status in side.agent.phases())
    return SideResult(len(log.sent), sockets, from_check, next(reasons, ""))


def _some_calls(cell: Cell, first: int, calls: int) -> list[CallResult]:
    return [simulate(cell, seed) for seed in range(first, first + calls)]


def measure(cells: Sequence[Cell], calls: int, processes: int) -> dict[Cell, list[CallResult]]:
    """So many calls of each, in so many processes; one is this one."""
    work = [
        (cell, first, min(CALLS_AT_A_TIME, calls - first))
        for cell in cells
        for first in range(0, calls, CALLS_AT_A_TIME)
    ]
    found: dict[Cell, list[CallResult]] = {cell: [] for cell in cells}
    if processes == 1:
        for cell, first, some in work:
            found[cell] += _some_calls(cell, first, some)
        return found
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for (cell, _, _), results in zip(work, pool.map(_some_calls, *zip(*work, strict=True)), strict=True):
            found[cell] += results
    return found


# -- as tables


def share(results: Sequence[CallResult]) -> float:
    """Of calls that were direct."""
    return sum(result.direct_s is not None for result in results) / len(results)


def _row(cell: Cell, results: Sequence[CallResult]) -> tuple[str, ...]:
    direct = [result.direct_s for result in results if result.direct_s is not None]
    low, high = wilson(len(direct), len(results))
    sides = [side for result in results for side in result.sides]
    from_check = [
        side.from_check_s
        for result in results
        if result.direct_s is not None
        for side in result.sides
        if side.from_check_s is not None
    ]
    return (
        cell.name,
        f"{100 * share(results):.1f} %" if direct else RELAY,
        f"{100 * low:.1f}–{100 * high:.1f} %",
        _milliseconds(direct),
        _milliseconds(from_check),
        _decision(results),
        spread([side.packets for side in sides], "").rstrip(),
        spread([side.sockets for side in sides], "").rstrip(),
    )


def _milliseconds(seconds: Sequence[float]) -> str:
    return spread([1000 * each for each in seconds], "ms") if seconds else "–"


def _decision(results: Sequence[CallResult]) -> str:
    left = [result for result in results if result.direct_s is None]
    if not left:
        return "–"
    reasons = Counter(side.reason or "still trying" for result in left for side in result.sides)
    decided = [result.decided_s for result in left if result.decided_s is not None]
    return f"{_milliseconds(decided)}: {reasons.most_common(1)[0][0]}"


def cells_grid(found: dict[Cell, list[CallResult]]) -> Grid:
    """A line for each pair."""
    columns = (
        "NATs",
        "direct",
        "95 % interval",
        "answer → direct",
        "first check → direct",
        "answer → left on the relay: why",
        "packets a side",
        "sockets a side",
    )
    rows = tuple(_row(cell, results) for cell, results in found.items())
    return Grid("To a direct path: every pair of NATs (p50 / p95)", columns, rows)


def matrix_grid(found: dict[Cell, list[CallResult]]) -> Grid:
    """Shares of the pairs that have NATs of their own, NAT by NAT."""
    shares = {frozenset((cell.one, cell.other)): share(results) for cell, results in found.items() if not cell.shared}
    kinds = [kind for kind in KINDS if any(kind in each for each in shares)]

    def text(one: str, other: str) -> str:
        of = shares.get(frozenset((one, other)))
        return "" if of is None else f"{100 * of:.1f} %" if of else RELAY

    rows = tuple((one, *(text(one, other) for other in kinds)) for one in kinds)
    return Grid("To a direct path: share of calls, NAT × NAT", ("", *kinds), rows)


def _summary(found: dict[Cell, list[CallResult]], took_s: float, processes: int) -> Section:
    calls = sum(len(results) for results in found.values())
    reached = {cell: share(results) for cell, results in found.items()}
    direct = [
        (result, result.direct_s)
        for cell, results in found.items()
        if not cell.is_on_one_lan
        for result in results
        if result.direct_s is not None and result.is_punched
    ]
    after_answer = [1000 * (at_s - 1.5 * each.relay_rtt_s - 2 * each.direct_rtt_s) for each, at_s in direct]
    restricted = [
        1000 * (side.from_check_s - 2 * result.direct_rtt_s)
        for result in found.get(Cell("port-restricted", "port-restricted"), [])
        if result.direct_s is not None
        for side in result.sides
        if side.from_check_s is not None
    ]
    hopeless = [cell for cell in found if reached[cell] == 0]
    # From both profiles, or because one address is that of both and turns no packets around.
    decided = {
        known: [
            result.decided_s
            for cell in hopeless
            if bool(cell.shared) is not known
            for result in found[cell]
            if result.decided_s is not None
        ]
        for known in (True, False)
    }
    figures = [
        Figure(
            "calls",
            f"{calls:,}",
            f"{calls // len(found):,} for each of {len(found)} pairs; direct round trip 10–250 ms, that over the relay"
            " 0, 40 or 200 ms longer, jitter to 10 ms and 0–1 % loss on each of four wires, none on the control stream;"
            f" either calls; {RING_S:.0f} s of ringing, in which only the relay is asked and nothing was known"
            " before; 2 addresses × 5 ports of STUN; every pair under the same conditions, call by call, so what makes"
            " no difference gives the same figures",
        ),
        Figure(
            "simulated",
            f"{60 * calls / took_s:,.0f} calls/min",
            f"{processes} processes, {took_s:.0f} s in all; agents and NATs, no QUIC, no media",
        ),
        Figure(
            f"pairs direct in {100 * ENOUGH} % of calls or more",
            f"{sum(each >= ENOUGH for each in reached.values())} of {len(found)}",
            f"always left on the relay: {len(hopeless)}; in between: "
            + (", ".join(cell.name for cell, each in reached.items() if 0 < each < ENOUGH) or "none"),
        ),
    ]
    if after_answer:
        within = sum(each <= SLACK_MS for each in after_answer) / len(after_answer)
        figures.append(
            Figure(
                "answer → direct, beyond 1.5 relay and 2 direct round trips",
                spread(after_answer, "ms"),
                f"all calls for which a punch was enough, but those on one LAN; ≤ {SLACK_MS} ms in"
                f" {100 * within:.1f} %; less than 0: sooner",
            )
        )
    if restricted:
        figures.append(
            Figure(
                "first check → direct, beyond 2 direct round trips",
                spread(restricted, "ms"),
                "port-restricted × port-restricted, each side by itself",
            )
        )
    for known, where in ((True, "NATs of their own"), (False, "the same NAT without hairpin")):
        if decided[known]:
            within = sum(each <= DECIDED_S for each in decided[known]) / len(decided[known])
            figures.append(
                Figure(
                    "answer → left on the relay",
                    _milliseconds(decided[known]),
                    f"{where}; pairs of which no call is direct; later side; ≤ {DECIDED_S:.0f} s in"
                    f" {100 * within:.1f} %",
                )
            )
    costs = [side for results in found.values() for result in results for side in result.sides]
    figures.append(
        Figure(
            "packets a side",
            spread([side.packets for side in costs], "").rstrip(),
            f"most: {max(side.packets for side in costs)}; sockets, one after the other: at most"
            f" {max(side.sockets for side in costs)};"
            f" until direct and {AFTERWARDS_S} s more, or settled on the relay, or {FOLLOWED_S:.0f} s after the answer",
        )
    )
    return Section("To a direct path (virtual time)", tuple(figures))


def run(
    calls: int = CALLS, cells: Sequence[Cell] = CELLS, processes: int = os.cpu_count() or 1
) -> Iterable[Section | Grid]:
    """What all have in common, the shares NAT by NAT, and a line for each pair."""
    began = time.monotonic()
    found = measure(cells, calls, processes)
    return [_summary(found, time.monotonic() - began, processes), matrix_grid(found), cells_grid(found)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_traverse")
    parser.add_argument("--calls", type=int, default=CALLS, help="of each pair of NATs")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    if chosen.calls < 1 or chosen.processes < 1:
        parser.error("at least one call and one process")
    console = Console()
    for section in run(chosen.calls, processes=chosen.processes):
        console.print(section.table())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
