"""Every sample index once and in order over a minute, both ways at once, through a whole call over the relay.

What the index codec can prove under drift: that each frame is decoded once and in order and none is made up. The
samples themselves are then changed by stretching, which is the point of it; that this loses nothing audible is
for Opus and its concealment counter, and for :mod:`tests.unit.media.test_stretch`, to say.
"""

import pytest

from media.format import FRAME_S, FRAME_SAMPLES
from media.stretch import MAX_RATIO
from tests.continuity.exact import FIRST
from tests.continuity.through_link import INVENTED, MINUTE_FRAMES, MINUTE_SAMPLES, Conversation, End
from tests.natsim.people import OPUS, Options, World
from tests.natsim.sound import CardConfig
from tests.natsim.wire import Wire


def assert_exact(end: End, samples: int) -> None:
    report = end.received
    assert report.exact, report.faults
    assert (report.first, report.samples) == (FIRST, samples)
    stats = end.person.pump.stats()
    assert (stats.frames_lost, stats.frames_late, stats.frames_duplicate, stats.frames_dropped) == (0, 0, 0, 0)
    assert (stats.samples_concealed, stats.samples_stretched, stats.underruns, stats.overruns) == (0, 0, 0, 0)


@pytest.mark.slow
def test_a_minute_both_ways_on_a_steady_path_is_exact() -> None:
    conversation = Conversation(MINUTE_FRAMES).finish()
    for end in conversation.ends:
        assert_exact(end, MINUTE_SAMPLES)


@pytest.mark.slow
def test_a_minute_both_ways_with_jitter_below_the_floor_is_exact() -> None:
    """Each of a crossing's two wires adds 0 to 9 ms, so packets also overtake each other's acknowledgements."""
    conversation = Conversation(MINUTE_FRAMES, wire=lambda: Wire(delay=0.020, jitter=0.009)).finish()
    for end in conversation.ends:
        assert_exact(end, MINUTE_SAMPLES)


@pytest.mark.parametrize("period_s", [0.010, 0.020, 0.040])
@pytest.mark.parametrize("one_way_s", [0.002, 0.250])
def test_every_period_of_a_card_and_every_distance_is_exact(period_s: float, one_way_s: float) -> None:
    card = CardConfig(period_s, 0.3 * period_s, 0.9 * period_s)
    conversation = Conversation(100, wire=lambda: Wire(delay=one_way_s / 2), ann=card, bob=CardConfig()).finish()
    for end in conversation.ends:
        report = end.received
        assert report.exact, report.faults
        assert (report.first, report.samples) == (FIRST, 100 * FRAME_SAMPLES)


@pytest.mark.parametrize("name", ["ann", "bob"])
def test_one_dropped_packet_is_found_at_its_very_index(name: str) -> None:
    conversation = Conversation(200)
    conversation.drop.add((name, 123))
    conversation.finish()
    speaker, listener = conversation.ends if name == "ann" else conversation.ends[::-1]
    assert_exact(speaker, 200 * FRAME_SAMPLES)
    report = listener.received
    assert not report.exact
    (fault,) = report.faults
    assert (fault.kind, fault.expected, fault.found) == (
        "invented",
        FIRST + 123 * FRAME_SAMPLES,
        FIRST + 124 * FRAME_SAMPLES,
    )
    stats = listener.person.pump.stats()
    assert (stats.frames_lost, stats.samples_concealed) == (1, FRAME_SAMPLES)
    assert listener.frames == [number for number in range(200) if number != 123]
    assert listener.decoder.log.index(INVENTED) == 123


@pytest.mark.slow
def test_cards_that_drift_apart_by_100_ppm_lose_no_frame_in_seven_minutes() -> None:
    frames = round(7 * 60 / FRAME_S)
    conversation = Conversation(
        frames,
        ann=CardConfig(0.010, 0.0031, 0.0073, drift_ppm=+50),
        bob=CardConfig(0.020, 0.0117, 0.0171, drift_ppm=-50),
        record=False,
    ).finish()
    for end in conversation.ends:
        stats = end.person.pump.stats()
        assert end.decoder.log == list(range(frames))
        assert (stats.frames_lost, stats.samples_concealed, stats.underruns, stats.overruns) == (0, 0, 0, 0)
        # 100 ppm of seven minutes is 42 ms, which is more than either buffer takes without being set right.
        assert stats.samples_stretched > 0
        assert stats.playout_delay_ms.max < 100.0


@pytest.mark.slow
def test_opus_conceals_nothing_however_cards_drift() -> None:
    """400 ppm apart for two minutes: what 100 ppm do in eight. Both buffers have to be set right more than once."""
    world = World(2)
    fast, slow = (
        Options(OPUS, CardConfig(period_s, 0.003, 0.007, ppm), record=False)
        for period_s, ppm in ((0.010, +200), (0.020, -200))
    )
    ann, bob = world.person("ann", fast), world.person("bob", slow)
    world.talk(ann, bob)
    seconds = 120
    world.run(seconds)
    for person in (ann, bob):
        stats = person.pump.stats()
        assert (stats.samples_concealed, stats.frames_lost, stats.underruns, stats.overruns) == (0, 0, 0, 0)
        assert 0 < stats.samples_stretched < MAX_RATIO * seconds * 48_000
        assert stats.playout_delay_ms.max < 100.0
