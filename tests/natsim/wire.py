"""What a stretch of network does to packets: delay, jitter, loss, doubling."""

import random
from dataclasses import dataclass, field
from typing import Protocol


class LossModel(Protocol):
    """Decides for each packet in turn whether it is lost."""

    def lost(self, rng: random.Random) -> bool: ...


@dataclass(slots=True)
class Bernoulli:
    """Every packet is lost with the same probability."""

    probability: float = 0.0

    def lost(self, rng: random.Random) -> bool:
        return self.probability > 0 and rng.random() < self.probability


@dataclass(slots=True)
class GilbertElliott:
    """Two states with a loss probability each: bursts (Gilbert 1960, Elliott 1963)."""

    good_to_bad: float
    bad_to_good: float
    loss_in_good: float = 0.0
    loss_in_bad: float = 1.0
    bad: bool = False

    @property
    def mean(self) -> float:
        """The share of packets lost in the long run."""
        bad = self.good_to_bad / (self.good_to_bad + self.bad_to_good)
        return bad * self.loss_in_bad + (1 - bad) * self.loss_in_good

    def lost(self, rng: random.Random) -> bool:
        if rng.random() < (self.bad_to_good if self.bad else self.good_to_bad):
            self.bad = not self.bad
        return rng.random() < (self.loss_in_bad if self.bad else self.loss_in_good)


@dataclass(slots=True)
class Wire:
    """One direction. Times in seconds; ``jitter`` is added uniformly from 0, so packets may overtake each other
    unless ``ordered``."""

    delay: float = 0.01
    jitter: float = 0.0
    loss: LossModel = field(default_factory=Bernoulli)
    duplicate: float = 0.0
    ordered: bool = False
    cut: bool = False
    swallowed: int = 0
    """Packets that came while it was cut."""
    lost: int = 0
    """Packets that the loss has taken."""
    _latest: float = field(default=0.0, repr=False)
    _entered: float = field(default=-1.0, repr=False)

    def arrivals(self, now: float, rng: random.Random) -> list[float]:
        """When a packet sent at ``now`` arrives: never, once, or twice."""
        if self.cut:
            self.swallowed += 1
            return []
        if self.loss.lost(rng):
            self.lost += 1
            return []
        times = 2 if self.duplicate and rng.random() < self.duplicate else 1
        return [self._arrival(now, rng) for _ in range(times)]

    def _arrival(self, now: float, rng: random.Random) -> float:
        if self.ordered and self._entered == now:
            return self._latest  # one queue: what enters together waits together
        self._entered = now
        when = now + self.delay + (rng.random() * self.jitter if self.jitter else 0.0)
        if self.ordered:
            when = self._latest = max(when, self._latest)
        return when


@dataclass(frozen=True, slots=True, kw_only=True)
class WireSpec:
    """One direction of an access, as a scenario says it.

    ``loss`` is a share, ``burst`` the mean number of packets lost in a row.
    """

    delay_ms: float = 10.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    burst: float = 1.0
    duplicate: float = 0.0

    def __post_init__(self) -> None:
        if min(self.delay_ms, self.jitter_ms) < 0 or not 0 <= self.loss < 1 or self.burst < 1:
            raise ValueError("delay and jitter from 0, loss from 0 to under 1, burst from 1")

    def wire(self) -> Wire:
        """A fresh wire as described."""
        loss = Bernoulli(self.loss)
        wire = Wire(self.delay_ms / 1000, self.jitter_ms / 1000, loss, self.duplicate)
        if self.loss and self.burst > 1:
            leaves = 1 / self.burst
            wire.loss = GilbertElliott(leaves * self.loss / (1 - self.loss), leaves)
        return wire
