"""A relay's calls: between two identities, from the invitation to the end; without I/O.

Calls belong to keys, not to sessions: a client that loses its connection and comes back within the grace period finds
its call as it was, and an answered call needs no session at all, since its legs carry it. The legs outlast the call by
a moment, so that the last encrypted packets (goodbye, QUIC's close) get through.
"""

import heapq
import random
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from relay.events import CreateLegs, DestroyLegs, LegGrant
from relay.limits import CallPlaces, RelayLimits
from transport.wire import relay_messages as wire

# How long a phone rings (ITU-T E.182 leaves it open; networks give 30 to 60 s).
NO_ANSWER_S = 45.0
# A client that changes networks is back within a few seconds; whoever waits should not wait longer.
RECONNECT_GRACE_S = 10.0
# Three end-to-end retransmissions at a 500 ms round trip, with room.
LEG_GRACE_S = 5.0
# Of two people who come back after a restart of the relay, the slower one has this long: as long as their programs
# keep a silent call (transport.link.link waits 30 s).
RESUME_WITHIN_S = 30.0
# Half-resumed calls at a time; a restarted relay's busiest moment. More are ignored, and more from one network than it
# may have calls: their clients ask again.
MAX_RESUMING = 4_096
# 96 and 160 random bits: the first must not collide, the second must not be guessed.
USERNAME_BYTES = 12
PASSWORD_BYTES = 20


class State(Enum):
    """Where a call stands."""

    INVITED = "invited"
    RINGING = "ringing"
    ANSWERED = "answered"
    OVER = "over"


class Trigger(Enum):
    """What moves it on."""

    RANG = "callee rings"
    ANSWERED = "answered"
    ENDED = "declined, cancelled, hung up, timed out or gone"


TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    (State.INVITED, Trigger.RANG): State.RINGING,
    (State.INVITED, Trigger.ANSWERED): State.ANSWERED,
    (State.RINGING, Trigger.ANSWERED): State.ANSWERED,
    (State.INVITED, Trigger.ENDED): State.OVER,
    (State.RINGING, Trigger.ENDED): State.OVER,
    (State.ANSWERED, Trigger.ENDED): State.OVER,
}


@dataclass(frozen=True, slots=True)
class SendToKey:
    """Send to whoever holds this key now."""

    key: bytes
    message: wire.RelayMessage


CallCommand = SendToKey | CreateLegs | DestroyLegs
CallMessage = wire.Ring | wire.Answer | wire.Decline | wire.HangUp


@dataclass(slots=True)
class Call:
    """One call. ``away`` says until when each party that is gone may come back."""

    call_id: str
    caller: wire.DirectoryEntry
    callee: wire.DirectoryEntry
    caller_grant: LegGrant
    callee_grant: LegGrant
    answer_by_s: float
    state: State
    away: dict[bytes, float]

    def move(self, trigger: Trigger) -> bool:
        """Whether ``trigger`` has changed the state."""
        after = TRANSITIONS.get((self.state, trigger))
        if after is None:
            return False
        self.state = after
        return True

    def grant(self, key: bytes) -> LegGrant:
        """The credentials of the leg of one party."""
        return self.caller_grant if key == self.caller.key else self.callee_grant

    def other(self, key: bytes) -> bytes:
        """The key of the other party."""
        return self.callee.key if key == self.caller.key else self.caller.key


@dataclass(frozen=True, slots=True)
class Resuming:
    """One side of a call that the relay does not know; the other has until ``until_s`` to ask for the same."""

    person: wire.DirectoryEntry
    peer: bytes
    until_s: float


class CallTable:
    """All calls of a relay. ``rng`` makes the legs' credentials: give it a :class:`random.SystemRandom`."""

    def __init__(self, media_port: int, leg_lifetime_s: float, rng: random.Random, limits: RelayLimits) -> None:
        self._media_port = media_port
        self._leg_lifetime_s = leg_lifetime_s
        self._rng = rng
        self._calls: dict[str, Call] = {}
        self._by_key: dict[bytes, set[str]] = {}
        # (when, call): looked at then, whatever has become of the call meanwhile.
        self._due: list[tuple[float, str]] = []
        self._releases: deque[tuple[float, str]] = deque()
        self._released_ids: set[str] = set()
        # In the order in which they will be given up.
        self._resuming: dict[str, Resuming] = {}
        self._resuming_places = CallPlaces(limits)
        self.outcomes: Counter[wire.EndReason] = Counter()
        self.invited = 0
        self.answered = 0

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def legs_held(self) -> int:
        """Pairs of legs in use, those of calls that are just over included."""
        return len(self._calls) + len(self._releases)

    def get(self, call_id: str) -> Call | None:
        """A call that is not over."""
        return self._calls.get(call_id)

    def of_key(self, key: bytes) -> list[Call]:
        """The calls that a key takes part in."""
        return [self._calls[call_id] for call_id in sorted(self._by_key.get(key, ()))]

    def is_known(self, call_id: str) -> bool:
        """Whether the id is in use by a call or by legs that are still being released."""
        return call_id in self._calls or call_id in self._released_ids

    def next_deadline(self) -> float | None:
        """When :meth:`tick` has something to look at."""
        deadlines = [queue[0][0] for queue in (self._due, self._releases) if queue]
        deadlines += [resuming.until_s for resuming in list(self._resuming.values())[:1]]
        return min(deadlines, default=None)

    # -- what happens to calls

    def invite(
        self, call_id: str, caller: wire.DirectoryEntry, callee: wire.DirectoryEntry, now: float
    ) -> list[CallCommand]:
        """A new call; the router has checked that both parties are there and within their limits."""
        call = Call(call_id, caller, callee, self._grant(), self._grant(), now + NO_ANSWER_S, State.INVITED, {})
        self._keep(call)
        heapq.heappush(self._due, (call.answer_by_s, call_id))
        self.invited += 1
        return [
            CreateLegs(call_id, call.caller_grant, call.callee_grant),
            self._send_granted(call),
            self._send_incoming(call),
        ]

    def resume(
        self, call_id: str, person: wire.DirectoryEntry, peer: bytes, host: str, now: float
    ) -> list[CallCommand]:
        """``person`` asks from ``host`` (IP address) for legs of a running call with ``peer``. Both have to; for a
        known call one is enough."""
        call = self._calls.get(call_id)
        if call is not None:
            is_theirs = person.key in (call.caller.key, call.callee.key) and call.other(person.key) == peer
            return [self._send_resumed(call, person.key)] if is_theirs and call.state is State.ANSWERED else []
        if call_id in self._released_ids or peer == person.key:
            return []
        other = self._resuming.get(call_id)
        if other is None or other.person.key == person.key:
            self._give_up_resuming(call_id)
            if len(self._resuming) < MAX_RESUMING and not self._resuming_places.is_full(host):
                self._resuming_places.take(call_id, host)
                self._resuming[call_id] = Resuming(person, peer, now + RESUME_WITHIN_S)
            return []
        if (other.person.key, other.peer) != (peer, person.key):
            return []
        self._give_up_resuming(call_id)
        call = Call(call_id, other.person, person, self._grant(), self._grant(), now, State.ANSWERED, {})
        self._keep(call)
        return [
            CreateLegs(call_id, call.caller_grant, call.callee_grant),
            self._send_resumed(call, call.caller.key),
            self._send_resumed(call, call.callee.key),
        ]

    def message(self, key: bytes, message: CallMessage, now: float) -> list[CallCommand]:
        """A message about a call from whoever holds ``key``."""
        call = self._calls.get(message.call_id)
        if call is None or key not in (call.caller.key, call.callee.key):
            if isinstance(message, wire.Ring | wire.Answer):
                # Whoever still waits for this call must learn that it is no more.
                return [SendToKey(key, wire.Ended(message.call_id, "failed", "there is no such call any more"))]
            return []
        if isinstance(message, wire.HangUp):
            return self._hang_up(call, key, now)
        if key != call.callee.key:
            return [SendToKey(key, wire.Refused(0, "bad-message", "only the person who is called can do that"))]
        if isinstance(message, wire.Decline):
            reason: wire.EndReason = "hung-up" if call.state is State.ANSWERED else message.reason
            return self.end(call, reason, "", [call.caller.key], now)
        if isinstance(message, wire.Ring):
            return [SendToKey(call.caller.key, wire.Ringing(call.call_id))] if call.move(Trigger.RANG) else []
        if not call.move(Trigger.ANSWERED):
            return []
        call.away.clear()
        self.answered += 1
        return [SendToKey(call.caller.key, wire.Answered(call.call_id))]

    def came(self, key: bytes) -> list[CallCommand]:
        """A client of ``key`` is here (again): send it the state of its calls. Every message may be a repetition."""
        commands: list[CallCommand] = []
        for call in self.of_key(key):
            call.away.pop(key, None)
            if key == call.callee.key:
                if call.state is not State.ANSWERED:
                    commands.append(self._send_incoming(call))
                continue
            commands.append(self._send_granted(call))
            if call.state is State.RINGING:
                commands.append(SendToKey(key, wire.Ringing(call.call_id)))
            elif call.state is State.ANSWERED:
                commands.append(SendToKey(key, wire.Answered(call.call_id)))
        return commands

    def went(self, key: bytes, now: float) -> None:
        """The last session of ``key`` is gone: calls that are not answered wait for it, but not for long."""
        for call in self.of_key(key):
            if call.state is not State.ANSWERED:
                call.away[key] = now + RECONNECT_GRACE_S
                heapq.heappush(self._due, (call.away[key], call.call_id))

    def tick(self, now: float) -> list[CallCommand]:
        """End what nobody answered or came back to, and release legs."""
        commands: list[CallCommand] = []
        while self._due and self._due[0][0] <= now:
            _, call_id = heapq.heappop(self._due)
            call = self._calls.get(call_id)
            if call is not None and call.state is not State.ANSWERED:
                commands += self._check(call, now)
        for call_id in [key for key, resuming in self._resuming.items() if resuming.until_s <= now]:
            self._give_up_resuming(call_id)
        while self._releases and self._releases[0][0] <= now:
            _, call_id = self._releases.popleft()
            self._released_ids.discard(call_id)
            commands.append(DestroyLegs(call_id))
        return commands

    def end(self, call: Call, reason: wire.EndReason, text: str, notify: list[bytes], now: float) -> list[CallCommand]:
        """End a call and notify those in ``notify``; its legs are released a moment later."""
        if not call.move(Trigger.ENDED):
            return []
        del self._calls[call.call_id]
        for key in (call.caller.key, call.callee.key):
            ids = self._by_key[key]
            ids.discard(call.call_id)
            if not ids:
                del self._by_key[key]
        self._releases.append((now + LEG_GRACE_S, call.call_id))
        self._released_ids.add(call.call_id)
        self.outcomes[reason] += 1
        return [SendToKey(key, wire.Ended(call.call_id, reason, text)) for key in notify]

    def end_all(self, reason: wire.EndReason, text: str, now: float) -> list[CallCommand]:
        """End every call, and release all legs at once."""
        commands: list[CallCommand] = []
        for call in list(self._calls.values()):
            commands += self.end(call, reason, text, [call.caller.key, call.callee.key], now)
        commands += [DestroyLegs(call_id) for _, call_id in self._releases]
        self._releases.clear()
        self._released_ids.clear()
        for call_id in list(self._resuming):
            self._give_up_resuming(call_id)
        return commands

    def again(self, call: Call) -> list[CallCommand]:
        """The caller has sent the same invitation again: it may not have got the answer."""
        return [self._send_granted(call)]

    # -- parts

    def _give_up_resuming(self, call_id: str) -> None:
        self._resuming.pop(call_id, None)
        self._resuming_places.release(call_id)

    def _hang_up(self, call: Call, key: bytes, now: float) -> list[CallCommand]:
        reason: wire.EndReason = "hung-up"
        if call.state is not State.ANSWERED:
            reason = "cancelled" if key == call.caller.key else "declined"
        return self.end(call, reason, "", [call.other(key)], now)

    def _check(self, call: Call, now: float) -> list[CallCommand]:
        both = [call.caller.key, call.callee.key]
        for key, until_s in call.away.items():
            if until_s <= now:
                if key == call.caller.key:
                    return self.end(call, "cancelled", "the caller's connection was lost", both, now)
                return self.end(call, "offline", "the connection of the one who is called was lost", both, now)
        if call.answer_by_s <= now:
            return self.end(call, "no-answer", "", both, now)
        return []

    def _keep(self, call: Call) -> None:
        self._calls[call.call_id] = call
        for key in (call.caller.key, call.callee.key):
            self._by_key.setdefault(key, set()).add(call.call_id)

    def _grant(self) -> LegGrant:
        return LegGrant(
            self._rng.getrandbits(8 * USERNAME_BYTES).to_bytes(USERNAME_BYTES, "big").hex(),
            self._rng.getrandbits(8 * PASSWORD_BYTES).to_bytes(PASSWORD_BYTES, "big").hex(),
        )

    def _leg(self, grant: LegGrant) -> wire.LegCredentials:
        return wire.LegCredentials(grant.username, grant.password, self._media_port, self._leg_lifetime_s)

    def _send_granted(self, call: Call) -> SendToKey:
        return SendToKey(call.caller.key, wire.Granted(call.call_id, call.callee, self._leg(call.caller_grant)))

    def _send_resumed(self, call: Call, key: bytes) -> SendToKey:
        return SendToKey(key, wire.Resumed(call.call_id, self._leg(call.grant(key))))

    def _send_incoming(self, call: Call) -> SendToKey:
        return SendToKey(call.callee.key, wire.Incoming(call.call_id, call.caller, self._leg(call.callee_grant)))
