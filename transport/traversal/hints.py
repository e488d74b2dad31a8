"""What earlier calls between the same two networks have shown (pure): for what to begin with, and when to stop.

A hint is no more than that: networks change behind their addresses. It may change the order and the patience of a
ladder, and never what a ladder holds for true.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hints:
    """``first``: the name of the phase that brought the last direct path, which came ``after_s`` seconds after the
    answer; ``None``: nothing ever did. ``hopeless_until`` (the ladder's clock): so often in a row nothing did that
    until then one climb is enough."""

    first: str | None = None
    after_s: float | None = None
    hopeless_until: float | None = None


Recall = Callable[[str, str], Hints]
"""From our address and the peer's, as servers see them. Asked as soon as both are known."""
