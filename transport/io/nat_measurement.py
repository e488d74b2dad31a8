"""Asks STUN servers about our NAT from real sockets: what it maps and lets in, and how long it keeps a mapping."""

import itertools
from random import Random

from transport.ice.candidates import HostAddress
from transport.io.runner import run_to_result
from transport.nat.mapping_lifetime import (
    LifetimeMeasured,
    MappingLifetimeProbe,
    StartLifetimeProbe,
    StopLifetimeProbe,
)
from transport.nat.profile import NatProfile
from transport.nat.profiler import NatProfiler, ProfileMade, StartProfiling, StopProfiling
from transport.net.sockets import Address


async def measure_profile(
    stun: tuple[Address, ...], hosts: tuple[HostAddress, ...], rng: Random, *, online: bool
) -> NatProfile:
    """Ask the servers ``stun`` and judge their answers: some milliseconds when all answer, 4 s at the most.

    Arguments as for :class:`transport.nat.profiler.StartProfiling`. Cancelling it closes the socket.
    """
    machine = NatProfiler(itertools.count(1).__next__, rng)
    made = await run_to_result(machine, StartProfiling(stun, hosts, online), StopProfiling(), ProfileMade)
    return made.profile


async def measure_life(stun: tuple[Address, ...], rng: Random) -> float | None:
    """How long at most, in seconds, our NAT keeps an unused mapping; ``None`` where that is not known.

    Takes two minutes and a few packets. Cancelling it closes the sockets."""
    machine = MappingLifetimeProbe(itertools.count(1).__next__, rng)
    made = await run_to_result(machine, StartLifetimeProbe(stun), StopLifetimeProbe(), LifetimeMeasured)
    return made.life_s
