"""What the router is fed and what it commands. Sessions are numbers that the driver gives out, never reused."""

from dataclasses import dataclass, field

from transport.net.machine import TimerFired
from transport.wire.relay_messages import CallId, ClientMessage, RelayMessage

SessionId = int
Source = tuple[str, int]
"""IP address in text and UDP port."""


# -- events ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """A client's control connection stands."""

    session: SessionId
    source: Source


@dataclass(frozen=True, slots=True)
class MessageArrived:
    """A well-formed message of a session."""

    session: SessionId
    message: ClientMessage


@dataclass(frozen=True, slots=True)
class GarbageArrived:
    """Something of a session that is no message; ``problem`` says why."""

    session: SessionId
    problem: str


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """The control connection is gone, whoever ended it."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class NameStored:
    """The store's answer to :class:`StoreName`; ``problem`` is ``""`` when it is safely on disk."""

    ticket: int
    problem: str


@dataclass(frozen=True, slots=True)
class LegsIdle:
    """No packet has come on either leg of a call for its idle time, or both were never bound within it."""

    call_id: CallId


@dataclass(frozen=True, slots=True)
class DrainRequested:
    """Stop within ``seconds``: no new calls, running ones may end."""

    seconds: float


RouterEvent = (
    SessionOpened
    | MessageArrived
    | GarbageArrived
    | SessionClosed
    | NameStored
    | LegsIdle
    | DrainRequested
    | TimerFired
)


# -- asked for by the router -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Send to a session; if it is gone by now, forget it."""

    session: SessionId
    message: RelayMessage


@dataclass(frozen=True, slots=True)
class CloseSession:
    """Close a session once what was sent to it had a moment to arrive. The router has forgotten it already."""

    session: SessionId
    reason: str


@dataclass(frozen=True, slots=True)
class StoreName:
    """Write a name down, durably, and answer with :class:`NameStored`."""

    ticket: int
    name: str
    key: bytes
    certificate: bytes


@dataclass(frozen=True, slots=True)
class LegGrant:
    """Credentials of one leg (RFC 8489 §9.1 short-term)."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CreateLegs:
    """Make the two legs of a call, not bound yet."""

    call_id: CallId
    caller: LegGrant
    callee: LegGrant


@dataclass(frozen=True, slots=True)
class PlaceLeg:
    """Whoever holds a leg, by their ``key``, is logged in from ``host``, or no longer from anywhere (``""``)."""

    username: str
    host: str
    key: bytes


@dataclass(frozen=True, slots=True)
class DestroyLegs:
    """Release the two legs of a call."""

    call_id: CallId


@dataclass(frozen=True, slots=True)
class StopRelay:
    """Draining is over: nothing is left to wait for."""


RouterCommand = SendMessage | CloseSession | StoreName | CreateLegs | PlaceLeg | DestroyLegs | StopRelay
