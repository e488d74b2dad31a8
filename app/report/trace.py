"""The trace of one call: its report, what happened when, and its figures second by second. Version 1.

For whoever wants to know why a call went the way it did. :func:`app.report.redact.redacted_trace` takes addresses and
names out, so that strangers may see it, and is what everybody gets who does not ask for them. It never holds
credentials or sound. Times are seconds since the call was placed or received. ``docs/trace.schema.json`` is made from
these structs by :mod:`app.report.schema`; a field that is renamed, removed or changes its meaning needs a new version.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from app.model.terms import CallPhase, PathKind, PhaseName, PhaseOutcome
from app.report.report import CallReport, Count, Milliseconds, NatReport, Seconds, Share, Via, Whose

TRACE_VERSION: Literal[1] = 1

Kilobits = Annotated[float, Meta(ge=0)]
PathState = Literal["candidate", "validating", "standby", "active", "suspect", "dead"]
CandidateKind = Literal["host", "server-reflexive", "mapped"]


class Happened(Struct, frozen=True, tag_field="what"):
    """The beginning of every event."""

    at: Seconds


class CallBecame(Happened, frozen=True, tag="call"):
    """The call is in another state."""

    phase: CallPhase


class PathBecame(Happened, frozen=True, tag="path"):
    """A path is in another state. ``remote`` is empty when the trace is without addresses and nothing stands for it."""

    kind: PathKind
    via: Via
    state: PathState
    remote: str = ""


class Swapped(Happened, frozen=True, tag="swap"):
    """Another path carries the call from now on."""

    to: PathKind


class Connection(Happened, frozen=True, tag="connection"):
    """No path carries the call any more, or one does again."""

    is_there: bool


class PhaseBecame(Happened, frozen=True, tag="phase"):
    """A phase of the traversal began, ended, or came to another round. ``reason`` is a code."""

    name: PhaseName
    outcome: PhaseOutcome
    reason: str = ""
    packets: Count = 0
    sockets: Count = 0
    rounds: Count = 0
    tried: Count = 0
    of: Count = 0


class NatKnown(Happened, frozen=True, tag="nat"):
    """What is now known of a side's NAT."""

    whose: Whose
    nat: NatReport


class CandidatesExchanged(Happened, frozen=True, tag="candidates"):
    """A side sent the other its candidates: how many of each kind."""

    whose: Whose
    round: Count
    kinds: dict[CandidateKind, Count]


class AddressesChanged(Happened, frozen=True, tag="network"):
    """The machine's interfaces changed; it has so many addresses now."""

    addresses: Count


Event = (
    CallBecame | PathBecame | Swapped | Connection | PhaseBecame | NatKnown | CandidatesExchanged | AddressesChanged
)  # fmt: skip


class PathSecond(Struct, frozen=True):
    """One path at one moment. Packets are counted since the path came to be."""

    kind: PathKind
    via: Via
    state: PathState
    rtt_ms: Milliseconds | None = None
    loss: Share | None = None
    jitter_ms: Milliseconds | None = None
    packets_sent: Count = 0
    packets_received: Count = 0


class Second(Struct, frozen=True):
    """The figures at one moment of talk. ``concealed_ms`` counts since the answer."""

    at: Seconds
    rtt_ms: Milliseconds | None
    loss: Share
    remote_loss: Share | None
    jitter_ms: Milliseconds
    playout_delay_ms: Milliseconds
    sent_kbps: Kilobits
    received_kbps: Kilobits
    concealed_ms: Milliseconds
    paths: tuple[PathSecond, ...]


class CallTrace(Struct, frozen=True):
    """Everything. ``has_addresses``: nothing was taken out. ``events_dropped``: from the middle of ``events``, when
    there were too many. ``seconds`` grow sparser with the length of the call; each says when it was."""

    version: Literal[1]
    has_addresses: bool
    report: CallReport
    events: tuple[Event, ...] = ()
    events_dropped: Count = 0
    seconds: tuple[Second, ...] = ()


def encode_trace(trace: CallTrace) -> bytes:
    """JSON with a line for each event and second, and a line end."""
    whole = msgspec.to_builtins(trace)
    rows = {name: [msgspec.json.encode(row).decode() for row in whole.pop(name)] for name in ("events", "seconds")}
    parts = [f'"{name}": {msgspec.json.encode(value).decode()}' for name, value in whole.items()]
    for name, lines in rows.items():
        parts.append(f'"{name}": [\n' + ",\n".join(lines) + "\n]" if lines else f'"{name}": []')
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()
