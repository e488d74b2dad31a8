"""The pump between rings and chains: ages, levels, tones, and the learning of the speaker's ring."""

import random
from dataclasses import astuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from media.codec import OpusDecoder, OpusEncoder
from media.format import FRAME_S, FRAME_SAMPLES
from media.pipeline import CaptureChain, PlayoutChain
from media.processing import CaptureProcessing
from media.pump import LEAST_RING_FRAMES, MAX_CAPTURE_AGE_SAMPLES, MOST_RING_FRAMES, RING_CALM_S, AudioPump
from media.ring import SampleRing
from media.rtp import parse
from media.stats import DelayHistogram
from media.tones import Sound, TonePlayer
from tests.continuity.exact import FIRST, IndexDecoder, IndexEncoder, numbered
from tests.unit.media.voice import frames_of, speech


class Bench:
    """One end of a talk on two bare rings; what it sends it can be made to hear."""

    def __init__(self) -> None:
        self.microphone, self.speaker = SampleRing(), SampleRing()
        self.pump = AudioPump(self.microphone, self.speaker)
        self.playout = PlayoutChain(IndexDecoder())
        self.capture = CaptureChain(IndexEncoder(), random.Random(1))
        self.now = 10.0
        self.spoken = 0

    def begin(self) -> None:
        self.pump.begin(self.capture, self.playout)

    def speak(self, frames: int) -> None:
        self.microphone.write(numbered(FIRST + self.spoken, frames * FRAME_SAMPLES))
        self.spoken += frames * FRAME_SAMPLES

    def loop(self, frames: int, pumped: bool = True) -> None:
        """So many turns of 20 ms; the speaker takes a frame in each, the pump runs or does not."""
        for _ in range(frames):
            self.now += FRAME_S
            self.speak(1)
            self.speaker.read()
            if pumped:
                for packet in self.pump.pump(self.now):
                    self.playout.on_packet(packet, self.now)


def test_before_a_talk_sound_is_measured_and_forgotten() -> None:
    bench = Bench()
    bench.microphone.write(np.full(5_000, 8_000, np.int16))
    assert bench.pump.pump(0.0) == []
    assert bench.microphone.level < FRAME_SAMPLES
    assert -13 < bench.pump.input_level.rms_dbfs < -12
    bench.speak(3)
    bench.begin()
    assert bench.pump.pump(0.1) == []
    assert bench.pump.end().frames_sent == 0


def test_every_captured_frame_is_one_packet() -> None:
    bench = Bench()
    bench.begin()
    bench.speak(3)
    packets = [parse(data) for data in bench.pump.pump(1.0)]
    assert [packet.marker for packet in packets] == [True, False, False]
    assert [(packet.timestamp - packets[0].timestamp) % 2**32 for packet in packets] == [0, 960, 1_920]
    assert len({packet.ssrc for packet in packets}) == 1


def test_frames_too_old_are_dropped_and_the_clock_goes_on() -> None:
    bench = Bench()
    bench.begin()
    bench.speak(1)
    (first,) = map(parse, bench.pump.pump(1.0))
    bench.speak(30)
    packets = [parse(data) for data in bench.pump.pump(1.6)]
    assert len(packets) == MAX_CAPTURE_AGE_SAMPLES // FRAME_SAMPLES
    assert bench.pump.stats().frames_dropped == 20
    assert (packets[0].timestamp - first.timestamp) % 2**32 == 21 * FRAME_SAMPLES
    assert (packets[0].sequence - first.sequence) % 2**16 == 1
    assert packets[0].marker
    assert IndexDecoder().decode(packets[0].payload)[0] == numbered(FIRST + 21 * FRAME_SAMPLES, 1)[0]


def test_a_ring_that_overflowed_counts_and_keeps_the_clock() -> None:
    bench = Bench()
    bench.begin()
    bench.speak(1)
    (first,) = map(parse, bench.pump.pump(1.0))
    for _ in range(100):
        bench.speak(1)
    packets = [parse(data) for data in bench.pump.pump(3.0)]
    stats = bench.pump.stats()
    assert stats.overruns == 50
    assert stats.frames_dropped == 90
    assert (packets[-1].timestamp - first.timestamp) % 2**32 == 100 * FRAME_SAMPLES


def test_the_speaker_s_ring_keeps_one_frame() -> None:
    bench = Bench()
    bench.begin()
    bench.loop(100)
    assert bench.speaker.level == LEAST_RING_FRAMES * FRAME_SAMPLES
    stats = bench.pump.stats()
    assert stats.underruns == stats.samples_concealed == 0
    # Two frames of 20 ms in the jitter buffer, and nothing left in the ring when the pump runs.
    assert 39 <= stats.playout_delay_ms.p50 <= stats.playout_delay_ms.max <= 41


def test_it_learns_from_underruns_and_forgets_in_calm() -> None:
    bench = Bench()
    bench.begin()
    bench.loop(50)
    for sleep in range(1, 6):
        bench.loop(3, pumped=False)
        bench.loop(20)
        assert bench.speaker.level == min(1 + sleep, MOST_RING_FRAMES) * FRAME_SAMPLES
    assert bench.pump.stats().underruns > 0
    bench.loop(round(3 * RING_CALM_S / FRAME_S) + 10)
    assert bench.speaker.level == LEAST_RING_FRAMES * FRAME_SAMPLES
    assert bench.pump.stats().samples_concealed == 0


def test_underruns_before_the_first_sound_do_not_count() -> None:
    bench = Bench()
    bench.speaker.read()
    bench.begin()
    bench.speaker.read()
    bench.loop(30)
    assert bench.pump.stats().underruns == 0
    assert bench.pump.end().frames_received == 30


def test_a_tone_plays_alone_and_within_a_talk() -> None:
    bench = Bench()
    bench.pump.play(TonePlayer(Sound.HUNG_UP))
    played = []
    for _ in range(60):
        bench.pump.pump(bench.now)
        played.append(bench.speaker.read())
    assert np.abs(np.concatenate(played)).max() > 1_000
    assert not played[-1].any()
    bench.pump.play(TonePlayer(Sound.RECONNECTING))
    bench.begin()
    bench.pump.pump(bench.now)
    assert np.abs(bench.speaker.read()).max() > 100
    bench.pump.play(None)
    bench.pump.pump(bench.now)
    assert not bench.speaker.read().any()


def test_levels_bitrate_and_mute_go_through_real_chains() -> None:
    bench = Bench()
    bench.capture = CaptureChain(OpusEncoder(), random.Random(1), CaptureProcessing())
    bench.playout = PlayoutChain(OpusDecoder())
    bench.begin()
    voice = frames_of(speech())

    def turn(frame: np.ndarray) -> None:
        bench.now += FRAME_S
        bench.microphone.write(frame)
        bench.speaker.read()
        for packet in bench.pump.pump(bench.now):
            bench.playout.on_packet(packet, bench.now)

    for frame in voice[:100]:
        turn(frame)
    stats = bench.pump.stats()
    assert 24_000 < stats.bitrate_bps < 40_000
    assert bench.pump.input_level.rms_dbfs > -60 and bench.playout.level.peak_dbfs > -60
    bench.capture.set_muted(True)
    for frame in voice[100:200]:
        turn(frame)
    stats = bench.pump.stats()
    assert bench.playout.level.rms_dbfs < -60
    assert bench.pump.input_level.peak_dbfs > -60
    assert stats.samples_concealed == 0


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["speak", "read", "pump", "garbage", "begin", "hear"]),
            st.integers(0, 60),
            st.binary(max_size=40),
        ),
        max_size=60,
    )
)  # fmt: skip
def test_no_order_of_things_breaks_it(steps: list[tuple[str, int, bytes]]) -> None:
    bench = Bench()
    waiting: list[bytes] = []
    for step, count, data in steps:
        bench.now += count / 1_000
        match step:
            case "speak":
                bench.speak(count)
            case "read":
                bench.speaker.read(count * 100)
            case "pump":
                waiting += bench.pump.pump(bench.now)
            case "garbage":
                bench.playout.on_packet(data, bench.now)
                bench.playout.on_packet(bytes([0x80, 111]) + data, bench.now)
            case "hear":
                for packet in waiting[:count]:
                    bench.playout.on_packet(packet, bench.now)
                del waiting[:count]
            case "begin":
                bench.begin()
        stats = bench.pump.stats()
        assert all(value >= 0 for value in astuple(stats) if isinstance(value, int))
        assert bench.speaker.level <= MOST_RING_FRAMES * FRAME_SAMPLES


@given(st.lists(st.floats(0, 3), min_size=1, max_size=200))
def test_percentiles_to_a_millisecond(delays: list[float]) -> None:
    histogram = DelayHistogram()
    for delay in delays:
        histogram.add(delay)
    summary = histogram.summary()
    in_order = sorted(delays)
    expected = min(in_order[max(0, -(-len(delays) // 2) - 1)] * 1_000, 1_999)
    assert abs(summary.p50 - expected) <= 1
    assert summary.p50 <= summary.p95
    assert abs(summary.max - in_order[-1] * 1_000) <= 0.051
