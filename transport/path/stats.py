"""What is measured on a path: round-trip time, jitter, loss, and how many frames came by it."""

from collections import deque
from dataclasses import dataclass
from typing import Literal

from transport.net.sockets import Address
from transport.wire.datagrams import RtpPosition

PathKind = Literal["relay", "direct"]
PathVia = Literal["relay", "host", "port_mapping", "punch", "prediction", "birthday"]
"""The technique that found the path."""

# RFC 6298 §2: gains of the smoothed round-trip time and of its variation.
_RTT_GAIN = 1 / 8
_RTT_VARIATION_GAIN = 1 / 4
# RFC 3550 §6.4.1.
_JITTER_GAIN = 1 / 16
# RFC 7587 §4.1: Opus in RTP always counts 48,000 units a second.
RTP_UNITS_PER_S = 48_000
# Loss is shown for the last five seconds: short enough to follow a change, long enough for 2 % to be five frames.
LOSS_BUCKET_S = 1.0
LOSS_BUCKETS = 5
# Frames come every 20 ms, and no burst of loss that a call survives lasts so long: the sender has left the path.
PAUSE_S = 0.5
# RFC 3550 A.1: a larger jump of the sequence number is a restart of the stream, not a loss.
_MAX_DROPOUT = 3_000
_SEQUENCES = 1 << 16
_TIMESTAMPS = 1 << 32


class RoundTrip:
    """Round-trip time as in RFC 6298 §2, in seconds; None before the first sample."""

    __slots__ = ("smoothed", "variation")

    def __init__(self) -> None:
        self.smoothed: float | None = None
        self.variation = 0.0

    def sample(self, rtt: float) -> None:
        """Take one measurement in seconds; a negative one counts as 0."""
        rtt = max(0.0, rtt)
        if self.smoothed is None:
            self.smoothed, self.variation = rtt, rtt / 2
            return
        self.variation += _RTT_VARIATION_GAIN * (abs(self.smoothed - rtt) - self.variation)
        self.smoothed += _RTT_GAIN * (rtt - self.smoothed)


class Jitter:
    """Interarrival jitter of RFC 3550 §6.4.1, in seconds."""

    __slots__ = ("_arrival", "_timestamp", "value")

    def __init__(self) -> None:
        self.value: float | None = None
        self._arrival = 0.0
        self._timestamp = 0

    def arrived(self, timestamp: int, now: float) -> None:
        """Take the RTP timestamp of a packet that arrived at ``now``."""
        if self.value is None:
            self.value = 0.0
        else:
            ahead = (timestamp - self._timestamp + _TIMESTAMPS // 2) % _TIMESTAMPS - _TIMESTAMPS // 2
            difference = abs((now - self._arrival) - ahead / RTP_UNITS_PER_S)
            if difference < LOSS_BUCKET_S:
                # More than that is a pause of the sender or a new stream, and says nothing about the path.
                self.value += _JITTER_GAIN * (difference - self.value)
        self._arrival = now
        self._timestamp = timestamp


class Loss:
    """Share of lost packets over the last :data:`LOSS_BUCKETS` buckets, from RTP sequence numbers."""

    __slots__ = ("_began", "_buckets", "_expected_before", "_highest", "_received")

    def __init__(self) -> None:
        self._highest: int | None = None
        self._expected_before = 0
        self._received = 0
        self._began = 0.0
        self._buckets: deque[tuple[int, int]] = deque(maxlen=LOSS_BUCKETS)

    def arrived(self, sequence: int, now: float) -> None:
        """Take the sequence number of a packet that arrived at ``now``."""
        if self._highest is None:
            self._restart(sequence, now)
        else:
            ahead = (sequence - self._highest + _SEQUENCES // 2) % _SEQUENCES - _SEQUENCES // 2
            if abs(ahead) > _MAX_DROPOUT:
                self._restart(sequence, now)
            else:
                self._highest = max(self._highest, self._highest + ahead)
        self._received += 1
        if now - self._began >= LOSS_BUCKET_S:
            expected, received = self._current()
            self._buckets.append((expected, received))
            self._expected_before += expected
            self._received = 0
            self._began = now

    def share(self) -> float | None:
        """Lost over expected, 0 to 1; None where nothing new has been expected in all these buckets."""
        current_expected, current_received = self._current()
        expected = current_expected + sum(bucket[0] for bucket in self._buckets)
        received = current_received + sum(bucket[1] for bucket in self._buckets)
        if expected <= 0:
            return None
        # Late packets of an earlier bucket can make it negative (RFC 3550 A.3): nothing was lost then.
        return min(1.0, max(0.0, 1 - received / expected))

    def _restart(self, sequence: int, now: float) -> None:
        self._highest = sequence
        self._expected_before = sequence
        self._received = 0
        self._began = now
        self._buckets.clear()

    def _current(self) -> tuple[int, int]:
        if self._highest is None:
            return 0, 0
        return self._highest + 1 - self._expected_before, self._received


class Tally:
    """Media frames that came by one path, and those that should have (RFC 3550 A.3), while it carried media at all.

    A path that stands by brings no frames and loses none: after a pause of :data:`PAUSE_S` counting goes on with the
    frame that comes next. Both figures only grow."""

    __slots__ = ("_at", "_before", "_first", "_highest", "frames")

    def __init__(self) -> None:
        self.frames = 0
        self._before = 0
        self._first = 0
        self._highest = -1
        self._at = float("-inf")

    @property
    def expected(self) -> int:
        """Frames that the peer has sent by this path, as far as can be known from those that came."""
        return self._before + self._highest + 1 - self._first

    def arrived(self, sequence: int, now: float) -> None:
        """Take the sequence number of a frame that arrived at ``now``; each one once."""
        ahead = (sequence - self._highest + _SEQUENCES // 2) % _SEQUENCES - _SEQUENCES // 2
        if now - self._at > PAUSE_S or abs(ahead) > _MAX_DROPOUT:
            self._before = max(self.frames, self.expected)
            self._first = self._highest = sequence
        elif ahead > 0:
            self._highest += ahead
        elif self._highest + ahead < self._first:
            # Sent before the first one that came, and overtaken by it.
            self._first = self._highest + ahead
        self.frames += 1
        self._at = now


class PathMeasurements:
    """Everything measured on one path."""

    __slots__ = (
        "jitter",
        "lag_s",
        "loss",
        "media_at",
        "packets_received",
        "packets_sent",
        "received_at",
        "round_trip",
        "tally",
    )

    def __init__(self) -> None:
        self.round_trip = RoundTrip()
        self.jitter = Jitter()
        self.loss = Loss()
        self.tally = Tally()
        self.lag_s: float | None = None
        """How much later than by the fastest path a frame comes by this one, smoothed as a round trip is; None before
        frames have come by two paths."""
        self.received_at: float | None = None
        """When authentic traffic of the peer last came by it."""
        self.media_at: float | None = None
        """When one of the peer's frames last did."""
        self.packets_sent = 0
        self.packets_received = 0
        """UDP payloads, authentic or not."""

    def media(self, position: RtpPosition, now: float) -> None:
        """Take the position of an RTP packet that came by the path."""
        self.loss.arrived(position.sequence, now)
        self.jitter.arrived(position.timestamp, now)
        self.tally.arrived(position.sequence, now)
        self.media_at = now

    def lagged(self, seconds: float) -> None:
        """A frame came by this path so much later than by the first one."""
        self.lag_s = seconds if self.lag_s is None else self.lag_s + _RTT_GAIN * (seconds - self.lag_s)


@dataclass(frozen=True, slots=True)
class PathStats:
    """One path at one moment. Addresses are (host, port), or None while unknown."""

    kind: PathKind
    via: PathVia
    local: Address | None
    remote: Address
    state: str
    rtt_ms: float | None
    loss: float | None
    jitter_ms: float | None
    packets_sent: int
    packets_received: int


def milliseconds(seconds: float | None) -> float | None:
    """Seconds to milliseconds, None staying None."""
    return None if seconds is None else seconds * 1_000
