"""Moves samples between the rings and the chains (pure): what the engine calls after each wake-up."""

import math
from collections.abc import Callable
from typing import Protocol

from media.format import FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm, silence, to_pcm
from media.pipeline import CaptureChain, PlayoutChain
from media.processing import Level, LevelDetector
from media.ring import SampleRing
from media.stats import MediaStats

# Older than this a frame would be late at the peer anyway (DESIGN §12): better dropped here than queued.
MAX_CAPTURE_AGE_SAMPLES = SAMPLE_RATE_HZ * 200 // 1000
# One frame bridges the time between a wake-up and this function; more is learnt from underruns.
LEAST_RING_FRAMES = 1
# 80 ms: an engine that sleeps longer has a trouble that delay does not cure.
MOST_RING_FRAMES = 4
# After so long without an underrun the speaker's ring gives one frame of delay back.
RING_CALM_S = 30.0


class FrameSource(Protocol):
    """Anything that plays by the frame, such as :class:`media.tones.TonePlayer`."""

    def read(self) -> Pcm:
        """The next 960 samples."""
        ...

    @property
    def finished(self) -> bool:
        """Nothing but silence follows."""
        ...


class AudioPump:
    """Joins two rings with the chains of a call, or with a tone while there is none.

    ``ring_frames`` is what the speaker's ring is filled up to at least (a sound card that takes blocks of 40 ms
    needs two). Playout delay is what the jitter buffer holds plus what lies in this ring.
    """

    def __init__(
        self, capture_ring: SampleRing, playout_ring: SampleRing, ring_frames: int = LEAST_RING_FRAMES
    ) -> None:
        self._capture_ring = capture_ring
        self._playout_ring = playout_ring
        self._least_frames = self._ring_frames = ring_frames
        self._capture: CaptureChain | None = None
        self._playout: PlayoutChain | None = None
        self._tone: FrameSource | None = None
        self._preview = LevelDetector()
        self._tap: Callable[[Pcm], None] | None = None
        self._dropped_seen = capture_ring.dropped
        self._overruns_before = capture_ring.overruns
        self._underruns_before: int | None = None
        self._underruns_seen = playout_ring.underruns
        self._calm_since = 0.0

    def play(self, tone: FrameSource | None) -> None:
        """Play a tone, mixed into the call if there is one; ``None`` stops it."""
        self._tone = tone

    def tap(self, listener: Callable[[Pcm], None] | None) -> None:
        """Give each frame that is captured outside a call to ``listener``, such as a test recording."""
        self._tap = listener

    def begin(self, capture: CaptureChain, playout: PlayoutChain) -> None:
        """The call starts: sound captured before this moment is forgotten."""
        self._capture_ring.discard(self._capture_ring.level)
        self._dropped_seen = self._capture_ring.dropped
        self._overruns_before = self._capture_ring.overruns
        self._capture, self._playout = capture, playout
        self._ring_frames = self._least_frames
        self._underruns_before = None

    def end(self) -> MediaStats:
        """The call is over on this side: the figures, and both chains let go."""
        stats = self.stats()
        self._capture = self._playout = None
        return stats

    def pump(self, now: float) -> list[bytes]:
        """Take all captured frames, fill the speaker's ring; return the RTP packets to send, oldest first.

        Read what the network holds first: in asyncio let the wake-up run this through one more ``call_soon``, so that
        a loop that was late sees its sockets before it decides that a packet is missing.
        """
        packets = self._take(now)
        self._fill(now)
        return packets

    def _take(self, now: float) -> list[bytes]:
        ring, capture = self._capture_ring, self._capture
        surplus = ring.level - MAX_CAPTURE_AGE_SAMPLES
        too_old = math.ceil(surplus / FRAME_SAMPLES) if surplus > 0 else 0
        ring.discard(too_old * FRAME_SAMPLES)
        overflowed = (ring.dropped - self._dropped_seen) // FRAME_SAMPLES
        self._dropped_seen += overflowed * FRAME_SAMPLES
        if capture:
            capture.skip(too_old + overflowed)
        packets = []
        while ring.level >= FRAME_SAMPLES:
            frame = ring.read()
            if capture:
                packets.append(capture.push(frame, now))
            else:
                self._preview.measure(frame)
                if self._tap is not None:
                    self._tap(frame)
        return packets

    def _fill(self, now: float) -> None:
        ring = self._playout_ring
        self._learn(now)
        while ring.level < self._ring_frames * FRAME_SAMPLES:
            if ring.level >= FRAME_SAMPLES and self._playout and self._playout.dry:
                # After a sleep the packets may still lie in the socket: conceal only what is needed before next time.
                break
            ring.write(self._next(now, ring.level))
        if self._underruns_before is None and self._playout and self._playout.first_played is not None:
            self._underruns_before = ring.underruns

    def _learn(self, now: float) -> None:
        ring = self._playout_ring
        if self._underruns_before is None:
            # Before the first sound a dry ring harms nobody.
            self._underruns_seen, self._calm_since = ring.underruns, now
        elif ring.underruns > self._underruns_seen:
            self._underruns_seen, self._calm_since = ring.underruns, now
            self._ring_frames = min(self._ring_frames + 1, max(MOST_RING_FRAMES, self._least_frames))
        elif now - self._calm_since > RING_CALM_S and self._ring_frames > self._least_frames:
            self._calm_since = now
            self._ring_frames -= 1

    def _next(self, now: float, queued: int) -> Pcm:
        frame = self._playout.pull(now, queued) if self._playout else silence()
        if self._tone is None:
            return frame
        tone = self._tone.read()
        if self._tone.finished:
            self._tone = None
        return to_pcm(frame.astype(float) + tone) if self._playout else tone

    @property
    def input_level(self) -> Level:
        """Of the microphone, in a call or not."""
        return self._capture.level if self._capture else self._preview.level

    @property
    def output_level(self) -> Level:
        """Of what the peer sends; silence when nobody talks."""
        return self._playout.level if self._playout else Level()

    def stats(self) -> MediaStats:
        """A snapshot of the call; zeros when there is none."""
        if not self._capture or not self._playout:
            return MediaStats()
        playout = self._playout.stats()
        jitter = playout.jitter
        ring_underruns = 0
        if self._underruns_before is not None:
            ring_underruns = self._playout_ring.underruns - self._underruns_before
        return MediaStats(
            frames_sent=self._capture.frames_sent,
            frames_received=jitter.received,
            frames_lost=jitter.lost,
            frames_late=jitter.late,
            frames_duplicate=jitter.duplicate,
            samples_played=playout.samples_played,
            samples_concealed=playout.samples_concealed,
            samples_stretched=playout.samples_stretched,
            samples_skipped=playout.samples_skipped,
            underruns=ring_underruns + jitter.stalls,
            overruns=self._capture_ring.overruns - self._overruns_before + jitter.overruns,
            playout_delay_ms=playout.delay,
            frames_dropped=self._capture.frames_dropped,
            jitter_ms=round(jitter.jitter_s * 1000, 2),
            loss=jitter.loss,
            bitrate_bps=self._capture.bitrate_bps,
        )
