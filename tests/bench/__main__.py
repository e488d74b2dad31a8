"""``make bench``: every benchmark, one table each, and the same as a page (``--page docs/results.md``).

``python -m tests.bench NAME ... --update`` runs these alone and replaces their sections of the page; ``kernel`` is all
whose names begin with it.
"""

import argparse
import datetime
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from tests.bench import (
    bench_allocation,
    bench_call,
    bench_hard,
    bench_help,
    bench_kernel,
    bench_kernel_calls,
    bench_portmap,
    bench_quic,
    bench_relay,
    bench_sim,
    bench_swap,
    bench_traverse,
    bench_window,
)
from tests.bench.figures import Grid, Section, machine
from tests.netlab.namespaces import why_not

ROOT = Path(__file__).parents[2]
SIMULATED_S = 4.0
# Ten thousand take 25 minutes of one processor.
SWAPS = 600
SWAPS_PER_CUT = 25
PAGE = ROOT / "docs" / "results.md"
BENCHMARKS: dict[str, Callable[[], Iterable[Section | Grid]]] = {
    "call": bench_call.run,
    "help": lambda: [bench_help.run()],
    "window": lambda: [bench_window.run()],
    "relay": lambda: [bench_relay.run()],
    "quic": lambda: [bench_quic.run()],
    "swap": lambda: [bench_swap.run(swaps_wanted=SWAPS, cuts_wanted=SWAPS // SWAPS_PER_CUT)],
    "traverse": bench_traverse.run,
    "hard": bench_hard.run,
    "allocation": bench_allocation.run,
    "portmap": bench_portmap.run,
    # About 20, 3, 1, 3, 7, 20 and 8 minutes.
    "kernel-pairs": lambda: _in_kernel(bench_kernel.run_pairs),
    "kernel-ice": lambda: _in_kernel(bench_kernel.run_ice),
    "kernel-contacts": lambda: _in_kernel(lambda: [bench_kernel_calls.run_contacts()]),
    "kernel-swaps": lambda: _in_kernel(lambda: [bench_kernel_calls.run_swaps()]),
    "kernel-cuts": lambda: _in_kernel(lambda: [bench_kernel_calls.run_cuts()]),
    "kernel-remains": lambda: _in_kernel(lambda: [bench_kernel_calls.run_remains()]),
    "kernel-portmap": lambda: _in_kernel(bench_portmap.run_kernel),
    # Shorter than by itself: all but ``traverse`` and the kernel laboratory stay well under six minutes together.
    "sim": lambda: [bench_sim.run(seconds=SIMULATED_S)],
}
_HEAD = """\
# Results

Written by `make bench`; do not edit. The figures are those of one machine on one day, which did other things as well:
read them as orders of magnitude and ratios, and run `make bench` where you want to know. None of them is asserted by
a test. What must hold is asserted in virtual time, as a count or as a ratio, in `tests/`.

- machine: {machine}
- version: {version}
- date: {date}
"""


def _in_kernel(run: Callable[[], Iterable[Section | Grid]]) -> Iterable[Section | Grid]:
    """Nothing, and a line that says why, where there is no kernel laboratory."""
    reason = why_not()
    if reason:
        print(reason)
    return [] if reason else run()


def version() -> str:
    """The commit that was measured, if git knows, and whether anything but the page differs from it."""
    try:
        commit = _git("describe", "--always", "--exclude=*")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", f":!{PAGE.relative_to(ROOT)}")
    except OSError:
        return "unknown"
    return f"{commit}-dirty" if commit and changed else commit or "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()


def page(sections: Sequence[Section | Grid], where: str, commit: str, date: str) -> str:
    """The page as Markdown."""
    parts = [_HEAD.format(machine=where, version=commit, date=date), *(section.markdown() for section in sections)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def updated(text: str, sections: Sequence[Section | Grid], where: str, commit: str, date: str) -> str:
    """A page with these sections in the place of those of the same title, or at its end; each says when it is from."""
    head, *parts = re.split(r"\n(?=## )", text.rstrip("\n") + "\n")
    held = {part.partition("\n")[0]: part for part in parts}
    for section in sections:
        held[f"## {section.title}"] = f"{section.markdown()}\n\nMeasured by itself: {where}; {commit}; {date}.\n"
    return "\n".join([head, *held.values()])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("only", nargs="*", help="these alone; no page is written then, unless --update")
    parser.add_argument("--update", action="store_true", help="replace the sections of these in the page")
    parser.add_argument("--calls", type=int, default=bench_traverse.CALLS, help="of each pair of NATs, in traverse")
    parser.add_argument("--swaps", type=int, default=SWAPS, help="of the direct path, in swap")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the page goes")
    parser.add_argument("--machine", default="", help="what the page says about the machine")
    parser.add_argument("--date", default=datetime.datetime.now(datetime.UTC).date().isoformat())
    chosen = parser.parse_args()
    only = [name for wanted in chosen.only for name in BENCHMARKS if wanted in (name, name.partition("-")[0])]
    if unknown := set(chosen.only) - {part for name in only for part in (name, name.partition("-")[0])}:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}, but {', '.join(BENCHMARKS)}")
    if chosen.update and not (chosen.only and chosen.page.exists()):
        parser.error("--update is for some benchmarks, and for a page that exists")
    if chosen.calls < 1 or chosen.swaps < SWAPS_PER_CUT:
        parser.error(f"at least one call, and {SWAPS_PER_CUT} swaps")
    benchmarks = dict(BENCHMARKS)
    benchmarks["traverse"] = partial(bench_traverse.run, chosen.calls)
    benchmarks["swap"] = lambda: [bench_swap.run(chosen.swaps, chosen.swaps // SWAPS_PER_CUT)]
    console = Console()
    where, commit = chosen.machine or machine(), version()
    console.print(f"[bold]Segue {commit}[/] on {where}\n")
    sections: list[Section | Grid] = []
    failed = False
    for name in only or benchmarks:
        start = time.monotonic()
        try:
            found = list(benchmarks[name]())
        except Exception:  # one that cannot run here shall not hide the others
            traceback.print_exc()
            failed = True
            continue
        sections += found
        for section in found:
            console.print(section.table())
        console.print(f"[dim]{name}: {time.monotonic() - start:.0f} s[/]\n")
    if failed:
        return 1
    if chosen.update:
        # Read only now, as another benchmark may have written meanwhile.
        text = updated(chosen.page.read_text(encoding="utf-8"), sections, where, commit, chosen.date)
    else:
        text = page(sections, where, commit, chosen.date)
    if chosen.update or not chosen.only:
        chosen.page.write_text(text, encoding="utf-8")
        console.print(f"Written to {chosen.page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
