"""Both chains together in virtual time, on paths that change, drift, lose and repeat."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.codec import OpusDecoder, OpusEncoder
from media.format import FRAME_S, FRAME_SAMPLES, SAMPLE_RATE_HZ, Pcm
from media.pipeline import CaptureChain, PlayoutChain
from media.rtp import parse
from tests.unit.media.voice import frames_of, sine, speech

# Seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow

HERTZ = 200.0


class SineEncoder:
    """Says which frame it is; cheap enough for minutes of virtual time."""

    def __init__(self) -> None:
        self._frame = 0

    def encode(self, pcm: Pcm) -> bytes:
        self._frame += 1
        return self._frame.to_bytes(4, "big")

    def set_bitrate(self, bits_per_second: int) -> None:
        """Has none."""

    def set_expected_loss(self, percent: int) -> None:
        """Has none."""


class SineDecoder:
    """A sine of 200 Hz (four periods a frame), so that every joint shows; concealment is zeros."""

    damaged = 0

    def decode(self, payload: bytes) -> Pcm:
        return sine(HERTZ, FRAME_SAMPLES)

    def conceal(self) -> Pcm:
        return np.zeros(FRAME_SAMPLES, np.int16)

    def recover(self, next_payload: bytes) -> Pcm:
        return self.conceal()


def run(
    seconds: float, delay: Callable[[float], float], sender_ppm: float = 0.0
) -> tuple[PlayoutChain, list[float], Pcm]:
    """A talk over a path whose delay is a function of time; the delay of each pull, and what was played."""
    capture = CaptureChain(SineEncoder(), random.Random(2))
    playout = PlayoutChain(SineDecoder())
    frames = round(seconds / FRAME_S)
    period = FRAME_S * (1 - sender_ppm / 1e6)
    sent = [n * period for n in range(round(seconds / period))]
    silent = np.zeros(FRAME_SAMPLES, np.int16)
    arrivals = sorted((at + delay(at), capture.push(silent, at)) for at in sent)
    played, delays = [], []
    position = 0
    for tick in range(frames):
        now = tick * FRAME_S + 0.0031
        while position < len(arrivals) and arrivals[position][0] <= now:
            playout.on_packet(arrivals[position][1], arrivals[position][0])
            position += 1
        played.append(playout.pull(now))
        delays.append(playout.last_delay_s)
    return playout, delays, np.concatenate(played)


def assert_smooth(played: Pcm) -> None:
    """From the first sound on, no step steeper than the sine's own slope."""
    start = int(np.flatnonzero(played)[0])
    steepest = 10_000 * 2 * np.pi * HERTZ / SAMPLE_RATE_HZ
    assert np.abs(np.diff(played[start:].astype(int))).max() <= 1.05 * steepest


def test_a_faster_path_is_followed_by_stretching_alone() -> None:
    playout, delays, played = run(40.0, lambda at: 0.200 if at < 12 else 0.040)
    stats = playout.stats()
    assert stats.samples_concealed == 0
    assert stats.jitter.lost == stats.jitter.late == 0
    # What the path got faster by is taken out of the voice, to within the margins.
    assert stats.samples_stretched == pytest.approx(0.150 * SAMPLE_RATE_HZ, rel=0.25)
    assert max(delays[12 * 50 + 20 : 12 * 50 + 100]) > 0.15
    assert delays[-1] < 0.080
    assert_smooth(played)


def test_a_slower_path_costs_one_hole_and_no_frame() -> None:
    playout, _, _ = run(40.0, lambda at: 0.040 if at < 12 else 0.140)
    stats = playout.stats()
    # 100 ms more, less what the buffer held.
    assert 2 * FRAME_SAMPLES <= stats.samples_concealed <= 5 * FRAME_SAMPLES
    assert (stats.jitter.lost, stats.jitter.late, stats.jitter.stalls) == (0, 0, 1)


@pytest.mark.parametrize("ppm", [-800.0, 800.0])
def test_clocks_that_drift_are_followed_without_a_hole(ppm: float) -> None:
    playout, delays, played = run(180.0, lambda at: 0.050, sender_ppm=ppm)
    stats = playout.stats()
    # 144 ms over three minutes: more than the buffer ever holds.
    assert stats.samples_concealed == 0
    assert stats.jitter.lost == stats.jitter.late == stats.jitter.overruns == 0
    assert stats.samples_stretched > 0.05 * SAMPLE_RATE_HZ
    assert min(delays[50:]) > 0 and max(delays) < 0.120
    assert_smooth(played)


def test_growing_jitter_is_met_by_stretching_before_it_hurts() -> None:
    rng = random.Random(8)
    playout, _, _ = run(60.0, lambda at: 0.05 + rng.uniform(0, min(at, 30.0) / 30.0 * 0.10))
    stats = playout.stats()
    assert stats.samples_stretched > 0
    # Each time the percentile is outgrown a frame may be late; a buffer that did not grow would lose every third.
    assert stats.samples_concealed < 0.01 * stats.samples_played


class Speaking(SineDecoder):
    """The sine, of which every third frame may be quiet."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet

    def decode(self, payload: bytes) -> Pcm:
        number = int.from_bytes(payload, "big")
        return np.zeros(FRAME_SAMPLES, np.int16) if self._quiet and number % 3 == 0 else sine(HERTZ, FRAME_SAMPLES)


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize("burst_s", [0.0, 0.2])
def test_after_a_stall_of_the_network_the_delay_is_back_within_a_second_and_every_sample_counted(
    burst_s: float, quiet: bool
) -> None:
    capture, playout = CaptureChain(SineEncoder(), random.Random(2)), PlayoutChain(Speaking(quiet=quiet))
    stalled_at, resumed = 5.0, 8.0
    arrivals: list[tuple[float, bytes]] = []
    for number in range(600):
        at = number * FRAME_S + 0.040
        share = (at - stalled_at) / (resumed + burst_s - stalled_at)
        came = resumed + burst_s * share if stalled_at <= at < resumed + burst_s else at
        arrivals.append((came, capture.push(np.zeros(FRAME_SAMPLES, np.int16), at)))
    pulled = silent = 0
    behind: list[float] = []
    for tick in range(590):
        now = tick * FRAME_S + 0.0031
        while arrivals and arrivals[0][0] <= now:
            at, packet = arrivals.pop(0)
            playout.on_packet(packet, at)
        playout.pull(now)
        pulled += FRAME_SAMPLES
        silent += FRAME_SAMPLES if playout.first_played is None else 0
        if now > resumed + burst_s + 1.0:
            behind.append(playout.last_delay_s)
    stats = playout.stats()
    assert max(behind) <= stats.jitter.target_s + 0.100 and stats.jitter.target_s <= 0.045
    held = round(stats.jitter.buffered_s * SAMPLE_RATE_HZ)
    came_in = stats.jitter.received * FRAME_SAMPLES
    # Played, shortened away (nothing was lengthened), skipped, did not fit, or still held.
    accounted = stats.samples_played + stats.samples_stretched + stats.samples_skipped
    assert accounted + stats.jitter.overruns * FRAME_SAMPLES + held == came_in
    # And what was pulled is played or made up.
    assert 0 <= stats.samples_played + stats.samples_concealed + silent - pulled < 2 * FRAME_SAMPLES
    assert stats.samples_skipped > SAMPLE_RATE_HZ


@pytest.mark.parametrize("quiet", [False, True])
def test_what_a_peer_that_slept_sends_at_once_is_caught_up_in_a_hurry(quiet: bool) -> None:
    """Its last 200 ms: too little to be skipped. Quiet frames are left out whole, the rest is shortened."""
    capture = CaptureChain(SineEncoder(), random.Random(2))
    playout = PlayoutChain(Speaking(quiet=quiet))
    packets = [capture.push(np.zeros(FRAME_SAMPLES, np.int16), 0.0) for _ in range(400)]
    for tick in range(251):
        now = tick * FRAME_S
        if tick < 100:
            playout.on_packet(packets[tick], now)
        elif tick >= 200:
            # Its card stood still as well, but for the last ten frames.
            for number in range(100, 111) if tick == 200 else (tick - 90,):
                playout.on_packet(packets[number], now)
        playout.pull(now + 0.007)
    stats = playout.stats()
    assert stats.jitter.skipped == 0
    if quiet:
        assert FRAME_SAMPLES <= stats.samples_skipped <= 5 * FRAME_SAMPLES
        assert stats.samples_skipped % FRAME_SAMPLES == 0
    else:
        assert stats.samples_skipped == 0
        assert stats.samples_stretched > 0.1 * SAMPLE_RATE_HZ
    assert playout.last_delay_s <= stats.jitter.target_s + 0.060


class Glide(SineDecoder):
    """A sine that goes on from frame to frame, and so does what is made up for it; from frame 101 on it is ahead."""

    def __init__(self, ahead: int) -> None:
        self._ahead = ahead
        self._at = 0

    def decode(self, payload: bytes) -> Pcm:
        number = int.from_bytes(payload, "big")
        self._at = number * FRAME_SAMPLES + (self._ahead if number > 100 else 0)
        return self.conceal()

    def conceal(self) -> Pcm:
        self._at += FRAME_SAMPLES
        return sine(HERTZ, FRAME_SAMPLES, start=self._at)


@pytest.mark.parametrize("ahead", [0, 30, 60, 90, 120, 150, 180, 210])
@pytest.mark.parametrize("stall_frames", [40, 58])
def test_a_skip_is_no_click(stall_frames: int, ahead: int) -> None:
    """Whatever the phase of the voice behind it; a period has 240 samples."""
    capture, playout = CaptureChain(SineEncoder(), random.Random(2)), PlayoutChain(Glide(ahead))
    packets = [capture.push(np.zeros(FRAME_SAMPLES, np.int16), 0.0) for _ in range(260)]
    played = []
    for tick in range(200):
        now = tick * FRAME_S
        if not 100 <= tick < 100 + stall_frames:
            for number in range(100, tick + 1) if tick == 100 + stall_frames else (tick,):
                playout.on_packet(packets[number], now)
        played.append(playout.pull(now + 0.007))
    assert playout.stats().samples_skipped > 0
    samples = np.concatenate(played[5:]).astype(int)
    # Where the two are of opposite phase the fade itself is the steepest place.
    assert np.abs(np.diff(samples)).max() <= 1.6 * 10_000 * 2 * np.pi * HERTZ / SAMPLE_RATE_HZ


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.3), st.floats(0, 0.2), st.floats(0, 0.3), st.floats(0, 0.3))
def test_every_sample_is_accounted_for(seed: int, loss: float, jitter: float, repeat: float, damage: float) -> None:
    rng = random.Random(seed)
    encoder = OpusEncoder()
    capture, playout = CaptureChain(encoder, rng), PlayoutChain(OpusDecoder())
    arrivals: list[tuple[float, bytes]] = []
    for number, frame in enumerate(frames_of(speech())[:120]):
        packet = capture.push(frame, number * FRAME_S)
        for _ in range(1 + (rng.random() < repeat)):
            if rng.random() >= loss:
                data = bytearray(packet)
                if rng.random() < damage:
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
                arrivals.append((number * FRAME_S + rng.uniform(0, jitter), bytes(data)))
    arrivals.sort()
    pulled = silent = 0
    for tick in range(150):
        now = tick * FRAME_S
        while arrivals and arrivals[0][0] <= now:
            at, data = arrivals.pop(0)
            playout.on_packet(data, at)
        frame = playout.pull(now)
        assert frame.shape == (FRAME_SAMPLES,) and frame.dtype == np.int16
        pulled += FRAME_SAMPLES
        silent += FRAME_SAMPLES if playout.first_played is None else 0
    stats = playout.stats()
    # All that was pulled is voice, concealment, or the silence before; the rest is held for the next pull.
    surplus = stats.samples_played + stats.samples_concealed + silent - pulled
    assert -FRAME_SAMPLES * stats.jitter.restarts * 4 <= surplus < 2 * FRAME_SAMPLES
    assert stats.jitter.received <= 120 + 240 * (damage > 0)


def test_numbers_start_at_random_and_follow_the_seed() -> None:
    frame = frames_of(speech())[0]
    first, same, other = (
        parse(CaptureChain(OpusEncoder(), random.Random(seed)).push(frame, 0.0)) for seed in (1, 1, 2)
    )
    assert first == same
    assert (first.ssrc, first.sequence, first.timestamp) != (other.ssrc, other.sequence, other.timestamp)


@pytest.mark.parametrize("copied", [False, True])
def test_a_talk_moves_to_a_slower_path_unheard_if_copies_came_by_it_before(copied: bool) -> None:
    """80 ms more at 12 s. Both paths carried everything for 0.4 s and for as long as 5 % stretching grows so much."""
    capture, playout = CaptureChain(SineEncoder(), random.Random(2)), PlayoutChain(SineDecoder())
    fast_s, slow_s, moved_s = 0.02, 0.10, 12.0
    began_s = moved_s - 0.4 - (slow_s - fast_s) / 0.05
    arrivals: list[tuple[float, bytes, bool]] = []
    for number in range(round(20 / FRAME_S)):
        sent = number * FRAME_S
        packet = capture.push(sine(HERTZ, FRAME_SAMPLES), sent)
        arrivals.append((sent + (fast_s if sent < moved_s else slow_s), packet, True))
        if copied and began_s <= sent < moved_s:
            arrivals.append((sent + slow_s, packet, False))
    arrivals.sort(key=lambda arrival: arrival[0])
    for tick in range(round(20 / FRAME_S)):
        now = tick * FRAME_S + 0.007
        while arrivals and arrivals[0][0] <= now:
            at, packet, first = arrivals.pop(0)
            if first:
                playout.on_packet(packet, at)
            else:
                playout.observe_copy(parse(packet).timestamp, at)
        playout.pull(now)
    stats = playout.stats()
    assert stats.jitter.lost == stats.jitter.duplicate == 0
    assert (stats.samples_concealed == 0) == copied
