"""The relay leg: bound, and kept bound, by authenticated STUN (RFC 8489, short-term credentials §9.1).

Binding tells the relay which address the leg's packets come from, and tells us that address (reflexive) and the
round-trip time to the relay. Only an answer with our transaction identifier and a MESSAGE-INTEGRITY made with the
grant's password changes anything. Requests that are not answered are repeated with a fresh transaction identifier,
so that a round-trip time is never ambiguous (Karn's rule).
"""

import random
from dataclasses import dataclass, field
from enum import Enum

from transport.net.sockets import Address
from transport.path.stats import RoundTrip
from transport.wire import WireError
from transport.wire.stun import (
    STALE_LEG,
    TRANSACTION_ID_BYTES,
    UNAUTHENTICATED,
    StunClass,
    StunMessage,
    binding_request,
    parse,
)

# RFC 8489 §6.2.1 starts at 500 ms for any network; here a call waits, and the relay is one round trip away.
FIRST_RETRY_S = 0.1
MAX_RETRY_S = 1.0
# A retry before the answer can have come is waste: wait at least this many round trips where the RTT is known.
RETRY_ROUND_TRIPS = 1.5
# Most NATs keep a UDP mapping for 30 s or more (RFC 4787 REQ-5 asks for 120 s): twice within the shortest of them.
KEEPALIVE_S = 15.0
# Each missed one is followed after its retry time, not after 15 s: the third is missed within about a second.
MISSED_KEEPALIVES = 3
# A refusal cannot be authenticated when the relay does not know the grant, so one of them could be forged or could
# have overtaken the grant inside the relay: three in a row count.
REFUSALS_BELIEVED = 3
REFUSED_RETRY_S = 1.0
# Answers may be late: the last eight requests are remembered, which is over five seconds of them.
MAX_OUTSTANDING = 8


@dataclass(frozen=True, slots=True)
class LegAccess:
    """What a leg needs: the relay's media endpoint (IP address, port) and the credentials of the grant."""

    relay: Address
    username: str
    password: str = field(repr=False)


class LegState(Enum):
    """Where the binding stands."""

    CLOSED = "closed"
    """No socket, or stopped: nothing is sent."""
    BINDING = "binding"
    BOUND = "bound"
    CHECKING = "checking"
    """Bound, and asking whether it still is."""
    REFUSED = "refused"
    """The relay does not know this grant; asked again each second, since it may learn it."""


@dataclass(frozen=True, slots=True)
class StartBinding:
    """A socket is there: bind."""


@dataclass(frozen=True, slots=True)
class CheckBinding:
    """Something is amiss with the path: ask the relay at once."""


@dataclass(frozen=True, slots=True)
class ReplaceGrant:
    """The relay gave new credentials, perhaps on another endpoint: bind with those."""

    access: LegAccess


@dataclass(frozen=True, slots=True)
class StunArrived:
    """A STUN packet from the relay's endpoint."""

    data: bytes


@dataclass(frozen=True, slots=True)
class LegTimer:
    """The leg's deadline has come."""


@dataclass(frozen=True, slots=True)
class StopLeg:
    """The socket is gone: send no more."""


LegEvent = StartBinding | CheckBinding | ReplaceGrant | StunArrived | LegTimer | StopLeg


@dataclass(frozen=True, slots=True)
class SendToRelay:
    """Send these bytes to the relay's endpoint."""

    data: bytes


@dataclass(frozen=True, slots=True)
class LegBound:
    """The relay forwards for us; ``reflexive`` is our address as the relay sees it."""

    reflexive: Address


@dataclass(frozen=True, slots=True)
class LegLost:
    """The relay no longer answers; binding goes on by itself."""


@dataclass(frozen=True, slots=True)
class LegRefused:
    """The relay does not accept the grant (STUN error ``code``)."""

    code: int


LegCommand = SendToRelay | LegBound | LegLost | LegRefused


class RelayLeg:
    """The machine of one leg."""

    __slots__ = (
        "_access",
        "_deadline",
        "_missed",
        "_outstanding",
        "_refusals",
        "_rng",
        "_wait",
        "reflexive",
        "round_trip",
        "state",
    )

    def __init__(self, access: LegAccess, rng: random.Random) -> None:
        self._access = access
        self._rng = rng
        self._outstanding: dict[bytes, float] = {}
        self._deadline: float | None = None
        self._wait = FIRST_RETRY_S
        self._missed = 0
        self._refusals = 0
        self.state = LegState.CLOSED
        self.reflexive: Address | None = None
        self.round_trip = RoundTrip()

    def next_deadline(self) -> float | None:
        """When :class:`LegTimer` is due."""
        return self._deadline

    def handle(self, event: LegEvent, now: float) -> list[LegCommand]:
        """Take one event; never raises."""
        match event:
            case StunArrived(data):
                return self._answer(data, now)
            case LegTimer():
                return self._timer(now)
            case StartBinding():
                return self._ask_afresh(LegState.BINDING, now)
            case CheckBinding():
                if self.state is LegState.BOUND:
                    return self._ask_afresh(LegState.CHECKING, now)
                return []
            case ReplaceGrant(access):
                self._access = access
                self._outstanding.clear()
                if self.state is LegState.CLOSED:
                    return []
                return self._ask_afresh(LegState.BINDING, now)
            case StopLeg():
                self.state = LegState.CLOSED
                self._deadline = None
                self._outstanding.clear()
                return []

    def _ask_afresh(self, state: LegState, now: float) -> list[LegCommand]:
        self.state = state
        self._missed = 0
        self._refusals = 0
        self._wait = FIRST_RETRY_S
        if self.round_trip.smoothed is not None:
            self._wait = min(MAX_RETRY_S, max(FIRST_RETRY_S, RETRY_ROUND_TRIPS * self.round_trip.smoothed))
        return self._ask(now)

    def _ask(self, now: float) -> list[LegCommand]:
        transaction_id = self._rng.randbytes(TRANSACTION_ID_BYTES)
        if len(self._outstanding) == MAX_OUTSTANDING:
            del self._outstanding[next(iter(self._outstanding))]
        self._outstanding[transaction_id] = now
        self._deadline = now + (REFUSED_RETRY_S if self.state is LegState.REFUSED else self._wait)
        return [SendToRelay(binding_request(transaction_id, self._access.username, self._access.password))]

    def _timer(self, now: float) -> list[LegCommand]:
        if self._deadline is None or now < self._deadline:
            return []
        if self.state is LegState.BOUND:
            return self._ask_afresh(LegState.CHECKING, now)
        self._wait = min(MAX_RETRY_S, 2 * self._wait)
        if self.state is LegState.CHECKING:
            self._missed += 1
            if self._missed == MISSED_KEEPALIVES:
                return [LegLost(), *self._ask_afresh(LegState.BINDING, now)]
        return self._ask(now)

    def _answer(self, data: bytes, now: float) -> list[LegCommand]:
        try:
            message = parse(data)
        except WireError:
            return []
        asked = self._outstanding.get(message.transaction_id)
        if asked is None or message.kind is StunClass.REQUEST:
            return []
        if message.kind is StunClass.ERROR:
            return self._refusal(message)
        if message.mapped is None or not message.authentic(self._access.password):
            return []
        self._outstanding.clear()
        self.round_trip.sample(now - asked)
        news = self.state is not LegState.CHECKING or message.mapped != self.reflexive
        self.state = LegState.BOUND
        self.reflexive = message.mapped
        self._deadline = now + KEEPALIVE_S
        return [LegBound(message.mapped)] if news else []

    def _refusal(self, message: StunMessage) -> list[LegCommand]:
        if message.error not in (UNAUTHENTICATED, STALE_LEG):
            return []
        del self._outstanding[message.transaction_id]
        if self.state is LegState.REFUSED:
            return []
        self._refusals = REFUSALS_BELIEVED if message.authentic(self._access.password) else self._refusals + 1
        if self._refusals < REFUSALS_BELIEVED:
            return []
        self.state = LegState.REFUSED
        return [LegRefused(message.error)]
