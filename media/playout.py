"""What the jitter buffer is configured with, what it says to play for each 20 ms, and what it counts (pure)."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class JitterConfig:
    """Delays are those of playout over the fastest packet's arrival."""

    start_delay_s: float = 0.055
    """Playing starts when this much is buffered, or when it should be: so long after the first frame was begun, which
    is one frame before it came. With both sound cards' periods, the ring and Opus's own 6.5 ms it keeps accept → first
    audio under one-way delay + 100 ms (tests/natsim/test_first_audio.py)."""
    floor_s: float = 0.040
    """Never shrink below two frames: sound cards ask for blocks of up to 40 ms at once."""
    max_delay_s: float = 0.500
    """Above half a second a conversation falls apart (ITU-T G.114: 400 ms one way), so later packets count as lost."""
    margin_s: float = 0.005
    """Beyond the measured variation: the engine's own wake-up lateness."""
    drain_above_s: float = 0.035
    """Shorten only when so far above the target: the phase of playout is good for one frame of 20 ms, and the first
    packets of a call find cold caches."""
    skip_above_s: float = 0.200
    """After a stall, skip when so much more than the target waits: less is gone within a second by shortening
    speech by a quarter. Without a stall nothing is ever skipped: a path that gets faster drains by 5 %."""
    max_packets: int = 100
    """2 s of voice; when more arrives at once the oldest are dropped and counted as overruns."""


class Tempo(Enum):
    """Which way to stretch, if a pitch period allows."""

    STEADY = "steady"
    FASTER = "faster"
    SLOWER = "slower"
    HURRY = "hurry"
    """As fast as can be understood, and quiet frames left out: after a stall."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing has arrived yet, or the peer has ended: play zeros."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Decode ``payload``; it arrived at ``arrived`` (clock of ``push``). ``joined``: what was before it is skipped."""

    payload: bytes
    arrived: float
    tempo: Tempo = Tempo.STEADY
    joined: bool = False


@dataclass(frozen=True, slots=True)
class Recover:
    """The frame is lost, but the next one is here: take the frame from its in-band FEC."""

    next_payload: bytes


@dataclass(frozen=True, slots=True)
class Conceal:
    """The frame is not here: ``stalled`` when nothing later is here either, so that it may still come."""

    stalled: bool


Playout = Silence | Frame | Recover | Conceal


@dataclass(frozen=True, slots=True)
class JitterStats:
    """Counted since the start. ``lost``: due at playout and never seen since; ``late``: came after its turn;
    ``stalls``: times the buffer ran empty in mid-call; ``restarts``: new time lines of the sender; ``strange``:
    packets that fit no time line; ``skipped``: frames that came and were given up to catch up after a stall. ``loss``
    is the share over the last second, ``jitter_s`` as in RFC 3550 §6.4.1 (what a stall held up left out)."""

    received: int
    lost: int
    late: int
    duplicate: int
    overruns: int
    stalls: int
    restarts: int
    strange: int
    skipped: int
    loss: float
    jitter_s: float
    target_s: float
    buffered_s: float
