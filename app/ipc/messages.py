"""What the engine and its windows say to each other, over a local socket, framed as msgpack documents.

A window sends commands; the engine sends one whole :class:`EngineState` after each change (small, frozen, never
patched, so that a window which connects late or was stopped for a while is right again after one message), and
:class:`CallSample` and :class:`Levels` many times a second while there is something to show. The engine never waits
for a window: a slow one is sent the newest state and skips the samples between (see :mod:`app.ipc.server`).
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from app.model.history import RecentCall
from app.model.settings import Settings
from app.model.terms import (
    CallPhase,
    Frozen,
    KeyTrust,
    PathKind,
    PhaseName,
    PhaseOutcome,
    RelayProblem,
    ShortText,
    Values,
)
from transport.wire.errors import WireError

ENGINE_VERSION = 2

# Each picture of the engine carries them all.
MAX_KNOWN_SHOWN = 20


class Tagged(Struct, frozen=True, tag=True, omit_defaults=True):
    """A message by itself; the tag is the class name."""


# -- values of a state ---------------------------------------------------------------------------------------------

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
    """Somebody in the list. ``safety_number`` is empty until their key is known."""

    address: str
    alias: str = ""
    online: bool | None = None
    blocked: bool = False
    trust: KeyTrust = "unknown"
    safety_number: str = ""
    last_call: float | None = None
    """Unix time in seconds."""

    @property
    def title(self) -> str:
        """How to call them in the window."""
        return self.alias or self.address.partition("@")[0]


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
    """Devices. An empty ``input``/``output`` means the system's default."""

    inputs: tuple[AudioDevice, ...] = ()
    outputs: tuple[AudioDevice, ...] = ()
    input: str = ""
    output: str = ""
    input_problem: DeviceProblem | None = None
    output_problem: DeviceProblem | None = None
    metering: bool = False
    """Whether the microphone is open only to show its level."""
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
    trust: KeyTrust = "unknown"
    safety_number: str = ""
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
    kind: Literal["info", "warning", "error"]
    code: str
    values: Values = field(default_factory=dict)


# -- engine to window ----------------------------------------------------------------------------------------------


class EngineState(Tagged, frozen=True):
    """Everything a window shows, apart from the fast figures."""

    version: int = ENGINE_VERSION
    ready: bool = False
    """False while the engine starts."""
    first_run: bool = True
    me: Me = Me()
    contacts: tuple[Contact, ...] = ()
    recents: tuple[RecentCall, ...] = ()
    audio: AudioState = AudioState()
    settings: Settings = Settings()
    call: CallStatus | None = None
    network: NetworkState = NetworkState()
    notices: tuple[Notice, ...] = ()
    data_place: str = ""
    """The folder of the local data, for the about page."""
    busy: Busy = ""
    """A long step under way."""


class PathFigures(Frozen, frozen=True):
    """One path now. Loss is a share (0 to 1) over the last second; None is not known yet."""

    kind: PathKind
    via: str
    active: bool
    rtt_ms: float | None = None
    loss: float | None = None
    jitter_ms: float | None = None


class CallSample(Tagged, frozen=True):
    """The figures of the running call, five times a second. ``at`` is in seconds since the answer."""

    call_id: str
    at: float
    paths: tuple[PathFigures, ...]
    rtt_ms: float | None
    loss: float
    """Frames lost on the way here, share over the last second."""
    remote_loss: float | None
    jitter_ms: float
    playout_delay_ms: float
    sent_kbps: float
    received_kbps: float
    bitrate_kbps: float
    """Of the codec."""
    concealed_ms: float
    """All audio concealed so far in this call."""


class Levels(Tagged, frozen=True):
    """Loudness of microphone and speaker, 0 to 1 on a scale that looks even to the ear; 15 times a second."""

    microphone: float
    speaker: float


class CommandFailed(Tagged, frozen=True):
    """A command could not be done; nothing was changed. ``field`` names the input at fault, where one is."""

    command: str
    code: str
    values: Values = field(default_factory=dict)
    field: str = ""


class Report(Tagged, frozen=True):
    """The answer to :class:`GetReport`: a JSON text, redacted."""

    call_id: str
    json: Annotated[str, Meta(max_length=1_000_000)]


class TraceSaved(Tagged, frozen=True):
    """The answer to :class:`SaveTrace`: it is in the file."""

    call_id: str
    path: str


class EngineHello(Tagged, frozen=True):
    """First word of the engine: prove that you may read the engine's secret file."""

    version: int
    nonce: bytes


EngineMessage = EngineHello | EngineState | CallSample | Levels | CommandFailed | Report | TraceSaved


# -- window to engine ----------------------------------------------------------------------------------------------


class Attach(Tagged, frozen=True):
    """Answer to :class:`EngineHello`: HMAC-SHA256 of the nonce with the secret. A ``watch_only`` client does not
    keep the engine alive."""

    version: int
    proof: bytes
    watch_only: bool = False


class RegisterName(Tagged, frozen=True):
    """Claim ``name`` at ``relay`` (``host[:port][#pin]``)."""

    name: ShortText
    relay: ShortText


class TryHere(Tagged, frozen=True):
    """Start a private relay and Echo on this machine and register there."""

    name: ShortText = ""


class SignOff(Tagged, frozen=True):
    """Forget name and relay (the key stays) and show the first-run page again."""


class PlaceCall(Tagged, frozen=True):
    """Call an address, in the contacts or not."""

    address: ShortText


class AnswerCall(Tagged, frozen=True):
    """Take the incoming call."""

    call_id: ShortText


class DeclineCall(Tagged, frozen=True):
    """Do not take it."""

    call_id: ShortText


class HangUpCall(Tagged, frozen=True):
    """End, or cancel, the call."""

    call_id: ShortText


class DismissCall(Tagged, frozen=True):
    """An ended call has been read; clear it."""

    call_id: ShortText


class SetMuted(Tagged, frozen=True):
    """Microphone off or on."""

    muted: bool


class AddContact(Tagged, frozen=True):
    """Put an address into the list, or change its alias."""

    address: ShortText
    alias: ShortText = ""


class RemoveContact(Tagged, frozen=True):
    """Take an address out of the list. Its pinned key is kept."""

    address: ShortText


class BlockContact(Tagged, frozen=True):
    """Let an address (and its key) ring no more, or again."""

    address: ShortText
    blocked: bool


class TrustKey(Tagged, frozen=True):
    """``verified``: the safety numbers were compared. Otherwise: accept the changed key as theirs."""

    address: ShortText
    verified: bool


class EraseHistory(Tagged, frozen=True):
    """Forget all recent calls."""


class EraseNetworks(Tagged, frozen=True):
    """Forget what worked on which network."""


class ChangeSettings(Tagged, frozen=True):
    """Replace the settings."""

    settings: Settings


class MeterMicrophone(Tagged, frozen=True):
    """Open the microphone only to show its level, or stop that."""

    on: bool


class TestRecording(Tagged, frozen=True):
    """Record three seconds and play them back, or stop."""

    on: bool


class RefreshDevices(Tagged, frozen=True):
    """Look for microphones and speakers anew."""


class DismissNotice(Tagged, frozen=True):
    """A notice has been read."""

    number: int


class GetReport(Tagged, frozen=True):
    """Ask for the redacted report of a call."""

    call_id: ShortText


class SaveTrace(Tagged, frozen=True):
    """Write the trace of a call (``docs/trace.schema.json``) to a file, without addresses and names unless
    ``with_addresses``. ``path`` is absolute."""

    call_id: ShortText
    path: Annotated[str, Meta(min_length=1, max_length=4_096)]
    with_addresses: bool = False


class EndEngine(Tagged, frozen=True):
    """The person quits: end the call, say goodbye to the relay, stop."""


WindowMessage = (
    Attach
    | RegisterName
    | TryHere
    | SignOff
    | PlaceCall
    | AnswerCall
    | DeclineCall
    | HangUpCall
    | DismissCall
    | SetMuted
    | AddContact
    | RemoveContact
    | BlockContact
    | TrustKey
    | EraseHistory
    | EraseNetworks
    | ChangeSettings
    | MeterMicrophone
    | TestRecording
    | RefreshDevices
    | DismissNotice
    | GetReport
    | SaveTrace
    | EndEngine
)

_encoder = msgspec.msgpack.Encoder()
_window_decoder: msgspec.msgpack.Decoder[WindowMessage] = msgspec.msgpack.Decoder(WindowMessage)
_engine_decoder: msgspec.msgpack.Decoder[EngineMessage] = msgspec.msgpack.Decoder(EngineMessage)


def encode(message: EngineMessage | WindowMessage) -> bytes:
    """One message as a msgpack document, not yet framed."""
    return _encoder.encode(message)


def decode_window_message(document: bytes) -> WindowMessage:
    """Parse what a window sent. Raises :class:`WireError`."""
    try:
        return _window_decoder.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not a message for the engine: {error}") from error


def decode_engine_message(document: bytes) -> EngineMessage:
    """Parse what the engine sent. Raises :class:`WireError`."""
    try:
        return _engine_decoder.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not a message of the engine: {error}") from error
