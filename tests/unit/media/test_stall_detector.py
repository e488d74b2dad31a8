"""Stalls in virtual time: whoever stood still, the delay is back within a second and nothing is learnt from it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from media.delay_estimator import DelayEstimator
from media.format import FRAME_S, FRAME_SAMPLES
from media.jitter import JitterBuffer
from media.playout import Frame, JitterConfig, Tempo
from media.rtp import RtpPacket
from media.stall_detector import SETTLE_S, STALL_S, StallWatch

CONFIG = JitterConfig()
PATH_S = 0.05
STALLED_AT = 5.0
# What a peer that stood still sends of the past when it wakes (media.pump.MAX_CAPTURE_AGE_SAMPLES).
KEPT_S = 0.2


def packet(number: int, sequence: int | None = None) -> RtpPacket:
    sequence = number if sequence is None else sequence
    return RtpPacket(sequence % 2**16, number * FRAME_SAMPLES % 2**32, 7, number.to_bytes(4, "big"))


@dataclass
class Playback:
    """What was played. ``behind``: (when, how long after the instant at which it would have come without any stall)."""

    buffer: JitterBuffer
    numbers: list[int] = field(default_factory=list)
    behind: list[tuple[float, float]] = field(default_factory=list)
    targets: list[float] = field(default_factory=list)
    tempi: list[Tempo] = field(default_factory=list)
    joints: int = 0

    def after(self, at: float) -> list[float]:
        return [delay for when, delay in self.behind if when >= at]


def listen(
    arrivals: list[tuple[float, RtpPacket]],
    until: float,
    *,
    asleep: tuple[float, float] = (-1.0, -1.0),
    phase: float = 0.007,
    copies: list[tuple[float, int]] | None = None,
    line: Callable[[int], float] = lambda number: number * FRAME_S + PATH_S,
) -> Playback:
    """Pull each 20 ms but not while asleep; a packet is pushed at its time, or with all others on waking. A frame in a
    hurry takes three quarters of its time and one that goes faster 19 twentieths, as the stretcher makes of them."""
    playback = Playback(JitterBuffer())
    events: list[tuple[float, RtpPacket | int]] = [*arrivals, *(copies or [])]
    waiting = sorted(events, key=lambda event: event[0])
    ready_s, at = 0.0, 0
    for tick in range(round(until / FRAME_S)):
        now = tick * FRAME_S + phase
        if asleep[0] <= now < asleep[1]:
            continue
        while at < len(waiting) and waiting[at][0] <= now:
            came, what = waiting[at]
            at += 1
            came = asleep[1] if asleep[0] <= came < asleep[1] else came
            if isinstance(what, RtpPacket):
                playback.buffer.push(what, came)
            else:
                playback.buffer.observe_copy(what, came)
        while ready_s < FRAME_S - 1e-9:
            playout = playback.buffer.pull(now)
            length_s = FRAME_S
            if isinstance(playout, Frame):
                number = int.from_bytes(playout.payload, "big")
                playback.numbers.append(number)
                playback.behind.append((now, now - line(number)))
                playback.tempi.append(playout.tempo)
                playback.joints += playout.joined
                length_s *= {Tempo.HURRY: 0.75, Tempo.FASTER: 0.95, Tempo.SLOWER: 1.05}.get(playout.tempo, 1.0)
            ready_s += length_s
        ready_s -= FRAME_S
        playback.targets.append(playback.buffer.stats().target_s)
    assert playback.numbers == sorted(set(playback.numbers))
    stats = playback.buffer.stats()
    held = round(stats.buffered_s / FRAME_S)
    assert len(playback.numbers) + stats.skipped + stats.late + stats.overruns + held == stats.received
    return playback


def steady(count: int) -> list[tuple[float, RtpPacket]]:
    return [(number * FRAME_S + PATH_S, packet(number)) for number in range(count)]


def assert_caught_up(playback: Playback, resumed: float) -> None:
    target = CONFIG.floor_s
    assert max(playback.after(resumed + 1.0)) <= target + 0.100
    assert max(playback.targets) == target
    # And it stays there: no later skip, nor a hole that a buffer drained too far would have.
    assert playback.buffer.stats().stalls <= 1


@pytest.mark.parametrize("stall_s", [0.6, 1.0, 2.0, 5.0, 15.0])
def test_our_own_sleep_is_caught_up_within_a_second(stall_s: float) -> None:
    resumed = STALLED_AT + stall_s
    playback = listen(steady(round((resumed + 6) / FRAME_S)), resumed + 5, asleep=(STALLED_AT, resumed))
    assert_caught_up(playback, resumed)
    stats = playback.buffer.stats()
    assert (stats.lost, stats.late, stats.restarts) == (0, 0, 0)
    # All that is not played was skipped, or was more than the buffer holds at all.
    assert stats.skipped + stats.overruns == pytest.approx(stall_s / FRAME_S, abs=6)
    assert (stats.overruns == 0) == (stall_s < 2.0)
    assert playback.joints == 1


@pytest.mark.parametrize("drain_s", [0.0, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("stall_s", [0.6, 1.5, 5.0])
def test_a_network_that_held_everything_is_caught_up_within_a_second(stall_s: float, drain_s: float) -> None:
    """What it held comes within ``drain_s``."""
    resumed = STALLED_AT + stall_s

    def came(due: float) -> float:
        # The queue empties evenly; what is spoken meanwhile stands at its end.
        share = min((due - STALLED_AT) / (stall_s + drain_s), 1.0)
        return due if due < STALLED_AT or due >= resumed + drain_s else resumed + drain_s * share

    arrivals = [(came(at), data) for at, data in steady(round((resumed + 6) / FRAME_S))]
    playback = listen(arrivals, resumed + 5)
    assert_caught_up(playback, resumed + drain_s)
    assert playback.buffer.stats().skipped > 0


@pytest.mark.parametrize("clock_runs", [True, False], ids=["its card went on", "its card stood still"])
@pytest.mark.parametrize("stall_s", [0.6, 1.0, 5.0, 15.0])
def test_a_peer_that_stood_still_is_followed_and_nothing_it_sends_is_skipped(stall_s: float, clock_runs: bool) -> None:
    """It sends the last 200 ms at once when it wakes, and then as ever; without its card there is nothing to send."""
    resumed = STALLED_AT + stall_s
    before = round((STALLED_AT - PATH_S) / FRAME_S)
    arrivals = steady(before)
    if clock_runs:
        first = round((resumed - PATH_S - KEPT_S) / FRAME_S)
        for number in range(first, round((resumed + 6) / FRAME_S)):
            sequence = before + number - first
            arrivals.append((max(number * FRAME_S + PATH_S, resumed), packet(number, sequence)))
    else:
        arrivals += [(at + stall_s, packet(number)) for number, (at, _) in enumerate(steady(before + 300), 0)][before:]

    def line(number: int) -> float:
        return number * FRAME_S + PATH_S + (0.0 if clock_runs or number < before else stall_s)

    playback = listen(arrivals, resumed + 5, line=line)
    assert_caught_up(playback, resumed)
    stats = playback.buffer.stats()
    assert (stats.skipped, stats.lost, stats.overruns) == (0, 0, 0)
    # Every frame that came: the last ones before it stood still, and all since.
    came = [int.from_bytes(data.payload, "big") for _, data in arrivals]
    assert playback.numbers == came[: len(playback.numbers)]
    assert (Tempo.HURRY in playback.tempi) == clock_runs


def test_a_speaker_that_stood_still_while_packets_came_is_caught_up() -> None:
    buffer = JitterBuffer()
    behind: list[float] = []
    for tick in range(600):
        now = tick * FRAME_S
        buffer.push(packet(tick), now)
        if 100 <= tick < 300:
            continue
        playout = buffer.pull(now + 0.007)
        if tick >= 350 and isinstance(playout, Frame):
            behind.append(now - int.from_bytes(playout.payload, "big") * FRAME_S)
    assert max(behind) <= CONFIG.floor_s + 0.100
    stats = buffer.stats()
    assert (stats.lost, stats.late, stats.stalls, stats.target_s) == (0, 0, 0, CONFIG.floor_s)
    assert stats.skipped + stats.overruns == pytest.approx(200, abs=6)


def test_copies_of_what_was_held_up_say_nothing_either() -> None:
    """Both paths carried everything into our sleep, and the second socket is read after the first."""
    resumed = STALLED_AT + 3.0
    arrivals = steady(round((resumed + 3) / FRAME_S))
    copies = [(resumed + 0.001, data.timestamp) for at, data in arrivals if STALLED_AT <= at < resumed]
    playback = listen(arrivals, resumed + 2, asleep=(STALLED_AT, resumed), copies=copies)
    assert_caught_up(playback, resumed)


def test_what_waits_behind_the_backlog_of_another_socket_says_nothing_either() -> None:
    """On waking the relay's socket is read first, with fresh packets; then, for 0.4 s, what the direct path held."""
    resumed, busy_s = STALLED_AT + 3.0, 0.4
    arrivals = []
    for number, (at, data) in enumerate(steady(round((resumed + 4) / FRAME_S))):
        if STALLED_AT <= at < resumed - 0.1:
            at = resumed + 0.01 + busy_s * (at - STALLED_AT) / 3.0
        elif resumed - 0.1 <= at < resumed + busy_s and number % 2:
            at = resumed + busy_s
        arrivals.append((max(at, resumed) if at >= STALLED_AT else at, data))
    playback = listen(sorted(arrivals, key=lambda arrival: arrival[0]), resumed + 3, asleep=(STALLED_AT, resumed))
    assert max(playback.targets) == CONFIG.floor_s
    assert max(playback.after(resumed + busy_s + 1.0)) <= CONFIG.floor_s + 0.100


def test_jitter_that_was_known_before_a_stall_is_known_after_it() -> None:
    late = [(at + (0.1 if number % 10 == 0 else 0.0), data) for number, (at, data) in enumerate(steady(600))]
    playback = listen(sorted(late, key=lambda arrival: arrival[0]), 10.0, asleep=(STALLED_AT, STALLED_AT + 2.0))
    assert playback.targets[-1] == pytest.approx(0.1 + CONFIG.margin_s)
    assert max(playback.after(STALLED_AT + 3.0)) <= playback.targets[-1] + 0.100


def test_half_a_second_or_less_is_still_jitter() -> None:
    stall_s = 0.4
    arrivals = [
        (max(at, STALLED_AT + stall_s) if at >= STALLED_AT else at, data) for at, data in steady(500)
    ]  # fmt: skip
    playback = listen(arrivals, 9.0)
    assert playback.buffer.stats().skipped == 0 and Tempo.HURRY not in playback.tempi
    assert max(playback.targets) > 0.3


@settings(max_examples=40, deadline=None)
@example(0.25, 0.0, 0.0, 0.007, 1)
@example(0.25, 0.0, 0.06, 0.007, 1)
@given(
    st.floats(0.0, 0.25),
    st.floats(0.0, 0.25),
    st.floats(0.0, 0.06),
    st.floats(0.0, 0.0199),
    st.integers(0, 2**32 - 1),
)
def test_a_planned_swap_never_skips_nor_hurries(
    before_s: float, after_s: float, jitter_s: float, phase: float, seed: int
) -> None:
    """Whichever way, however much is saved: 5 % is all that it takes. For 0.4 s both paths carry everything. What is
    saved waits in the buffer until the estimate has forgotten the old path, 10 s later."""
    rng = random.Random(seed)
    arrivals: list[tuple[float, RtpPacket]] = []
    for number in range(1_000):
        jitter = rng.uniform(0, jitter_s)
        at = number * FRAME_S
        ways = [before_s] if number < 250 else [before_s, after_s] if number < 270 else [after_s]
        arrivals.append((at + min(ways) + jitter, packet(number)))
    playback = listen(sorted(arrivals, key=lambda arrival: arrival[0]), 19.5, phase=phase)
    assert playback.buffer.stats().skipped == 0
    assert Tempo.HURRY not in playback.tempi and playback.joints == 0


def test_a_swap_to_a_faster_path_after_a_stall_drains_by_stretching_alone() -> None:
    resumed = STALLED_AT + 2.0
    arrivals = [(at + (0.25 if at < resumed + 2 else 0.0), data) for at, data in steady(1_500)]
    playback = listen(sorted(arrivals, key=lambda arrival: arrival[0]), 28.0, asleep=(STALLED_AT, resumed))
    hurried = [when for (when, _), tempo in zip(playback.behind, playback.tempi, strict=True) if tempo is Tempo.HURRY]
    assert playback.joints == 1 and all(when < resumed + 1.0 for when in hurried)
    assert playback.tempi.count(Tempo.FASTER) >= 0.1 / 0.05 / FRAME_S


# -- the watch alone ---------------------------------------------------------------------------------------------


def test_a_line_that_keeps_late_is_the_new_line() -> None:
    watch, delay = StallWatch(), DelayEstimator()
    for number in range(100):
        now = number * FRAME_S
        assert not watch.arrived(0.3, now, delay) and watch.counts(0.3, now, delay)
        delay.add(0.3, now)
    resumed = 100 * FRAME_S + STALL_S + 1.0
    assert watch.arrived(1.9, resumed, delay) and not watch.settled
    assert watch.line_s(delay) == 1.9 and delay.base_s == 0.3
    steps = 0
    while not watch.settled:
        steps += 1
        watch.arrived(1.8, resumed + steps * FRAME_S, delay)
    # From the second packet on, since the first one was later.
    assert SETTLE_S + FRAME_S <= steps * FRAME_S + 1e-9 <= SETTLE_S + 3 * FRAME_S
    assert delay.base_s == pytest.approx(1.8) and delay.worst_s == pytest.approx(0.0)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.floats(0, 2), st.floats(-3, 3)), max_size=80))
def test_any_arrivals_leave_it_settled_in_the_end(arrivals: list[tuple[float, float]]) -> None:
    watch, delay = StallWatch(), DelayEstimator()
    now = 0.0
    for wait_s, transit_s in arrivals:
        now += wait_s
        watch.arrived(transit_s, now, delay)
        if watch.counts(transit_s, now, delay):
            assert watch.settled
            delay.add(transit_s, now)
        line, base = watch.line_s(delay), delay.base_s
        assert (line is None) == (base is None and watch.settled)
        assert line is None or base is None or line >= base
    # As late as these can be, 6 s, they are due before the stall's end for so long, and before that was read for twice.
    for _ in range(round((SETTLE_S + 2 * 6.0) / FRAME_S)):
        now += FRAME_S
        watch.arrived(1.0, now, delay)
        if watch.counts(1.0, now, delay):
            delay.add(1.0, now)
    assert watch.settled and watch.counts(1.0, now, delay)
