"""How a NAT chooses ports: how often that is named right, how good the guesses of a port are, and how often a
spray of ports meets open mappings. Straight on the tables of simulated NATs.

``python -m tests.bench allocation --update``
"""

import random
import time
from collections import Counter
from collections.abc import Iterator

from rich.console import Console

from tests.bench.bench_traverse import wilson
from tests.bench.figures import Figure, Grid, Section, machine, spread
from tests.natsim.birthday import MAPPINGS, PORTS, chance, successes
from tests.natsim.nat import Nat, NatKind
from tests.natsim.verdicts import HOST, OUTSIDE, Way, profile, random_kind, right, step_of
from transport.nat.next_port import between
from transport.nat.port_allocation import NewMapping, track
from transport.nat.profile import Allocation

NATS = 1_000
TRIALS = 2_000
GUESSES_OF = 1_000
WAYS = {
    "calm": Way(),
    "packets overtake each other within 10 ms": Way(jitter_s=0.01),
    "and 2 % are lost on either side of the NAT": Way(jitter_s=0.01, loss=0.02),
}
ENDPOINTS = (6, 8, 10)
CROSS_TRAFFIC_PER_S = (0, 1, 5, 10, 20)
# What a profile has seen of a counter.
SEEN_OF, SEEN_EACH_S = 8, 0.1
# From a question over a packet to the peer to the next question, as far as packets that leave together are spread.
SANDWICH_S = 0.02
GUESSES = (1, 2, 4)
DELTAS = (1, -1, 2, -2, 7, -30)


def verdicts(nats: int) -> Grid:
    """For each number of STUN endpoints and each way there: what was concluded of NATs that map by address and port."""
    rows = []
    for way_name, way in WAYS.items():
        for endpoints in ENDPOINTS:
            wrong, steps = 0, Counter[bool]()
            unknown: Counter[str] = Counter()
            asked: Counter[str] = Counter()
            for seed in range(nats):
                rng = random.Random(seed)
                kind = random_kind(rng)
                made = profile(kind, rng, endpoints, way)
                wrong += made.allocation not in right(kind)
                if kind.mapping != "address-and-port-dependent":
                    continue
                asked[kind.allocation] += 1
                unknown[kind.allocation] += made.allocation is Allocation.UNKNOWN
                if kind.allocation == "sequential":
                    steps[made.delta == step_of(kind)] += 1
            shares = [f"{100 * unknown[name] / asked[name]:.1f} %" for name in ("sequential", "random", "block")]
            low, high = wilson(steps[True], steps.total())
            delta = f"{100 * steps[True] / steps.total():.1f} % ({100 * low:.1f}–{100 * high:.1f} %)"
            rows.append((f"{endpoints} endpoints, {way_name}", f"{wrong} of {nats:,}", delta, *shares))
    columns = (
        "a profile asks",
        "wrong class",
        "step right (of all counters)",
        "counter unknown",
        "random unknown",
        "block unknown",
    )
    return Grid("How a NAT chooses ports: verdicts over random NATs, 0–20 strangers' flows/s", columns, tuple(rows))


def guesses(trials: int) -> Grid:
    """For each rate of strangers: what the first guesses of a port claim, and how often one of them was right."""
    rows = []
    for rate in CROSS_TRAFFIC_PER_S:
        claimed: dict[int, float] = dict.fromkeys(GUESSES, 0.0)
        right_of: Counter[int] = Counter()
        for seed in range(trials):
            rng = random.Random(seed)
            kind = NatKind(
                mapping="address-and-port-dependent",
                allocation="sequential",
                delta=rng.choice(DELTAS),
                cross_traffic_per_s=rate,
            )
            nat = Nat(kind, (OUTSIDE,), rng)
            before, port, after = (_flow(nat, number, number * SANDWICH_S / 2) for number in range(3))
            ranked = between(before, after, kind.delta)
            for first in GUESSES:
                claimed[first] += sum(guess.probability for guess in ranked[:first])
                right_of[first] += port in {guess.port for guess in ranked[:first]}
        cells = []
        for first in GUESSES:
            low, high = wilson(right_of[first], trials)
            cells.append(
                f"{100 * claimed[first] / trials:.1f} / {100 * right_of[first] / trials:.1f} % "
                f"({100 * low:.1f}–{100 * high:.1f} %)"
            )
        rows.append((f"{rate} flows/s, {trials:,} counters", *cells))
    title = f"The port between two questions {1000 * SANDWICH_S:.0f} ms apart: claimed / measured"
    return Grid(title, ("strangers", *(f"first {first}" for first in GUESSES)), tuple(rows))


def _flow(nat: Nat, number: int, now: float) -> int:
    translated = nat.from_inside((HOST, 50_000), ("192.0.2.1", 1_000 + number), now)
    assert translated is not None
    return translated.source[1]


def birthday(trials: int) -> Grid:
    """Measured shares with their intervals, and the formula."""
    rows = []
    found = successes(trials)
    for mappings in MAPPINGS:
        cells = []
        for ports in PORTS:
            low, high = wilson(found[mappings, ports], trials)
            share = found[mappings, ports] / trials
            expected = chance(mappings, ports)
            fits = "" if low <= expected <= high else ": outside"
            cells.append(f"{100 * share:.1f} % ({100 * low:.1f}–{100 * high:.1f} %), {100 * expected:.1f} %{fits}")
        rows.append((f"{mappings} mappings", *cells))
    columns = ("random side", *(f"{ports:,} ports" for ports in PORTS))
    title = f"Ports against mappings: measured in {trials:,} trials (95 % interval), and 1 − (1 − N/K)^M"
    return Grid(title, columns, tuple(rows))


def cost(rounds: int = 300) -> Section:
    """What a verdict and a guess take, on this machine."""
    tracked, guessed = [], []
    for seed in range(rounds):
        rng = random.Random(seed)
        start = rng.randint(2_000, 60_000)
        delta = rng.choice(DELTAS)
        seen = [NewMapping(number * SEEN_EACH_S, start + delta * number, number, True) for number in range(SEEN_OF)]
        began = time.perf_counter()
        track(seen)
        tracked.append(1000 * (time.perf_counter() - began))
        began = time.perf_counter()
        between(start, start + 4 * delta, delta)
        guessed.append(1000 * (time.perf_counter() - began))
    return Section(
        "What guessing costs",
        (
            Figure("a counter from 8 mappings", spread(tracked, "ms", 2), "p50 / p95"),
            Figure("guesses of a port between two questions", spread(guessed, "ms", 3), "p50 / p95"),
        ),
    )


def run(*, nats: int = NATS, trials: int = TRIALS, guessed: int = GUESSES_OF) -> Iterator[Section | Grid]:
    """All."""
    yield verdicts(nats)
    yield guesses(guessed)
    yield birthday(trials)
    yield cost()


def main() -> None:
    console = Console()
    console.print(machine())
    for found in run():
        console.print(found.table())


if __name__ == "__main__":
    main()
