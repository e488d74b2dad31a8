"""How many calls a minute the simulator gets through: what a statistic over calls costs.

``python -m tests.bench.bench_sim``
"""

import cProfile
import multiprocessing
import os
import pstats
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rich.console import Console

from tests.bench.figures import Figure, Section, machine
from tests.natsim.call import Call
from tests.natsim.people import INDEX, OPUS, Codec, Options, World
from transport.link.events import Close
from transport.wire.call_messages import Bye

ROOT = Path(__file__).parents[2]
RING_S = 1.0
TALK_S = 2.0
SECONDS_EACH = 8.0
LARGEST_SHARES = 6


def linked_call(seed: int) -> None:
    """Two links and the relay's legs: handshake, proof, voice in one direction each, goodbye. No audio."""
    call = Call(seed).connect()
    for side in call.sides:
        side.talk()
    call.run(TALK_S)
    for side in call.sides:
        side.be_silent()
    call.caller.driver.submit(Close(Bye()))
    call.run_until_ended()


def whole_call(seed: int, codec: Codec = INDEX) -> None:
    """Two people with sound cards and the relay's router: invite, ring, answer, talk, hang up."""
    world = World(seed)
    ann, bob = (world.person(name, Options(codec, record=False)) for name in ("ann", "bob"))
    placed, taken = world.talk(ann, bob, RING_S)
    world.run(TALK_S)
    assert ann.card.audible_at is not None and bob.card.audible_at is not None
    ann.hang_up()
    world.until(lambda: placed.finished is not None and taken.finished is not None)


def spoken_call(seed: int) -> None:
    """The same with Opus and the engine's own processing."""
    whole_call(seed, OPUS)


def per_minute(simulate: Callable[[int], None], seconds: float) -> float:
    """Calls a minute in this process."""
    simulate(0)
    start, seed = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        seed += 1
        simulate(seed)
    return 60 * seed / (time.perf_counter() - start)


def per_minute_on_all_cores(simulate: Callable[[int], None], seconds: float, cores: int) -> float:
    """Calls a minute in as many processes as there are cores."""
    with ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool:
        return sum(pool.map(per_minute, [simulate] * cores, [seconds] * cores))


def shares(simulate: Callable[[int], None], calls: int = 10) -> list[tuple[str, float]]:
    """Which packages the time is spent in, with what they call in C; the largest shares first."""
    simulate(0)
    profile = cProfile.Profile()
    profile.enable()
    for seed in range(calls):
        simulate(seed)
    profile.disable()
    spent: Counter[str] = Counter()
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, dict[tuple[str, int, str], tuple[float, ...]]]]
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for (file, _, _), (_, _, own, _, callers) in stats.items():
        if file.startswith(("~", "<")):
            # A function in C, or one that was made at run time, is its callers' time.
            for (caller, _, _), figures in callers.items():
                spent[_package(caller)] += figures[2]
        else:
            spent[_package(file)] += own
    total = sum(spent.values())
    return [(package, own / total) for package, own in spent.most_common(LARGEST_SHARES)]


def _package(file: str) -> str:
    path = Path(file)
    if path.is_relative_to(ROOT / "tests"):
        return "the simulator"
    for package in ("transport", "media", "relay", "app"):
        if path.is_relative_to(ROOT / package):
            return package
    for library in ("aioquic", "opuslib", "numpy", "cryptography"):
        if library in path.parts:
            return library
    return "Python's own"


def run(*, seconds: float = SECONDS_EACH, cores: int | None = None) -> Section:
    """All."""
    cores = cores or os.cpu_count() or 1
    kinds = (
        ("two links over the relay, no audio", linked_call),
        ("whole calls with sound cards, index codec", whole_call),
        ("whole calls with sound cards, Opus", spoken_call),
    )
    how = f"{RING_S:.0f} s of ringing, {TALK_S:.0f} s of talk both ways"
    figures = [
        Figure(f"{what}, one core", f"{per_minute(simulate, seconds):,.0f} calls/min", how) for what, simulate in kinds
    ]
    if cores > 1:
        rate = per_minute_on_all_cores(whole_call, seconds, cores)
        figures.append(Figure(f"{kinds[1][0]}, {cores} cores", f"{rate:,.0f} calls/min", "one process each"))
    figures += [
        Figure(f"share of {package}", f"{100 * share:.0f} %", f"of {kinds[1][0]}, under cProfile")
        for package, share in shares(whole_call)
    ]
    return Section("The simulator (virtual time)", tuple(figures))


def main() -> None:
    console = Console()
    console.print(machine())
    console.print(run().table())


if __name__ == "__main__":
    main()
