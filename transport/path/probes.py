"""Echo requests on the paths: they keep traffic flowing, and measure the round trip of each path end to end (pure).

A request travels by one path alone and its answer by the path that the request came by, so that what is measured,
and what its number stands for in a report of the peer, is never in doubt.
"""

from collections.abc import Mapping
from typing import Any

from transport.wire.datagrams import EchoRequest

# On the path in use something goes each way at least this often, so that silence means something.
KEEPALIVE_S = 0.1
# The round-trip time is measured a few times a second, also while media alone keeps traffic flowing.
ECHO_EVERY_S = 0.25
# Requests waiting for an answer: 3 s of them at the pace of a call, longer than any round trip that carries a voice.
MAX_OUTSTANDING = 64
# Numbers that a report of the peer may still name.
MAX_NUMBERS = 256


class Echoes:
    """When to send a request by which path, and how long each answer took. Before :meth:`start` nothing is due."""

    __slots__ = ("_asked_at", "_numbers", "_outstanding", "_sent_at", "_sequence", "_started")

    def __init__(self) -> None:
        self._started = False
        self._sequence = 0
        self._asked_at: dict[int | None, float] = {}
        self._sent_at = 0.0
        self._outstanding: dict[int, tuple[int | None, float]] = {}
        self._numbers: dict[int, int | None] = {}

    def start(self, now: float) -> None:
        """From now on the peer expects traffic; the first request is due at once."""
        self._started = True
        self._asked_at.clear()
        self._sent_at = now - KEEPALIVE_S

    def stop(self) -> None:
        """Nothing is due any more."""
        self._started = False

    def sent(self, now: float) -> None:
        """Something else has just been sent to the peer, on the path in use."""
        self._sent_at = now

    def forget(self, path: int) -> None:
        """The path is no more."""
        self._asked_at.pop(path, None)

    def next_deadline(self, paces: Mapping[int, float], main: int | None) -> float | None:
        """When the next request is due. ``paces``: seconds between requests by path; ``main`` is the path in use."""
        if not self._started:
            return None
        return min([self._main_due(paces, main), *(self._due(path, pace) for path, pace in paces.items())])

    def due(self, paces: Mapping[int, float], main: int | None, now: float) -> list[int | None]:
        """The paths by which a request is to be sent at ``now``."""
        if not self._started:
            return []
        out: list[int | None] = [path for path, pace in paces.items() if path != main and now >= self._due(path, pace)]
        if now >= self._main_due(paces, main):
            out.insert(0, main)
        return out

    def request(self, path: int | None, main: bool, now: float) -> EchoRequest:
        """Make the next request, to be sent at once by ``path``, which is the one in use or not."""
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        self._asked_at[path] = now
        if main:
            self._sent_at = now
        _bounded(self._outstanding, MAX_OUTSTANDING)
        self._outstanding[self._sequence] = (path, now)
        _bounded(self._numbers, MAX_NUMBERS)
        self._numbers[self._sequence] = path
        return EchoRequest(self._sequence)

    def answered(self, sequence: int, now: float) -> tuple[int | None, float] | None:
        """The path and the round-trip time in seconds, or None for an answer to nothing that was asked."""
        asked = self._outstanding.pop(sequence, None)
        return None if asked is None else (asked[0], now - asked[1])

    def path_of(self, sequence: int) -> int | None:
        """The path by which the request with this number was sent; None when it is unknown, or too long ago."""
        return self._numbers.get(sequence)

    def _main_due(self, paces: Mapping[int, float], main: int | None) -> float:
        pace = ECHO_EVERY_S if main is None else paces.get(main, ECHO_EVERY_S)
        return min(self._sent_at + KEEPALIVE_S, self._due(main, pace))

    def _due(self, path: int | None, pace: float) -> float:
        asked = self._asked_at.get(path)
        # A path that has just become known is measured soon.
        return self._sent_at if asked is None else asked + pace


def _bounded(memory: dict[int, Any], size: int) -> None:
    if len(memory) >= size:
        del memory[next(iter(memory))]
