"""The media of one call: encoder chain and playout chain, rate control, receiver reports.

Captured frames come in through the rings of the pump and leave as RTP packets; received RTP packets go into the
playout chain, which the pump empties into the speaker's ring.
"""

import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from app.report.report import MediaReport, media_report
from media.codec import Decoder, Encoder, OpusDecoder, OpusEncoder
from media.delay_estimator import DelayConfig
from media.pipeline import CaptureChain, PlayoutChain
from media.playout import JitterConfig
from media.processing import CaptureProcessing
from media.pump import AudioPump
from media.rate_control import (
    AdaptationCommand,
    Break,
    RateControl,
    Reported,
    ReportsOverdue,
    SetBitrate,
    SetExpectedLoss,
)
from media.stats import MediaStats
from transport.wire import call_messages

_log = logging.getLogger(__name__)

# The rate that a person sees is that of the last second.
RATE_WINDOW_S = 1.0
# Media may overtake the Accept that it follows by the retransmission of a lost packet: a second at the most.
EARLY_PACKETS = 50


@dataclass(frozen=True, slots=True)
class MediaConfig:
    """What the chains of a call are made of. Without ``processing`` the captured audio is sent as it is."""

    encoder: Callable[[], Encoder] = OpusEncoder
    decoder: Callable[[], Decoder] = OpusDecoder
    processing: Callable[[], CaptureProcessing] | None = CaptureProcessing
    jitter: JitterConfig | None = None
    delay: DelayConfig | None = None


@dataclass(frozen=True, slots=True)
class MediaFigures:
    """What a person sees while they talk. Rates are those of RTP packets, in kbit/s over the last second."""

    loss: float
    jitter_ms: float
    playout_delay_ms: float
    sent_kbps: float
    received_kbps: float
    bitrate_bps: int
    samples_concealed: int


class RateMeter:
    """Bits per second over the last second."""

    def __init__(self) -> None:
        self._packets: deque[tuple[float, int]] = deque()
        self._bytes = 0

    def add(self, size: int, now: float) -> None:
        """One packet of ``size`` bytes."""
        self._packets.append((now, size))
        self._bytes += size
        self._expire(now)

    def kbps(self, now: float) -> float:
        """Kilobits in the last second."""
        self._expire(now)
        return self._bytes * 8 / 1000 / RATE_WINDOW_S

    def _expire(self, now: float) -> None:
        while self._packets and self._packets[0][0] < now - RATE_WINDOW_S:
            self._bytes -= self._packets.popleft()[1]


class _Stream:
    """The two chains between the answer and the end of the call."""

    def __init__(self, config: MediaConfig, rng: random.Random, now: float) -> None:
        self.encoder = config.encoder()
        processing = None if config.processing is None else config.processing()
        self.capture = CaptureChain(self.encoder, rng, processing)
        self.playout = PlayoutChain(config.decoder(), config.jitter, config.delay)
        self.rates = RateControl(now)
        self.sent = RateMeter()
        self.received = RateMeter()


class CallMedia:
    """``pump`` joins the chains with the rings of whatever captures and plays. All calls carry their time."""

    def __init__(self, pump: AudioPump, config: MediaConfig, rng: random.Random) -> None:
        self._pump = pump
        self._config = config
        self._rng = rng
        self._stream: _Stream | None = None
        self._early: deque[tuple[bytes, float]] = deque(maxlen=EARLY_PACKETS)
        self._muted = False
        self._final = MediaReport()

    def start(self, now: float) -> None:
        """Send and play from now on."""
        stream = self._stream = _Stream(self._config, self._rng, now)
        stream.capture.set_muted(self._muted)
        for data, arrived in self._early:
            self.receive(data, arrived)
        self._early.clear()
        self._pump.begin(stream.capture, stream.playout)

    def stop(self) -> None:
        """The call is over; :meth:`report` stays what it is now."""
        self._early.clear()
        if self._stream is not None:
            self._final = media_report(self._pump.end())
            self._stream = None

    def set_muted(self, muted: bool) -> None:
        """Send silence, or the microphone; also for a call that is not answered yet."""
        self._muted = muted
        if self._stream is not None:
            self._stream.capture.set_muted(muted)

    def receive(self, data: bytes, now: float) -> None:
        """One RTP packet of the peer. What comes before :meth:`start` is kept for it, the newest second."""
        stream = self._stream
        if stream is None:
            self._early.append((data, now))
            return
        stream.received.add(len(data), now)
        stream.playout.on_packet(data, now)

    def copy_arrived(self, timestamp: int, now: float) -> None:
        """The packet with this RTP timestamp, received before, has come by another path as well."""
        if self._stream is not None:
            self._stream.playout.observe_copy(timestamp, now)

    def pump(self, now: float) -> list[bytes]:
        """Move audio between rings and chains. Returns the RTP packets to send, oldest first."""
        packets, stream = self._pump.pump(now), self._stream
        if stream is None or stream.rates.broken:
            return []
        for packet in packets:
            stream.sent.add(len(packet), now)
        return packets

    def receiver_report(self) -> call_messages.ReceiverReport:
        """How the peer's media arrive, for the peer."""
        stats = self._pump.stats()
        return call_messages.ReceiverReport(
            frames_received=stats.frames_received,
            frames_lost=stats.frames_lost,
            loss=_share(stats.loss),
            jitter_ms=max(stats.jitter_ms, 0.0),
            playout_delay_ms=self._playout_delay_ms(),
        )

    def adapt(self, report: call_messages.ReceiverReport, rtt_s: float, now: float) -> None:
        """The peer's receiver report: bitrate and FEC follow."""
        stream = self._stream
        if stream is not None:
            reported = Reported(report.loss, report.frames_received, stream.capture.frames_sent, rtt_s)
            _adapt(stream, stream.rates.handle(reported, now))

    def tick(self, now: float) -> bool:
        """Once a second in a call. Returns whether sending still makes sense (RFC 8083)."""
        stream = self._stream
        if stream is None:
            return True
        deadline = stream.rates.next_deadline()
        if deadline is not None and now >= deadline:
            _adapt(stream, stream.rates.handle(ReportsOverdue(), now))
        return not stream.rates.broken

    def connectivity_restored(self, now: float) -> None:
        """A path carries the call again; the outage says nothing about what that path can carry."""
        if self._stream is not None:
            self._stream.rates = RateControl(now)

    # -- figures ---------------------------------------------------------------------------------------------------

    @property
    def capture(self) -> CaptureChain | None:
        """The chain that sends; ``None`` when nobody talks."""
        return None if self._stream is None else self._stream.capture

    @property
    def playout(self) -> PlayoutChain | None:
        """The chain that plays; ``None`` when nobody talks."""
        return None if self._stream is None else self._stream.playout

    def stats(self) -> MediaStats:
        """A snapshot of the running call; zeros when there is none."""
        return self._pump.stats()

    def report(self) -> MediaReport:
        """The media block of the report: so far, or of the whole call when it is over."""
        return self._final if self._stream is None else media_report(self._pump.stats())

    def figures(self, now: float) -> MediaFigures:
        """What a person sees; zeros when nobody talks."""
        stats, stream = self._pump.stats(), self._stream
        return MediaFigures(
            loss=_share(stats.loss),
            jitter_ms=stats.jitter_ms,
            playout_delay_ms=self._playout_delay_ms(),
            sent_kbps=stream.sent.kbps(now) if stream is not None else 0.0,
            received_kbps=stream.received.kbps(now) if stream is not None else 0.0,
            bitrate_bps=stream.rates.bitrate_bps if stream is not None else 0,
            samples_concealed=stats.samples_concealed,
        )

    def _playout_delay_ms(self) -> float:
        return 0.0 if self._stream is None else max(0.0, self._stream.playout.last_delay_s * 1000)


def _adapt(stream: _Stream, commands: list[AdaptationCommand]) -> None:
    for command in commands:
        match command:
            case SetBitrate(bits_per_second):
                stream.encoder.set_bitrate(bits_per_second)
            case SetExpectedLoss(percent):
                stream.encoder.set_expected_loss(percent)
            case Break(reason):
                _log.warning("sending stops: %s (RFC 8083)", reason.value)


def _share(loss: float) -> float:
    return min(max(loss, 0.0), 1.0)
