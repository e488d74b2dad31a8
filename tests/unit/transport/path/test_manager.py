from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.path.liveness import DEAD_AFTER_S, MEDIA_UNEXPECTED_S, SUSPECT_AFTER_S
from transport.path.manager import MAX_DIRECT_PATHS, REVALIDATE_EVERY_S, TELL_EVERY_S, TICK_S, PathManager
from transport.path.selector import DWELL_S, OVERLAP_S, PARK_S
from transport.path.state import (
    TRANSITIONS,
    AddPath,
    Cause,
    ConnectivityLost,
    ConnectivityRestored,
    Echoed,
    Forgotten,
    ManagerCommand,
    ManagerEvent,
    MediaSent,
    PacketSeen,
    PathClosed,
    PathCounted,
    PathGone,
    PathMoved,
    PathOpened,
    PathRefuted,
    PathState,
    PathTimer,
    PathValidated,
    PeerCounted,
    PeerReportsSilence,
    PeerUses,
    ReportSilence,
    Revalidate,
    SendAgain,
    StateChanged,
)

RELAY = ("192.0.2.1", 7851)
HERE = ("198.51.100.1", 4_000)
USABLE = (PathState.STANDBY, PathState.ACTIVE, PathState.SUSPECT)


def add(path: int) -> AddPath:
    return AddPath(path, "relay", "relay", RELAY)


def active(paths: int = 1) -> PathManager:
    manager = PathManager(follows=False)
    for path in range(paths):
        for event in (add(path), PathOpened(path, HERE), PathValidated(path)):
            manager.handle(event, 0.0)
    return manager


def test_a_path_carries_from_the_moment_that_it_is_validated() -> None:
    manager = PathManager(follows=False)
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
    manager.handle(PacketSeen(0), 1.0)
    assert manager.next_deadline() == pytest.approx(1.0 + SUSPECT_AFTER_S)
    assert manager.handle(PathTimer(), 1.0 + SUSPECT_AFTER_S) == [
        StateChanged(0, PathState.SUSPECT),
        Revalidate(0),
    ]
    assert manager.carriers == (0,)
    assert manager.handle(PathTimer(), 1.0 + DEAD_AFTER_S) == [StateChanged(0, PathState.DEAD), ConnectivityLost(1.0)]
    assert manager.silent_since == 1.0 and manager.stats()[0].active_to == 1.0 + DEAD_AFTER_S
    # Silence may end by itself: what was heard last still carries.
    assert manager.carriers == (0,)
    assert manager.handle(PathTimer(), 1.0 + DEAD_AFTER_S + REVALIDATE_EVERY_S) == [Revalidate(0)]
    assert manager.handle(PacketSeen(0), 5.0) == [
        StateChanged(0, PathState.STANDBY),
        StateChanged(0, PathState.ACTIVE),
        ConnectivityRestored(),
    ]
    assert manager.silent_since is None


def test_a_suspect_that_is_heard_is_active_without_a_word_of_reconnecting() -> None:
    manager = active()
    manager.handle(PacketSeen(0), 1.0)
    manager.handle(PathTimer(), 1.5)
    assert manager.handle(PacketSeen(0), 1.6) == [StateChanged(0, PathState.ACTIVE)]


def test_what_the_first_hop_says_does_not_judge_a_path_in_use() -> None:
    manager = active()
    manager.handle(PacketSeen(0), 1.0)
    assert manager.handle(PathRefuted(0), 1.0) == []
    assert manager.carriers == (0,)
    manager.handle(PathTimer(), 3.0)
    assert manager.state(0) is PathState.DEAD
    assert manager.handle(PathValidated(0), 3.1) == []


def test_a_second_path_stands_by_and_steps_in_when_the_first_dies() -> None:
    manager = active(paths=2)
    assert (manager.state(0), manager.state(1)) == (PathState.ACTIVE, PathState.STANDBY)
    manager.handle(PacketSeen(0), 1.0)
    out = manager.handle(PathTimer(), 2.0)
    assert StateChanged(1, PathState.ACTIVE) in out and not any(isinstance(said, ConnectivityLost) for said in out)
    assert manager.carriers == (1,)


def test_an_idle_path_that_is_refuted_is_tried_again() -> None:
    manager = active(paths=2)
    assert manager.handle(PathRefuted(1), 1.0) == [StateChanged(1, PathState.VALIDATING)]


def test_a_lost_socket_is_silence_and_a_new_one_ends_it() -> None:
    manager = active()
    manager.handle(PacketSeen(0), 1.0)
    assert manager.handle(PathClosed(0), 1.5) == [StateChanged(0, PathState.CANDIDATE), ConnectivityLost(1.0)]
    assert manager.carriers == ()
    manager.handle(PathOpened(0, HERE), 2.0)
    manager.handle(PathValidated(0), 2.1)
    assert manager.handle(PacketSeen(0), 2.2) == [ConnectivityRestored()]


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
            PacketSeen(path),
            PathTimer(),
        ]
    )
)


@given(st.lists(st.tuples(EVENTS, st.sampled_from([0.0, 0.05, 0.3, 1.5])), max_size=80))
def test_the_invariant_holds_whatever_happens(steps: list[tuple[ManagerEvent, float]]) -> None:
    manager, now, silent = PathManager(follows=True), 0.0, False
    for event, pause in steps:
        now += pause
        out: list[ManagerCommand] = manager.handle(event, now)
        states = {path: manager.state(path) for path in range(3)}
        in_use = [path for path, state in states.items() if state in (PathState.ACTIVE, PathState.SUSPECT)]
        if any(state in USABLE for state in states.values()):
            assert len(in_use) == 1 and manager.carriers[0] == in_use[0] and len(manager.carriers) <= 2
        elif PathState.DEAD in states.values():
            assert len(manager.carriers) == 1
        else:
            assert manager.carriers == ()
        for said in out:
            # Silence and its end are told in turn.
            if isinstance(said, ConnectivityLost):
                assert not silent
                silent = True
            elif isinstance(said, ConnectivityRestored):
                assert silent
                silent = False
        assert silent == (manager.silent_since is not None)
        due = manager.next_deadline()
        if isinstance(event, PathTimer):
            assert due is None or due > now


# -- a relay and direct paths ------------------------------------------------------------------------------------

DIRECT = ("203.0.113.8", 40_000)


def add_direct(manager: PathManager, path: int, now: float, rtt_s: float = 0.02) -> list[ManagerCommand]:
    manager.handle(AddPath(path, "direct", "punch", DIRECT), now)
    manager.handle(PathOpened(path, HERE), now)
    quality = manager.quality(path)
    assert quality is not None
    quality.round_trip.sample(rtt_s)
    return manager.handle(PathValidated(path), now)


def on_relay(now: float = 1.0) -> PathManager:
    """Media flows over the relay, whose round trip is 80 ms."""
    manager = active()
    quality = manager.quality(0)
    assert quality is not None
    quality.round_trip.sample(0.08)
    manager.handle(PacketSeen(0), now)
    manager.handle(MediaSent(), now)
    return manager


def say(manager: PathManager, path: int, now: float) -> None:
    """The peer's media comes by the path."""
    quality = manager.quality(path)
    assert quality is not None
    quality.media_at = now
    manager.handle(PacketSeen(path), now)


def counted(**frames: int) -> PeerCounted:
    return PeerCounted(tuple(PathCounted(int(path[1:]), count, count, 0.0) for path, count in frames.items()))


def swapped(now: float = 1.0) -> tuple[PathManager, float]:
    """The direct path 1 carries the call, the relay stands by, and the overlap is over."""
    manager = on_relay(now)
    add_direct(manager, 1, now)
    manager.handle(counted(p0=1, p1=1), now)
    manager.handle(PeerUses("direct"), now)
    while now < 1.5:
        now += 0.02
        manager.handle(MediaSent(), now)
        for path in manager.carriers:
            say(manager, path, now)
        manager.handle(counted(p0=round(now * 50), p1=round(now * 50)), now)
        manager.handle(PathTimer(), now)
    assert manager.state(1) is PathState.ACTIVE and manager.carriers == (1,)
    return manager, now


def test_a_direct_path_is_tried_at_once_with_the_relay_still_carrying() -> None:
    manager = on_relay()
    assert add_direct(manager, 1, 1.0) == [StateChanged(1, PathState.STANDBY)]
    assert manager.carriers == (0, 1) and manager.state(0) is PathState.ACTIVE


def test_a_trial_that_passes_swaps_and_both_go_on_for_a_moment() -> None:
    manager = on_relay()
    add_direct(manager, 1, 1.0)
    manager.handle(counted(p0=1, p1=1), 1.1)
    say(manager, 1, 1.4)
    out = manager.handle(counted(p0=16, p1=16), 1.4)
    assert out == [StateChanged(0, PathState.STANDBY), StateChanged(1, PathState.ACTIVE)]
    assert manager.carriers == (1, 0)
    say(manager, 1, 1.4 + OVERLAP_S)
    manager.handle(PathTimer(), 1.4 + OVERLAP_S)
    assert manager.carriers == (1,)


def test_a_path_that_the_peer_misses_passes_no_trial_until_it_has_answered() -> None:
    manager = on_relay()
    add_direct(manager, 1, 1.0)
    manager.handle(counted(p0=1, p1=1), 1.1)
    manager.handle(PeerReportsSilence(1, 0.06), 1.3)
    say(manager, 1, 1.4)
    # What the peer had counted was true when it was said.
    assert manager.handle(counted(p0=16, p1=16), 1.4) == []
    assert manager.state(0) is PathState.ACTIVE and manager.carriers == (0, 1)
    out = manager.handle(Echoed(1, 0.02), 1.41)
    assert out == [StateChanged(0, PathState.STANDBY), StateChanged(1, PathState.ACTIVE)]


def test_a_count_that_was_overtaken_by_a_newer_one_says_nothing() -> None:
    manager = on_relay()
    add_direct(manager, 1, 1.0)
    for frames, at in ((1, 1.1), (16, 1.25), (11, 1.28)):
        assert manager.handle(counted(p0=frames, p1=frames), at) == []
    say(manager, 1, 1.4)
    assert StateChanged(1, PathState.ACTIVE) in manager.handle(Echoed(1, 0.02), 1.4)


def test_a_path_on_trial_that_falls_silent_is_told_of_though_the_peer_has_not_said_that_it_uses_it() -> None:
    manager = on_relay()
    add_direct(manager, 1, 1.0)
    told, now = [], 1.0
    while now < 3.0:
        now += 0.01
        manager.handle(MediaSent(), now)
        say(manager, 0, now)
        if now < 1.4:
            say(manager, 1, now)
        told += [(now, said) for said in manager.handle(PathTimer(), now) if isinstance(said, ReportSilence)]
    at = [when for when, _ in told]
    assert 1.4 + SUSPECT_AFTER_S <= at[0] <= 1.4 + SUSPECT_AFTER_S + TICK_S + 0.02
    assert all(after - before == pytest.approx(TELL_EVERY_S, abs=TICK_S + 0.01) for before, after in pairwise(at))
    # It may as well have left that path, and nobody is pestered about it.
    assert at[-1] <= 1.4 + DEAD_AFTER_S + 0.02
    assert all(said.silent_s == pytest.approx(when - 1.4, abs=0.03) for when, said in told)


def test_a_trial_that_fails_parks_the_path_longer_each_time() -> None:
    manager, now, tried = on_relay(), 1.0, []
    add_direct(manager, 1, now)
    was = False
    while now < 80.0:
        now += 0.05
        for path in (0, 1):
            manager.handle(PacketSeen(path), now)
        manager.handle(MediaSent(), now)
        manager.handle(PathTimer(), now)
        on_trial = manager.carriers == (0, 1)
        if on_trial and not was:
            tried.append(now)
        was = on_trial
    gaps = [after - before for before, after in pairwise(tried)]
    assert gaps == pytest.approx([PARK_S + 3, 2 * PARK_S + 3, 4 * PARK_S + 3], abs=0.3)


def test_silence_of_the_direct_path_brings_the_relay_in_at_once() -> None:
    manager, now = swapped()
    due = manager.next_deadline()
    assert due is not None and due <= now + TICK_S
    at = now + MEDIA_UNEXPECTED_S + 0.001
    out = manager.handle(PathTimer(), at)
    assert out[:2] == [StateChanged(1, PathState.SUSPECT), Revalidate(1)]
    (again,) = [said for said in out if isinstance(said, SendAgain)]
    assert (again.lost_on, again.onto) == (1, 0) and again.since < now
    assert ReportSilence(1, pytest.approx(MEDIA_UNEXPECTED_S + 0.001)) in out and manager.carriers == (1, 0)
    # Heard again: it is in use as before, and covered for a while.
    assert manager.handle(PacketSeen(1), at + 0.1) == [StateChanged(1, PathState.ACTIVE)]
    assert manager.carriers == (1, 0)
    for step in range(10):
        manager.handle(PacketSeen(1), at + 0.1 + step * 0.04)
        manager.handle(PathTimer(), at + 0.1 + step * 0.04)
    assert manager.carriers == (1,)


def test_a_second_of_silence_ends_it_and_a_dead_path_that_is_heard_stands_by() -> None:
    manager, now = swapped()
    manager.handle(PathTimer(), now + 0.1)
    manager.handle(PacketSeen(0), now + 0.9)
    out = manager.handle(PathTimer(), now + DEAD_AFTER_S)
    assert out[:2] == [StateChanged(1, PathState.DEAD), StateChanged(0, PathState.ACTIVE)]
    assert manager.carriers == (0,) and not any(isinstance(said, ConnectivityLost) for said in out)
    assert manager.handle(PacketSeen(1), now + 2.0) == [StateChanged(1, PathState.STANDBY)]
    assert manager.state(0) is PathState.ACTIVE


def test_what_the_peer_misses_is_sent_by_the_relay_as_well_until_the_path_answers() -> None:
    manager, now = swapped()
    out = manager.handle(PeerReportsSilence(1, 0.06), now)
    assert StateChanged(1, PathState.SUSPECT) in out and any(isinstance(said, SendAgain) for said in out)
    # That we hear the peer by it says nothing about the other direction.
    assert manager.handle(PacketSeen(1), now + 0.02) == [] and manager.carriers == (1, 0)
    for step in range(1, 15):
        manager.handle(PacketSeen(1), now + step * 0.05)
        manager.handle(PathTimer(), now + step * 0.05)
    assert manager.state(1) is PathState.SUSPECT, "that the peer says no more may be that its words are lost"
    # An answer to what was asked before the word came says nothing either.
    now += 0.75
    manager.handle(Echoed(1, 0.8), now)
    assert manager.state(1) is PathState.SUSPECT
    manager.handle(PacketSeen(1), now)
    assert StateChanged(1, PathState.ACTIVE) in manager.handle(Echoed(1, 0.02), now)
    assert manager.carriers == (1, 0), "covered for a while"


def test_every_word_of_the_peers_sends_again_what_had_left_before_the_silence() -> None:
    manager, now = swapped()
    manager.handle(PathTimer(), now + MEDIA_UNEXPECTED_S + 0.001)
    assert manager.state(1) is PathState.SUSPECT
    # Found silent by ourselves, for less long than the peer misses it.
    (again,) = manager.handle(PeerReportsSilence(1, 0.3), now + 0.1)
    assert isinstance(again, SendAgain) and (again.lost_on, again.onto) == (1, 0)
    assert again.since < now + 0.1 - 0.3
    # Also of a path that has been left meanwhile.
    manager.handle(PathTimer(), now + DEAD_AFTER_S)
    assert manager.state(1) is PathState.DEAD
    (again,) = manager.handle(PeerReportsSilence(1, 0.3), now + DEAD_AFTER_S)
    assert isinstance(again, SendAgain) and (again.lost_on, again.onto) == (1, 0)


def test_complaints_for_a_second_end_a_path_that_we_still_hear() -> None:
    manager, now = swapped()
    end = now + DEAD_AFTER_S + 0.1
    while now < end:
        now += 0.05
        manager.handle(PacketSeen(0), now)
        manager.handle(PacketSeen(1), now)
        manager.handle(PeerReportsSilence(1, 0.06), now)
        manager.handle(PathTimer(), now)
    # Heard as it is, it stands by: a trial would find out whether it carries again.
    assert manager.state(1) is PathState.STANDBY and manager.state(0) is PathState.ACTIVE


def test_a_path_whose_socket_is_gone_is_replaced_in_the_same_moment() -> None:
    manager, now = swapped()
    out = manager.handle(PathGone(1), now)
    assert [type(said) for said in out] == [StateChanged, StateChanged, SendAgain, Forgotten]
    assert manager.carriers == (0,) and manager.state(1) is None


def test_the_relay_may_fail_while_the_direct_path_carries() -> None:
    manager, now = swapped()
    assert manager.handle(PathRefuted(0), now) == [StateChanged(0, PathState.VALIDATING)]
    assert manager.carriers == (1,)
    assert manager.handle(PathValidated(0), now + 1.0) == [StateChanged(0, PathState.STANDBY)]


def test_direct_paths_are_few_and_the_one_in_use_is_never_the_one_that_goes() -> None:
    manager, now = swapped()
    for path in range(2, 30):
        add_direct(manager, path, now)
        say(manager, 1, now)
        assert sum(stats.kind == "direct" for stats in manager.stats()) <= MAX_DIRECT_PATHS
        assert manager.state(1) is PathState.ACTIVE


def test_a_faster_direct_path_replaces_a_slower_one_but_not_within_the_dwell() -> None:
    manager, now = swapped()
    add_direct(manager, 2, now, rtt_s=0.005)
    assert manager.carriers == (1,)
    later = now
    while later < now + DWELL_S:
        later += 0.05
        say(manager, 1, later)
        manager.handle(PacketSeen(2), later)
        manager.handle(MediaSent(), later)
        manager.handle(PathTimer(), later)
    assert manager.carriers == (1, 2)


KINDS = {0: "relay", 1: "direct", 2: "direct", 3: "direct", 4: "direct", 5: "direct"}


def _all_events(path: int) -> st.SearchStrategy[ManagerEvent]:
    kind = "relay" if path == 0 else "direct"
    counts = st.integers(0, 400)
    return st.one_of(
        st.sampled_from(
            [
                AddPath(path, kind, "punch" if path else "relay", RELAY),  # type: ignore[arg-type]
                PathOpened(path, HERE),
                PathClosed(path),
                PathGone(path),
                PathMoved(path, RELAY),
                PathValidated(path),
                PathRefuted(path),
                PacketSeen(path),
                MediaSent(),
                PeerReportsSilence(path, 0.1),
                PeerUses("direct"),
                PeerUses("relay"),
                PathTimer(),
            ]
        ),
        st.builds(Echoed, st.just(path), st.floats(0, 1)),
        st.builds(
            lambda one, other: PeerCounted((PathCounted(0, one, one, 0.0), PathCounted(path, other, one, 0.01))),
            counts,
            counts,
        ),
    )


@given(
    st.lists(
        st.tuples(st.integers(0, 5).flatmap(_all_events), st.sampled_from([0.0, 0.02, 0.05, 0.3, 1.5, 6.0])),
        max_size=120,
    )
)
def test_with_direct_paths_the_invariants_hold_whatever_happens(steps: list[tuple[ManagerEvent, float]]) -> None:
    manager, now, silent = on_relay(0.0), 0.0, False
    for path in (1, 2):
        add_direct(manager, path, 0.0, 0.01 * path)
    for event, pause in steps:
        now += pause
        before = manager.carriers
        out = manager.handle(event, now)
        states = {number: manager.state(number) for number in KINDS}
        in_use = [path for path, state in states.items() if state in (PathState.ACTIVE, PathState.SUSPECT)]
        usable = [path for path, state in states.items() if state in USABLE]
        # While any path is usable exactly one is in use, it carries, and at most one more does, which is usable.
        assert len(in_use) == min(1, len(usable))
        assert len(set(manager.carriers)) == len(manager.carriers) <= 2
        if usable:
            assert manager.carriers[0] == in_use[0] and set(manager.carriers) <= set(usable)
        # Make before break: a path that takes over, while the old one still could carry, is accompanied by it.
        if before and usable and before[0] in usable and manager.carriers[0] != before[0]:
            assert before[0] in manager.carriers
        if in_use and states[in_use[0]] is PathState.SUSPECT and len(usable) > 1:
            assert len(manager.carriers) == 2
        assert all(path in states and states[path] is not None for path in manager.echo_paces)
        for said in out:
            if isinstance(said, ConnectivityLost):
                assert not silent
                silent = True
            elif isinstance(said, ConnectivityRestored):
                assert silent
                silent = False
            elif isinstance(said, SendAgain):
                assert said.onto in manager.carriers
        assert silent == (manager.silent_since is not None)
        due = manager.next_deadline()
        if isinstance(event, PathTimer):
            assert due is None or due > now
    # No stuck state: a peer that is heard by the relay again is talked to by it or by something better.
    for event in (PathOpened(0, HERE), PathValidated(0), PacketSeen(0), PathTimer()):
        manager.handle(event, now)
    if manager.state(0) is not None:
        assert manager.carriers and manager.silent_since is None
