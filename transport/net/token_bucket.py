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

    def take(self, rate: Rate, now: float) -> float:
        """Take one token: 0.0, or when there is none the seconds until there is one."""
        self._tokens = self._tokens_at(rate, now)
        self._stamp_s = max(self._stamp_s, now)
        wait_s = _wait(self._tokens, rate)
        if not wait_s:
            self._tokens -= 1.0
        return wait_s

    def peek(self, rate: Rate, now: float) -> float:
        """What :meth:`take` would return at ``now``, changing nothing."""
        return _wait(self._tokens_at(rate, now), rate)

    def _tokens_at(self, rate: Rate, now: float) -> float:
        return min(rate.burst, self._tokens + max(0.0, now - self._stamp_s) * rate.per_s)


def _wait(tokens: float, rate: Rate) -> float:
    if tokens >= 1.0:
        return 0.0
    return min(MAX_WAIT_S, (1.0 - tokens) / rate.per_s) if rate.per_s > 0 else MAX_WAIT_S
