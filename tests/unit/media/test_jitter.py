"""The jitter buffer in virtual time: exact when it can be, honest when it cannot, and never surprised."""

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.format import FRAME_S, FRAME_SAMPLES
from media.jitter import JitterBuffer, State
from media.playout import Conceal, Frame, JitterConfig, Playout, Recover, Silence, Tempo
from media.rtp import RtpPacket

CONFIG = JitterConfig()


def packet(number: int, *, sequence: int = 65_500, timestamp: int = 2**32 - 30_000, ssrc: int = 7) -> RtpPacket:
    """Packet ``number`` of a talk whose counters are about to wrap."""
    return RtpPacket(
        (sequence + number) % 2**16,
        (timestamp + number * FRAME_SAMPLES) % 2**32,
        ssrc,
        abs(number).to_bytes(4, "big"),
    )


def number_of(playout: Playout) -> int | str:
    match playout:
        case Frame(payload=payload):
            return int.from_bytes(payload, "big")
        case Recover(next_payload=payload):
            return f"recover before {int.from_bytes(payload, 'big')}"
        case Conceal(stalled=stalled):
            return "stalled" if stalled else "lost"
        case Silence():
            return "silence"


def run(
    buffer: JitterBuffer,
    arrivals: list[tuple[float, RtpPacket]],
    until: float,
    phase: float = 0.007,
    on_frame: Callable[[Frame], None] = lambda _: None,
) -> list[int | str]:
    """Push at the given times, pull every 20 ms; what was played."""
    played = []
    waiting = sorted(arrivals, key=lambda arrival: arrival[0])
    for tick in range(round(until / FRAME_S)):
        now = tick * FRAME_S + phase
        while waiting and waiting[0][0] <= now:
            at, data = waiting.pop(0)
            buffer.push(data, at)
        playout = buffer.pull(now)
        if isinstance(playout, Frame):
            on_frame(playout)
        played.append(number_of(playout))
    return played


def constant(count: int, delay: float = 0.05) -> list[tuple[float, RtpPacket]]:
    return [(n * FRAME_S + delay, packet(n)) for n in range(count)]


def test_constant_delay_plays_every_frame_once_and_in_order() -> None:
    buffer = JitterBuffer()
    tempi: Counter[Tempo] = Counter()
    played = run(buffer, constant(1_000), 20.0, on_frame=lambda frame: tempi.update([frame.tempo]))
    assert [p for p in played if p != "silence"] == list(range(len(played) - played.count("silence")))
    assert set(tempi) == {Tempo.STEADY}
    stats = buffer.stats()
    assert (stats.lost, stats.late, stats.duplicate, stats.stalls, stats.restarts) == (0, 0, 0, 0, 0)
    assert stats.target_s == CONFIG.floor_s
    assert stats.jitter_s == pytest.approx(0, abs=1e-9)


def test_playing_starts_with_55_ms_buffered_or_55_ms_after_the_first_was_begun() -> None:
    buffer = JitterBuffer()
    assert isinstance(buffer.pull(0.0), Silence)
    for number in range(3):
        assert isinstance(buffer.pull(1.0), Silence)
        buffer.push(packet(number), 1.0)
    assert number_of(buffer.pull(1.0)) == 0
    alone = JitterBuffer()
    alone.push(packet(0), 1.0)
    assert isinstance(alone.pull(1.034), Silence)
    assert number_of(alone.pull(1.036)) == 0


def test_a_lost_frame_is_recovered_from_the_next() -> None:
    arrivals = [arrival for number, arrival in enumerate(constant(200)) if number != 100]
    buffer = JitterBuffer()
    played = run(buffer, arrivals, 3.9)
    assert "recover before 101" in played
    assert "lost" not in played and "stalled" not in played
    assert (buffer.stats().lost, buffer.stats().stalls) == (1, 0)


def test_of_two_lost_frames_the_first_is_concealed() -> None:
    arrivals = [arrival for number, arrival in enumerate(constant(200)) if number not in (100, 101)]
    buffer = JitterBuffer()
    played = run(buffer, arrivals, 3.9)
    hole = played[played.index(99) + 1 : played.index(102)]
    assert hole in (["lost", "recover before 102"], ["stalled", "recover before 102"])
    assert buffer.stats().lost == 2


def test_a_long_burst_of_loss_keeps_the_time_line() -> None:
    arrivals = [arrival for number, arrival in enumerate(constant(300)) if not 100 <= number < 115]
    buffer = JitterBuffer()
    played = run(buffer, arrivals, 5.9)
    # The delay is the same before and after: exactly 15 frames stand for 15 frames.
    assert played.index(115) - played.index(99) == 16
    assert buffer.stats().lost == 15
    assert 115 in played and sorted(p for p in played if isinstance(p, int)) == [
        p for p in played if isinstance(p, int)
    ]


def test_a_stalled_sender_is_waited_for_and_the_target_grows() -> None:
    arrivals = [(max(at, 2.3) if at > 2.0 else at, data) for at, data in constant(300)]
    buffer = JitterBuffer()
    played = run(buffer, arrivals, 5.5)
    numbers = [p for p in played if isinstance(p, int)]
    assert numbers == list(range(len(numbers)))
    assert "stalled" in played and "lost" not in played
    stats = buffer.stats()
    assert (stats.lost, stats.late, stats.stalls) == (0, 0, 1)
    assert 0.2 < stats.target_s <= 0.31


def test_after_a_stall_beyond_the_maximum_the_oldest_are_given_up() -> None:
    arrivals = [(max(at, 4.0) if at > 2.0 else at, data) for at, data in constant(400)]
    delays: list[float] = []
    buffer = JitterBuffer()
    played = run(buffer, arrivals, 7.5, on_frame=lambda frame: delays.append(frame.arrived))
    numbers = [p for p in played if isinstance(p, int)]
    assert numbers == sorted(set(numbers))
    stats = buffer.stats()
    assert stats.buffered_s <= CONFIG.max_delay_s + FRAME_S
    assert stats.skipped > 0
    assert stats.skipped + stats.overruns + len(numbers) + round(stats.buffered_s / FRAME_S) == stats.received
    assert stats.target_s == CONFIG.floor_s


def test_jitter_grows_the_target_and_calm_shrinks_it() -> None:
    rng = random.Random(4)
    rough = [(n * FRAME_S + 0.05 + rng.uniform(0, 0.12), packet(n)) for n in range(1_000)]
    calm = [(n * FRAME_S + 0.05, packet(n)) for n in range(1_000, 2_500)]
    slower: list[int] = []
    faster: list[int] = []
    targets: list[float] = []

    def note(frame: Frame) -> None:
        targets.append(buffer.stats().target_s)
        if frame.tempo is Tempo.SLOWER:
            slower.append(int.from_bytes(frame.payload, "big"))
        if frame.tempo is Tempo.FASTER:
            faster.append(int.from_bytes(frame.payload, "big"))

    buffer = JitterBuffer()
    played = run(buffer, rough + calm, 49.0, on_frame=note)
    assert max(targets) == pytest.approx(0.12, abs=0.01)
    # Nothing is stretched here, so the wish lasts until the rough packets leave the window.
    assert slower and max(slower) < 1_510
    # Shrinking waits for ten seconds (500 frames) of calm, less the 120 ms that playout lags behind arrival, and
    # never gives up a frame.
    assert faster and min(faster) >= 1_490 - 6
    assert buffer.stats().target_s == CONFIG.floor_s
    assert buffer.stats().lost == 0
    numbers = [p for p in played if isinstance(p, int)]
    assert len(numbers) >= 2_400 and numbers == sorted(set(numbers))


def test_a_faster_path_drains_without_a_gap() -> None:
    slow = [(n * FRAME_S + 0.200, packet(n)) for n in range(500)]
    fast = [(n * FRAME_S + 0.040, packet(n)) for n in range(500, 1_500)]
    tempi: Counter[Tempo] = Counter()
    buffer = JitterBuffer()
    played = run(buffer, slow + fast, 27.0, on_frame=lambda frame: tempi.update([frame.tempo]))
    numbers = [p for p in played if isinstance(p, int)]
    assert numbers == list(range(len(numbers)))
    assert tempi[Tempo.FASTER] > 0
    assert (buffer.stats().lost, buffer.stats().stalls) == (0, 0)


def test_rare_peaks_are_expected_once_they_come_twice() -> None:
    def delay(number: int) -> float:
        return 0.2 if number in (400, 1_000) else 0.05

    buffer = JitterBuffer()
    run(buffer, [(n * FRAME_S + delay(n), packet(n)) for n in range(950)], 19.0)
    assert buffer.stats().target_s == CONFIG.floor_s
    run_on = [(n * FRAME_S + delay(n), packet(n)) for n in range(950, 1_400)]
    for at, data in sorted(run_on, key=lambda arrival: arrival[0]):
        buffer.push(data, at)
        buffer.pull(at)
    assert buffer.stats().target_s == pytest.approx(0.155, abs=0.001)


def test_late_and_duplicate_packets_are_distinguished() -> None:
    arrivals = constant(200)
    arrivals += [(at + 0.001, data) for at, data in arrivals[50:60]]
    arrivals += [(at + 1.0, data) for at, data in arrivals[20:25]]
    arrivals[100] = (arrivals[100][0] + 0.5, arrivals[100][1])
    buffer = JitterBuffer()
    run(buffer, arrivals, 3.9)
    stats = buffer.stats()
    assert stats.duplicate == 15
    assert (stats.late, stats.lost) == (1, 0)


def test_a_pause_of_the_sender_is_no_loss() -> None:
    arrivals = [(n * FRAME_S + 0.05, packet(n)) for n in range(100)]
    # Frames dropped before they were numbered: the clock goes on, the sequence does not.
    arrivals += [
        (n * FRAME_S + 0.05, RtpPacket((65_500 + n - 20) % 2**16, packet(n).timestamp, 7, packet(n).payload))
        for n in range(120, 300)
    ]
    buffer = JitterBuffer()
    played = run(buffer, arrivals, 5.9)
    assert buffer.stats().lost == 0
    assert played.index(120) - played.index(99) == 21


def test_a_restarted_sender_is_followed_after_two_packets() -> None:
    buffer = JitterBuffer()
    run(buffer, constant(100), 1.9)
    restarted = [(2.0 + n * FRAME_S, packet(n, sequence=9, timestamp=5, ssrc=8)) for n in range(100)]
    for at, data in restarted:
        buffer.push(data, at)
        buffer.pull(at)
    stats = buffer.stats()
    assert (stats.restarts, stats.strange) == (1, 1)
    assert isinstance(buffer.pull(4.0), Frame)


def test_a_single_stray_packet_changes_nothing() -> None:
    arrivals = constant(200)
    strays = [
        RtpPacket(1, 1, 99, b"stray"),
        RtpPacket(packet(50).sequence, packet(5_000).timestamp, 7, b"stray"),
        RtpPacket(packet(5_000).sequence, packet(5_000).timestamp, 7, b"stray"),
        RtpPacket(packet(90).sequence, packet(10).timestamp, 7, b"stray"),
    ]
    arrivals += [(1.0 + 0.2 * n + 0.003, stray) for n, stray in enumerate(strays)]
    buffer = JitterBuffer()
    played = run(buffer, arrivals, 3.9)
    numbers = [p for p in played if p != "silence"]
    assert numbers == list(range(len(numbers)))
    assert buffer.stats().strange == len(strays)


class Line:
    """Plays a trace: ``step`` pushes packets, pulls one frame, and says what was played in which state."""

    def __init__(self) -> None:
        self.buffer = JitterBuffer()
        self.now = 1.0

    def step(self, *numbers: int, ssrc: int = 7) -> tuple[int | str, State]:
        for number in numbers:
            self.buffer.push(packet(number, ssrc=ssrc), self.now)
        self.now += FRAME_S
        return number_of(self.buffer.pull(self.now)), self.buffer.state


def test_a_trace_through_all_states() -> None:
    line = Line()
    assert line.buffer.state is State.BUFFERING
    assert line.step(0) == ("silence", State.BUFFERING)
    assert line.step(1, 2) == (0, State.PLAYING)
    assert line.step(4) == (1, State.PLAYING)
    assert line.step(5) == (2, State.PLAYING)
    assert line.step() == ("recover before 4", State.CONCEALING)
    assert line.step() == (4, State.PLAYING)
    assert line.step() == (5, State.PLAYING)
    assert line.step() == ("stalled", State.STALLED)
    assert line.step() == ("stalled", State.STALLED)
    assert line.step(6, 7) == (6, State.PLAYING)
    assert line.step() == (7, State.PLAYING)
    assert line.step() == ("stalled", State.STALLED)
    # What was concealed stands for packet 8, which never comes; nor do 9 and 10.
    assert line.step(11) == ("lost", State.CONCEALING)
    assert line.step() == ("recover before 11", State.CONCEALING)
    assert line.step() == (11, State.PLAYING)
    assert line.buffer.stats().stalls == 2


@pytest.mark.parametrize(
    ("before", "state"),
    [
        ([(0, 1, 2, 3)], State.PLAYING),
        ([(0, 1, 3), (), ()], State.CONCEALING),
        ([(0, 1, 2), (), (), ()], State.STALLED),
    ],
)
def test_a_new_sender_is_buffered_first_whatever_was_played(before: list[tuple[int, ...]], state: State) -> None:
    line = Line()
    for numbers in before:
        _, reached = line.step(*numbers)
    assert reached is state
    assert line.step(40, 41, ssrc=8) == ("silence", State.BUFFERING)
    assert line.step(42, 43, ssrc=8) == (41, State.PLAYING)


actions = st.one_of(
    st.tuples(st.just("next"), st.integers(1, 5)),
    st.tuples(st.just("pull"), st.integers(1, 5)),
    st.tuples(st.just("wait"), st.floats(0, 3)),
    st.tuples(st.just("loss"), st.integers(1, 200)),
    st.tuples(st.just("old"), st.integers(1, 400)),
    st.tuples(
        st.just("any"), st.builds(RtpPacket, st.integers(0, 65_535), st.integers(0, 2**32 - 1), st.integers(6, 8),
                                  st.binary(max_size=8))
    ),
    st.tuples(st.just("burst"), st.integers(50, 400)),
)  # fmt: skip


@settings(max_examples=120)
@given(st.lists(actions, max_size=60))
def test_nothing_that_arrives_breaks_it(steps: list[tuple[str, object]]) -> None:
    buffer = JitterBuffer()
    now, number, played = 0.0, 0, 0
    for action, value in steps:
        match action, value:
            case "next", int(count):
                for _ in range(count):
                    buffer.push(packet(number), now)
                    number, now = number + 1, now + FRAME_S
            case "burst", int(count):
                for _ in range(count):
                    buffer.push(packet(number), now)
                    number += 1
            case "pull", int(count):
                for _ in range(count):
                    playout = buffer.pull(now)
                    assert isinstance(playout, Silence | Frame | Recover | Conceal)
                    played += isinstance(playout, Frame)
                    now += FRAME_S
            case "wait", float(seconds):
                now += seconds
            case "loss", int(count):
                number += count
            case "old", int(count):
                buffer.push(packet(number - count), now)
            case "any", RtpPacket() as anything:
                buffer.push(anything, now)
        stats = buffer.stats()
        assert min(stats.received, stats.lost, stats.late, stats.duplicate, stats.stalls, stats.strange) >= 0
        # Whatever came has one fate; a restart of the sender alone leaves behind what it had not played.
        fates = played + stats.skipped + stats.late + stats.overruns + round(stats.buffered_s / FRAME_S)
        assert fates == stats.received or (stats.restarts and fates < stats.received)
        assert stats.buffered_s <= CONFIG.max_packets * FRAME_S
        assert CONFIG.floor_s <= stats.target_s <= CONFIG.max_delay_s
        assert 0 <= stats.loss <= 1
    # No stuck state: a sender that goes on is played again within two seconds.
    fresh = 1_000_000
    for step in range(150):
        now += FRAME_S
        buffer.push(packet(fresh + step, ssrc=99), now)
        last = buffer.pull(now)
    assert isinstance(last, Frame)


@settings(max_examples=60)
@given(st.floats(0, 0.4), st.floats(0, 0.0199), st.integers(0, 65_535), st.integers(0, 2**32 - 1), st.integers(1, 300))
def test_any_constant_delay_is_exact(delay: float, phase: float, sequence: int, timestamp: int, count: int) -> None:
    buffer = JitterBuffer()
    arrivals = [(n * FRAME_S + delay, packet(n, sequence=sequence, timestamp=timestamp)) for n in range(count)]
    tempi: set[Tempo] = set()
    played = run(buffer, arrivals, count * FRAME_S + delay, phase, lambda frame: tempi.add(frame.tempo))
    frames = [p for p in played if p != "silence"]
    assert frames == list(range(len(frames)))
    assert tempi <= {Tempo.STEADY}


def test_copies_by_a_slower_path_raise_the_target_and_count_as_nothing_else() -> None:
    buffer = JitterBuffer()
    for n in range(250):
        buffer.push(packet(n), n * FRAME_S)
        buffer.pull(n * FRAME_S + 0.007)
        if n >= 50:
            buffer.observe_copy(packet(n - 6).timestamp, n * FRAME_S)
    stats = buffer.stats()
    assert stats.target_s == pytest.approx(0.12 + CONFIG.margin_s)
    assert (stats.received, stats.duplicate, stats.late, stats.lost) == (250, 0, 0, 0)
    assert stats.jitter_s == pytest.approx(0.0, abs=1e-6)


def test_a_copy_before_the_first_packet_and_one_from_another_time_say_nothing() -> None:
    buffer = JitterBuffer()
    buffer.observe_copy(5, 1.0)
    for n in range(20):
        buffer.push(packet(n), n * FRAME_S)
    before = buffer.stats()
    buffer.observe_copy((packet(19).timestamp + 2**31) % 2**32, 0.4)
    buffer.observe_copy(packet(19).timestamp, 19 * FRAME_S + 5.0)
    buffer.observe_copy(packet(19).timestamp, 19 * FRAME_S - 0.01)
    assert buffer.stats() == before


@pytest.mark.parametrize("gone", [10, 24, 30, 50, 150])
def test_a_hole_is_counted_whole_however_long(gone: int) -> None:
    buffer, now = JitterBuffer(), 100.0
    for tick in range(400):
        if not 100 <= tick < 100 + gone:
            buffer.push(packet(tick), now + 0.05)
        buffer.pull(now + 0.051)
        now += 0.02
    assert buffer.stats().lost == gone
