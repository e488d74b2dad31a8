"""Echo requests on the paths: they keep the promise of traffic, and measure the round trip end to end."""

from transport.wire.flow import EchoRequest

# DESIGN §7: on the path in use something goes each way at least this often, so that silence means something.
PROMISE_S = 0.1
# The round-trip time is measured a few times a second also while media keeps the promise by itself.
ECHO_EVERY_S = 0.25
# Requests waiting for an answer: 3 s of them at the fastest pace, longer than any round trip that carries a voice.
MAX_OUTSTANDING = 32


class Echoes:
    """When to ask, and how long each answer took. Started once; before that nothing is due."""

    __slots__ = ("_asked_at", "_outstanding", "_sent_at", "_sequence", "_started")

    def __init__(self) -> None:
        self._started = False
        self._sequence = 0
        self._asked_at = 0.0
        self._sent_at = 0.0
        self._outstanding: dict[int, tuple[int | None, float]] = {}

    def start(self, now: float) -> None:
        """From now on the promise holds; the first request is due at once."""
        self._started = True
        self._asked_at = now - ECHO_EVERY_S
        self._sent_at = now

    def stop(self) -> None:
        """Nothing is due any more."""
        self._started = False

    def next_deadline(self) -> float | None:
        """When the next request is due."""
        if not self._started:
            return None
        return min(self._asked_at + ECHO_EVERY_S, self._sent_at + PROMISE_S)

    def sent(self, now: float) -> None:
        """Something else has just been sent to the peer."""
        self._sent_at = now

    def request(self, path: int | None, now: float) -> EchoRequest:
        """Make the next request, to be sent at once; ``path`` is the path that it measures, if there is one."""
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        self._asked_at = self._sent_at = now
        if len(self._outstanding) == MAX_OUTSTANDING:
            del self._outstanding[next(iter(self._outstanding))]
        self._outstanding[self._sequence] = (path, now)
        return EchoRequest(self._sequence)

    def answered(self, sequence: int, now: float) -> tuple[int | None, float] | None:
        """The path and the round-trip time in seconds, or None for an answer to nothing that was asked."""
        asked = self._outstanding.pop(sequence, None)
        return None if asked is None else (asked[0], now - asked[1])
