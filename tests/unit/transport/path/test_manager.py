import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.path.manager import (
    DEAD_AFTER_S,
    REVALIDATE_EVERY_S,
    SUSPECT_AFTER_S,
    PathManager,
)
from transport.path.states import (
    TRANSITIONS,
    AddPath,
    AllSilent,
    Cause,
    Heard,
    HeardAgain,
    ManagerCommand,
    ManagerEvent,
    PathClosed,
    PathMoved,
    PathOpened,
    PathRefuted,
    PathState,
    PathTimer,
    PathValidated,
    Revalidate,
    StateChanged,
)

RELAY = ("192.0.2.1", 7851)
HERE = ("198.51.100.1", 4_000)
USABLE = (PathState.STANDBY, PathState.ACTIVE, PathState.SUSPECT)


def add(path: int) -> AddPath:
    return AddPath(path, "relay", "relay", RELAY)


def active(paths: int = 1) -> PathManager:
    manager = PathManager()
    for path in range(paths):
        for event in (add(path), PathOpened(path, HERE), PathValidated(path)):
            manager.handle(event, 0.0)
    return manager


def test_a_path_carries_from_the_moment_that_it_is_validated() -> None:
    manager = PathManager()
    assert manager.handle(add(0), 0.0) == [] and manager.carriers == ()
    assert manager.handle(PathOpened(0, HERE), 0.0) == [StateChanged(0, PathState.VALIDATING)]
    assert manager.carriers == ()
    assert manager.handle(PathValidated(0), 0.5) == [
        StateChanged(0, PathState.STANDBY),
        StateChanged(0, PathState.ACTIVE),
    ]
    assert manager.carriers == (0,)
    (stats,) = manager.stats()
    assert (stats.state, stats.active_from, stats.local, stats.remote) == ("active", 0.5, HERE, RELAY)


def test_silence_means_nothing_before_the_peer_was_ever_heard() -> None:
    manager = active()
    assert manager.next_deadline() is None
    assert manager.handle(PathTimer(), 100.0) == []


def test_silence_makes_a_path_suspect_then_dead_and_a_word_brings_it_back() -> None:
    manager = active()
    manager.handle(Heard(0), 1.0)
    assert manager.next_deadline() == pytest.approx(1.0 + SUSPECT_AFTER_S)
    assert manager.handle(PathTimer(), 1.0 + SUSPECT_AFTER_S) == [
        StateChanged(0, PathState.SUSPECT),
        Revalidate(0),
    ]
    assert manager.carriers == (0,)
    assert manager.handle(PathTimer(), 1.0 + DEAD_AFTER_S) == [StateChanged(0, PathState.DEAD), AllSilent(1.0)]
    assert manager.silent_since == 1.0 and manager.stats()[0].active_to == 1.0 + DEAD_AFTER_S
    # Silence may end by itself: what was heard last still carries.
    assert manager.carriers == (0,)
    assert manager.handle(PathTimer(), 1.0 + DEAD_AFTER_S + REVALIDATE_EVERY_S) == [Revalidate(0)]
    assert manager.handle(Heard(0), 5.0) == [
        StateChanged(0, PathState.STANDBY),
        StateChanged(0, PathState.ACTIVE),
        HeardAgain(),
    ]
    assert manager.silent_since is None


def test_a_suspect_that_is_heard_is_active_without_a_word_of_reconnecting() -> None:
    manager = active()
    manager.handle(Heard(0), 1.0)
    manager.handle(PathTimer(), 1.5)
    assert manager.handle(Heard(0), 1.6) == [StateChanged(0, PathState.ACTIVE)]


def test_what_the_first_hop_says_does_not_judge_a_path_in_use() -> None:
    manager = active()
    manager.handle(Heard(0), 1.0)
    assert manager.handle(PathRefuted(0), 1.0) == []
    assert manager.carriers == (0,)
    manager.handle(PathTimer(), 3.0)
    assert manager.state(0) is PathState.DEAD
    assert manager.handle(PathValidated(0), 3.1) == []


def test_a_second_path_stands_by_and_steps_in_when_the_first_dies() -> None:
    manager = active(paths=2)
    assert (manager.state(0), manager.state(1)) == (PathState.ACTIVE, PathState.STANDBY)
    manager.handle(Heard(0), 1.0)
    out = manager.handle(PathTimer(), 2.0)
    assert StateChanged(1, PathState.ACTIVE) in out and not any(isinstance(said, AllSilent) for said in out)
    assert manager.carriers == (1,)


def test_an_idle_path_that_is_refuted_is_tried_again() -> None:
    manager = active(paths=2)
    assert manager.handle(PathRefuted(1), 1.0) == [StateChanged(1, PathState.VALIDATING)]


def test_a_lost_socket_is_silence_and_a_new_one_ends_it() -> None:
    manager = active()
    manager.handle(Heard(0), 1.0)
    assert manager.handle(PathClosed(0), 1.5) == [StateChanged(0, PathState.CANDIDATE), AllSilent(1.0)]
    assert manager.carriers == ()
    manager.handle(PathOpened(0, HERE), 2.0)
    manager.handle(PathValidated(0), 2.1)
    assert manager.handle(Heard(0), 2.2) == [HeardAgain()]


def test_a_moved_path_is_the_same_path_elsewhere() -> None:
    manager = active()
    manager.handle(PathMoved(0, ("192.0.2.2", 1)), 1.0)
    assert manager.stats()[0].remote == ("192.0.2.2", 1) and manager.state(0) is PathState.ACTIVE


def test_every_state_can_be_reached_and_left() -> None:
    reached = {PathState.CANDIDATE}
    for _ in PathState:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == set(PathState)
    assert {before for before, _ in TRANSITIONS} == set(PathState)
    assert {cause for _, cause in TRANSITIONS} == set(Cause)


EVENTS = st.integers(0, 2).flatmap(
    lambda path: st.sampled_from(
        [
            add(path),
            PathOpened(path, HERE),
            PathClosed(path),
            PathMoved(path, RELAY),
            PathValidated(path),
            PathRefuted(path),
            Heard(path),
            PathTimer(),
        ]
    )
)


@given(st.lists(st.tuples(EVENTS, st.sampled_from([0.0, 0.05, 0.3, 1.5])), max_size=80))
def test_the_invariant_holds_whatever_happens(steps: list[tuple[ManagerEvent, float]]) -> None:
    manager, now, silent = PathManager(), 0.0, False
    for event, pause in steps:
        now += pause
        out: list[ManagerCommand] = manager.handle(event, now)
        states = {path: manager.state(path) for path in range(3)}
        in_use = [path for path, state in states.items() if state in (PathState.ACTIVE, PathState.SUSPECT)]
        if any(state in USABLE for state in states.values()):
            assert len(in_use) == 1 and manager.carriers == tuple(in_use)
        elif PathState.DEAD in states.values():
            assert len(manager.carriers) == 1
        else:
            assert manager.carriers == ()
        for said in out:
            # Silence and its end are told in turn.
            if isinstance(said, AllSilent):
                assert not silent
                silent = True
            elif isinstance(said, HeardAgain):
                assert silent
                silent = False
        assert silent == (manager.silent_since is not None)
        due = manager.next_deadline()
        if isinstance(event, PathTimer):
            assert due is None or due > now
