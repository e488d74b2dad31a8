"""The shape of every deciding part of Segue: a state machine without I/O.

Time is an argument (seconds of any monotonic clock, the same one for all calls to one machine) and so is
randomness. A driver carries out the commands, feeds results back as events and arms one timer for
``next_deadline``; when it fires the driver calls ``handle`` with :class:`TimerFired`. The same machine
runs under the asyncio driver and under the virtual clock of ``tests/natsim``.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar

EventT = TypeVar("EventT", contravariant=True)
CommandT = TypeVar("CommandT")


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The deadline of the machine has come."""


class Machine(Protocol[EventT, CommandT]):
    """A pure state machine: no event in any state may raise, and no state may be without a way out."""

    def handle(self, event: EventT, now: float) -> "list[CommandT]":
        """Take one event at ``now`` seconds and return the commands that follow from it, in order."""
        ...

    def next_deadline(self) -> float | None:
        """The time, in the clock of ``handle``, at which a timer event is due; ``None`` when there is none."""
        ...
