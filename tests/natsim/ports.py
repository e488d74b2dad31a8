"""Which external port a NAT takes next (RFC 4787 §4.2), as far as the NAT's own rule goes: free or not is its table's.

Each rule yields candidates in its order of preference; the NAT takes the first that is free.
"""

import random
from collections.abc import Iterator
from typing import Protocol

# How often a random rule draws before it walks the range instead: at 90 % occupancy one in 850 walks.
RANDOM_DRAWS = 64


class PortRule(Protocol):
    """``inside`` is the host's own address and port, ``outside`` the external IP address that was chosen for it."""

    def candidates(self, inside: tuple[str, int], outside: str) -> Iterator[int]: ...


class Preserving:
    """The host's own port, and on conflict the next free one above it (RFC 4787 §4.2.1: no overloading)."""

    def __init__(self, first: int, last: int) -> None:
        self._first, self._span = first, last - first + 1

    def candidates(self, inside: tuple[str, int], outside: str) -> Iterator[int]:
        offset = inside[1] - self._first
        for step in range(self._span):
            yield self._first + (offset + step) % self._span


class PreservingElseRandom:
    """The host's own port, and on conflict any (Linux since 4.18 searches from a random offset)."""

    def __init__(self, first: int, last: int, rng: random.Random) -> None:
        self._first, self._last = first, last
        self._others = Uniform(first, last, rng)

    def candidates(self, inside: tuple[str, int], outside: str) -> Iterator[int]:
        if self._first <= inside[1] <= self._last:
            yield inside[1]
        yield from self._others.candidates(inside, outside)


class Sequential:
    """``delta`` from the newest port of anybody behind this NAT; used ones are skipped.

    With ``parity`` an even port stays even and an odd one odd (RFC 4787 §4.2.2): the nearest port further on that fits.
    """

    def __init__(self, first: int, last: int, delta: int, *, parity: bool, rng: random.Random) -> None:
        assert delta
        self._first, self._span, self._delta, self._parity = first, last - first + 1, delta, parity
        self.newest = rng.randint(first, last)

    def candidates(self, inside: tuple[str, int], outside: str) -> Iterator[int]:
        sign = 1 if self._delta > 0 else -1
        lap = max(1, self._span // abs(self._delta))
        port = self.newest
        for step in range(1, self._span + 1):
            # A step that divides the range would see only a part of it: shift by one each time around.
            port = self._wrapped(port + self._delta + (sign if step % lap == 0 else 0))
            if self._parity and (port ^ inside[1]) & 1:
                port = self._wrapped(port + sign)
            self.newest = port
            yield port

    def _wrapped(self, port: int) -> int:
        return self._first + (port - self._first) % self._span


class Uniform:
    """Any port, each as likely."""

    def __init__(self, first: int, last: int, rng: random.Random) -> None:
        self._first, self._span, self._rng = first, last - first + 1, rng

    def candidates(self, inside: tuple[str, int], outside: str) -> Iterator[int]:
        draw, span, first = self._rng.random, self._span, self._first
        for _ in range(RANDOM_DRAWS):
            yield first + int(draw() * span)
        start = int(draw() * span)
        for step in range(span):
            yield first + (start + step) % span


class InBlock:
    """Each subscriber (internal IP address) gets one block of ports for good, and any port in it."""

    def __init__(self, first: int, last: int, ports: int, rng: random.Random) -> None:
        self._first, self._ports, self._rng = first, ports, rng
        self._count = (last - first + 1) // ports
        assert self._count, "not one block fits"
        self._rules: dict[tuple[str, str], Uniform] = {}
        self._taken: set[tuple[str, int]] = set()

    def candidates(self, inside: tuple[str, int], outside: str) -> Iterator[int]:
        rule = self._rules.get((inside[0], outside))
        if rule is None:
            free = [number for number in range(self._count) if (outside, number) not in self._taken]
            if not free:
                return
            number = self._rng.choice(free)
            self._taken.add((outside, number))
            start = self._first + number * self._ports
            rule = self._rules[inside[0], outside] = Uniform(start, start + self._ports - 1, self._rng)
        yield from rule.candidates(inside, outside)
