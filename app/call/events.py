"""What a call takes and what it asks for: the public border of :class:`app.call.session.CallSession`."""

from dataclasses import dataclass
from typing import Literal

from app.model.terms import CallOutcome, KeyTrust
from transport.link import events as link
from transport.net.machine import TimerFired
from transport.net.port_mapping import MappedPort
from transport.net.sockets import (
    Address,
    CloseSocket,
    DatagramReceived,
    OpenSocket,
    SendDatagram,
    SocketFailed,
    SocketOpened,
)
from transport.path import events as path
from transport.portmap.status import MappingStatus
from transport.quic.session_events import CheckConnection, SendRelayMessage
from transport.traversal.events import InterfacesChanged
from transport.wire.relay_messages import DirectoryEntry, EndReason, LegCredentials

ToneName = Literal["ring", "ring-back", "busy", "ended", "reconnecting"]

# -- events: the user ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Placed:
    """The user calls ``name``, registered at the relay of ``address``."""

    call_id: str
    address: str
    name: str


@dataclass(frozen=True, slots=True)
class UserAnswered:
    """Answer was chosen."""


@dataclass(frozen=True, slots=True)
class UserDeclined:
    """Decline was chosen; ``busy``: a stranger's call gives way to that of a contact."""

    reason: Literal["declined", "busy"] = "declined"


@dataclass(frozen=True, slots=True)
class UserHungUp:
    """Hang up, or cancel, was chosen."""


@dataclass(frozen=True, slots=True)
class UserMuted:
    """The microphone was switched off or on."""

    muted: bool


@dataclass(frozen=True, slots=True)
class KeyAccepted:
    """The user accepted the changed key, or compared the safety numbers."""

    trust: KeyTrust


@dataclass(frozen=True, slots=True)
class UserLeft:
    """Nobody looks at the call any more: it ends soon, with :class:`Released`."""


# -- events: the relay ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RelayConnected:
    """Logged in at the relay of the call, for the first time or again. Its media are at the IP address ``host_ip``,
    its STUN endpoints at ``stun``."""

    host_ip: str = ""
    stun: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class RelayDisconnected:
    """The session with the relay is gone, and tried for again: final for a call that has no leg yet."""

    reason: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class InviteFailed:
    """The relay refuses the call, or us: ``reason`` as :mod:`app.text.calls` knows it."""

    reason: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class CalleeFound:
    """The relay granted a leg and names the callee; ``trust`` is what our own records say of that key."""

    callee: DirectoryEntry
    leg: LegCredentials
    trust: KeyTrust


@dataclass(frozen=True, slots=True)
class CallArrived:
    """Somebody calls. ``address`` is what they give as their own, ``trust`` what our records say of their key."""

    call_id: str
    address: str
    caller: DirectoryEntry
    leg: LegCredentials
    trust: KeyTrust


@dataclass(frozen=True, slots=True)
class RemoteRings:
    """It rings at the callee."""


@dataclass(frozen=True, slots=True)
class LegGranted:
    """The relay granted a leg for the running call again; the same as before, if it had not forgotten."""

    leg: LegCredentials


@dataclass(frozen=True, slots=True)
class RelayEnded:
    """The relay says that the call is over."""

    reason: EndReason
    text: str = ""


# -- events: this machine ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AudioReady:
    """The sound card has taken or given samples."""


@dataclass(frozen=True, slots=True)
class PortMappingChanged:
    """How asking the router for a port stands, and what it maps."""

    ports: tuple[MappedPort, ...]
    status: MappingStatus


@dataclass(frozen=True, slots=True)
class MediaBroken:
    """What is sent does not arrive, or harms others: sending has stopped (RFC 8083)."""


CallEvent = (
    Placed
    | UserAnswered
    | UserDeclined
    | UserHungUp
    | UserMuted
    | KeyAccepted
    | RelayConnected
    | RelayDisconnected
    | InviteFailed
    | CalleeFound
    | CallArrived
    | RemoteRings
    | RelayEnded
    | link.PeerProven
    | link.PeerMessageReceived
    | path.Reconnecting
    | path.Reconnected
    | link.LinkEnded
    | MediaBroken
    | TimerFired
)
"""What the call machine takes."""

SessionEvent = (
    Placed
    | UserAnswered
    | UserDeclined
    | UserHungUp
    | UserMuted
    | KeyAccepted
    | UserLeft
    | RelayConnected
    | RelayDisconnected
    | InviteFailed
    | CalleeFound
    | CallArrived
    | RemoteRings
    | LegGranted
    | RelayEnded
    | AudioReady
    | PortMappingChanged
    | InterfacesChanged
    | SocketOpened
    | SocketFailed
    | DatagramReceived
    | TimerFired
)

# -- commands ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenSpeaker:
    """Open the speaker before it is needed: devices take their time."""


@dataclass(frozen=True, slots=True)
class OpenMicrophone:
    """Open the microphone: the user has asked for the call, or answered it."""


@dataclass(frozen=True, slots=True)
class StartAudio:
    """Audio both ways from now on: each time the sound card is ready, :class:`AudioReady` is due."""


@dataclass(frozen=True, slots=True)
class StopAudio:
    """The call is over: close the microphone, and the speaker when its last tone has ended."""


@dataclass(frozen=True, slots=True)
class PlayTone:
    """Play this until :class:`StopTone`, or its own end."""

    tone: ToneName


@dataclass(frozen=True, slots=True)
class StopTone:
    """No tone any more."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The call is over: for the history, the text on the page, and the exit status. Exactly once a call."""

    outcome: CallOutcome
    reason: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class ViewChanged:
    """Something that windows show is different."""


@dataclass(frozen=True, slots=True)
class Released:
    """The call holds nothing any more; the last command of a session that was left."""


@dataclass(frozen=True, slots=True)
class OpenLink:
    """Set up the end-to-end connection over the granted leg."""

    role: Literal["caller", "callee"]
    peer: DirectoryEntry
    leg: LegCredentials


CallCommand = (
    SendRelayMessage
    | OpenLink
    | link.SendPeerMessage
    | link.Close
    | OpenSpeaker
    | OpenMicrophone
    | StartAudio
    | StopAudio
    | PlayTone
    | StopTone
    | Finished
)
"""What the call machine asks for."""

SocketCommand = OpenSocket | CloseSocket | SendDatagram
SessionCommand = (
    SocketCommand
    | SendRelayMessage
    | CheckConnection
    | OpenSpeaker
    | OpenMicrophone
    | StartAudio
    | StopAudio
    | PlayTone
    | StopTone
    | Finished
    | ViewChanged
    | Released
)
