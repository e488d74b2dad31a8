"""Direct paths in the kernel laboratory: the simulator's pairs of NATs again, ICE beside us, contacts. Agents on real
sockets through real NATs, without media.

``python -m tests.bench kernel-pairs kernel-ice --update`` writes them into docs/results.md; real calls are in
``bench_kernel_calls``.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench import bench_traverse
from tests.bench.bench_traverse import RELAY, Cell, is_one_path, wilson
from tests.bench.figures import Figure, Grid, Section, median, spread
from tests.natsim.kinds import STACKS, SYMMETRIC
from tests.natsim.scenario import pair
from tests.natsim.traversal_run import TraversalRun
from tests.natsim.wire import WireSpec
from tests.netlab.traversal_calls import RING_S, STUN_ENDPOINTS, traversal_calls
from tests.netlab.traversal_station import AFTERWARDS_S, FOLLOWED_S, Answer, Command
from transport.traversal.agent import State

CALLS = 5
HARD_CALLS = 20
# Flows of earlier calls fill a subscriber's block: after these the routers are new ones.
CALLS_A_BLOCK = 2
ICE_CALLS = 20
SIMULATED_CALLS = 100
# On each of the four wires between two people: 40 ms there and back.
WIRE = WireSpec(delay_ms=10.0)
# The relay is further away than the direct path by this much one way.
RELAY_MS = 20.0
# How long a contact's call rings (issue 3: direct when it is answered after a second).
CONTACT_RING_S = 1.0
# An interval that ends at 1 does so but for the last digit of a float.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class KernelCell:
    """So many calls of a pair of NATs."""

    cell: Cell
    calls: int = CALLS


# Where chance decides there are more.
HARD = tuple(
    KernelCell(Cell(one, other), HARD_CALLS)
    for one, other in (
        ("port-restricted", "symmetric-sequential"),
        ("port-restricted", "busy-counter"),
        ("symmetric-sequential", "symmetric-sequential"),
        ("shared-counter", "shared-counter"),
        ("shared-counter-by-2", "shared-counter-down"),
        ("port-restricted", "symmetric-random"),
        ("port-restricted", "block"),
        ("port-restricted", "block-512"),
        ("port-restricted", "block-4096"),
        ("symmetric-random", "symmetric-random"),
    )
)
# What Linux' own NAT does, beside those of the simulator's table.
REAL = tuple(
    KernelCell(Cell(one, other), CALLS)
    for one, other in (
        ("linux", "linux"),
        ("linux-open-input", "linux-open-input"),
        ("linux", "cgn-over-home"),
        ("linux", "linux-random"),
    )
)
CELLS = (
    *HARD,
    *REAL,
    *(KernelCell(cell) for cell in bench_traverse.CELLS if cell not in {each.cell for each in HARD}),
)
ICE_CELLS = (
    Cell("port-restricted", "port-restricted"),
    Cell("full-cone", "full-cone"),
    Cell("linux", "linux"),
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """One pair in both laboratories."""

    kernel: tuple[Answer, ...]
    simulated: float
    """Share of calls that were direct there."""

    @property
    def share(self) -> float:
        """Of the kernel's calls that were direct."""
        return sum(answer.direct_s is not None for answer in self.kernel) / len(self.kernel)

    @property
    def interval(self) -> tuple[float, float]:
        """The kernel's, 95 %."""
        return wilson(round(self.share * len(self.kernel)), len(self.kernel))

    @property
    def holds(self) -> bool:
        """Whether the simulator's share is one that the kernel's calls allow."""
        low, high = self.interval
        return low - _ROUNDING <= self.simulated <= high + _ROUNDING


def kernel_calls(cell: Cell, calls: int, *, profiled: bool = True) -> tuple[Answer, ...]:
    """So many calls in the kernel, each side the caller in turn."""
    at_a_time = CALLS_A_BLOCK if _uses_up_a_block(cell) else calls
    answers: list[Answer] = []
    for first in range(0, calls, at_a_time):
        with traversal_calls(cell.scenario(WIRE, turned=False), relay_ms=RELAY_MS) as lab:
            answers += (
                lab.call(Command("agent", seed=number, ring_s=RING_S, turned=number % 2 == 1, profiled=profiled))
                for number in range(first, min(calls, first + at_a_time))
            )
    return tuple(answers)


def _uses_up_a_block(cell: Cell) -> bool:
    """Whether a subscriber has only so many ports, and each flow takes one."""
    stacks = [STACKS[name] for name in (cell.one, cell.other, cell.shared) if name]
    return any(nat.allocation == "block" and nat.mapping == SYMMETRIC for stack in stacks for nat in stack)


def compare(cell: Cell, calls: int, simulated_calls: int = SIMULATED_CALLS, *, profiled: bool = True) -> Agreement:
    """One pair in both laboratories, under the same conditions. ``profiled``: the programs knew their NATs before."""
    direct = sum(is_direct_in_simulator(cell, seed, profiled=profiled) for seed in range(simulated_calls))
    return Agreement(kernel_calls(cell, calls, profiled=profiled), direct / simulated_calls)


def is_direct_in_simulator(cell: Cell, seed: int, *, profiled: bool) -> bool:
    """One call of the kernel's in virtual time: does it become direct?"""
    scenario = cell.scenario(WIRE, turned=seed % 2 == 1)
    profiled_s = RING_S if profiled else None
    run = TraversalRun(scenario, seed, relay_s=RELAY_MS / 1000, stun_endpoints=STUN_ENDPOINTS, profiled_s=profiled_s)
    run.answer(RING_S)
    settled = (State.SETTLED, State.STOPPED)
    run.clock.run(FOLLOWED_S, lambda: run.is_direct or all(side.agent.state in settled for side in run.sides))
    run.clock.run(AFTERWARDS_S)
    return is_one_path(run)


# -- as tables


def run_pairs(cells: Sequence[KernelCell] = CELLS) -> list[Section | Grid]:
    """The simulator's pairs in the kernel."""
    return tables({each.cell: compare(each.cell, each.calls) for each in cells})


def tables(found: dict[Cell, Agreement]) -> list[Section | Grid]:
    """What they have in common, and a line for each."""
    columns = (
        "NATs",
        "calls",
        "direct",
        "95 % interval",
        "simulator",
        "first check → direct",
        "answer → direct",
        "answer → left on the relay: why",
        "packets a side",
        "sockets a side",
    )
    rows = tuple(_row(cell, agreement) for cell, agreement in found.items())
    outside = [cell.name for cell, agreement in found.items() if not agreement.holds]
    summary = Section(
        "To a direct path in the kernel",
        (
            Figure(
                "pairs on which both laboratories agree",
                f"{len(found) - len(outside)} of {len(found)}",
                f"the simulator's share of {SIMULATED_CALLS} calls lies in the 95 % interval of the kernel's; not: "
                + (", ".join(outside) or "none"),
            ),
            Figure(
                "calls",
                f"{sum(len(each.kernel) for each in found.values())}",
                f"real sockets in namespaces; direct round trip {4 * WIRE.delay_ms:.0f} ms, that over the relay"
                f" {2 * RELAY_MS:.0f} ms longer; no loss; the caller is either side in turn",
            ),
        ),
    )
    return [summary, Grid("To a direct path in the kernel: pairs of NATs (p50 / p95)", columns, rows)]


def _row(cell: Cell, agreement: Agreement) -> tuple[str, ...]:
    answers = agreement.kernel
    low, high = agreement.interval
    sides = [side for answer in answers for side in answer.sides]
    left = [answer for answer in answers if answer.direct_s is None]
    decided = [answer.decided_s for answer in left if answer.decided_s is not None]
    reasons = Counter(side.reason or "still trying" for answer in left for side in answer.sides)
    return (
        cell.name,
        str(len(answers)),
        f"{100 * agreement.share:.0f} %" if agreement.share else RELAY,
        f"{100 * low:.0f}–{100 * high:.0f} %",
        f"{100 * agreement.simulated:.1f} %" if agreement.simulated else RELAY,
        _milliseconds(from_check(answers)),
        _milliseconds([answer.direct_s for answer in answers if answer.direct_s is not None]),
        f"{_milliseconds(decided)}: {reasons.most_common(1)[0][0]}" if left else "–",
        spread([side.packets for side in sides], "").rstrip(),
        spread([side.sockets for side in sides], "").rstrip(),
    )


def from_check(answers: Sequence[Answer]) -> list[float]:
    """A side's first check → its path, of the calls that were direct."""
    return [
        side.direct_s - side.first_check_s
        for answer in answers
        if answer.direct_s is not None
        for side in answer.sides
        if side.direct_s is not None and side.first_check_s is not None
    ]


def _milliseconds(seconds: Sequence[float]) -> str:
    return spread([1000 * each for each in seconds], "ms") if seconds else "–"


def run_ice(calls: int = ICE_CALLS) -> list[Section | Grid]:
    """aioice in the same laboratory, and a contact's call."""
    rows, figures = [], []
    for cell in ICE_CELLS:
        with traversal_calls(pair(cell.one, cell.other, WIRE), relay_ms=RELAY_MS) as lab:
            # In turns, so that whatever else the machine does it does to both.
            both: dict[str, list[Answer]] = {"Segue": [], "aioice": []}
            for number in range(calls):
                for who, by in (("Segue", "agent"), ("aioice", "aioice")):
                    command = Command(by, seed=number, ring_s=RING_S, turned=number % 2 == 1)  # type: ignore[arg-type]
                    both[who].append(lab.call(command))
            early = [
                lab.call(Command("agent", seed=number, ring_s=0.0, turned=number % 2 == 1, early=True))
                for number in range(calls)
            ]
        rows += [_ice_row(cell, who, answers) for who, answers in both.items()]
        ours, theirs = (median(from_check(both[who])) for who in ("Segue", "aioice"))
        figures.append(
            Figure(
                f"{cell.name}: Segue's median : aioice's",
                f"{ours / theirs:.2f}",
                "a side's first check → its path; not more than 1 is asked for",
            )
        )
        in_time = sum(answer.direct_s is not None and answer.direct_s <= CONTACT_RING_S for answer in early)
        took = [answer.direct_s for answer in early if answer.direct_s is not None]
        figures.append(
            Figure(
                f"{cell.name}: a contact's call is direct when it is answered",
                f"{in_time} of {len(early)}",
                f"it rings for {CONTACT_RING_S:.0f} s; both begin when it begins to ring; direct after"
                f" {_milliseconds(took)}",
            )
        )
    columns = ("NATs", "by", "calls", "direct", "first check → direct", "answer → direct")
    table = Grid("Beside ICE, in the kernel (p50 / p95)", columns, tuple(rows))
    return [table, Section("Beside ICE, in the kernel: ratios, and contacts", tuple(figures))]


def _ice_row(cell: Cell, who: str, answers: Sequence[Answer]) -> tuple[str, ...]:
    direct = [answer.direct_s for answer in answers if answer.direct_s is not None]
    return (
        cell.name,
        who,
        str(len(answers)),
        f"{100 * len(direct) / len(answers):.0f} %",
        _milliseconds(from_check(answers)),
        _milliseconds(direct),
    )
