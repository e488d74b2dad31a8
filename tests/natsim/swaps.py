"""Swaps under every condition, and what became of each frame: the verdict that tests and the benchmark share."""

import random
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise

from tests.natsim.two_paths import INVENTED, Frame, TwoPaths, Voice
from tests.natsim.wire import Bernoulli, GilbertElliott, LossModel, Wire

# What the jitter buffer covers from the first frame on (media.jitter: 55 ms less a frame). More is audible anyway.
MAX_JITTER_S = 0.02


@dataclass(frozen=True, slots=True)
class Condition:
    """One call. Delays one way; ``dies`` is how long after its first trial begins the new path is cut, ``apart_s`` how
    much later the callee finds it."""

    seed: int
    relay_s: float
    direct_s: float
    relay_jitter_s: float = 0.0
    direct_jitter_s: float = 0.0
    relay_loss: float = 0.0
    direct_loss: float = 0.0
    bursts: bool = False
    apart_s: float = 0.0
    dies_s: float | None = None
    died_ways: tuple[int, ...] = (0, 1)


def draw(seed: int) -> Condition:
    """The condition with this number: a third of all without loss, a quarter with a path that dies,
    and a quarter with any direct path, in the others it is the faster one."""
    rng = random.Random(seed)
    lossy = rng.random() < 2 / 3
    relay_s = rng.uniform(0.010, 0.250)
    return Condition(
        seed=seed,
        relay_s=relay_s,
        direct_s=rng.uniform(0.001, relay_s if rng.random() < 0.75 else 0.250),
        relay_jitter_s=rng.choice((0.0, rng.uniform(0, MAX_JITTER_S))),
        direct_jitter_s=rng.choice((0.0, rng.uniform(0, MAX_JITTER_S))),
        relay_loss=rng.choice((0.0, rng.uniform(0, 0.2))) if lossy else 0.0,
        direct_loss=rng.choice((0.0, rng.uniform(0, 0.2))) if lossy else 0.0,
        bursts=rng.random() < 0.5,
        apart_s=rng.choice((0.0, 0.0, rng.uniform(0, 0.3))),
        dies_s=rng.uniform(0.0, 0.9) if rng.random() < 0.25 else None,
        died_ways=rng.choice(((0, 1), (0,), (1,))),
    )


def _loss(share: float, *, bursts: bool) -> LossModel:
    if not share or not bursts:
        return Bernoulli(share)
    # Bursts of two and a half packets.
    return GilbertElliott(0.4 * share / (1 - share), 0.4)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened, both directions together. The first six must be 0 whatever the condition."""

    lost: int
    """Frames of which no packet came though no wire's loss has taken any: never sent, or on a dead path alone."""
    doubled: int
    """Deliveries of a frame beyond its first."""
    undelivered: int
    """Frames of which a packet came, and that the link did not deliver."""
    disordered: int
    """Frames played out of order."""
    unplayed: int
    """Frames that came by the path that was in use when they were sent, and were not played."""
    unexplained: int
    """20 ms of voice made up in a call in which no wire has taken any packet."""
    swaps: int
    network_lost: int
    """Frames that the network's own loss explains."""
    late: int
    """Frames that the path in use has lost, and that came too late: sent again, or by the slower path's copy."""
    concealed: int


FAULTS = ("lost", "doubled", "undelivered", "disordered", "unplayed", "unexplained")


def settle(voice: Voice) -> Outcome:
    """Account for every frame of one direction."""
    never = [frame for frame in voice.frames if not frame.came]
    network_lost = sum(frame.lost_by_network > 0 for frame in never)
    played = voice.played
    arrived = voice.arrived
    # A frame that the path in use has lost may yet come too late: sent again, or by a slower path that carries copies.
    missing = [number for number in set(arrived) - set(played) if _was_in_time(voice.frames[number])]
    return Outcome(
        lost=len(never) - network_lost,
        doubled=sum(count - 1 for count in voice.delivered.values()),
        undelivered=sum(number not in voice.delivered for number in arrived),
        disordered=sum(after <= before for before, after in pairwise(played)),
        unplayed=len(missing),
        unexplained=0,
        swaps=0,
        network_lost=network_lost,
        late=len(set(arrived) - set(played)) - len(missing),
        concealed=voice.output.count(INVENTED),
    )


def _was_in_time(frame: Frame) -> bool:
    """Whether it came by the path that was in use when it was sent, in the first place: no wire has taken it then, and
    there is no reason to play anything else in its stead."""
    return not frame.sent_again and any(path == frame.copies[0] for _, path in frame.came)


def run(condition: Condition, seconds: float = 1.0) -> tuple[TwoPaths, Outcome]:
    """One call: half a second on the relay, then the direct path appears."""

    def relay() -> Wire:
        loss = _loss(condition.relay_loss, bursts=condition.bursts)
        return Wire(condition.relay_s, condition.relay_jitter_s, loss)

    def direct() -> Wire:
        loss = _loss(condition.direct_loss, bursts=condition.bursts)
        return Wire(condition.direct_s, condition.direct_jitter_s, loss)

    # The handshake is not what is tried here: loss begins with the talk.
    rig = TwoPaths(condition.seed, relay=lambda: Wire(condition.relay_s), direct=direct).connect()
    for side in rig.sides:
        side.driver.host.down = relay()
    rig.talk().run(0.5 + 2 * condition.relay_s)
    rig.find(condition.apart_s)
    if condition.dies_s is not None:
        rig.run(condition.dies_s + 4 * condition.relay_s)
        rig.cut(ways=condition.died_ways)
    lossy = condition.relay_loss or condition.direct_loss
    rig.run(seconds + condition.apart_s + 4 * condition.relay_s + (1.5 if lossy else 0))
    rig.finish()
    total = Counter[str]()
    for outcome in map(settle, rig.voices):
        for name in Outcome.__slots__:
            total[name] += getattr(outcome, name)
    wires = [interface.down for side in rig.sides for interface in side.driver.host.interfaces]
    calm = not any(wire.lost or wire.swallowed for wire in wires)
    return rig, replace(
        Outcome(**{name: total[name] for name in Outcome.__slots__}),
        swaps=sum(rig.swaps(number) for number in (0, 1)),
        unexplained=total["concealed"] if calm else 0,
    )


def faults(outcome: Outcome) -> dict[str, int]:
    """What must not be; empty when all is well."""
    wrong = {name: getattr(outcome, name) for name in FAULTS}
    return {name: count for name, count in wrong.items() if count}
