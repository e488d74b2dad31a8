"""What a relay session is fed and what it asks for; see :mod:`transport.quic.relay_session`."""

from dataclasses import dataclass

from transport.net.machine import TimerFired
from transport.net.sockets import (
    Address,
    CloseSocket,
    DatagramReceived,
    OpenSocket,
    SendDatagram,
    SocketFailed,
    SocketOpened,
)
from transport.quic.relay_channel_client import Failure
from transport.wire.addresses import RelayAddress
from transport.wire.relay_messages import ClientMessage, Found, Registered, RelayMessage, Welcome

REQUEST_TIMEOUT_S = 10.0
"""For a registration or a look-up: once for getting a session and once for the answer."""


@dataclass(frozen=True, slots=True)
class RelaySessionConfig:
    """``name`` is the registered name; without one the session is a guest's, who is at home at ``home``.
    ``certificate`` is the relay's, if it was read before (:attr:`RelaySession.certificate`); that saves a handshake.
    ``authorities`` (PEM) replaces the public authorities for a relay without a pin."""

    address: RelayAddress
    name: str = ""
    home: str = ""
    certificate: bytes | None = None
    authorities: bytes | None = None


# -- events ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartSession:
    """Begin to connect, and go on until :class:`CloseSession` or :class:`Rejected`."""


@dataclass(frozen=True, slots=True)
class HostResolved:
    """The answer to :class:`ResolveHost`: addresses in the system's order (RFC 6724), none if there are none."""

    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class SendRelayMessage:
    """Send a message now; dropped without a session. The last :class:`Watch` is kept and sent in each session."""

    message: ClientMessage


@dataclass(frozen=True, slots=True)
class ClaimName:
    """Register ``name`` for this identity; from then on it is also the name to log in with. Answered by
    :class:`RequestAnswered` with the same ``ticket``, a number of the caller's choice."""

    ticket: int
    name: str
    timeout_s: float = REQUEST_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class LookUpName:
    """Ask for a person's key and certificate; otherwise as :class:`ClaimName`."""

    ticket: int
    name: str
    timeout_s: float = REQUEST_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class CheckConnection:
    """The machine's addresses have changed: find out at once whether the session still stands, or try again now."""


@dataclass(frozen=True, slots=True)
class LogOut:
    """Close the session for good."""


SessionEvent = (
    StartSession
    | HostResolved
    | SocketOpened
    | SocketFailed
    | DatagramReceived
    | SendRelayMessage
    | ClaimName
    | LookUpName
    | CheckConnection
    | TimerFired
    | LogOut
)


# -- commands ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResolveHost:
    """Look a host name up; ``host`` may be an IP address."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Connected:
    """Logged in. ``host_ip`` is where this relay's media and STUN are, too."""

    welcome: Welcome
    host_ip: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The session is gone, or could not be had; the next attempt comes in ``retry_in_s`` seconds."""

    reason: str
    retry_in_s: float


@dataclass(frozen=True, slots=True)
class RelayMessageReceived:
    """A message that answers no request: calls, presence, draining."""

    message: RelayMessage


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused for good: nothing is tried any more. ``code`` is a refusal code of the relay, or ``wrong-pin``,
    ``untrusted``, ``version`` or ``replaced``; ``text`` says it in words."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class RequestAnswered:
    """How a :class:`ClaimName` or :class:`LookUpName` came out."""

    ticket: int
    result: Registered | Found | Failure


RelayEvent = Connected | Disconnected | RelayMessageReceived | Rejected
"""What the session's owner wants to know."""
SessionCommand = ResolveHost | OpenSocket | SendDatagram | CloseSocket | RequestAnswered | RelayEvent
