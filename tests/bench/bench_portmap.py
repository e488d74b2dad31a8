"""Calls of somebody whose router maps a port, with anybody: who comes to a direct path, how soon and at what cost.

``python -m tests.bench.bench_portmap --calls 1000`` in virtual time; ``--kernel 20`` real calls with a real miniupnpd.
"""

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rich.console import Console

from tests.bench.bench_traverse import (
    AFTERWARDS_S,
    CALLS,
    FOLLOWED_S,
    RING_S,
    is_one_path,
    wilson,
)
from tests.bench.figures import Figure, Grid, Section, quantile, spread
from tests.natsim.mapped_run import MappedRun
from tests.natsim.port_mapping import Habits
from tests.natsim.scenario import pair
from tests.natsim.wire import WireSpec
from tests.netlab.lab import kernel_world
from tests.netlab.miniupnpd import Miniupnpd, behind_a_mapping_router, why_not
from tests.netlab.people import in_call

HARD = "symmetric-random"
PLAIN = "port-restricted"
# Long enough for the direct path to prove itself and to carry the call.
KERNEL_CALL_S = 3.0


@dataclass(frozen=True, slots=True)
class Row:
    """``mapped`` is the NAT with the mapping router, ``other`` the peer's. ``both`` have one; ``is_lie``: it maps
    nothing and says that it does."""

    mapped: str
    other: str
    both: bool = False
    is_lie: bool = False

    @property
    def title(self) -> str:
        router = "a router that lies" if self.is_lie else "mapped"
        return f"{self.mapped}, {router} × {self.other}{', mapped' if self.both else ''}"


ROWS = (
    *(
        Row(HARD, other)
        for other in (
            "open",
            "full-cone",
            "address-restricted",
            PLAIN,
            "linux",
            "symmetric-sequential",
            HARD,
            "block",
            "cgn-over-home",
        )
    ),
    Row(HARD, HARD, both=True),
    Row(PLAIN, PLAIN),
    Row(PLAIN, PLAIN, is_lie=True),
    Row("cgn-over-home", PLAIN),
)


@dataclass(frozen=True, slots=True)
class MappedCall:
    """Seconds from the answer until both had the path; the same call by a plain punch between port-restricted NATs;
    what a side sent and opened at most."""

    direct_s: float | None
    plain_s: float | None
    direct_rtt_s: float
    vias: tuple[str, ...]
    packets: int
    sockets: int


def simulate(row: Row, seed: int) -> MappedCall:
    """One call, in the conditions that bench_traverse has for this seed. Either side calls."""
    mapped_side = seed % 2
    habits = {mapped_side: Habits(lie=row.is_lie)}
    if row.both:
        habits[1 - mapped_side] = Habits()
    kinds = (row.mapped, row.other) if mapped_side == 0 else (row.other, row.mapped)
    run, direct_s = _call(kinds, seed, habits)
    return MappedCall(
        direct_s,
        _plain(seed),
        run.direct_rtt_s,
        tuple(side.log.found[-1][1].via for side in run.sides if side.log.found),
        max(len(side.log.sent) for side in run.sides),
        max(side.log.most_open for side in run.sides),
    )


@cache
def _plain(seed: int) -> float | None:
    return _call((PLAIN, PLAIN), seed, {})[1]


def _call(kinds: tuple[str, str], seed: int, habits: dict[int, Habits]) -> tuple[MappedRun, float | None]:
    rng = random.Random(seed)
    wire = WireSpec(delay_ms=rng.uniform(2.5, 62.5), jitter_ms=rng.uniform(0, 10), loss=rng.uniform(0, 0.01))
    relay_s, knows_rtt = rng.choice((0.0, 0.02, 0.1)), rng.random() < 0.8
    run = MappedRun(pair(*kinds, wire), seed, habits, relay_s=relay_s, knows_rtt=knows_rtt)
    answered_at = run.answer(RING_S)
    if run.clock.run(FOLLOWED_S, lambda: run.is_direct):
        run.clock.run(AFTERWARDS_S)
    if not is_one_path(run):
        return run, None
    return run, max(side.log.direct_at or 0.0 for side in run.sides) - answered_at


def _cells(row: Row, results: Sequence[MappedCall]) -> tuple[str, ...]:
    direct = [call for call in results if call.direct_s is not None]
    low, high = wilson(len(direct), len(results))
    later = [
        1000 * (call.direct_s - call.plain_s)
        for call in direct
        if call.direct_s is not None and call.plain_s is not None
    ]
    vias = Counter(via for call in direct for via in call.vias)
    by_mapping = vias["port_mapping"] / max(1, sum(vias.values()))
    return (
        row.title,
        f"{100 * len(direct) / len(results):.1f} %",
        f"{100 * low:.1f}–{100 * high:.1f} %",
        spread([1000 * (call.direct_s or 0.0) for call in direct], "ms") if direct else "–",
        spread(later, "ms") if later else "–",
        f"{100 * by_mapping:.0f} %",
        spread([call.packets for call in results], "").rstrip(),
        spread([call.sockets for call in results], "").rstrip(),
    )


def run(calls: int = CALLS, rows: Sequence[Row] = ROWS) -> Iterable[Section | Grid]:
    """What all have in common, and a line for each pair."""
    began = time.monotonic()
    found = {row: [simulate(row, seed) for seed in range(calls)] for row in rows}
    took_s = time.monotonic() - began
    true = [call for row, results in found.items() if not row.is_lie and row.mapped == HARD for call in results]
    plain = [1000 * call.plain_s for results in found.values() for call in results if call.plain_s is not None]
    # A caller whose port the peer comes to has its own check answered half a round trip later than at a punch.
    later = [
        (call.direct_s - call.plain_s) / call.direct_rtt_s
        for call in true
        if call.direct_s is not None and call.plain_s is not None
    ]
    columns = (
        "NATs",
        "direct",
        "95 % interval",
        "answer → direct",
        "later than a plain punch of the same call",
        "by the mapping",
        "packets a side",
        "sockets a side",
    )
    figures = (
        Figure(
            "calls",
            f"{calls * len(rows):,}",
            f"{calls:,} for each of {len(rows)} pairs, in {took_s:.0f} s; wires, loss and relay as in “To a direct"
            " path”; the router speaks PCP, NAT-PMP and UPnP; either calls",
        ),
        Figure(
            "direct, port mapping × anything",
            f"{100 * sum(call.direct_s is not None for call in true) / max(1, len(true)):.2f} %",
            f"{len(true):,} calls of somebody behind a {HARD} NAT with such a router",
        ),
        Figure(
            "a plain punch in the same conditions",
            spread(plain, "ms"),
            f"answer → direct, {PLAIN} × {PLAIN}, call by call the same distances and losses",
        ),
        Figure(
            "later than it",
            f"{quantile(later, 0.5):.2f} / {quantile(later, 0.95):.2f} RTT" if later else "–",
            "direct round trips; half of one where the caller has the port and must learn the peer's port first",
        ),
    )
    grid = Grid("Port mapping × anything (p50 / p95)", columns, tuple(_cells(row, each) for row, each in found.items()))
    return [Section("Port mapping × anything (virtual time)", figures), grid]


def run_kernel(calls: int = 20) -> Iterable[Section]:
    """Real programs, a real miniupnpd, a masquerade that gives every destination a random port; a symmetric peer."""
    if why_not():
        print(why_not())
        return []
    times: list[float] = []
    vias: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with kernel_world(behind_a_mapping_router("linux-random", HARD, delay_ms=10.0)) as world:
            router = Miniupnpd.of(world, world.nat(0, 0), folder)
            with router.running():
                for number in range(calls):
                    (folder / str(number)).mkdir()
                    with in_call(world, folder / str(number), KERNEL_CALL_S) as people:
                        pass
                    for person in people:
                        report = person.report
                        vias[report["paths"][-1]["via"]] += 1
                        if report["times"]["direct"] is not None:
                            times.append(1000 * (report["times"]["direct"] - report["times"]["answered"]))
    low, high = wilson(vias["port_mapping"], 2 * calls)
    figures = (
        Figure(
            "ends of a call that were direct by the mapping",
            f"{vias['port_mapping']} of {2 * calls}",
            f"{calls} real calls, miniupnpd (PCP) on nftables' masquerade fully-random × a router with random ports;"
            f" 95 % interval {100 * low:.1f}–{100 * high:.1f} %",
        ),
        Figure(
            "answer → direct path in use",
            spread(times, "ms") if times else "–",
            "as the reports say it; 40 ms between the peers and back, and the comparison with the relay's path",
        ),
    )
    return [Section("Port mapping with a real router (kernel laboratory)", figures)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_portmap")
    parser.add_argument("--calls", type=int, default=CALLS, help="of each pair, in virtual time; 0 for none")
    parser.add_argument("--kernel", type=int, default=0, help="real calls")
    chosen = parser.parse_args()
    console = Console()
    for section in run(chosen.calls) if chosen.calls else ():
        console.print(section.table())
    if chosen.kernel:
        for section in run_kernel(chosen.kernel):
            console.print(section.table())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
