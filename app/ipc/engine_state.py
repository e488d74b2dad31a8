"""What a window shows of the engine: the values inside :class:`app.ipc.messages.EngineState`, as codes and figures."""

from typing import Literal

from msgspec import field

from app.model.terms import (
    CallPhase,
    Frozen,
    KeyTrust,
    PathKind,
    PhaseName,
    PhaseOutcome,
    RelayProblem,
    Values,
)
from app.system.errors import FindingKind

# Each picture of the engine carries them all.
MAX_KNOWN_SHOWN = 20

Busy = Literal["", "registering", "starting-local-relay", "signing-off"]
RelayStatus = Literal["none", "connecting", "online", "offline", "refused"]


class Me(Frozen, frozen=True):
    """The user. ``address`` is empty until a name is registered; ``key`` is hex."""

    name: str = ""
    address: str = ""
    key: str = ""
    key_place: Literal["keyring", "file"] = "file"
    relay: RelayStatus = "none"
    relay_problem: RelayProblem | None = None
    relay_detail: str = ""
    """What the relay says of it."""
    relay_retry_s: float | None = None
    """When Segue tries again; ``None`` where it does not."""
    relay_rtt_ms: float | None = None
    local_trial: bool = False
    """Whether the relay is the private one of "just try it on this machine"."""


class Contact(Frozen, frozen=True):
    """Somebody in the list. ``key`` (hex) and ``safety_number`` are empty until their key is known."""

    address: str
    alias: str = ""
    online: bool | None = None
    blocked: bool = False
    trust: KeyTrust = "unknown"
    key: str = ""
    safety_number: str = ""
    last_call: float | None = None
    """Unix time in seconds."""

    @property
    def title(self) -> str:
        """How to call them in the window."""
        return self.alias or self.address.partition("@")[0]


class BlockedGuest(Frozen, frozen=True):
    """Somebody whose key (hex) is blocked, and the address that they gave as theirs."""

    key: str
    address: str


class AudioDevice(Frozen, frozen=True):
    """A microphone or speaker; ``device`` is stable while it is plugged in."""

    device: str
    name: str
    is_default: bool = False


class DeviceProblem(Frozen, frozen=True):
    """What is wrong with a microphone or speaker; ``device`` is its name, where there is one."""

    problem: Literal["none", "gone", "no-sound-system", "failed"]
    device: str = ""


class AudioState(Frozen, frozen=True):
    """The devices there are, and what is wrong with those in use."""

    inputs: tuple[AudioDevice, ...] = ()
    outputs: tuple[AudioDevice, ...] = ()
    input_problem: DeviceProblem | None = None
    output_problem: DeviceProblem | None = None
    recording_test: Literal["", "recording", "playing"] = ""


class NatSummary(Frozen, frozen=True):
    """One side's network. ``kind``: a value of :class:`transport.nat.profile.NatKind`; empty until it is known.

    What the verdict rests on: so many ``answers`` of ``servers`` saw so many ``ports`` from the lowest to the highest;
    ``notes``: the rest of the evidence, as the report has it."""

    kind: str = ""
    answers: int = 0
    servers: int = 0
    ports: int = 0
    port_range: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = ()


class CallFeasibility(Frozen, frozen=True):
    """What to expect of a call with somebody whose network is of the kind ``peer``. ``technique``: what a search would
    be."""

    peer: str
    chance: Literal["direct", "search", "maybe", "relay"]
    technique: Literal["", "prediction", "birthday", "blocks"] = ""


class KnownPair(Frozen, frozen=True):
    """What is remembered of calls between two networks, by their kinds, without their addresses."""

    ours: str
    theirs: str
    here: bool = False
    """Whether ours is the one that this machine is in now."""
    way: PhaseName | None = None
    """What brought the last direct path; ``None`` where nothing ever did."""
    seconds: float | None = None
    """From the answer to that path."""
    worked: int = 0
    failed: int = 0
    at: float = 0.0
    """The last call, in Unix seconds."""


class NetworkState(Frozen, frozen=True):
    """The user's own network while nobody calls. ``measured`` in Unix seconds."""

    nat: NatSummary = NatSummary()
    measured: float | None = None
    chances: tuple[CallFeasibility, ...] = ()
    mapping: PhaseOutcome | None = None
    """How the request to the router for a port stands; ``None`` where none is made."""
    mapping_reason: str = ""
    mapping_protocol: str = ""
    known: tuple[KnownPair, ...] = ()
    """The newest of what is remembered, newest first; :data:`MAX_KNOWN_SHOWN` at the most."""
    known_in_all: int = 0


class TraversalStep(Frozen, frozen=True):
    """One phase of the search for a direct path. Times are seconds since the answer. Phases may overlap."""

    name: PhaseName
    outcome: PhaseOutcome = "waiting"
    progress: float = 0.0
    started: float | None = None
    ended: float | None = None
    packets: int = 0
    sockets: int = 0
    reason: str = ""
    """A code of :data:`app.text.traversal.REASONS`."""
    tried: int = 0
    of: int = 0
    """So many ports have been tried of so many; 0 where there is nothing to count."""
    until: float | None = None
    """When it gives up by itself."""


class PathSpan(Frozen, frozen=True):
    """The call was carried by this path from ``start`` to ``end`` (None: still), in seconds since the answer."""

    kind: PathKind
    via: str
    start: float
    end: float | None = None


class PathMark(Frozen, frozen=True):
    """Something that happened to the paths, for the strip: a swap, a failover, a network change, reconnecting."""

    at: float
    kind: Literal["swap", "failover", "network", "lost", "back", "phase"]
    phase: PhaseName | None = None
    outcome: PhaseOutcome | None = None


class CallStatus(Frozen, frozen=True):
    """The call that is going on, or has just ended. Times are Unix seconds."""

    call_id: str
    phase: CallPhase
    outgoing: bool
    address: str
    title: str
    first_call: bool = False
    """Nobody of this key has called or been called before."""
    vouched: bool = True
    """False: ``address`` is only what a guest says; neither their relay nor their key shows that it is theirs."""
    trust: KeyTrust = "unknown"
    key: str = ""
    """Of the other side, hex; empty until it is known."""
    safety_number: str = ""
    blocked: bool = False
    """The other side may not ring any more."""
    placed: float = 0.0
    answered: float | None = None
    ended: float | None = None
    end_reason: str = ""
    """hung-up, declined, busy, no-answer, offline, unknown-name, failed, cancelled, key-changed …"""
    end_detail: str = ""
    """What the relay says of it."""
    muted: bool = False
    peer_muted: bool = False
    path: PathKind | None = None
    rtt_ms: float | None = None
    """Round trip on the path in use."""
    reconnecting_since: float | None = None
    spans: tuple[PathSpan, ...] = ()
    marks: tuple[PathMark, ...] = ()
    phases: tuple[TraversalStep, ...] = ()
    local_nat: NatSummary = NatSummary()
    remote_nat: NatSummary = NatSummary()


class Notice(Frozen, frozen=True):
    """Something the person should know once: shown until dismissed. ``number`` names it."""

    number: int
    kind: FindingKind
    code: str
    values: Values = field(default_factory=dict)
