"""The report of one call (DESIGN §10): what was tried, what carried the voice, and how well. Version 2.

Version 2 has the phase "blocks", phases that overlap, and what they count (``tried``, ``of``).

Times are seconds since the call was placed or received. ``docs/report.schema.json`` is made from these structs by
:mod:`app.report.schema`; a field that is renamed, removed or changes its meaning needs a new version.
"""

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from app.model.terms import CallOutcome, PathKind, PhaseName
from transport.nat.profile import Mapping, NatProfile
from transport.path.stats import PathVia

REPORT_VERSION: Literal[2] = 2

Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]
Milliseconds = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Port = Annotated[int, Meta(ge=0, lt=65_536)]

Role = Literal["caller", "callee"]
Via = PathVia
Whose = Literal["local", "remote"]
PhaseResult = Literal["won", "failed", "skipped", "cancelled"]
NatBehaviour = Literal["endpoint-independent", "address-dependent", "address-and-port-dependent", "unknown"]
PortAllocation = Literal["preserving", "sequential", "random", "block", "unknown"]

StructT = TypeVar("StructT", bound=Struct)


class Times(Struct, frozen=True):
    """When what happened; ``null``: it did not. ``direct``: the first direct path carried the call."""

    placed: Seconds = 0.0
    ringing: Seconds | None = None
    answered: Seconds | None = None
    first_audio_sent: Seconds | None = None
    first_audio_played: Seconds | None = None
    direct: Seconds | None = None
    ended: Seconds | None = None


class NatReport(Struct, frozen=True):
    """One side's NAT in the words of RFC 4787. ``delta``: step of sequential ports; ``block``: first and last port;
    ``address``: as seen from outside; ``evidence``: what each verdict rests on; ``unknowns``: what is not known."""

    mapping: NatBehaviour = "unknown"
    filtering: NatBehaviour = "unknown"
    allocation: PortAllocation = "unknown"
    delta: int | None = None
    block: tuple[Port, Port] | None = None
    address: str = ""
    evidence: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ()


class Nats(Struct, frozen=True):
    """Both sides; ``null``: no profile was made, or none was received."""

    local: NatReport | None = None
    remote: NatReport | None = None


class PhaseReport(Struct, frozen=True):
    """One phase of the traversal; phases may overlap. ``ended`` and ``outcome`` are ``null`` while it runs.

    ``tried`` ``of`` so many ports: the predicted ones; of a birthday or block search the remote ports tried
    on the side that searches, and its own sockets on the side that is searched. Both are 0 where nothing is counted."""

    name: PhaseName
    started: Seconds
    ended: Seconds | None = None
    outcome: PhaseResult | None = None
    reason: str = ""
    packets: Count = 0
    sockets: Count = 0
    rounds: Count = 0
    tried: Count = 0
    of: Count = 0


class PathReport(Struct, frozen=True):
    """One stretch of time in which a path carried the call; stretches overlap while packets go on two paths."""

    kind: PathKind
    via: Via
    local: str
    remote: str
    active_from: Seconds
    active_to: Seconds | None = None
    rtt_ms: Milliseconds | None = None
    loss: Share | None = None


class DelaySummary(Struct, frozen=True):
    """Playout delay over the whole call."""

    p50: Milliseconds = 0.0
    p95: Milliseconds = 0.0
    max: Milliseconds = 0.0


class MediaReport(Struct, frozen=True):
    """What became of the frames (20 ms each) and samples (48 kHz) at this end."""

    frames_sent: Count = 0
    frames_received: Count = 0
    frames_lost: Count = 0
    frames_late: Count = 0
    frames_duplicate: Count = 0
    samples_played: Count = 0
    samples_concealed: Count = 0
    samples_stretched: Count = 0
    samples_skipped: Count = 0
    """Received, and given up unplayed to catch up after a stall."""
    underruns: Count = 0
    overruns: Count = 0
    playout_delay_ms: DelaySummary = DelaySummary()


class CallReport(Struct, frozen=True):
    """Everything about one call, as this end saw it."""

    version: Literal[2]
    call_id: str
    role: Role
    peer: str
    outcome: CallOutcome | None = None
    """``null`` while the call goes on."""
    reason: str = ""
    times: Times = Times()
    nat: Nats = Nats()
    phases: tuple[PhaseReport, ...] = ()
    paths: tuple[PathReport, ...] = ()
    media: MediaReport = MediaReport()


def copied(struct: type[StructT], source: object, **own: Any) -> StructT:
    """A ``struct`` with the fields of the same name of ``source``, apart from its ``own``.

    Copied figures get three decimals: a microsecond, a tenth of a percent; the rest only takes room. Raises
    :class:`AttributeError` when ``source`` lacks a field."""
    for name in struct.__struct_fields__:
        if name not in own:
            value = getattr(source, name)
            own[name] = round(value, 3) if isinstance(value, float) else value
    return struct(**own)


def media_report(stats: Any) -> MediaReport:
    """The media block from what has its fields, and ``playout_delay_ms`` with those of :class:`DelaySummary`."""
    return copied(MediaReport, stats, playout_delay_ms=copied(DelaySummary, stats.playout_delay_ms))


def nat_report(profile: NatProfile) -> NatReport:
    """One side's network."""
    none = profile.mapping is Mapping.NONE
    return copied(
        NatReport,
        profile,
        mapping="endpoint-independent" if none else profile.mapping.value,
        filtering=profile.filtering.value,
        allocation="preserving" if none else profile.allocation.value,
        delta=profile.delta or None,
        block=profile.block if profile.block is not None and profile.block[0] > 0 else None,
        address=profile.reflexive[0] if profile.reflexive is not None else "",
    )


def address_text(address: tuple[str, int] | None) -> str:
    """``host:port``, an IPv6 host in brackets; empty when there is none."""
    if address is None:
        return ""
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def encode_report(report: CallReport) -> bytes:
    """Indented JSON with a line end."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
