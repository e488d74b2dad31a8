from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from transport.path.path import Path, State
from transport.path.probes import ECHO_EVERY_S
from transport.path.schedule import (
    DIRECT_STANDBY_PACE_S,
    EVALUATION_PACE_S,
    LONE_PACE_S,
    QUIET_EVALUATION_PACE_S,
    RELAY_STANDBY_PACE_S,
    carriers,
    echo_paces,
    fallback,
)
from transport.path.selector import PathEvaluation
from transport.path.stats import PathKind


def path(number: int, state: State, rtt_s: float | None = None, received_at: float | None = None) -> Path:
    """Number 0 is the relay."""
    kind: PathKind = "direct" if number else "relay"
    made = Path(number, kind, "punch" if number else "relay", ("192.0.2.1", 7851))
    made.state = state
    made.measured.received_at = received_at
    if rtt_s is not None:
        made.measured.round_trip.sample(rtt_s)
    return made


def test_what_is_in_use_carries_alone_unless_another_is_redundant() -> None:
    relay, direct = paths = path(0, State.STANDBY), path(1, State.ACTIVE)
    assert carriers(paths, None, None) == (direct,)
    assert carriers(paths, None, relay) == (direct, relay)
    assert carriers(paths, PathEvaluation(direct, relay, 0.0, talking=True), None) == (direct, relay)
    direct.state = State.SUSPECT
    assert carriers(paths, None, None) == (direct, relay)
    # What does not stand by carries nothing as well.
    relay.state = State.VALIDATING
    assert carriers(paths, None, relay) == (direct,)


def test_when_all_are_dead_the_last_that_brought_traffic_carries_and_none_before_one_is_known() -> None:
    dead = path(0, State.DEAD, received_at=5.0), path(1, State.DEAD, received_at=6.0)
    assert carriers(dead, None, None) == dead[1:]
    assert carriers([path(0, State.VALIDATING)], None, None) == () == carriers([], None, None)


def test_the_relay_steps_in_before_a_faster_direct_path() -> None:
    first, second, relay = paths = (
        path(1, State.STANDBY, 0.01),
        path(2, State.STANDBY, 0.02),
        path(0, State.STANDBY, 0.2),
    )
    assert fallback(paths) is relay
    assert fallback(paths, relay) is first and fallback([first], first) is None
    assert fallback([second, first]) is first


@given(
    st.lists(st.tuples(st.sampled_from(State), st.floats(0, 9)), min_size=1, max_size=4),
    st.none() | st.integers(0, 3),
    st.none() | st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_never_more_than_two_and_never_one_that_cannot(
    drawn: list[tuple[State, float]], redundant: int | None, evaluated: tuple[int, int] | None
) -> None:
    paths = [path(number, state, received_at=at) for number, (state, at) in enumerate(drawn)]
    known = [paths[number] for number in evaluated or () if number < len(paths)]
    evaluation = PathEvaluation(known[0], known[1], 0.0, talking=True) if len(known) == 2 else None
    extra = paths[redundant] if redundant is not None and redundant < len(paths) else None
    chosen = carriers(paths, evaluation, extra)
    assert len(chosen) == len(set(chosen)) <= 2
    in_use = [each for each in paths if each.state in (State.ACTIVE, State.SUSPECT)]
    if in_use:
        assert chosen[0] is in_use[0] and all(each.state is State.STANDBY for each in chosen[1:])
    else:
        assert all(each.state is State.DEAD for each in chosen)


def test_each_role_has_its_pace() -> None:
    relay, direct, *_ = paths = [
        path(0, State.STANDBY),
        path(1, State.ACTIVE),
        path(2, State.DEAD),
        path(3, State.VALIDATING),
    ]
    paces = echo_paces(paths, (direct,), None, "direct")
    assert paces == {0: RELAY_STANDBY_PACE_S, 1: ECHO_EVERY_S, 2: DIRECT_STANDBY_PACE_S}
    # Only answers show that it lives when the peer sends by another.
    assert echo_paces(paths, (direct,), None, "relay")[1] == LONE_PACE_S
    for talking, pace in ((True, EVALUATION_PACE_S), (False, QUIET_EVALUATION_PACE_S)):
        evaluation = PathEvaluation(direct, relay, 0.0, talking=talking)
        assert echo_paces(paths, (direct, relay), evaluation, "direct")[0] == pace
    assert echo_paces(paths, (direct, relay), None, "direct")[0] == ECHO_EVERY_S


def test_a_lone_relay_is_sent_as_many_whatever_the_peer_sends_by() -> None:
    for state, uses in product((State.ACTIVE, State.SUSPECT), ("relay", "direct")):
        relay = path(0, state)
        assert echo_paces([relay], (relay,), None, uses) == {0: ECHO_EVERY_S}  # type: ignore[arg-type]


def test_a_path_that_brings_no_voice_while_another_does_is_sent_many() -> None:
    _, direct, other = paths = path(0, State.STANDBY), path(1, State.ACTIVE), path(2, State.STANDBY)

    def pace() -> float:
        return echo_paces(paths, (direct,), None, "direct")[1]

    assert pace() == ECHO_EVERY_S
    other.measured.media_at = 5.0
    assert pace() == LONE_PACE_S
    # Copies of the same frames: by neither path the voice is missing.
    direct.measured.media_at = 4.95
    assert pace() == ECHO_EVERY_S
    other.measured.media_at = 5.1
    assert pace() == LONE_PACE_S
    direct.measured.media_at = 5.2
    assert pace() == ECHO_EVERY_S
