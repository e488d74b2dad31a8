"""Limits on what a stranger can cause: token buckets by identity and by address, in bounded memory.

Every number stands in :class:`RelayLimits`, so that an operator can change it and a
test can reach it.
"""

import ipaddress
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Literal

from transport.net.token_bucket import Rate, TokenBucket

LimitKind = Literal[
    "session", "failed-proof", "registration", "registration-address", "lookup", "lookup-address", "watch",
    "watch-address", "invite", "invite-address", "stun", "stun-session", "stun-leg",
]  # fmt: skip

# Of each kind, so that sources that cost nothing to forge ("stun") push out no others. A bucket is under 300 bytes with
# its key: 5 MiB a kind, and more subjects than there are sessions (20,000) would have to be busy at the same time.
MAX_BUCKETS = 16_384


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """All limits of a relay. "Address" is an IPv4 address or an IPv6 /64, the least that a household has.

    The defaults let a person, an office behind one address and a restart of all clients at once pass, and stop a
    loop. Counts are of things that exist at the same time.
    """

    session: Rate = Rate(120, 4.0)
    """New sessions per address."""
    sessions_per_address: int = 512
    sessions: int = 20_000
    failed_proof: Rate = Rate(10, 0.1)
    """Wrong signatures and unknown logins per address: honest programs make none."""
    registration: Rate = Rate(5, 1 / 60)
    """Per identity."""
    registration_address: Rate = Rate(20, 1 / 60)
    names: int = 1_000_000
    lookup: Rate = Rate(60, 1.0)
    """Per identity: a contact list is looked up at once, an enumeration is slow."""
    lookup_address: Rate = Rate(600, 5.0)
    watch: Rate = Rate(2_048, 16.0)
    """Names per identity: a list has 256 at most, and comes again after each change of it and each log-in."""
    watch_address: Rate = Rate(40_960, 64.0)
    """A client does not repeat a refused list, so that a restart of all of an office's clients must pass at once."""
    invite: Rate = Rate(30, 0.5)
    """Per identity: nobody dials more than once in two seconds for long."""
    invite_address: Rate = Rate(120, 2.0)
    watched_by_guest: int = 32
    watched: int = 500_000
    """Watched names of all sessions together, at some 200 bytes each."""
    calls_per_caller: int = 4
    calls_per_callee: int = 8
    calls: int = 2_000
    calls_per_address: int = 64
    """Of callers: an office, or a carrier's NAT."""
    calls_per_56: int = 128
    """Of callers in an IPv6 /56, which a household gets, and in a /48, which a company gets: their /64s are free."""
    calls_per_48: int = 256
    messages: Rate = Rate(100, 20.0)
    """Messages per session; over it the session ends."""
    stun: Rate = Rate(240, 60.0)
    """Answers to Binding requests without valid credentials, per IPv4 /24 or IPv6 /64: one profile takes forty, and a
    carrier's subscribers share addresses."""
    stun_session: Rate = Rate(240, 60.0)
    """The same for one address (IPv6: /64) that a logged-in session comes from: never counted with its neighbours."""
    stun_leg: Rate = Rate(60, 4.0)
    """Answers to requests with one leg's credentials that do not bind it: classifying a NAT takes forty."""
    leg_packets: Rate = Rate(400, 200.0)
    """Packets per leg: voice is 50 a second, acknowledgements as many again, and a swap doubles both."""

    def rate(self, kind: LimitKind) -> Rate:
        """The rate of one kind of bucket."""
        rates: dict[LimitKind, Rate] = {
            "session": self.session,
            "failed-proof": self.failed_proof,
            "registration": self.registration,
            "registration-address": self.registration_address,
            "lookup": self.lookup,
            "lookup-address": self.lookup_address,
            "watch": self.watch,
            "watch-address": self.watch_address,
            "invite": self.invite,
            "invite-address": self.invite_address,
            "stun": self.stun,
            "stun-session": self.stun_session,
            "stun-leg": self.stun_leg,
        }
        return rates[kind]


@dataclass(slots=True)
class Limiter:
    """A table of buckets for each kind. When one is full, its bucket that rested longest is forgotten: it is the
    fullest, so forgetting it forgives the least. No kind makes another one forget."""

    limits: RelayLimits
    max_buckets: int = MAX_BUCKETS
    _tables: dict[LimitKind, OrderedDict[str | bytes, TokenBucket]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self._tables.values()))

    def take(self, kind: LimitKind, subject: str | bytes, now: float, count: int = 1) -> float:
        """Count one, or ``count``: 0.0 when it is within the limit, else the seconds to wait."""
        rate = self.limits.rate(kind)
        table = self._tables.setdefault(kind, OrderedDict())
        bucket = table.get(subject)
        if bucket is None:
            while len(table) >= self.max_buckets:
                table.popitem(last=False)
            bucket = table[subject] = TokenBucket(rate, now)
        else:
            table.move_to_end(subject)
        return bucket.take(rate, now, count)

    def peek(self, kind: LimitKind, subject: str | bytes, now: float) -> float:
        """What :meth:`take` would say, counting nothing."""
        table = self._tables.get(kind)
        bucket = table.get(subject) if table is not None else None
        return bucket.peek(self.limits.rate(kind), now) if bucket is not None else 0.0


@dataclass(slots=True)
class CallPlaces:
    """The places of a relay's calls, counted by the network that a call was made from."""

    limits: RelayLimits
    _held: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    _counts: Counter[tuple[int, str]] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self._held)

    def is_full(self, host: str) -> bool:
        """Whether the networks of an IP address have all the calls that they may have."""
        limits = (self.limits.calls_per_address, self.limits.calls_per_56, self.limits.calls_per_48)
        return any(self._counts[network] >= limit for network, limit in zip(_networks(host), limits, strict=True))

    def take(self, call_id: str, host: str) -> None:
        """A call has a place now."""
        if call_id not in self._held:
            self._held[call_id] = _networks(host)
            self._counts.update(self._held[call_id])

    def release(self, call_id: str) -> None:
        """The call's place is free; unknown calls are no error."""
        for network in self._held.pop(call_id, ()):
            self._counts[network] -= 1
            if not self._counts[network]:
                del self._counts[network]


def _networks(host: str) -> list[tuple[int, str]]:
    """An IPv6 address's /64, /56 and /48; an IPv4 address is all three."""
    return [(bits, _prefix(host, 32, bits)) for bits in (64, 56, 48)]


def address_subject(host: str) -> str:
    """Who an address stands for: an IPv4 address itself, an IPv6 /64. Text that is no address stands for itself."""
    return _prefix(host, 32, 64)


def network_subject(host: str) -> str:
    """The same one step coarser for what costs nothing to forge: IPv4 /24, IPv6 /64."""
    return _prefix(host, 24, 64)


def _prefix(host: str, bits4: int, bits6: int) -> str:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host[:64]
    if address.version == 6:
        return str(int(address) >> (128 - bits6))
    return f"{int(address) >> (32 - bits4):x}/{bits4}"
