"""What the engine and its windows say to each other, over a local socket, framed as msgpack documents.

A window sends commands; the engine sends one whole :class:`EngineState` after each change (small, frozen, never
patched, so that a window which connects late or was stopped for a while is right again after one message), and
:class:`CallSample` and :class:`Levels` many times a second while there is something to show. The engine never waits
for a window: a slow one is sent the newest state and skips the samples between (see :mod:`app.ipc.server`).
"""

from typing import Annotated

from msgspec import Meta, Struct, field

from app.ipc.engine_state import AudioState, BlockedGuest, Busy, CallStatus, Contact, Me, NetworkState, Notice
from app.model.history import RecentCall
from app.model.settings import Settings
from app.model.terms import (
    Frozen,
    PathKind,
    ShortText,
    Values,
)
from transport.wire import codec

ENGINE_VERSION = 3


class Tagged(Struct, frozen=True, tag=True, omit_defaults=True):
    """A message by itself; the tag is the class name."""


# -- engine to window ----------------------------------------------------------------------------------------------


class EngineState(Tagged, frozen=True):
    """Everything a window shows, apart from the fast figures."""

    version: int = ENGINE_VERSION
    ready: bool = False
    """False while the engine starts."""
    first_run: bool = True
    me: Me = Me()
    contacts: tuple[Contact, ...] = ()
    blocked_guests: tuple[BlockedGuest, ...] = ()
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


class BlockCaller(Tagged, frozen=True):
    """Let the other side of this call ring no more, by their key, and end the call."""

    call_id: ShortText


class UnblockKey(Tagged, frozen=True):
    """Let a blocked key (hex) ring again."""

    key: ShortText


class TrustKey(Tagged, frozen=True):
    """``verified``: the safety numbers were compared. Otherwise: accept the changed key as theirs. ``key`` (hex) is
    the one that the person saw; another one is not accepted in its place."""

    address: ShortText
    key: ShortText
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
    | BlockCaller
    | UnblockKey
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

encode = codec.encode
decode_window_message = codec.MessageDecoder[WindowMessage](WindowMessage, "for the engine").decode
decode_engine_message = codec.MessageDecoder[EngineMessage](EngineMessage, "of the engine").decode
