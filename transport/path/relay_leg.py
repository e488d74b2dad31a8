"""The relay leg: bound, and kept bound, by authenticated STUN (RFC 8489, short-term credentials §9.1).

Binding tells the relay which address the leg's packets come from, and tells us that address (reflexive) and the
round-trip time to the relay. From an address that it does not know from our session the relay first asks for the
request again with a NONCE, which proves that we receive there (§9.2). Only an answer with our transaction identifier
and a MESSAGE-INTEGRITY made with the grant's password changes anything. Requests that are not answered are repeated
with a fresh transaction identifier, so that a round-trip time is never ambiguous (Karn's rule).
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

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


class State(Enum):
    """Where the binding stands."""

    CLOSED = "closed"
    """No socket: nothing is sent."""
    BINDING = "binding"
    BOUND = "bound"
    CHECKING = "checking"
    """Bound, and asking whether it still is."""
    REFUSED = "refused"
    """The relay does not know this grant; asked again each second, since it may learn it."""


class Trigger(Enum):
    """What changes it."""

    OPENED = "socket opened"
    ANSWERED = "relay answers"
    CHECKED = "keepalive due"
    LOST = "keepalives unanswered"
    REFUSED = "relay refuses the grant"
    REPLACED = "new grant"
    CLOSED = "socket closed"


TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    (State.CLOSED, Trigger.OPENED): State.BINDING,
    (State.BINDING, Trigger.ANSWERED): State.BOUND,
    (State.CHECKING, Trigger.ANSWERED): State.BOUND,
    (State.REFUSED, Trigger.ANSWERED): State.BOUND,
    (State.BOUND, Trigger.CHECKED): State.CHECKING,
    (State.CHECKING, Trigger.LOST): State.BINDING,
    (State.BINDING, Trigger.REFUSED): State.REFUSED,
    (State.CHECKING, Trigger.REFUSED): State.REFUSED,
    **{(state, Trigger.REPLACED): State.BINDING for state in State if state is not State.CLOSED},
    **{(state, Trigger.CLOSED): State.CLOSED for state in State if state is not State.CLOSED},
}


class RelayLeg:
    """One leg. Methods that may have to ask the relay return the Binding request to send to it, or None."""

    __slots__ = (
        "_access",
        "_deadline",
        "_missed",
        "_nonce",
        "_outstanding",
        "_refusals",
        "_retry_s",
        "_rng",
        "reflexive",
        "refusal_code",
        "round_trip",
        "state",
    )

    def __init__(self, access: LegAccess, rng: random.Random) -> None:
        self._access = access
        self._rng = rng
        self._outstanding: dict[bytes, float] = {}
        self._deadline: float | None = None
        self._retry_s = FIRST_RETRY_S
        self._missed = 0
        self._nonce = b""
        self._refusals = 0
        self.state = State.CLOSED
        self.reflexive: Address | None = None
        """Our address as the relay sees it."""
        self.refusal_code: int | None = None
        """The STUN error code of the last refusal."""
        self.round_trip = RoundTrip()

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        return self._deadline

    def opened(self, now: float) -> bytes | None:
        """A socket is there: bind."""
        return self._ask_afresh(now) if self._move(Trigger.OPENED) else None

    def check(self, now: float) -> bytes | None:
        """Ask the relay at once whether the leg is still bound."""
        return self._ask_afresh(now) if self._move(Trigger.CHECKED) else None

    def replace(self, access: LegAccess, now: float) -> bytes | None:
        """The relay gave new credentials, perhaps on another endpoint: bind with those."""
        self._access = access
        self._outstanding.clear()
        return self._ask_afresh(now) if self._move(Trigger.REPLACED) else None

    def closed(self) -> None:
        """The socket is gone: send no more."""
        self._move(Trigger.CLOSED)
        self._deadline = None
        self._outstanding.clear()

    def timer(self, now: float) -> bytes | None:
        """Do what is due. When the third keepalive in a row has been missed, the leg is no longer bound."""
        if self._deadline is None or now < self._deadline:
            return None
        if self._move(Trigger.CHECKED):
            return self._ask_afresh(now)
        self._retry_s = min(MAX_RETRY_S, 2 * self._retry_s)
        if self.state is State.CHECKING:
            self._missed += 1
            if self._missed == MISSED_KEEPALIVES:
                self._move(Trigger.LOST)
                return self._ask_afresh(now)
        return self._ask(now)

    def received(self, data: bytes, now: float) -> Trigger | bytes | None:
        """Take a STUN packet from the relay's endpoint; never raises. Returns ``ANSWERED`` when the leg is bound anew
        or under another address, ``REFUSED`` when the relay has refused the grant, the request to repeat when it asks
        for that, and None for all else."""
        try:
            message = parse(data)
        except WireError:
            return None
        asked = self._outstanding.get(message.transaction_id)
        if asked is None or message.kind is StunClass.REQUEST:
            return None
        if message.kind is StunClass.ERROR:
            if message.error == UNAUTHENTICATED and message.nonce and message.authentic(self._access.password):
                return self._repeat(message.transaction_id, message.nonce, now)
            return self._refused(message)
        if message.mapped is None or not message.authentic(self._access.password):
            return None
        self._outstanding.clear()
        self.round_trip.sample(now - asked)
        is_news = self.state is not State.CHECKING or message.mapped != self.reflexive
        self._move(Trigger.ANSWERED)
        self.reflexive = message.mapped
        self._deadline = now + KEEPALIVE_S
        return Trigger.ANSWERED if is_news else None

    def _move(self, trigger: Trigger) -> bool:
        after = TRANSITIONS.get((self.state, trigger))
        if after is not None:
            self.state = after
        return after is not None

    def _ask_afresh(self, now: float) -> bytes:
        self._missed = self._refusals = 0
        self._nonce = b""
        self._retry_s = FIRST_RETRY_S
        if self.round_trip.smoothed is not None:
            self._retry_s = min(MAX_RETRY_S, max(FIRST_RETRY_S, RETRY_ROUND_TRIPS * self.round_trip.smoothed))
        return self._ask(now)

    def _ask(self, now: float) -> bytes:
        transaction_id = self._rng.randbytes(TRANSACTION_ID_BYTES)
        if len(self._outstanding) == MAX_OUTSTANDING:
            del self._outstanding[next(iter(self._outstanding))]
        self._outstanding[transaction_id] = now
        self._deadline = now + (REFUSED_RETRY_S if self.state is State.REFUSED else self._retry_s)
        return binding_request(transaction_id, self._access.username, self._access.password, self._nonce)

    def _repeat(self, transaction_id: bytes, nonce: bytes, now: float) -> bytes | None:
        """At once, but once only: behind a NAT that changes the port for each packet no NONCE would ever fit."""
        del self._outstanding[transaction_id]
        is_first = not self._nonce
        self._nonce = nonce
        return self._ask(now) if is_first else None

    def _refused(self, message: StunMessage) -> Trigger | None:
        if message.error not in (UNAUTHENTICATED, STALE_LEG):
            return None
        del self._outstanding[message.transaction_id]
        if self.state is State.REFUSED:
            return None
        self._refusals = REFUSALS_BELIEVED if message.authentic(self._access.password) else self._refusals + 1
        if self._refusals < REFUSALS_BELIEVED:
            return None
        self.refusal_code = message.error
        self._move(Trigger.REFUSED)
        return Trigger.REFUSED
