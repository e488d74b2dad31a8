"""What a phase may cost the network, the purse that it is paid from, and what all phases of a machine may cost."""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from transport.net.sockets import Address

# A peer names the addresses that we send to, so it could name a victim's: no address gets more than this many
# packets a round before the peer has proven that it answers there ...
MAX_PACKETS_PER_ADDRESS = 7
# ... and no host more than this many: enough for five reflexive ports of one NAT.
MAX_PACKETS_PER_HOST = 35
# Twelve STUN questions in each address family, once.
BURST_PACKETS = 24

# DESIGN §5, for everything that a machine sends to find direct paths: 200 packets in any second. A token bucket that
# holds 30 and gains 170 a second keeps to it, and lets the questions of a round leave at once.
TOTAL_BURST_PACKETS = 30
TOTAL_PACKETS_PER_S = 170
MAX_SOCKETS = 256
MAX_LIVE_MAPPINGS = 1_024
# Most NATs forget a flow that was never answered after 30 s (Linux) to 60 s; RFC 4787 REQ-5 wants two minutes for
# one that was.
MAPPING_LIFE_S = 60.0


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one phase (of each round, where it has rounds)."""

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

    def take(self, now: float) -> bool:
        """Take one, if there is one."""
        if self._at is not None:
            self._tokens = min(self._capacity, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class ExclusiveLock(Protocol):
    """What only one process of a machine has at a time."""

    def take(self) -> bool:
        """Whether it is ours now. Never waits; whoever has it may take it again."""

    def end(self) -> None:
        """Give it back; harmless when it is not ours."""


class HostLimits:
    """What all phases of all calls of one process draw from: packets a second, sockets, mappings that NATs keep for
    us, and the turn of the one hard traversal that there may be at a time (DESIGN §5). ``machine`` is the turn among
    the processes of the machine; whoever has it may draw all, and all else that a process sends is little."""

    __slots__ = ("_bucket", "_keys", "_machine", "_mappings", "_max_mappings", "_max_sockets", "_turn", "sockets")

    def __init__(
        self, sockets: int = MAX_SOCKETS, mappings: int = MAX_LIVE_MAPPINGS, *, machine: ExclusiveLock | None = None
    ) -> None:
        self._machine = machine
        self._bucket = PacketRate(TOTAL_PACKETS_PER_S, TOTAL_BURST_PACKETS)
        self._max_sockets = sockets
        self._max_mappings = mappings
        self._keys: set[tuple[int, Address]] = set()
        self._mappings: deque[tuple[float, tuple[int, Address]]] = deque()
        self._turn: object | None = None
        self.sockets = 0

    def take(self, now: float) -> bool:
        """Take one packet, if there is one."""
        return self._bucket.take(now)

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

    def map(self, socket: int, target: Address, now: float) -> bool:
        """A packet from this socket to this target may leave: it makes no new mapping, or one more may be."""
        key = (socket, target)
        if key in self._keys:
            return True
        if self.live_mappings(now) >= self._max_mappings:
            return False
        self._keys.add(key)
        self._mappings.append((now, key))
        return True

    def take_turn(self, owner: object) -> bool:
        """The turn of the one hard traversal at a time; whoever has it may take it again."""
        if self._turn is None and (self._machine is None or self._machine.take()):
            self._turn = owner
        return self._turn is owner

    def end_turn(self, owner: object) -> None:
        """Somebody else's may begin."""
        if self._turn is owner:
            self._turn = None
            if self._machine is not None:
                self._machine.end()


class PacketBudget:
    """Pays for every packet that a phase sends unasked. The rate is a token bucket that holds ``burst`` packets:
    the STUN questions of a round leave at once. ``is_focused``: for phases that try many ports of one host, or one
    port from many sockets; what they may cost a victim is their budget's ``packets``."""

    __slots__ = ("_allowance", "_bucket", "_hosts", "_is_focused", "_packets", "_proven", "_targets", "spent")

    def __init__(
        self,
        budget: Budget,
        burst: int = BURST_PACKETS,
        *,
        allowance: HostLimits | None = None,
        is_focused: bool = False,
    ) -> None:
        self._allowance = allowance
        self._is_focused = is_focused
        self._packets = budget.packets
        self._bucket = PacketRate(budget.packets_per_second, burst)
        self._targets: dict[Address, int] = {}
        self._hosts: dict[str, int] = {}
        self._proven: set[Address] = set()
        self.spent = 0

    @property
    def exhausted(self) -> bool:
        """Nothing more may be sent, ever."""
        return self.spent >= self._packets

    def refresh(self) -> None:
        """A waiting that is allowed goes on: what it has cost so far no longer counts."""
        self.spent = 0

    def prove(self, target: Address) -> None:
        """The peer has authentically answered from there: the limits per address no longer protect anybody."""
        self._proven.add(target)

    def allows(self, target: Address) -> bool:
        """Whether the limits in all and per address let a packet go to ``target``, now or later."""
        if self.exhausted:
            return False
        return (
            self._is_focused
            or target in self._proven
            or (
                self._targets.get(target, 0) < MAX_PACKETS_PER_ADDRESS
                and self._hosts.get(target[0], 0) < MAX_PACKETS_PER_HOST
            )
        )

    def pay(self, target: Address, now: float) -> bool:
        """Take one packet to an address that the peer chose."""
        if not self.allows(target) or not self._take(now):
            return False
        self.spent += 1
        self._targets[target] = self._targets.get(target, 0) + 1
        self._hosts[target[0]] = self._hosts.get(target[0], 0) + 1
        return True

    def pay_known(self, now: float) -> bool:
        """Take one packet to an address that no peer chose: a STUN server of our relay."""
        if self.exhausted or not self._take(now):
            return False
        self.spent += 1
        return True

    def _take(self, now: float) -> bool:
        return self._bucket.take(now) and (self._allowance is None or self._allowance.take(now))
