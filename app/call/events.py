"""What happens to a call, and what the call asks for: the alphabet of :mod:`app.call.machine`."""

from dataclasses import dataclass
from typing import Literal

from app.model.terms import KeyTrust, PathKind
from transport.wire.call_messages import Bye, PeerMessage
from transport.wire.relay_messages import ClientMessage, EndReason, Leg, Person

Tone = Literal["ring", "ring-back", "busy", "ended", "reconnecting"]
Outcome = Literal[
    "answered", "missed", "declined", "busy", "cancelled", "no-answer", "unreachable", "failed", "key-changed"
]

# -- events --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Placed:
    """The user calls ``name`` on the relay whose session is open, or being opened."""

    call_id: str
    address: str
    name: str
    always_relay: bool = False


@dataclass(frozen=True, slots=True)
class RelayReady:
    """The session with the callee's relay stands."""


@dataclass(frozen=True, slots=True)
class RelayFailed:
    """There is no session with the callee's relay, and there will be none. ``reason`` as :mod:`app.text.calls` knows
    it."""

    reason: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class CalleeFound:
    """The relay granted a leg and told who the callee is; ``trust`` is what our own records say of that key."""

    callee: Person
    leg: Leg
    trust: KeyTrust


@dataclass(frozen=True, slots=True)
class InviteRefused:
    """The relay took no invite."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class CallArrived:
    """Somebody calls. ``address`` is where they say they are at home, ``trust`` what our records say of their key."""

    call_id: str
    address: str
    caller: Person
    leg: Leg
    trust: KeyTrust
    blocked: bool


@dataclass(frozen=True, slots=True)
class RemoteRings:
    """The relay says that it rings at the callee's."""


@dataclass(frozen=True, slots=True)
class RelayEnded:
    """The relay says that the call is over."""

    reason: EndReason
    text: str = ""


@dataclass(frozen=True, slots=True)
class UserAnswered:
    """Answer was chosen."""


@dataclass(frozen=True, slots=True)
class UserDeclined:
    """Decline was chosen."""


@dataclass(frozen=True, slots=True)
class UserHungUp:
    """Hang up, or cancel, was chosen."""


@dataclass(frozen=True, slots=True)
class UserMuted:
    """The microphone was switched."""

    muted: bool


@dataclass(frozen=True, slots=True)
class KeyAccepted:
    """The user took the changed key as theirs (or compared the safety numbers)."""

    trust: KeyTrust


@dataclass(frozen=True, slots=True)
class LinkProven:
    """The end-to-end connection stands and each side has proven its key."""

    peer_home: str


@dataclass(frozen=True, slots=True)
class PeerSaid:
    """A message of the proven peer."""

    message: PeerMessage


@dataclass(frozen=True, slots=True)
class LinkSilent:
    """No path carries anything at the moment."""


@dataclass(frozen=True, slots=True)
class LinkBack:
    """A path carries the call again."""

    kind: PathKind = "relay"


@dataclass(frozen=True, slots=True)
class LinkOver:
    """The end-to-end connection has ended."""

    reason: Literal["closed", "peer-left", "lost", "wrong-certificate", "bad-proof", "protocol", "leg-refused"]
    text: str = ""


@dataclass(frozen=True, slots=True)
class MediaBroken:
    """What is sent does not arrive, or harms others: sending has stopped (RFC 8083)."""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The deadline that the machine named has come."""


Event = (
    Placed
    | RelayReady
    | RelayFailed
    | CalleeFound
    | InviteRefused
    | CallArrived
    | RemoteRings
    | RelayEnded
    | UserAnswered
    | UserDeclined
    | UserHungUp
    | UserMuted
    | KeyAccepted
    | LinkProven
    | PeerSaid
    | LinkSilent
    | LinkBack
    | LinkOver
    | MediaBroken
    | TimerFired
)

# -- commands ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TellRelay:
    """Send this on the session of the call's relay."""

    message: ClientMessage


@dataclass(frozen=True, slots=True)
class OpenLink:
    """Set up the end-to-end connection over the granted leg."""

    role: Literal["caller", "callee"]
    peer: Person
    leg: Leg


@dataclass(frozen=True, slots=True)
class TellPeer:
    """Send this to the proven peer."""

    message: PeerMessage


@dataclass(frozen=True, slots=True)
class CloseLink:
    """Say goodbye to the peer, if it is still there, and close."""

    bye: Bye


@dataclass(frozen=True, slots=True)
class StartMedia:
    """Voice both ways, now."""


@dataclass(frozen=True, slots=True)
class StopMedia:
    """Silence."""


@dataclass(frozen=True, slots=True)
class PrepareMedia:
    """Open the speaker (and, for the caller, who has asked for the call, the microphone) before they are needed."""

    microphone: bool


@dataclass(frozen=True, slots=True)
class PlayTone:
    """Sound this until told otherwise."""

    tone: Tone


@dataclass(frozen=True, slots=True)
class StopTone:
    """Quiet."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The call is over: for the history, the words on the page, and the exit status. Exactly once a call."""

    outcome: Outcome
    reason: str
    text: str = ""


Command = (
    TellRelay | OpenLink | TellPeer | CloseLink | StartMedia | StopMedia | PrepareMedia | PlayTone | StopTone | Finished
)
