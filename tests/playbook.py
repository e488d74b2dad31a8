"""Tests of machines that read like protocol traces, after mitmproxy's playbook.

::

    assert call >> ev.RemoteRings() << ev.PlayTone("ring-back") >> ACCEPT << ev.StopTone() << ev.StartAudio()

``>>`` gives the machine an event, and ``<<`` expects its next command: equal to a value, or of a class. ``~call``
stands for "and whatever else comes". Every command must have been expected before the next event, and at the end of
the trace.
"""

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

M = TypeVar("M", bound="Machine")


class Machine(Protocol):
    """What every machine of the product has."""

    def handle(self, event: Any, now: float) -> Sequence[Any]: ...

    def next_deadline(self) -> float | None: ...


class Playbook(Generic[M]):
    """One machine, its clock, and the trace so far, which every failure shows."""

    def __init__(self, machine: M, timer: object = None, now: float = 0.0) -> None:
        """``timer`` is the event that the machine is given at its deadlines."""
        self.machine = machine
        self.now = now
        self._timer = timer
        self._pending: list[Any] = []
        self._trace: list[str] = []

    def __rshift__(self, event: object) -> "Playbook[M]":
        self._check_nothing_pending()
        self._trace.append(f"{self.now:9.3f} >> {event}")
        self._pending = list(self.machine.handle(event, self.now))
        return self

    def __lshift__(self, expected: object) -> "Playbook[M]":
        assert self._pending, self._failure(f"nothing came, but expected was {expected}")
        command = self._pending.pop(0)
        fits = isinstance(command, expected) if isinstance(expected, type) else command == expected
        assert fits, self._failure(f"{command} came, but expected was {expected}")
        self._trace.append(f"          << {command}")
        return self

    def __invert__(self) -> "Playbook[M]":
        """Whatever else comes is of no interest."""
        self._trace += [f"          << {command} (not looked at)" for command in self._pending]
        self._pending = []
        return self

    def __bool__(self) -> bool:
        self._check_nothing_pending()
        return True

    def at(self, now: float) -> "Playbook[M]":
        """The time is ``now``; timers that are due before that go off on their time, and say nothing."""
        self._check_nothing_pending()
        while (due := self.machine.next_deadline()) is not None and due < now:
            self.now = max(self.now, due)
            assert self >> self._timer
            assert self.machine.next_deadline() != due, self._failure("a deadline that stays ends nothing")
        self.now = now
        return self

    def timer(self) -> "Playbook[M]":
        """The time of the next deadline has come."""
        due = self.machine.next_deadline()
        assert due is not None, self._failure("no timer runs")
        self.now = max(self.now, due)
        return self >> self._timer

    def _check_nothing_pending(self) -> None:
        assert not self._pending, self._failure(f"not expected: {', '.join(map(str, self._pending))}")

    def _failure(self, what: str) -> str:
        return "\n".join([what, *self._trace])
