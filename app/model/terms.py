"""Terms of a call that the whole program shares, and the base of the values that travel (pure)."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Text = Annotated[str, Meta(max_length=2_000)]

ShortText = Annotated[str, Meta(max_length=400)]

Values = dict[str, str | int]
"""What goes into a sentence of :mod:`app.text`, by the name of the place."""
DeviceSide = Literal["input", "output"]
RelayProblem = Literal[
    "unreachable", "wrong-pin", "untrusted", "version", "refused", "draining", "replaced", "no-local-relay"
]


class Frozen(Struct, frozen=True, omit_defaults=True):
    """A value inside a state."""


CallPhase = Literal[
    "calling",  # outgoing: looking the person up, inviting
    "ringing",  # outgoing: it rings there
    "incoming",  # incoming: it rings here
    "connecting",  # taken, end-to-end link not proven yet
    "talking",
    "reconnecting",  # talking, no path at the moment
    "ended",  # kept for a moment so that a person can read why
]

CallOutcome = Literal[
    "answered", "missed", "declined", "busy", "cancelled", "no-answer", "unreachable", "failed", "key-changed"
]

PathKind = Literal["relay", "direct"]

PhaseName = Literal["port_mapping", "punch", "prediction", "birthday", "blocks"]

PhaseOutcome = Literal["waiting", "trying", "won", "failed", "skipped", "cancelled"]

KeyTrust = Literal["unknown", "first-use", "verified", "changed"]
