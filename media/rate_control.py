"""Rate control (pure): bitrate and FEC follow the loss that the peer reports, and a breaker ends what cannot work.

The transport below never holds voice back (DESIGN §12), so the care that a congestion controller would take is taken
here: less bitrate and more FEC while the peer reports loss, and an end to sending in the cases of RFC 8083.
"""

import math
from dataclasses import dataclass
from enum import Enum

from media.codec import DEFAULT_BITRATE_BPS, DEFAULT_LOSS_PERCENT, MAX_LOSS_PERCENT
from media.format import FRAME_S

# With fewer bits Opus 1.3 pays for FEC by giving up wideband voice, and at 16 kbit/s it leaves FEC out (measured).
LEAST_BITRATE_WITH_FEC_BPS = 24_000
# RFC 8083 §4.1 and §4.2: three reporting intervals of at least 5 s.
BREAKER_S = 15.0
# RFC 8083 §4.3: as many reports in a row, at one a second, as fill the same 15 s; at ten times what TCP would send.
_CONGESTION_REPORTS = 15
_CONGESTION_FACTOR = 10.0
# Weight of a new report: a single bad second moves the estimate by a third.
_SMOOTHING = 0.3
# The loss-based controller of draft-ietf-rmcat-gcc-02 §6 reduces above a tenth and raises below a fiftieth, here only
# after so long; between the two nothing moves.
_REDUCE_ABOVE = 0.10
_RAISE_BELOW = 0.02
_RAISE_AFTER_S = 5.0
_REDUCE_FACTOR = 0.85
_RAISE_STEP_BPS = 2_000
# FEC moves in steps, and down only when a whole step is no longer needed.
_LOSS_STEP_PERCENT = 5
_FRAMES_PER_S = 1 / FRAME_S


@dataclass(frozen=True, slots=True)
class Reported:
    """The peer's receiver report: share of frames lost since the last one, all frames received so far, and the
    round-trip time now."""

    loss: float
    frames_received: int
    frames_sent: int
    rtt_s: float


@dataclass(frozen=True, slots=True)
class ReportsOverdue:
    """The deadline has come."""


@dataclass(frozen=True, slots=True)
class SetBitrate:
    """For the encoder."""

    bits_per_second: int


@dataclass(frozen=True, slots=True)
class SetExpectedLoss:
    """For the encoder: how much FEC."""

    percent: int


class BreakerReason(Enum):
    """The conditions of RFC 8083 §4."""

    NO_REPORTS = "no-reports"
    NOTHING_ARRIVES = "nothing-arrives"
    CONGESTION = "congestion"


@dataclass(frozen=True, slots=True)
class Break:
    """Stop sending: what is sent does not arrive, or harms others. Comes once."""

    reason: BreakerReason


AdaptationEvent = Reported | ReportsOverdue
AdaptationCommand = SetBitrate | SetExpectedLoss | Break


class RateControl:
    """Takes :class:`Reported` each second, :class:`ReportsOverdue` at the deadline. Starts its clock with ``now``."""

    def __init__(self, now: float) -> None:
        self._bitrate = DEFAULT_BITRATE_BPS
        self._percent = DEFAULT_LOSS_PERCENT
        self._loss = 0.0
        self._calm_since = now
        self._reported_at = now
        self._arrived_at = now
        self._received = self._sent = 0
        self._congested = 0
        self._broken = False

    @property
    def bitrate_bps(self) -> int:
        """What the encoder is set to."""
        return self._bitrate

    @property
    def broken(self) -> bool:
        """Whether the breaker has opened; it does not close again."""
        return self._broken

    def next_deadline(self) -> float | None:
        """When missing reports would open the breaker."""
        return None if self._broken else self._reported_at + BREAKER_S

    def handle(self, event: AdaptationEvent, now: float) -> list[AdaptationCommand]:
        """Take an event; the commands that follow."""
        if self._broken:
            return []
        match event:
            case ReportsOverdue():
                due = now >= self._reported_at + BREAKER_S
                return [self._break(BreakerReason.NO_REPORTS)] if due else []
            case Reported():
                return self._on_report(event, now)

    def _on_report(self, report: Reported, now: float) -> list[AdaptationCommand]:
        loss = min(max(report.loss, 0.0), 1.0)
        self._loss += _SMOOTHING * (loss - self._loss)
        self._reported_at = now
        # Nothing sent means that nothing can arrive.
        if report.frames_received > self._received or report.frames_sent <= self._sent:
            self._arrived_at = now
        self._received, self._sent = report.frames_received, report.frames_sent
        if now - self._arrived_at >= BREAKER_S:
            return [self._break(BreakerReason.NOTHING_ARRIVES)]
        self._congested = self._congested + 1 if self._exceeds_tcp(loss, report.rtt_s) else 0
        if self._congested >= _CONGESTION_REPORTS:
            return [self._break(BreakerReason.CONGESTION)]
        return self._adapt(now)

    def _exceeds_tcp(self, loss: float, rtt_s: float) -> bool:
        """RFC 8083 §4.3: TCP would send X = s / (R sqrt(2 p / 3)); the packet size s is on both sides."""
        sending_over_fair = _FRAMES_PER_S * rtt_s * math.sqrt(2.0 * loss / 3.0)
        return sending_over_fair > _CONGESTION_FACTOR

    def _break(self, reason: BreakerReason) -> Break:
        self._broken = True
        return Break(reason)

    def _adapt(self, now: float) -> list[AdaptationCommand]:
        bitrate, percent = self._bitrate, self._expected_percent()
        if self._loss > _RAISE_BELOW:
            self._calm_since = now
        if self._loss > _REDUCE_ABOVE:
            bitrate = max(LEAST_BITRATE_WITH_FEC_BPS, round(bitrate * _REDUCE_FACTOR))
        elif now - self._calm_since >= _RAISE_AFTER_S:
            self._calm_since = now
            bitrate = min(DEFAULT_BITRATE_BPS, bitrate + _RAISE_STEP_BPS)
        commands: list[AdaptationCommand] = []
        if bitrate != self._bitrate:
            self._bitrate = bitrate
            commands.append(SetBitrate(bitrate))
        if percent != self._percent:
            self._percent = percent
            commands.append(SetExpectedLoss(percent))
        return commands

    def _expected_percent(self) -> int:
        wanted = 100.0 * self._loss
        up = min(
            MAX_LOSS_PERCENT, max(DEFAULT_LOSS_PERCENT, _LOSS_STEP_PERCENT * math.ceil(wanted / _LOSS_STEP_PERCENT))
        )
        if up > self._percent or wanted < self._percent - 1.5 * _LOSS_STEP_PERCENT:
            return up
        return self._percent
