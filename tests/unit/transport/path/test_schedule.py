from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from transport.path.path import PathRecord
from transport.path.probes import ECHO_EVERY_S
from transport.path.schedule import (
    DIRECT_STANDBY_PACE_S,
    LONE_PACE_S,
    QUIET_TRIAL_PACE_S,
    RELAY_STANDBY_PACE_S,
    TRIAL_PACE_S,
    Plan,
    carriers,
    echo_paces,
    fallback,
)
from transport.path.selector import PathEvaluation
from transport.path.state import AddPath, PathState
from transport.path.stats import PathKind

CALM = Plan(None, None, "relay")


def record(kind: PathKind, state: PathState, rtt_s: float | None = None, heard: float | None = None) -> PathRecord:
    made = PathRecord(AddPath(0, kind, "relay" if kind == "relay" else "punch", ("192.0.2.1", 7851)))
    made.state = state
    made.quality.heard = heard
    if rtt_s is not None:
        made.quality.round_trip.sample(rtt_s)
    return made


def test_what_is_in_use_carries_alone_unless_it_is_covered() -> None:
    paths = {0: record("relay", PathState.STANDBY), 1: record("direct", PathState.ACTIVE)}
    assert carriers(paths, CALM) == (1,)
    assert carriers(paths, Plan(None, 0, "relay")) == (1, 0)
    assert carriers(paths, Plan(PathEvaluation(1, 0, 0.0, talking=True), None, "relay")) == (1, 0)
    paths[1].state = PathState.SUSPECT
    assert carriers(paths, CALM) == (1, 0)
    # What does not stand by covers nothing.
    paths[0].state = PathState.VALIDATING
    assert carriers(paths, Plan(None, 0, "relay")) == (1,)


def test_when_all_are_dead_the_last_that_was_heard_carries_and_none_before_one_is_known() -> None:
    dead = {0: record("relay", PathState.DEAD, heard=5.0), 1: record("direct", PathState.DEAD, heard=6.0)}
    assert carriers(dead, CALM) == (1,)
    assert carriers({0: record("relay", PathState.VALIDATING)}, CALM) == () == carriers({}, CALM)


def test_the_relay_steps_in_before_a_faster_direct_path() -> None:
    paths = {
        1: record("direct", PathState.STANDBY, 0.01),
        2: record("direct", PathState.STANDBY, 0.02),
        0: record("relay", PathState.STANDBY, 0.2),
    }
    assert fallback(paths, None) == 0
    assert fallback(paths, 0) == 1 and fallback({1: paths[1]}, 1) is None


@given(
    st.lists(st.tuples(st.sampled_from(PathState), st.floats(0, 9)), min_size=1, max_size=4),
    st.none() | st.integers(0, 3),
    st.none() | st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_never_more_than_two_and_never_one_that_cannot(
    drawn: list[tuple[PathState, float]], cover: int | None, tried: tuple[int, int] | None
) -> None:
    paths = {n: record("direct" if n else "relay", state, heard=heard) for n, (state, heard) in enumerate(drawn)}
    known = [number for number in tried or () if number in paths]
    trial = PathEvaluation(known[0], known[1], 0.0, talking=True) if len(known) == 2 else None
    chosen = carriers(paths, Plan(trial, cover if cover in paths else None, "relay"))
    assert len(chosen) == len(set(chosen)) <= 2
    in_use = [number for number, path in paths.items() if path.state in (PathState.ACTIVE, PathState.SUSPECT)]
    if in_use:
        assert chosen[0] == in_use[0] and all(paths[number].state is PathState.STANDBY for number in chosen[1:])
    else:
        assert all(paths[number].state is PathState.DEAD for number in chosen)


def test_each_role_has_its_pace() -> None:
    paths = {
        0: record("relay", PathState.STANDBY),
        1: record("direct", PathState.ACTIVE),
        2: record("direct", PathState.DEAD),
        3: record("direct", PathState.VALIDATING),
    }
    paces = echo_paces(paths, (1,), Plan(None, None, "direct"))
    assert paces == {0: RELAY_STANDBY_PACE_S, 1: ECHO_EVERY_S, 2: DIRECT_STANDBY_PACE_S}
    # Only answers show that it lives when the peer sends by another.
    assert echo_paces(paths, (1,), CALM)[1] == LONE_PACE_S
    for talking, pace in ((True, TRIAL_PACE_S), (False, QUIET_TRIAL_PACE_S)):
        plan = Plan(PathEvaluation(1, 0, 0.0, talking=talking), None, "direct")
        assert echo_paces(paths, (1, 0), plan)[0] == pace
    assert echo_paces(paths, (1, 0), Plan(None, 0, "direct"))[0] == ECHO_EVERY_S


def test_a_lone_relay_is_asked_as_ever_whatever_the_peer_says_of_its_own() -> None:
    for state, uses in product((PathState.ACTIVE, PathState.SUSPECT), ("relay", "direct")):
        paths = {0: record("relay", state)}
        assert echo_paces(paths, (0,), Plan(None, None, uses)) == {0: ECHO_EVERY_S}  # type: ignore[arg-type]


def test_a_path_that_brings_no_voice_while_another_does_is_asked_often() -> None:
    paths = {
        0: record("relay", PathState.STANDBY),
        1: record("direct", PathState.ACTIVE),
        2: record("direct", PathState.STANDBY),
    }
    plan = Plan(None, None, "direct")

    def pace() -> float:
        return echo_paces(paths, (1,), plan)[1]

    assert pace() == ECHO_EVERY_S
    paths[2].quality.media_at = 5.0
    assert pace() == LONE_PACE_S
    # Copies of the same frames: by neither path the voice is missing.
    paths[1].quality.media_at = 4.95
    assert pace() == ECHO_EVERY_S
    paths[2].quality.media_at = 5.1
    assert pace() == LONE_PACE_S
    paths[1].quality.media_at = 5.2
    assert pace() == ECHO_EVERY_S
