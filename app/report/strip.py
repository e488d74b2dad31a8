"""Which path carried the call when, and what happened to it: what the window draws, read from the recorded events."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from app.model.terms import PathKind, PhaseName, PhaseOutcome
from app.report import trace

# The strip of a day-long call with a bad network stays readable; the oldest go first.
MAX_STRIP = 200
STARTED_ANEW = "started anew"
"""The reason of a phase that ended because another one of its name began."""


@dataclass(frozen=True, slots=True)
class Span:
    """This kind of path carried the call from ``start`` to ``end`` (``None``: still)."""

    kind: PathKind
    via: str
    start: float
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened to the paths, or the ``outcome`` that a ``phase`` of the traversal has come to."""

    at: float
    kind: Literal["swap", "failover", "network", "lost", "back", "phase"]
    phase: PhaseName | None = None
    outcome: PhaseOutcome | None = None


@dataclass(slots=True)
class Strip:
    """Times are those of the clock that the recorder was given."""

    spans: list[Span] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    lost_since: float | None = None

    @property
    def current(self) -> PathKind | None:
        """The kind of path in use."""
        return self.spans[-1].kind if self.spans else None


def strip_of(events: Iterable[trace.Event], placed: float) -> Strip:
    """From what was recorded; ``placed`` in seconds of the clock that the strip shall have."""
    strip = Strip()
    outcomes: dict[str, str] = {}
    for event in events:
        at = event.at + placed
        match event:
            case trace.PathBecame(kind=kind, via=via, state="active") if kind != strip.current:
                if strip.current is not None:
                    strip.marks.append(Mark(at, "swap" if kind == "direct" else "failover"))
                _end_span(strip, at)
                strip.spans.append(Span(kind, via, at))
            case trace.Connection(is_there=is_there):
                strip.lost_since = None if is_there else at
                strip.marks.append(Mark(at, "back" if is_there else "lost"))
            case trace.AddressesChanged():
                strip.marks.append(Mark(at, "network"))
            case trace.PhaseBecame(name=name, outcome=outcome):
                before = outcomes.get(name, "waiting")
                outcomes[name] = outcome
                is_turn = outcome in ("trying", "won", "failed") or (outcome, before) == ("cancelled", "trying")
                if is_turn and outcome != before and event.reason != STARTED_ANEW:
                    strip.marks.append(Mark(at, "phase", name, outcome))
            case trace.CallBecame(phase="ended"):
                _end_span(strip, at)
                break
    del strip.spans[:-MAX_STRIP], strip.marks[:-MAX_STRIP]
    return strip


def _end_span(strip: Strip, at: float) -> None:
    if strip.spans and strip.spans[-1].end is None:
        strip.spans[-1] = replace(strip.spans[-1], end=at)
