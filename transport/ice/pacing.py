"""Limits of what a search for a direct path may cost: of one round, and of the whole host."""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from transport.net.sockets import Address

# A peer names the addresses that we send to, so it could name a victim's: no address gets more than this many
# packets a round before the peer has proven that it answers there ...
MAX_PACKETS_PER_ADDRESS = 7
# ... and no host more than this many: enough for five reflexive ports of one NAT.
MAX_PACKETS_PER_HOST = 35
# Twelve STUN requests in each address family, once.
BURST_PACKETS = 24

# DESIGN §5, for everything that a host sends to find direct paths: 200 packets in any second. A token bucket that
# holds 30 and gains 170 a second keeps to it, and lets the STUN requests of a round leave at once.
TOTAL_BURST_PACKETS = 30
TOTAL_PACKETS_PER_S = 170
MAX_SOCKETS = 256
MAX_LIVE_MAPPINGS = 1_024
# Most NATs forget a flow that was never answered after 30 s (Linux) to 60 s; RFC 4787 REQ-5 wants two minutes for
# one that was.
MAPPING_LIFE_S = 60.0


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one round of a technique; ``seconds`` from its beginning."""

    packets: int
    packets_per_second: int
    sockets: int
    seconds: float


class PacketRate:
    """A token bucket: ``rate`` a second, ``capacity`` at once, full at first."""

    __slots__ = ("_at", "_capacity", "_rate", "_tokens")

    def __init__(self, rate: float, capacity: float) -> None:
        self._rate = rate
        self._capacity = capacity
        self._tokens = capacity
        self._at: float | None = None

    def consume(self, now: float) -> bool:
        """Take one token, if there is one."""
        if self._at is not None:
            self._tokens = min(self._capacity, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class ExclusiveLock(Protocol):
    """What only one process of a host holds at a time."""

    def acquire(self) -> bool:
        """Whether it is ours now. Never waits; the holder may acquire it again."""

    def release(self) -> None:
        """Give it back; harmless when it is not ours."""


class HostLimits:
    """What all calls of one process share: packets a second, sockets, mappings that NATs keep for us, and the one
    traversal with probe rounds that may run at a time (DESIGN §5). ``lock`` is that one's among the processes of the
    host; its holder may use all of the limits, and what the others send is little."""

    __slots__ = ("_keys", "_lock", "_mappings", "_max_mappings", "_max_sockets", "_owner", "_rate", "sockets")

    def __init__(
        self, sockets: int = MAX_SOCKETS, mappings: int = MAX_LIVE_MAPPINGS, *, lock: ExclusiveLock | None = None
    ) -> None:
        self._lock = lock
        self._rate = PacketRate(TOTAL_PACKETS_PER_S, TOTAL_BURST_PACKETS)
        self._max_sockets = sockets
        self._max_mappings = mappings
        self._keys: set[tuple[int, Address]] = set()
        self._mappings: deque[tuple[float, tuple[int, Address]]] = deque()
        self._owner: object | None = None
        self.sockets = 0

    def consume(self, now: float) -> bool:
        """Take one packet, if there is one."""
        return self._rate.consume(now)

    def open_socket(self) -> bool:
        """One more, if it may be."""
        if self.sockets >= self._max_sockets:
            return False
        self.sockets += 1
        return True

    def close_socket(self) -> None:
        """One less."""
        self.sockets = max(0, self.sockets - 1)

    def live_mappings(self, now: float) -> int:
        """Flows that a NAT may still know of. A side with endpoint-independent mapping has fewer: it is counted as
        if each destination were one, since some NATs (Linux) keep a flow for each."""
        while self._mappings and now - self._mappings[0][0] > MAPPING_LIFE_S:
            self._keys.discard(self._mappings.popleft()[1])
        return len(self._mappings)

    def allows_mapping(self, socket: int, target: Address, now: float) -> bool:
        """Whether a packet from this socket to this target may leave: it makes no new mapping, or one more may be,
        which then counts."""
        key = (socket, target)
        if key in self._keys:
            return True
        if self.live_mappings(now) >= self._max_mappings:
            return False
        self._keys.add(key)
        self._mappings.append((now, key))
        return True

    def acquire(self, owner: object) -> bool:
        """Whether the one traversal with probe rounds is ``owner``'s now; it may ask again."""
        if self._owner is None and (self._lock is None or self._lock.acquire()):
            self._owner = owner
        return self._owner is owner

    def release(self, owner: object) -> None:
        """Somebody else's may begin."""
        if self._owner is owner:
            self._owner = None
            if self._lock is not None:
                self._lock.release()


class PacketBudget:
    """Counts every packet that a round sends unasked. The rate is a token bucket that holds ``burst`` packets: the
    STUN requests of a round leave at once. ``is_focused``: for rounds that try many ports of one host, or one port
    from many sockets; what they may cost a victim is their budget's ``packets``."""

    __slots__ = ("_hosts", "_is_focused", "_limits", "_packets", "_rate", "_targets", "_validated", "spent")

    def __init__(
        self, budget: Budget, burst: int = BURST_PACKETS, *, limits: HostLimits | None = None, is_focused: bool = False
    ) -> None:
        self._limits = limits
        self._is_focused = is_focused
        self._packets = budget.packets
        self._rate = PacketRate(budget.packets_per_second, burst)
        self._targets: dict[Address, int] = {}
        self._hosts: dict[str, int] = {}
        self._validated: set[Address] = set()
        self.spent = 0

    @property
    def exhausted(self) -> bool:
        """Nothing more may be sent, ever."""
        return self.spent >= self._packets

    def restart(self) -> None:
        """A waiting that is allowed goes on: what it has cost so far no longer counts."""
        self.spent = 0

    def mark_validated(self, target: Address) -> None:
        """The peer has authentically answered from there: the limits per address no longer protect anybody (RFC 9000
        §8.1 calls such an address validated)."""
        self._validated.add(target)

    def allows(self, target: Address) -> bool:
        """Whether the limits in all and per address let a packet go to ``target``, now or later."""
        if self.exhausted:
            return False
        return (
            self._is_focused
            or target in self._validated
            or (
                self._targets.get(target, 0) < MAX_PACKETS_PER_ADDRESS
                and self._hosts.get(target[0], 0) < MAX_PACKETS_PER_HOST
            )
        )

    def consume(self, target: Address, now: float) -> bool:
        """Take one packet to an address that the peer chose."""
        if not self.allows(target) or not self._take(now):
            return False
        self.spent += 1
        self._targets[target] = self._targets.get(target, 0) + 1
        self._hosts[target[0]] = self._hosts.get(target[0], 0) + 1
        return True

    def consume_for_server(self, now: float) -> bool:
        """Take one packet to an address that no peer chose: a STUN server of our relay."""
        if self.exhausted or not self._take(now):
            return False
        self.spent += 1
        return True

    def _take(self, now: float) -> bool:
        return self._rate.consume(now) and (self._limits is None or self._limits.consume(now))
