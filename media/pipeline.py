"""The two chains of a call (pure): samples to packets, and packets to samples.

``CaptureChain``: processing → codec → rtp. ``PlayoutChain``: rtp → jitter → codec → stretch → level.
"""

import random
from collections import deque

import numpy as np

from media.codec import Decoder, Encoder
from media.delay_estimator import DelayConfig
from media.errors import RtpError
from media.format import FRAME_S, FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm, silence
from media.jitter import JitterBuffer
from media.playout import Conceal, Frame, JitterConfig, Playout, Recover, Silence, Tempo
from media.processing import CaptureProcessing, Level, LevelDetector
from media.rtp import RtpPacket, parse, serialize
from media.stats import DelayHistogram, PlayoutStats
from media.stretch import Stretcher, is_quiet, joined

_ONE_SECOND_FRAMES = round(1 / FRAME_S)


class CaptureChain:
    """Makes one RTP packet of each frame of the microphone.

    ``rng`` gives SSRC, first sequence number and first timestamp (random: RFC 3550 §5.1). Without ``processing``
    the codec sees the samples as they are.
    """

    def __init__(self, encoder: Encoder, rng: random.Random, processing: CaptureProcessing | None = None) -> None:
        self.encoder = encoder
        """For bitrate and expected loss."""
        self._processing = processing
        self._ssrc = rng.getrandbits(32)
        self._sequence = rng.getrandbits(16)
        self._timestamp = rng.getrandbits(32)
        self._talkspurt_starts = True
        self._sizes: deque[int] = deque(maxlen=_ONE_SECOND_FRAMES)
        self.frames_sent = 0
        """Packets made."""
        self.frames_dropped = 0
        """Frames given up before they were encoded, because they were too old to be of use."""
        self.first_sent: float | None = None
        """When the first packet was made."""

    @property
    def bitrate_bps(self) -> int:
        """Opus payload of the last second, bits per second."""
        if not self._sizes:
            return 0
        return round(sum(self._sizes) * 8 / (len(self._sizes) * FRAME_S))

    @property
    def level(self) -> Level:
        """Of the microphone."""
        return self._processing.level if self._processing else Level()

    def set_muted(self, muted: bool) -> None:
        """Send silence, or the voice again."""
        if self._processing:
            self._processing.set_muted(muted)

    def push(self, pcm: Pcm, now: float) -> bytes:
        """One frame of 960 samples as an RTP packet."""
        payload = self.encoder.encode(self._processing.process(pcm) if self._processing else pcm)
        packet = RtpPacket(self._sequence, self._timestamp, self._ssrc, payload, marker=self._talkspurt_starts)
        self._talkspurt_starts = False
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + FRAME_SAMPLES) & 0xFFFF_FFFF
        self.frames_sent += 1
        self._sizes.append(len(payload))
        if self.first_sent is None:
            self.first_sent = now
        return serialize(packet)

    def skip(self, frames: int) -> None:
        """``frames`` frames were captured but will not be sent: the clock goes on, the sequence does not."""
        if frames > 0:
            self._timestamp = (self._timestamp + frames * FRAME_SAMPLES) & 0xFFFF_FFFF
            self.frames_dropped += frames
            self._talkspurt_starts = True


class PlayoutChain:
    """Makes one frame for the speaker each time it is asked, whatever has arrived."""

    def __init__(self, decoder: Decoder, config: JitterConfig | None = None, delay: DelayConfig | None = None) -> None:
        self._decoder = decoder
        self._jitter = JitterBuffer(config, delay)
        self._stretcher = Stretcher()
        self._detector = LevelDetector()
        self._rest = silence(0)
        self._delays = DelayHistogram()
        self._played = self._concealed = self._pending = self._skipped = 0
        self.last_delay_s = 0.0
        """From its arrival to the speaker, of the newest frame played."""
        self.first_played: float | None = None
        """When the first sample of the peer reaches the speaker (clock of ``pull``)."""

    def on_packet(self, data: bytes, now: float) -> None:
        """One datagram as it came. Never raises; what is no RTP packet of ours is dropped."""
        try:
            packet = parse(data)
        except RtpError:
            return
        self._jitter.push(packet, now)

    def observe_copy(self, timestamp: int, now: float) -> None:
        """A packet with this RTP timestamp, which came before, has come by another path as well."""
        self._jitter.observe_copy(timestamp, now)

    def pull(self, now: float, queued: int = 0) -> Pcm:
        """The next 960 samples. ``queued`` samples lie between here and the speaker: they count as delay."""
        parts = [self._rest]
        held = self._rest.size
        while held < FRAME_SAMPLES:
            part = self._render(self._jitter.pull(now), now, queued + held)
            parts.append(part)
            held += part.size
        ready = np.concatenate(parts)
        frame, self._rest = ready[:FRAME_SAMPLES], ready[FRAME_SAMPLES:]
        self._detector.measure(frame)
        return frame

    @property
    def dry(self) -> bool:
        """In mid-call with nothing held: the next ``pull`` would have to conceal."""
        return self._rest.size < FRAME_SAMPLES and self._jitter.dry

    @property
    def level(self) -> Level:
        """Of what is played."""
        return self._detector.level

    def _render(self, playout: Playout, now: float, ahead: int) -> Pcm:
        match playout:
            case Silence():
                return silence()
            case Conceal(stalled=stalled):
                # Whether this was a hole or the end of the call shows only when something follows.
                self._pending += FRAME_SAMPLES if stalled else 0
                self._concealed += 0 if stalled else FRAME_SAMPLES
                return self._decoder.conceal()
            case Recover(next_payload=payload):
                self._settle()
                self._concealed += FRAME_SAMPLES
                return self._decoder.recover(payload)
            case Frame():
                self._settle()
                return self._decode(playout, now, ahead)

    def _decode(self, frame: Frame, now: float, ahead: int) -> Pcm:
        # What the codec would make up from the sound before the gap leads over to the sound after it.
        before = self._decoder.conceal() if frame.joined else None
        damaged = self._decoder.damaged
        pcm = self._decoder.decode(frame.payload)
        if frame.tempo is Tempo.HURRY and self._decoder.damaged == damaged and is_quiet(pcm):
            self._skipped += pcm.size
            return silence(0)
        ahead_s = ahead / SAMPLE_RATE_HZ
        if self.first_played is None:
            self.first_played = now + ahead_s
        self.last_delay_s = now - frame.arrived + ahead_s
        self._delays.add(self.last_delay_s)
        if self._decoder.damaged > damaged:
            self._concealed += FRAME_SAMPLES
            return pcm
        if before is not None:
            pcm = joined(before, pcm)
        if frame.tempo in (Tempo.FASTER, Tempo.HURRY):
            pcm = self._stretcher.faster(pcm, hurry=frame.tempo is Tempo.HURRY)
        elif frame.tempo is Tempo.SLOWER:
            pcm = self._stretcher.slower(pcm)
        self._played += pcm.size
        return pcm

    def _settle(self) -> None:
        self._concealed += self._pending
        self._pending = 0

    def stats(self) -> PlayoutStats:
        """A snapshot of the receiving side."""
        jitter = self._jitter.stats()
        return PlayoutStats(
            jitter=jitter,
            samples_played=self._played,
            samples_concealed=self._concealed + self._pending,
            samples_stretched=self._stretcher.changed,
            samples_skipped=self._skipped + jitter.skipped * FRAME_SAMPLES,
            delay=self._delays.summary(),
        )
