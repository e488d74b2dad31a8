"""What the jitter buffer says: what to play for the next 20 ms, and what it has counted (pure)."""

from dataclasses import dataclass
from enum import Enum


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
    ``stalls``: times the buffer ran empty in mid-talk; ``restarts``: new time lines of the sender; ``strange``:
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
