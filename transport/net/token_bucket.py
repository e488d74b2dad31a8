"""Token bucket: so many at once, then so many each second."""

from dataclasses import dataclass

# A day: what a message of the relay can say (transport.wire.relay_messages.Seconds).
MAX_WAIT_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: ``burst`` at once, then ``per_s`` each second."""

    burst: float
    per_s: float


class TokenBucket:
    """One bucket, full at first. The rate is an argument, so that a bucket is two numbers."""

    __slots__ = ("_stamp_s", "_tokens")

    def __init__(self, rate: Rate, now: float) -> None:
        self._tokens = rate.burst
        self._stamp_s = now

    def take(self, rate: Rate, now: float, count: int = 1) -> float:
        """Take ``count`` tokens: 0.0, or when there are fewer the seconds until there are enough, and none is taken."""
        self._tokens = self._tokens_at(rate, now)
        self._stamp_s = max(self._stamp_s, now)
        wait_s = _wait(self._tokens, rate, count)
        if not wait_s:
            self._tokens -= count
        return wait_s

    def peek(self, rate: Rate, now: float) -> float:
        """What :meth:`take` would return at ``now``, changing nothing."""
        return _wait(self._tokens_at(rate, now), rate)

    def _tokens_at(self, rate: Rate, now: float) -> float:
        return min(rate.burst, self._tokens + max(0.0, now - self._stamp_s) * rate.per_s)


def _wait(tokens: float, rate: Rate, count: int = 1) -> float:
    if tokens >= count:
        return 0.0
    return min(MAX_WAIT_S, (count - tokens) / rate.per_s) if rate.per_s > 0 else MAX_WAIT_S
