"""Calls between NATs that punching does not bring together: the pairs of NATs, and what came of a call."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.natsim.kinds import KINDS
from tests.natsim.nat import NatKind
from tests.natsim.scenario import Scenario, Side
from tests.natsim.traversal_run import TraversalRun, TraversalSide
from tests.natsim.wire import WireSpec
from transport.traversal.agent import TECHNIQUES, State
from transport.traversal.technique import TechniqueSpec

# The relay's STUN endpoints by port and then address: three ports on each of two addresses.
STUN_ENDPOINTS = 6
RING_S = 1.0
PROFILED_S = 10.0
# What is still under way when both have a path, answers and the last burst, counts as well.
AFTERWARDS_S = 0.5
STRICT = KINDS["port-restricted"]
CONES = ("open", "full-cone", "address-restricted", "port-restricted")

Kinds = Callable[[random.Random], tuple[NatKind, NatKind]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """``share`` of the calls direct at least; half of those within ``median_s`` and 95 % within ``p95_s``."""

    share: float
    p95_s: float | None = None
    median_s: float | None = None


@dataclass(frozen=True, slots=True)
class ProbeCell:
    """Two kinds of NAT, drawn anew for each call. ``try_harder``: both people have asked for what takes minutes, and
    their programs have been running for long enough to know how long mappings live."""

    name: str
    draw: Kinds
    wanted: Wanted
    followed_s: float = 12.0
    try_harder: bool = False


def counted(rng: random.Random, deltas: tuple[int, ...], cross_traffic_per_s: float, kind: str = "") -> NatKind:
    """A counter."""
    kind = kind or "symmetric-sequential"
    return replace(KINDS[kind], delta=rng.choice(deltas), cross_traffic_per_s=cross_traffic_per_s)


def beside_strict(*deltas: int, kind: str = "") -> Kinds:
    """A counter with up to 20 strangers' flows a second, and endpoint-independent mapping with a port filter."""
    return lambda rng: (counted(rng, deltas, rng.uniform(0, 20), kind), STRICT)


def block(ports: int) -> NatKind:
    """A block of so many ports for each subscriber."""
    return replace(KINDS["block"], block_ports=ports)


def forgetful_blocks(rng: random.Random) -> tuple[NatKind, NatKind]:
    """Blocks whose NATs forget in 30 s."""
    kind = replace(block(1_024), idle_s=30.0)
    return kind, kind


K_STEPS = tuple(step for size in range(3, 31) for step in (size, -size))
_COUNTED = Wanted(0.98, p95_s=2.0)
SEQUENTIAL = (
    ProbeCell("sequential +1 × port-restricted, 0–20 strangers' flows/s", beside_strict(1), _COUNTED),
    ProbeCell("sequential +2 × port-restricted, 0–20 strangers' flows/s", beside_strict(2), _COUNTED),
    ProbeCell("sequential −1 × port-restricted, 0–20 strangers' flows/s", beside_strict(-1), _COUNTED),
    ProbeCell("sequential ±3…±30 × port-restricted, 0–20 strangers' flows/s", beside_strict(*K_STEPS), _COUNTED),
    ProbeCell(
        "sequential, parity kept × port-restricted, 0–20 strangers' flows/s",
        beside_strict(1, kind="symmetric-sequential-parity"),
        _COUNTED,
    ),
)
BOTH_SEQUENTIAL = ProbeCell(
    "sequential × sequential (+1, +2, −1), 5 strangers' flows/s each",
    lambda rng: (counted(rng, (1, 2, -1), 5), counted(rng, (1, 2, -1), 5)),
    Wanted(0.95, p95_s=4.0),
)
RANDOM = ProbeCell(
    "random × port-restricted",
    lambda rng: (KINDS["symmetric-random"], STRICT),
    Wanted(0.99, p95_s=8.0, median_s=2.0),
)
BLOCKS = tuple(
    ProbeCell(
        f"block of {ports:,} × port-restricted",
        lambda rng, ports=ports: (block(ports), STRICT),  # type: ignore[misc]
        Wanted(0.99, p95_s=4.0),
    )
    for ports in (512, 1_024, 2_048, 4_096)
)
PINNED = ProbeCell(
    "address-dependent sequential × random, 0–5 strangers' flows/s",
    lambda rng: (counted(rng, (1, 2, -1), rng.uniform(0, 5), "adm-sequential-strict"), KINDS["symmetric-random"]),
    Wanted(0.97, p95_s=10.0),
    followed_s=20.0,
)
BOTH_BLOCKS = ProbeCell(
    "block × block (1,024), opted in, mappings live 30 s",
    forgetful_blocks,
    Wanted(0.97),
    followed_s=300.0,
    try_harder=True,
)
BOTH_RANDOM = ProbeCell(
    "random × random", lambda rng: (KINDS["symmetric-random"], KINDS["symmetric-random"]), Wanted(0.0)
)
BOTH_CONES = ProbeCell("cone × cone", lambda rng: (KINDS[rng.choice(CONES)], KINDS[rng.choice(CONES)]), Wanted(0.995))
CELLS = {
    cell.name: cell
    for cell in (*SEQUENTIAL, BOTH_SEQUENTIAL, RANDOM, *BLOCKS, PINNED, BOTH_BLOCKS, BOTH_RANDOM, BOTH_CONES)
}


@dataclass(frozen=True, slots=True)
class ProbeSideResult:
    """One end: packets of all kinds, of which ``to_peer`` had the peer's public host for destination; the most
    sockets at one time, ``tried`` ports (remote ports or own sockets), the most packets of any second."""

    packets: int
    to_peer: int
    sockets: int
    tried: int
    busiest_second: int


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Seconds since the answer until both had the same path, or until both had given up their first attempt."""

    direct_s: float | None
    decided_s: float | None
    via: str
    sides: tuple[ProbeSideResult, ProbeSideResult]


def call(cell: ProbeCell, seed: int, phases: tuple[TechniqueSpec, ...] = TECHNIQUES) -> tuple[TraversalRun, float]:
    """One call, not yet answered; and when its people chose to answer. The same seed is the same distance, jitter,
    loss and relay in every cell."""
    rng = random.Random(seed)
    one, other = cell.draw(rng)
    if seed % 2:
        one, other = other, one
    rng = random.Random(~seed)
    wire = WireSpec(delay_ms=rng.uniform(2.5, 62.5), jitter_ms=rng.uniform(0, 10), loss=rng.uniform(0, 0.01))
    sides = (Side(nats=(one,), up=wire, down=wire), Side(nats=(other,), up=wire, down=wire))
    run = TraversalRun(
        Scenario(name=cell.name, sides=sides),
        seed,
        relay_s=rng.choice((0.0, 0.02, 0.1)),
        knows_rtt=rng.random() < 0.8,
        stun_endpoints=STUN_ENDPOINTS,
        profiled_s=PROFILED_S,
        life_tested=cell.try_harder,
        try_harder=cell.try_harder,
        phases=phases,
    )
    return run, run.answer(RING_S)


def follow(run: TraversalRun, seconds: float) -> None:
    """Until both are direct or settled on the relay, or for so long, and a little more."""
    settled = (State.SETTLED, State.STOPPED)
    run.clock.run(seconds, lambda: run.is_direct or all(side.agent.state in settled for side in run.sides))
    run.clock.run(AFTERWARDS_S)


def simulate(cell: ProbeCell, seed: int, phases: tuple[TechniqueSpec, ...] = TECHNIQUES) -> ProbeResult:
    """One call, to its end."""
    run, answered_at = call(cell, seed, phases)
    follow(run, cell.followed_s)
    return result(run, answered_at)


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


def peer_host(run: TraversalRun, side: int) -> str:
    """The other side's public address; its own where only a firewall stands in front of it."""
    other = run.world.sides[1 - side]
    return next(iter(other.gateways[-1].nat.addresses), other.host.ip)


def result(run: TraversalRun, answered_at: float) -> ProbeResult:
    """What came of it so far."""
    direct = max(side.log.direct_at or 0.0 for side in run.sides) if is_one_path(run) else None
    ends = [end for end in map(given_up_at, run.sides) if end is not None]
    decided = max(ends) if direct is None and len(ends) == len(run.sides) else None
    one, other = (
        ProbeSideResult(
            packets=len(side.log.sent),
            to_peer=sum(sent.destination[0] == peer_host(run, number) for sent in side.log.sent),
            sockets=side.log.most_open,
            tried=sum(status.tried for status in side.agent.phases()),
            busiest_second=side.log.busiest_second(),
        )
        for number, side in enumerate(run.sides)
    )
    return ProbeResult(
        None if direct is None else direct - answered_at,
        None if decided is None else decided - answered_at,
        run.caller.log.found[-1][1].via if direct is not None else "",
        (one, other),
    )
