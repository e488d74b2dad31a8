"""What a phase may cost the network, and the purse that it is paid from."""

from dataclasses import dataclass

from transport.wire.stun import Address

# A peer names the addresses that we send to, so it could name a victim's: no address gets more than this many
# packets a round before the peer has proven that it answers there ...
MAX_PACKETS_PER_ADDRESS = 7
# ... and no host more than this many: enough for five reflexive ports of one NAT.
MAX_PACKETS_PER_HOST = 35
# Twelve STUN questions in each address family, once.
BURST_PACKETS = 24


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one phase (of each round, where it has rounds)."""

    packets: int
    packets_per_second: int
    sockets: int
    seconds: float


class Bucket:
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


class Purse:
    """Pays for every packet that a phase sends unasked. The rate is a token bucket that holds ``burst`` packets:
    the STUN questions of a round leave at once."""

    __slots__ = ("_bucket", "_hosts", "_packets", "_proven", "_targets", "spent")

    def __init__(self, budget: Budget, burst: int = BURST_PACKETS) -> None:
        self._packets = budget.packets
        self._bucket = Bucket(budget.packets_per_second, burst)
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
        return target in self._proven or (
            self._targets.get(target, 0) < MAX_PACKETS_PER_ADDRESS
            and self._hosts.get(target[0], 0) < MAX_PACKETS_PER_HOST
        )

    def pay(self, target: Address, now: float) -> bool:
        """Take one packet to an address that the peer chose."""
        if not self.allows(target) or not self._bucket.take(now):
            return False
        self.spent += 1
        self._targets[target] = self._targets.get(target, 0) + 1
        self._hosts[target[0]] = self._hosts.get(target[0], 0) + 1
        return True

    def pay_known(self, now: float) -> bool:
        """Take one packet to an address that no peer chose: a STUN server of our relay."""
        if self.exhausted or not self._bucket.take(now):
            return False
        self.spent += 1
        return True
