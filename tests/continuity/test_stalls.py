"""An engine that gets no time: what is lost is exactly this, and nothing is played twice.

While the engine stands still its own speaker runs dry and plays zeros, and the other side, once its jitter buffer is
empty, invents sound. Both insert time; neither loses a frame or repeats one, because the microphone's ring and the
socket's buffer keep what comes. Only of what is older than 200 ms the sender gives up the oldest, and says how much;
and after a stall of more than half a second whoever slept skips what came meanwhile, and says that.
"""

import pytest

from media.format import FRAME_S, FRAME_SAMPLES, SAMPLE_RATE_HZ
from media.pump import MAX_CAPTURE_AGE_SAMPLES
from tests.continuity.exact import FIRST
from tests.continuity.through_link import INVENTED, Conversation, End
from tests.natsim.sound import CardConfig

# Whole calls in virtual time, or whole pages: seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow

FRAMES = 150
AT_S = 1.0123
ENGINES = ("engine, 10 ms card", "engine, 20 ms card", "pump alone, 10 ms card")


def stalled(seconds: float, *, network: bool, period_s: float) -> Conversation:
    """Ann's engine stands still. What that inserts is kept: stretching, which takes it out again, is switched off."""
    card = CardConfig(period_s, 0.3 * period_s, 0.7 * period_s)
    conversation = Conversation(FRAMES, ann=card, unstretched=True)
    conversation.world.run(AT_S)
    conversation.ann.person.freeze(seconds, network=network)
    return conversation.finish()


def zeros_within(end: End) -> int:
    """Samples that the speaker made up because its ring was dry, between the first and the last sound."""
    report = end.received
    invented = end.person.pump.stats().samples_concealed
    outside = report.silent_before + report.silent_after
    return end.person.card.recording.size - outside - report.samples - invented


@pytest.mark.parametrize(("network", "period_s"), [(True, 0.010), (True, 0.020), (False, 0.010)], ids=ENGINES)
@pytest.mark.parametrize("stall_s", [0.030, 0.060, 0.100, 0.180])
def test_a_stall_inserts_time_and_loses_nothing(stall_s: float, network: bool, period_s: float) -> None:
    conversation = stalled(stall_s, network=network, period_s=period_s)
    for end in conversation.ends:
        # Every frame once and in order, whatever was invented between them.
        assert end.frames == list(range(FRAMES))
        report = end.received
        assert (report.first, report.samples) == (FIRST, FRAMES * FRAME_SAMPLES)
        # Whatever is wrong is an insertion: sound goes on with the very sample that was due.
        assert all(fault.kind in ("silence", "invented") for fault in report.faults), report.faults
        assert all(fault.found == fault.expected for fault in report.faults), report.faults
        stats = end.person.pump.stats()
        assert (stats.frames_lost, stats.frames_late, stats.frames_dropped, stats.overruns) == (0, 0, 0, 0)
        assert (stats.samples_stretched, stats.frames_duplicate) == (0, 0)
    here, there = conversation.ends
    stall, held = stall_s * SAMPLE_RATE_HZ, FRAME_SAMPLES
    # The ring bridges one frame at least and, just filled up, two less one period; the card plays zeros for the rest.
    assert max(0.0, stall - 2 * held) <= zeros_within(here) <= max(0.0, stall - held + period_s * SAMPLE_RATE_HZ)
    assert here.person.pump.stats().samples_concealed == 0
    # The jitter buffer over there bridges 35 ms and more; what is missing is made up by the frame.
    concealed = there.person.pump.stats().samples_concealed
    assert zeros_within(there) == 0
    assert concealed % FRAME_SAMPLES == 0
    assert concealed <= max(0.0, stall - 0.035 * SAMPLE_RATE_HZ + 2 * FRAME_SAMPLES)
    assert there.decoder.log.count(INVENTED) * FRAME_SAMPLES == concealed


def test_twenty_milliseconds_are_not_noticed_at_either_end() -> None:
    """As much as the speaker's ring holds at least, whenever it happens."""
    for period_s in (0.010, 0.020):
        for end in stalled(0.0199, network=True, period_s=period_s).ends:
            assert end.received.exact
            assert end.person.pump.stats().underruns == 0


@pytest.mark.parametrize("period_s", [0.010, 0.020])
def test_a_stall_beyond_200_ms_gives_up_exactly_the_oldest_and_says_so(period_s: float) -> None:
    stall_s = 0.400
    here, there = stalled(stall_s, network=True, period_s=period_s).ends
    assert here.frames == list(range(FRAMES))
    dropped = here.person.pump.stats().frames_dropped
    given_up = stall_s * SAMPLE_RATE_HZ - MAX_CAPTURE_AGE_SAMPLES
    assert abs(dropped * FRAME_SAMPLES - given_up) <= FRAME_SAMPLES
    frames = there.frames
    # One hole, of just the frames that the sender says it gave up; they count as dropped there and as lost nowhere.
    missing = sorted(set(range(FRAMES)) - set(frames))
    assert len(missing) == dropped and missing == list(range(missing[0], missing[0] + dropped))
    assert frames == sorted(frames)
    (fault,) = there.received.faults
    assert (fault.kind, fault.expected) == ("invented", FIRST + missing[0] * FRAME_SAMPLES)
    assert fault.found == FIRST + (missing[-1] + 1) * FRAME_SAMPLES
    assert there.person.pump.stats().frames_lost == 0


@pytest.mark.parametrize("network", [True, False], ids=["engine", "pump alone"])
@pytest.mark.parametrize("stall_s", [0.7, 5.0])
def test_after_a_long_stall_both_are_back_within_a_second(stall_s: float, network: bool) -> None:
    """With the product's own configuration. Whoever slept skips what came meanwhile; whoever waited skips nothing."""
    spoken = round((AT_S + stall_s + 6.0) / FRAME_S)
    conversation = Conversation(spoken)
    conversation.world.run(AT_S)
    conversation.ann.person.freeze(stall_s, network=network)
    conversation.world.run(stall_s + 1.0)
    playouts = [end.talk.playout for end in conversation.ends]
    for _ in range(20):
        conversation.world.run(0.1)
        for playout in playouts:
            assert playout is not None
            target_s = playout.stats().jitter.target_s
            assert playout.last_delay_s <= target_s + 0.100
            # Nobody takes the stall for jitter; after the peer's silence some frames of it are uneven.
            assert target_s <= 0.060
    conversation.finish()
    here, there = (end.person.pump.stats() for end in conversation.ends)
    assert conversation.ann.talk.playout is not None
    skipped, rest = divmod(here.samples_skipped, FRAME_SAMPLES)
    unplayed = skipped + conversation.ann.talk.playout.stats().jitter.overruns
    assert rest == 0 and unplayed == pytest.approx(stall_s / FRAME_S, abs=8)
    assert there.samples_skipped == 0
    for end, gone in ((conversation.ann, unplayed), (conversation.bob, here.frames_dropped)):
        # A microphone's ring that overflows in mid-frame leaves frames that straddle the hole: these name no number.
        frames = [number for number in end.frames if number < spoken]
        # In order, none twice, and as many missing as the figures say.
        assert frames == sorted(set(frames))
        assert frames[-1] + 1 - len(frames) == pytest.approx(gone, abs=1 if end is conversation.bob else 0)
        stats = end.person.pump.stats()
        assert (stats.frames_lost, stats.frames_late) == (0, 0)


@pytest.mark.parametrize("stall_s", [0.060, 0.100, 0.180])
@pytest.mark.slow
def test_after_a_stall_the_delay_comes_back_by_stretching_alone(stall_s: float) -> None:
    """With the product's own configuration: the buffers are as short again as they were, and no frame is skipped."""
    conversation = Conversation(4 * FRAMES)
    conversation.world.run(AT_S)
    conversation.ann.person.freeze(stall_s)
    conversation.finish()
    for end in conversation.ends:
        assert end.frames == list(range(4 * FRAMES))
        stats = end.person.pump.stats()
        assert (stats.frames_lost, stats.frames_late) == (0, 0)
        assert end.talk.playout is not None
        jitter = end.talk.playout.stats().jitter
        # What is played is behind the network by what the buffer holds: target, slack, and one frame of phase.
        assert jitter.buffered_s <= jitter.target_s + 0.035 + 0.020
