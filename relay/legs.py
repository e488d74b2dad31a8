"""Legs: the two halves of a relayed call, bound by authenticated STUN, forwarding sealed packets unchanged.

A leg is *bound* to the address that last proved its password with a Binding request (RFC 8489, short-term
credentials), and receives there: it is where its owner's session comes from, or the request was repeated with the NONCE
that was sent to it (RFC 8489 §9.2). Until then the leg stays where it is. From then on every datagram from that address
whose first byte is ≥ 0x40 (QUIC, RFC 9443) goes to the address of the other leg, byte for byte. Nothing else moves a
leg: not data from a new address, not a wrong password, and not a replayed request, since a transaction that was seen
before never moves anything.

Pure, and on the path of every packet of every call: :meth:`LegTable.forward` is a dictionary look-up and a few
comparisons.
"""

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from typing import Literal

from relay.events import LegGrant
from relay.nonces import Nonces
from transport.net.token_bucket import Rate
from transport.wire import stun
from transport.wire.demux import MAX_DATAGRAM_BYTES, QUIC_FIRST_BYTE

Address = tuple[str, int] | tuple[str, int, int, int]
"""As the socket gives it: two parts for IPv4, four for IPv6."""
Source = tuple[int, Address]
"""Number of the socket that a datagram came in on, and where from; an answer leaves the same way."""
Datagram = bytes | memoryview
Outgoing = tuple[Source, Datagram]
"""A datagram to send: through which socket, to whom, and what."""

# What waits while the other leg is not bound: the first flight of a handshake, never media.
MAX_WAITING_PACKETS = 8
MAX_WAITING_BYTES = 16_384
# Binding requests that a leg remembers, to tell a replay. One each 15 s: two hours.
MAX_TRANSACTIONS = 512
# After this long without an authenticated or forwarded packet on either leg, both are idle (DESIGN §7: keepalive is
# 15 s, three may be missed).
IDLE_S = 60.0

DropReason = Literal[
    "unbound", "not-quic", "too-long", "rate", "queue-full", "unauthenticated", "replayed", "unproven-address"
]  # fmt: skip


class Leg:
    """One half of a call. Counters are of packets received from this leg's client."""

    __slots__ = (
        "bound",
        "call_id",
        "grant",
        "host",
        "key",
        "other",
        "packets",
        "payload_bytes",
        "stamp_s",
        "tokens",
        "transactions",
        "waiting",
        "waiting_bytes",
    )

    def __init__(self, call_id: str, grant: LegGrant, tokens: float, now: float) -> None:
        self.call_id = call_id
        self.grant = grant
        # Where its owner is logged in from: IP address, or "".
        self.host = ""
        self.key = b""
        self.bound: Source | None = None
        self.other: Leg = self
        self.packets = 0
        self.payload_bytes = 0
        self.tokens = tokens
        self.stamp_s = now
        self.transactions: OrderedDict[bytes, None] = OrderedDict()
        # Packets that wait for this leg to be bound.
        self.waiting: deque[bytes] = deque()
        self.waiting_bytes = 0


@dataclass(slots=True)
class Pair:
    """The two legs of one call. ``active_s`` is when a packet last proved that somebody is there, ``has_met`` whether
    both were ever bound."""

    caller: Leg
    callee: Leg
    active_s: float
    idle_due_s: float
    has_met: bool = False


class LegTable:
    """All legs of a relay."""

    def __init__(self, rate: Rate, secret: bytes, idle_s: float = IDLE_S) -> None:
        """``secret``: 32 random bytes, for NONCEs."""
        self._nonces = Nonces(secret)
        self._rate = rate
        self._idle_s = idle_s
        self._pairs: dict[str, Pair] = {}
        self._by_username: dict[str, Leg] = {}
        self._by_source: dict[Source, Leg] = {}
        self.forwarded_packets = 0
        self.forwarded_bytes = 0
        self.drops: Counter[DropReason] = Counter()

    def __len__(self) -> int:
        return 2 * len(self._pairs)

    # -- life of a pair

    def create(self, call_id: str, caller: LegGrant, callee: LegGrant, now: float) -> None:
        """Make two legs; an older pair of the same call goes first."""
        self.destroy(call_id)
        one = Leg(call_id, caller, self._rate.burst, now)
        two = Leg(call_id, callee, self._rate.burst, now)
        one.other, two.other = two, one
        self._pairs[call_id] = Pair(one, two, now, now + self._idle_s)
        self._by_username[caller.username] = one
        self._by_username[callee.username] = two

    def place(self, username: str, host: str, key: bytes = b"") -> None:
        """The owner of a leg is logged in from ``host`` (IP address), or from nowhere (``""``). ``key`` tells owners
        apart."""
        leg = self._by_username.get(username)
        if leg is not None:
            leg.host = host.partition("%")[0]
            leg.key = key

    def destroy(self, call_id: str) -> None:
        """Release the legs of a call; unknown calls are no error."""
        pair = self._pairs.pop(call_id, None)
        if pair is None:
            return
        for leg in (pair.caller, pair.callee):
            self._by_username.pop(leg.grant.username, None)
            self._unbind(leg)
        # Two legs that point at each other would wait for the garbage collector, which a relay may have turned off.
        pair.caller.other = pair.caller
        pair.callee.other = pair.callee

    def next_deadline(self) -> float | None:
        """When the next pair could turn idle, in the clock of the other methods."""
        return min((pair.idle_due_s for pair in self._pairs.values()), default=None)

    def idle(self, now: float) -> list[str]:
        """Calls on whose legs nothing has come for the idle time, or that did not have both bound within it; each is
        named once per idle time."""
        idle: list[str] = []
        for call_id, pair in self._pairs.items():
            if now < pair.idle_due_s:
                continue
            due_s = max(pair.active_s, pair.caller.stamp_s, pair.callee.stamp_s) + self._idle_s
            if due_s <= now or not pair.has_met:
                idle.append(call_id)
                due_s = now + self._idle_s
            pair.idle_due_s = due_s
        return idle

    # -- packets

    def forward(self, data: Datagram, source: Source, now: float) -> Source | None:
        """Where a datagram goes that is not STUN, or ``None`` when it is dropped (and counted) or kept waiting."""
        leg = self._by_source.get(source)
        if leg is None:
            self.drops["unbound"] += 1
            return None
        if not data or data[0] < QUIC_FIRST_BYTE:
            self.drops["not-quic"] += 1
            return None
        size = len(data)
        if size > MAX_DATAGRAM_BYTES:
            self.drops["too-long"] += 1
            return None
        rate = self._rate
        tokens = leg.tokens + (now - leg.stamp_s) * rate.per_s
        if tokens > rate.burst:
            tokens = rate.burst
        leg.stamp_s = now
        if tokens < 1.0:
            leg.tokens = tokens
            self.drops["rate"] += 1
            return None
        leg.tokens = tokens - 1.0
        leg.packets += 1
        leg.payload_bytes += size
        other = leg.other
        if other.bound is None:
            self._keep(other, bytes(data))
            return None
        self.forwarded_packets += 1
        self.forwarded_bytes += size
        return other.bound

    def bind(self, request: stun.StunMessage, source: Source, now: float) -> list[Outgoing] | None:
        """Bind the leg whose password a Binding request proves, and answer it.

        Returns the answer and then whatever waited for the leg, or ``None`` when the request proves nothing:
        then nothing has moved. An address that is not known to receive is asked to repeat the request.
        """
        leg = self._owner(request)
        if leg is None:
            self.drops["unauthenticated"] += 1
            return None
        seen = request.transaction_id in leg.transactions
        if seen and leg.bound != source:
            # Somebody who saw the request sends it from elsewhere; its owner makes a new transaction each time.
            self.drops["replayed"] += 1
            return None
        if not seen:
            leg.transactions[request.transaction_id] = None
            if len(leg.transactions) > MAX_TRANSACTIONS:
                leg.transactions.popitem(last=False)
        if leg.bound != source:
            if not self._receives(leg, request, source, now):
                self.drops["unproven-address"] += 1
                nonce = self._nonces.make(endpoint(source), now)
                error = stun.binding_error(
                    request, stun.UNAUTHENTICATED, "Repeat with NONCE", leg.grant.password, nonce
                )
                return [(source, error)]
            self._move(leg, source)
        pair = self._pairs[leg.call_id]
        pair.active_s = now
        pair.has_met |= leg.other.bound is not None
        outgoing: list[Outgoing] = [(source, stun.binding_success(request, endpoint(source), leg.grant.password))]
        while leg.waiting:
            data = leg.waiting.popleft()
            self.forwarded_packets += 1
            self.forwarded_bytes += len(data)
            outgoing.append((source, data))
        leg.waiting_bytes = 0
        return outgoing

    def _receives(self, leg: Leg, request: stun.StunMessage, source: Source, now: float) -> bool:
        """Whether what is sent to ``source`` reaches whoever made this request. An address where somebody else's leg is
        bound is taken by proof alone: it may be a neighbour's behind the same NAT."""
        address = endpoint(source)
        bound = self._by_source.get(source)
        is_free = bound is None or (bound.key == leg.key and leg.key != b"")
        return (address[0] == leg.host and is_free) or self._nonces.is_valid(request.nonce, address, now)

    def is_authentic(self, request: stun.StunMessage) -> bool:
        """Whether a request has a leg's credentials and is not one that was seen before."""
        leg = self._owner(request)
        return leg is not None and request.transaction_id not in leg.transactions

    def _owner(self, request: stun.StunMessage) -> Leg | None:
        """The leg whose credentials a request carries."""
        leg = self._by_username.get(request.username or "")
        return leg if leg is not None and request.authentic(leg.grant.password) else None

    def _move(self, leg: Leg, source: Source) -> None:
        older = self._by_source.get(source)
        if older is not None:
            # One address serves one leg: the newest proof wins, or it would not be known whose packets they are.
            self._unbind(older)
        self._unbind(leg)
        leg.bound = source
        self._by_source[source] = leg

    def _unbind(self, leg: Leg) -> None:
        if leg.bound is not None:
            del self._by_source[leg.bound]
            leg.bound = None

    def _keep(self, leg: Leg, data: bytes) -> None:
        leg.waiting.append(data)
        leg.waiting_bytes += len(data)
        while len(leg.waiting) > MAX_WAITING_PACKETS or leg.waiting_bytes > MAX_WAITING_BYTES:
            # The oldest goes: QUIC will have sent it again, and what is newest is what the peer still needs.
            leg.waiting_bytes -= len(leg.waiting.popleft())
            self.drops["queue-full"] += 1


def endpoint(source: Source) -> tuple[str, int]:
    """IP address and port alone: IPv6 socket addresses have a flow label and a scope behind them."""
    return source[1][0].partition("%")[0], source[1][1]
