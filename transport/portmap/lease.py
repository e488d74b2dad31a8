"""Leases of port mappings, their times, and the epochs of gateways."""

from dataclasses import dataclass

from transport.net.sockets import Address

# RFC 6886 §3.3 recommends two hours; an hour limits what a crash leaves behind.
LEASE_S = 3_600
# RFC 6887 §11.2.1: renewals come no more often than this, so a shorter lease than twice of it cannot be kept.
MIN_RENEWAL_S = 4.0
MIN_LEASE_S = 2 * MIN_RENEWAL_S
# A router that grants more than a day is asked again all the same: it may have forgotten.
MAX_LEASE_S = 86_400
# A router that has started anew is noticed by its epoch within this; a question and an answer are some 200 bytes.
WATCH_EVERY_S = 60.0
# Whoever could forge epochs makes us ask again this often at most.
MIN_REMAP_S = 5.0
# What has refused is asked again after this at the earliest (RFC 6887 §7.4: short errors last 30 s), and at the latest.
MIN_RETRY_S, MAX_RETRY_S = 30.0, 1_800.0
# Servers' ports lie below it, and no peer would send a check there (transport.ice.candidates).
FIRST_EXTERNAL_PORT = 1_024
# RFC 6887 §8.5 and RFC 6886 §3.6: clocks differ by up to a 16th, or an 8th, and by two seconds of rounding.
_EPOCH_SLACK_S = 2.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A mapping that stands. Times in s of the clock of the machines."""

    external: Address
    since: float
    lifetime_s: float

    @property
    def renew_at(self) -> float:
        """Half its life (RFC 6886 §3.3, RFC 6887 §11.2.1)."""
        return self.since + max(MIN_RENEWAL_S, self.lifetime_s / 2)

    @property
    def expires_at(self) -> float:
        """When the router forgets it."""
        return self.since + self.lifetime_s


class Epoch:
    """The age of a gateway's table, as it says itself: whether that has gone on with our own clock (RFC 6887 §8.5,
    RFC 6886 §3.6). ``tolerance`` is the share by which clocks may differ."""

    __slots__ = ("_at", "_epoch_s", "_tolerance")

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._at: float | None = None
        self._epoch_s = 0

    def lost(self, epoch_s: int, now: float) -> bool:
        """Take what the gateway says now; whether it has forgotten its mappings since it spoke last."""
        before_at, before_s = self._at, self._epoch_s
        self._at, self._epoch_s = now, epoch_s
        if before_at is None:
            return False
        ours, theirs = now - before_at, epoch_s - before_s
        if theirs < -1:
            return True
        allowed = _EPOCH_SLACK_S
        return ours + allowed < theirs * (1 - self._tolerance) or theirs + allowed < ours * (1 - self._tolerance)


def usable_lifetime(granted_s: float) -> float | None:
    """What may be made of a granted life time: ``None`` where it is too short to be kept."""
    return None if granted_s < MIN_LEASE_S else float(min(granted_s, MAX_LEASE_S))
