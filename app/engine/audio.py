"""The engine's voice: sound in and out, tones, levels, and the media of a talk (between :mod:`media` and the rest)."""

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from app.call.events import Tone
from app.engine.sound_system import SoundPlan, SoundSystem, TestTape
from app.ipc import messages
from app.model import settings
from app.report.report import MediaReport, media_report
from media.codec import OpusDecoder, OpusEncoder
from media.pipeline import CaptureChain, PlayoutChain
from media.processing import CaptureProcessing, Level
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
from media.tones import Sound, TonePlayer
from transport.wire import call_messages

_log = logging.getLogger(__name__)

# What a level of silence and of full scale look like on a meter: 60 dB are the range of a quiet room to a shout.
METER_RANGE_DB = 60.0
# For the rate that a person sees: the bits of the last second.
RATE_WINDOW_S = 1.0
# Voice may overtake the accept that it follows, by a lost packet's retransmission: a second at the most.
EARLY_PACKETS = 50
# After a call the speaker stays open for its last tone, and for the next call's first one.
RELEASE_AFTER_S = 4.0
_TONES: dict[Tone, Sound] = {
    "ring": Sound.RINGING,
    "ring-back": Sound.RING_BACK,
    "busy": Sound.BUSY,
    "ended": Sound.HUNG_UP,
    "reconnecting": Sound.RECONNECTING,
}


@dataclass(frozen=True, slots=True)
class TalkFigures:
    """The fast figures of a talk. Rates are those of RTP packets, in kbit/s over the last second."""

    loss: float
    jitter_ms: float
    playout_delay_now_ms: float
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
        self._forget(now)

    def kbps(self, now: float) -> float:
        """Kilobits in the last second."""
        self._forget(now)
        return self._bytes * 8 / 1000 / RATE_WINDOW_S

    def _forget(self, now: float) -> None:
        while self._packets and self._packets[0][0] < now - RATE_WINDOW_S:
            self._bytes -= self._packets.popleft()[1]


class Talk:
    """The media of one call between the moment both agreed and the end."""

    def __init__(
        self, send: Callable[[bytes], None], rng: random.Random, now: float, processing: CaptureProcessing | None
    ) -> None:
        self.send = send
        self.encoder = OpusEncoder()
        self.capture = CaptureChain(self.encoder, rng, processing)
        self.playout = PlayoutChain(OpusDecoder())
        self.rates = RateControl(now)
        self.sent = RateMeter()
        self.received = RateMeter()


class Voice:
    """Runs on the engine's loop; the threads of sound only touch rings and wake it.

    Raises :class:`app.system.errors.AppError` when a file of the plan cannot be used.
    """

    def __init__(
        self, plan: SoundPlan, settings: settings.Settings, changed: Callable[[], None], rng: random.Random
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = changed
        self._rng = rng
        self._settings = settings
        self._is_echo = plan.echo
        self._wake_pending = False
        self._closed = False
        self._sound = SoundSystem(plan, self._wake)
        self._pump = AudioPump(self._sound.capture_ring, self._sound.playout_ring, self._sound.ring_frames)
        self._talk: Talk | None = None
        self._early: deque[tuple[bytes, float]] = deque(maxlen=EARLY_PACKETS)
        self._tone: TonePlayer | TestTape | None = None
        self._tape: TestTape | None = None
        self._in_call = False
        self._muted = False
        self._metering = False
        self._release_timer: asyncio.TimerHandle | None = None
        self.recording_ended = ""
        """Why the file of a recording takes no more; empty while it does."""
        self.last_talk = MediaReport()

    def close(self) -> None:
        """Silence, and no thread left. Waits for the threads of sound."""
        self._closed = True
        if self._release_timer is not None:
            self._release_timer.cancel()
        self._sound.close()

    # -- a call ----------------------------------------------------------------------------------------------------

    def prepare(self, *, microphone: bool) -> None:
        """Open what a call will need, before it does: devices take their time."""
        self._in_call = True
        self._keep_open()
        self._sound.open("output", self._settings.output_device)
        if microphone:
            self._sound.open("input", self._settings.input_device)

    def start(self, send: Callable[[bytes], None]) -> None:
        """Voice both ways: ``send`` takes the RTP packets."""
        now = self._loop.time()
        # Echo gives back what it was given: the caller's own program has processed it.
        processing = None if self._is_echo else CaptureProcessing()
        talk = self._talk = Talk(send, self._rng, now, processing)
        talk.capture.set_muted(self._muted)
        for data, arrived in self._early:
            talk.received.add(len(data), arrived)
            talk.playout.on_packet(data, arrived)
        self._early.clear()
        self._sound.begin_call()
        self._pump.begin(talk.capture, talk.playout)

    def stop(self) -> None:
        """The call is over: the microphone is let go at once, the speaker when the last tone has ended."""
        self._early.clear()
        self._in_call = False
        if self._talk is not None:
            self.last_talk = media_report(self._pump.end())
            self._talk = None
        else:
            self.last_talk = MediaReport()
        if not self._metering:
            self._sound.release("input")
        self._release_soon()

    def receive(self, data: bytes) -> None:
        """One RTP packet of the peer. What comes before :meth:`start` is kept for it, the newest second."""
        now = self._loop.time()
        if self._talk is None:
            self._early.append((data, now))
            return
        self._talk.received.add(len(data), now)
        self._talk.playout.on_packet(data, now)

    def copy_arrived(self, timestamp: int) -> None:
        """The packet with this RTP timestamp, received before, has come by another path as well."""
        if self._talk is not None:
            self._talk.playout.observe_copy(timestamp, self._loop.time())

    def set_muted(self, muted: bool) -> None:
        """Microphone off or on; also for a call to come."""
        self._muted = muted
        if self._talk is not None:
            self._talk.capture.set_muted(muted)

    def media_now(self) -> MediaReport:
        """The media block of the report so far; zeros when nobody talks."""
        return media_report(self._pump.stats())

    def receiver_report(self) -> call_messages.ReceiverReport:
        """What we hear of the peer, for the peer."""
        stats = self._pump.stats()
        return call_messages.ReceiverReport(
            frames_received=stats.frames_received,
            frames_lost=stats.frames_lost,
            loss=min(max(stats.loss, 0.0), 1.0),
            jitter_ms=max(stats.jitter_ms, 0.0),
            playout_delay_ms=self._delay_now_ms(),
        )

    def heard_report(self, report: call_messages.ReceiverReport, rtt_s: float) -> None:
        """What the peer hears of us: bitrate and FEC follow."""
        talk = self._talk
        if talk is None:
            return
        heard = Reported(report.loss, report.frames_received, talk.capture.frames_sent, rtt_s)
        self._control(talk, talk.rates.handle(heard, self._loop.time()))

    def tick(self) -> bool:
        """Once a second in a call. Returns whether sending still makes sense (RFC 8083)."""
        talk = self._talk
        if talk is None:
            return True
        now = self._loop.time()
        deadline = talk.rates.next_deadline()
        if deadline is not None and now >= deadline:
            self._control(talk, talk.rates.handle(ReportsOverdue(), now))
        return not talk.rates.broken

    def link_back(self) -> None:
        """A silence of the network is over; it says nothing about what the network can carry now."""
        if self._talk is not None:
            self._talk.rates = RateControl(self._loop.time())

    # -- tones, tests, devices -------------------------------------------------------------------------------------

    def play_tone(self, tone: Tone) -> None:
        """Sound this until :meth:`stop_tone`, or its own end."""
        self._keep_open()
        self._sound.open("output", self._settings.output_device)
        # Ringing is as loud as the person wants it; the rest is soft by itself.
        self._play(TonePlayer(_TONES[tone], self._settings.ring_volume if tone == "ring" else 1.0))
        if not self._in_call:
            self._release_soon()

    def stop_tone(self) -> None:
        """Quiet, without a click."""
        if isinstance(self._tone, TonePlayer):
            self._tone.stop()

    def meter(self, on: bool) -> None:
        """Open the microphone only to show its level."""
        self._metering = on
        if on:
            self._sound.open("input", self._settings.input_device)
        elif not self._in_call:
            self._sound.release("input")
        self._changed()

    def test_recording(self, on: bool) -> None:
        """Record a few seconds and play them; not in a call."""
        self._tape = TestTape() if on and not self._in_call else None
        self._pump.tap(self._tape.add if self._tape is not None else None)
        self._play(None)
        self.meter(self._tape is not None)

    def use(self, settings: settings.Settings) -> None:
        """Devices may have changed; what is open moves to the new ones at once."""
        before, self._settings = self._settings, settings
        if settings.input_device != before.input_device and (self._in_call or self._metering):
            self._sound.open("input", settings.input_device)
        if settings.output_device != before.output_device and self._in_call:
            self._sound.open("output", settings.output_device)

    def refresh(self) -> None:
        """Look for devices anew."""
        self._sound.refresh()

    # -- figures ---------------------------------------------------------------------------------------------------

    @property
    def first_sent(self) -> float | None:
        """When the first packet of the running talk was made (loop's clock)."""
        return None if self._talk is None else self._talk.capture.first_sent

    @property
    def first_played(self) -> float | None:
        """When the peer's first sample of the running talk reaches the speaker (loop's clock)."""
        return None if self._talk is None else self._talk.playout.first_played

    @property
    def is_open(self) -> bool:
        """Whether there are levels to show."""
        return self._in_call or self._metering or self._tape is not None

    @property
    def audio(self) -> messages.Audio:
        """Devices and their problems, as windows show them."""
        test = ""
        if self._tape is not None:
            test = "playing" if self._tape.is_full else "recording"
        chosen = self._settings
        return self._sound.audio(chosen.input_device, chosen.output_device, metering=self._metering, test=test)

    def levels(self) -> messages.Levels:
        """Both levels on a meter's scale."""
        talk = self._talk
        speaker = meter_share(talk.playout.level) if talk is not None else 0.0
        return messages.Levels(microphone=meter_share(self._pump.input_level), speaker=speaker)

    def figures(self) -> TalkFigures:
        """The fast figures of the talk; zeros when there is none."""
        stats, now, talk = self._pump.stats(), self._loop.time(), self._talk
        return TalkFigures(
            loss=min(max(stats.loss, 0.0), 1.0),
            jitter_ms=stats.jitter_ms,
            playout_delay_now_ms=self._delay_now_ms(),
            sent_kbps=talk.sent.kbps(now) if talk is not None else 0.0,
            received_kbps=talk.received.kbps(now) if talk is not None else 0.0,
            bitrate_bps=talk.rates.bitrate_bps if talk is not None else 0,
            samples_concealed=stats.samples_concealed,
        )

    # -- inside ----------------------------------------------------------------------------------------------------

    def _delay_now_ms(self) -> float:
        return 0.0 if self._talk is None else max(0.0, self._talk.playout.last_delay_s * 1000)

    def _wake(self) -> None:
        """From threads of sound: have the rings looked after, once for any number of calls."""
        if not self._wake_pending and not self._closed:
            self._wake_pending = True
            with contextlib.suppress(RuntimeError):  # the loop has ended before the threads did
                self._loop.call_soon_threadsafe(self._after_sockets)

    def _after_sockets(self) -> None:
        # One more turn of the loop: after a stall the packets that wait in the sockets are read before frames are
        # declared missing.
        self._loop.call_soon(self._look_after)

    def _look_after(self) -> None:
        self._wake_pending = False
        if self._closed:
            return
        now = self._loop.time()
        packets = self._pump.pump(now)
        talk = self._talk
        if talk is not None:
            for packet in packets:
                if not talk.rates.broken:
                    talk.sent.add(len(packet), now)
                    talk.send(packet)
        if self._tape is not None:
            self._wind(self._tape)
        changed, ended = self._sound.take_news()
        if ended:
            self.recording_ended = ended
        if changed or ended:
            self._changed()

    def _wind(self, tape: TestTape) -> None:
        if tape.is_full and self._tone is not tape:
            self._pump.tap(None)
            self._sound.open("output", self._settings.output_device)
            self._keep_open()
            self._play(tape)
            self._changed()
        elif tape.is_full and tape.finished:
            self._tape = None
            self.meter(False)
            self._release_soon()

    def _play(self, tone: "TonePlayer | TestTape | None") -> None:
        self._tone = tone
        self._pump.play(tone)

    def _control(self, talk: Talk, commands: list[AdaptationCommand]) -> None:
        for command in commands:
            match command:
                case SetBitrate(bits_per_second):
                    talk.encoder.set_bitrate(bits_per_second)
                case SetExpectedLoss(percent):
                    talk.encoder.set_expected_loss(percent)
                case Break(reason):
                    _log.warning("sending stops: %s (RFC 8083)", reason.value)

    def _keep_open(self) -> None:
        if self._release_timer is not None:
            self._release_timer.cancel()
            self._release_timer = None

    def _release_soon(self) -> None:
        self._keep_open()
        self._release_timer = self._loop.call_later(RELEASE_AFTER_S, self._release)

    def _release(self) -> None:
        self._release_timer = None
        if not self._in_call and (self._tape is None or self._tone is not self._tape):
            self._play(None)
            self._sound.release("output")


def meter_share(level: Level) -> float:
    """A level in dBFS as a share of a meter."""
    return min(max(1.0 + level.rms_dbfs / METER_RANGE_DB, 0.0), 1.0)
