import pytest

from transport.path.liveness import (
    DEAD_AFTER_S,
    MAX_JITTER_SLACK_S,
    MEDIA_PACE_S,
    MEDIA_UNEXPECTED_S,
    SUSPECT_AFTER_S,
    UNEXPECTED_S,
    is_silent,
    lost_since,
    missing_since,
    silent_at,
    timeout_s,
)
from transport.path.path import Path, State
from transport.path.retransmit import SENT_S
from transport.path.stats import PathKind


def in_use(
    kind: PathKind = "direct", *, at: float = 10.0, media_at: float | None = 10.0, jitter_s: float = 0.0
) -> Path:
    """A path in use with a round trip of 100 ms."""
    path = Path(0, kind, "relay" if kind == "relay" else "punch", ("192.0.2.1", 7851))
    path.state = State.ACTIVE
    path.measured.received_at, path.measured.media_at = at, media_at
    path.measured.jitter.value = jitter_s
    path.measured.round_trip.sample(0.1)
    path.measured.round_trip.variation = 0.0
    return path


def test_a_direct_path_with_media_may_be_silent_for_two_frames_and_the_jitter() -> None:
    assert timeout_s(in_use(), "direct") == MEDIA_UNEXPECTED_S
    assert timeout_s(in_use(jitter_s=0.01), "direct") == MEDIA_UNEXPECTED_S + 0.02
    assert timeout_s(in_use(jitter_s=1.0), "direct") == MEDIA_UNEXPECTED_S + MAX_JITTER_SLACK_S


@pytest.mark.parametrize("path", [in_use(media_at=None), in_use(media_at=9.99 - MEDIA_PACE_S)])
def test_without_media_echoes_are_waited_for(path: Path) -> None:
    assert timeout_s(path, "direct") == SUSPECT_AFTER_S


def test_little_is_due_where_the_peer_does_not_send() -> None:
    assert timeout_s(in_use(), "relay") == SUSPECT_AFTER_S
    assert timeout_s(in_use("relay"), "relay") == SUSPECT_AFTER_S
    assert timeout_s(in_use("relay"), "direct") == SUSPECT_AFTER_S + 0.1


def test_silence_counts_from_the_last_traffic_or_from_where_it_is_watched() -> None:
    path = in_use(at=10.0)
    assert silent_at(path, "direct", received_ever=True) == 10.0 + MEDIA_UNEXPECTED_S
    assert not is_silent(path, "direct", 10.0 + MEDIA_UNEXPECTED_S - 0.01)
    assert is_silent(path, "direct", 10.0 + MEDIA_UNEXPECTED_S)
    path.watched_from = 11.0
    assert silent_at(path, "direct", received_ever=True) == 11.0 + MEDIA_UNEXPECTED_S
    path.state = State.SUSPECT
    assert silent_at(path, "direct", received_ever=True) == 11.0 + DEAD_AFTER_S
    path.state = State.STANDBY
    assert silent_at(path, "direct", received_ever=True) is None


def test_before_anything_of_the_peer_was_received_silence_means_nothing() -> None:
    path = in_use()
    path.measured.received_at, path.watched_from = None, 10.0
    assert silent_at(path, "direct", received_ever=False) is None
    assert silent_at(path, "direct", received_ever=True) == 10.0 + SUSPECT_AFTER_S
    path.watched_from = None
    assert silent_at(path, "direct", received_ever=True) is None and not is_silent(path, "direct", 99.0)


def test_what_is_missing_reaches_back_over_silence_and_trips() -> None:
    path, relay = in_use(at=10.0), in_use("relay")
    assert lost_since(path, 10.1) == pytest.approx(10.0 - 0.1 - UNEXPECTED_S)
    # The peer has waited for 80 ms before it reported that, and neither trip is known but as half of a round trip.
    assert missing_since(path, relay, 0.08, 10.1) == pytest.approx(10.1 - 0.08 - 0.2 - UNEXPECTED_S)
    path.measured.received_at = None
    assert lost_since(path, 10.1) == 10.1 - SENT_S
