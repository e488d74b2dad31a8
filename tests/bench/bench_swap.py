"""Swaps and cuts in virtual time, by the thousand. ``python -m tests.bench.bench_swap --swaps 10000 --cuts 400``"""

import argparse
import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.bench.figures import Figure, Section, quantile
from tests.natsim import cuts, swaps

SWAPS = 10_000
CUTS = 400
CALLS_AT_A_TIME = 50


def _swap_calls(first: int) -> tuple[Counter[str], dict[int, dict[str, int]]]:
    total: Counter[str] = Counter()
    wrong: dict[int, dict[str, int]] = {}
    began = time.process_time()
    for seed in range(first, first + CALLS_AT_A_TIME):
        condition = swaps.draw(seed)
        rig, outcome = swaps.run(condition)
        for name in swaps.Outcome.__slots__:
            total[name] += getattr(outcome, name)
        total["calls"] += 1
        total["frames"] += sum(len(voice.frames) for voice in rig.voices)
        total["died"] += condition.dies_s is not None
        if swaps.faults(outcome):
            wrong[seed] = swaps.faults(outcome)
    total["processor_ms"] = round((time.process_time() - began) * 1e3)
    return total, wrong


def measure_swaps(wanted: int, processes: int, first: int = 0) -> tuple[Counter[str], dict[int, dict[str, int]]]:
    """Calls until there have been so many swaps, one end's each; the first has this seed."""
    total: Counter[str] = Counter()
    wrong: dict[int, dict[str, int]] = {}
    with ProcessPoolExecutor(processes) as pool:
        while total["swaps"] < wanted:
            starts = range(first, first + processes * CALLS_AT_A_TIME, CALLS_AT_A_TIME)
            first = starts.stop
            for some, bad in pool.map(_swap_calls, starts):
                total += some
                wrong |= bad
    return total, wrong


def measure_cuts(wanted: int, processes: int) -> list[cuts.Cut]:
    """Cuts as so many listeners received them."""
    found: list[cuts.Cut] = []
    first = 0
    with ProcessPoolExecutor(processes) as pool:
        while len(found) < wanted:
            for some in pool.map(cuts.run, range(first, first + wanted // 2), chunksize=5):
                found += some
            first += wanted // 2
    return found[:wanted]


def run(
    swaps_wanted: int = SWAPS, cuts_wanted: int = CUTS, processes: int = os.cpu_count() or 1, first_seed: int = 0
) -> Section:
    """One table of both."""
    total, wrong = measure_swaps(swaps_wanted, processes, first_seed)
    cuts = measure_cuts(cuts_wanted, processes)
    over = [cut.concealed_s - max(0.0, cut.relay_s - cut.direct_s) for cut in cuts]
    how = "virtual time, real QUIC, the product's jitter buffer"
    figures = [
        Figure(
            "planned swaps, one end's each",
            f"{total['swaps']}",
            f"{total['calls']} calls from seed {first_seed} on, {total['frames']} frames",
        ),
        Figure("samples lost to the swap", f"{total['lost'] * 960}", how),
        Figure("frames doubled", f"{total['doubled']}", how),
        Figure("frames that came and were not delivered", f"{total['undelivered']}", how),
        Figure("frames out of order", f"{total['disordered']}", how),
        Figure("frames that came and were not played", f"{total['unplayed']}", how),
        Figure("frames concealed where no packet was lost", f"{total['unexplained']}", how),
        Figure("frames lost by the network itself", f"{total['network_lost']}", "0 to 20 % loss on either path"),
        Figure("new path died within 0.9 s of its trial", f"{total['died']} calls", f"{total['late']} frames too late"),
        Figure("calls with any fault", f"{len(wrong)}", ", ".join(map(str, sorted(wrong)[:10]))),
        Figure(
            "path cut: audio concealed beyond the relay's extra delay, p50 / p95 / worst",
            f"{quantile(over, 0.5) * 1e3:.0f} / {quantile(over, 0.95) * 1e3:.0f} / {max(over) * 1e3:.0f} ms",
            f"{len(cuts)} listeners; frames lost for good or doubled: {sum(cut.lost for cut in cuts)}",
        ),
        Figure("processor time per call", f"{total['processor_ms'] / max(1, total['calls']):.0f} ms", "three seconds"),
    ]
    return Section("Swaps and cuts of the direct path", tuple(figures))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_swap")
    parser.add_argument("--swaps", type=int, default=SWAPS)
    parser.add_argument("--cuts", type=int, default=CUTS)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--first-seed", type=int, default=0)
    chosen = parser.parse_args()
    print(run(chosen.swaps, chosen.cuts, chosen.processes, chosen.first_seed).markdown())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
