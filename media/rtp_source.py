"""Which packets are the sender's (pure): source validation as in RFC 3550 A.1, by sequence number and timestamp.

A time line is one run of both counters, which only grow. A sender that restarts begins another one.
"""

from dataclasses import dataclass

from media.delay_estimator import transit_s
from media.format import FRAME_SAMPLES
from media.rtp import SEQUENCE_BITS, TIMESTAMP_BITS, RtpPacket, unwrap

MAX_DROPOUT_PACKETS = 3_000
"""RFC 3550 A.1: a larger jump of the sequence number is a restart of the sender, not loss."""
MAX_AHEAD_S = 1.0
"""A packet that seems faster than the fastest by more is from another time line: a restart of the sender."""


@dataclass(frozen=True, slots=True)
class TimelinePosition:
    """Both counters extended beyond their wrap; ``restarted``: they are the first of a new time line."""

    sequence: int
    timestamp: int
    restarted: bool


class RtpSource:
    """Follows one sender at a time."""

    def __init__(self) -> None:
        self._ssrc: int | None = None
        self._sequence = 0
        self._timestamp = 0
        self._suspect: RtpPacket | None = None

    def place(self, packet: RtpPacket, now: float, base_s: float | None) -> TimelinePosition | None:
        """Where ``packet`` belongs on the time line, or None if it does not. ``base_s``: transit of the fastest."""
        restarted = False
        if self._ssrc is None:
            self._follow(packet)
        sequence = unwrap(packet.sequence, self._sequence, SEQUENCE_BITS)
        timestamp = unwrap(packet.timestamp, self._timestamp, TIMESTAMP_BITS)
        if not self._fits(packet.ssrc, sequence, timestamp, now, base_s):
            if not self._confirms_restart(packet):
                self._suspect = packet
                return None
            restarted = True
            self._follow(packet)
            sequence, timestamp = self._sequence, self._timestamp
        self._suspect = None
        if sequence > self._sequence:
            self._sequence, self._timestamp = sequence, timestamp
        return TimelinePosition(sequence, timestamp, restarted)

    def extend(self, timestamp: int) -> int | None:
        """The 32 bits of a timestamp extended beside the newest one; None before the first packet."""
        return None if self._ssrc is None else unwrap(timestamp, self._timestamp, TIMESTAMP_BITS)

    def _follow(self, packet: RtpPacket) -> None:
        self._ssrc = packet.ssrc
        # One whole turn ahead of zero, so that packets from before the first one stay positive.
        self._sequence = packet.sequence + (1 << SEQUENCE_BITS)
        self._timestamp = packet.timestamp + (1 << TIMESTAMP_BITS)

    def _fits(self, ssrc: int, sequence: int, timestamp: int, now: float, base_s: float | None) -> bool:
        ahead = sequence - self._sequence
        later = timestamp - self._timestamp
        if ssrc != self._ssrc or abs(ahead) > MAX_DROPOUT_PACKETS:
            return False
        if (ahead > 0) != (later > 0) or (ahead < 0) != (later < 0):
            return False
        return base_s is None or transit_s(timestamp, now) > base_s - MAX_AHEAD_S

    def _confirms_restart(self, packet: RtpPacket) -> bool:
        # RFC 3550 A.1: one packet may be a stray, two in sequence are a sender.
        before = self._suspect
        return (
            before is not None
            and packet.ssrc == before.ssrc
            and unwrap(packet.sequence, before.sequence, SEQUENCE_BITS) == before.sequence + 1
            and unwrap(packet.timestamp, before.timestamp, TIMESTAMP_BITS) == before.timestamp + FRAME_SAMPLES
        )
