"""Work that a peer causes, charged by what it cost: CPU time for each connection and for each address.

Counting packets or messages does not bound what they cost: aioquic keeps what arrives out of order in a list that it
walks for each further frame, so 60 packets of one-byte frames are worth seconds. What is measured here is the time
that the thread has spent on somebody's packets; a machine that is busy with other things is not charged for.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

Cpu = Callable[[], float]
"""A clock of CPU time in seconds: ``time.thread_time`` in the product."""


def uncharged() -> float:
    """For simulations, whose time is not that of a processor: everything costs nothing."""
    return 0.0


# RFC 6177: a site may have all of it, so its addresses are one.
IPV6_SITE_BITS = 64
# Of 200 bytes each. The oldest that owes nothing makes way.
MAX_ADDRESSES = 4_096


@dataclass(frozen=True, slots=True)
class WorkLimit:
    """``share`` of one core in the long run, and ``burst_s`` seconds of CPU time at once."""

    share: float
    burst_s: float


class WorkBudget:
    """What one peer may cost. It fills up again at ``share`` CPU seconds for each second."""

    __slots__ = ("_left_s", "_limit", "_since")

    def __init__(self, limit: WorkLimit) -> None:
        self._limit = limit
        self._left_s = limit.burst_s
        self._since: float | None = None

    def charge(self, spent_s: float, now: float) -> bool:
        """Take ``spent_s`` of CPU time off; False when that leaves nothing."""
        self._refill(now)
        self._left_s -= spent_s
        return self._left_s > 0

    def is_overdrawn(self, now: float) -> bool:
        """Whether nothing is left at ``now``."""
        self._refill(now)
        return self._left_s <= 0

    def is_full(self, now: float) -> bool:
        """Whether nothing is owed at ``now``, so that forgetting it gives nothing away."""
        self._refill(now)
        return self._left_s >= self._limit.burst_s

    def _refill(self, now: float) -> None:
        since = now if self._since is None else self._since
        self._since = max(since, now)
        self._left_s = min(self._limit.burst_s, self._left_s + (self._since - since) * self._limit.share)


class AddressBudgets:
    """A budget for each IPv4 address and each IPv6 /64, in bounded memory. Give it only addresses that were validated
    (RFC 9000 §8): others cost their owners what somebody else has sent."""

    def __init__(self, limit: WorkLimit, max_addresses: int = MAX_ADDRESSES) -> None:
        self._limit = limit
        self._max = max_addresses
        self._budgets: OrderedDict[bytes, WorkBudget] = OrderedDict()

    def __len__(self) -> int:
        return len(self._budgets)

    def charge(self, host: str, spent_s: float, now: float) -> bool:
        """As :meth:`WorkBudget.charge`, for the address ``host``."""
        key = site(host)
        budget = self._budgets.get(key)
        if budget is None:
            budget = WorkBudget(self._limit)
            if not self._make_room(now):
                # Everybody in the table owes something: a newcomer is charged, and not kept.
                return budget.charge(spent_s, now)
            self._budgets[key] = budget
        self._budgets.move_to_end(key)
        return budget.charge(spent_s, now)

    def is_overdrawn(self, host: str, now: float) -> bool:
        """Whether ``host`` has used up what it may cost."""
        budget = self._budgets.get(site(host))
        return budget is not None and budget.is_overdrawn(now)

    def _make_room(self, now: float) -> bool:
        """Forget the one that has been quiet longest, if it owes nothing: being forgotten must not pay a debt."""
        while len(self._budgets) >= self._max:
            key, oldest = next(iter(self._budgets.items()))
            if not oldest.is_full(now):
                return False
            del self._budgets[key]
        return True


def site(host: str) -> bytes:
    """What stands for ``host``: an IPv4 address, also one inside IPv6, or an IPv6 /64; else the text itself."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host.encode()
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped.packed
        return address.packed[: IPV6_SITE_BITS // 8]
    return address.packed
