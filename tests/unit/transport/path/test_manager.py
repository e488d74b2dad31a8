"""The path manager; each step is a call, and what it returns is what follows from it."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.path.liveness import DEAD_AFTER_S, MEDIA_UNEXPECTED_S, SUSPECT_AFTER_S
from transport.path.manager import (
    MAX_DIRECT_PATHS,
    REPORT_SILENCE_EVERY_S,
    REVALIDATE_EVERY_S,
    TICK_S,
    Changes,
    PathManager,
)
from transport.path.path import TRANSITIONS, Path, State, Trigger
from transport.path.selector import BACKOFF_S, DWELL_S, OVERLAP_S
from transport.path.stats import PathKind
from transport.wire.call_messages import PathCount

RELAY = ("192.0.2.1", 7851)
DIRECT = ("203.0.113.8", 40_000)
USABLE = (State.STANDBY, State.ACTIVE, State.SUSPECT)


def new_path(number: int, kind: PathKind = "relay") -> Path:
    return Path(number, kind, "relay" if kind == "relay" else "punch", RELAY if kind == "relay" else DIRECT)


def validated(manager: PathManager, path: Path, now: float) -> Changes:
    manager.add(path, now)
    manager.opened(path, now)
    return manager.validated(path, now)


def active(paths: int = 1) -> tuple[PathManager, list[Path]]:
    """A manager over so many relayed paths, the first of which is in use."""
    manager, made = PathManager(follows=False), [new_path(number) for number in range(paths)]
    for path in made:
        validated(manager, path, 0.0)
    return manager, made


def numbers(manager: PathManager) -> tuple[int, ...]:
    """What carries the next packet."""
    return tuple(path.number for path in manager.carriers)


def states(changes: Changes) -> list[tuple[int, State]]:
    return [(path.number, state) for path, state in changes.states]


def test_a_path_carries_from_the_moment_that_it_is_validated() -> None:
    manager, path = PathManager(follows=False), new_path(0)
    assert manager.add(path, 0.0) == Changes() and manager.carriers == ()
    assert manager.opened(path, 0.0) == Changes(states=[(path, State.VALIDATING)])
    assert manager.carriers == ()
    assert manager.validated(path, 0.5) == Changes(states=[(path, State.STANDBY), (path, State.ACTIVE)])
    assert manager.carriers == (path,)
    (stats,) = manager.stats()
    assert (stats.state, stats.remote) == ("active", RELAY)


def test_silence_means_nothing_before_the_peer_was_ever_received() -> None:
    manager, _ = active()
    assert manager.next_deadline() is None
    assert manager.timer(100.0) == Changes()


def test_silence_makes_a_path_suspect_then_dead_and_traffic_brings_it_back() -> None:
    manager, (path,) = active()
    manager.received(path, 1.0)
    assert manager.next_deadline() == pytest.approx(1.0 + SUSPECT_AFTER_S)
    assert manager.timer(1.0 + SUSPECT_AFTER_S) == Changes(states=[(path, State.SUSPECT)], revalidate=True)
    assert manager.carriers == (path,)
    assert manager.timer(1.0 + DEAD_AFTER_S) == Changes(states=[(path, State.DEAD)], silent_since=1.0)
    assert manager.silent_since == 1.0
    # Silence may end by itself: what was received from last still carries.
    assert manager.carriers == (path,)
    assert manager.timer(1.0 + DEAD_AFTER_S + REVALIDATE_EVERY_S) == Changes(revalidate=True)
    back = [(path, State.STANDBY), (path, State.ACTIVE)]
    assert manager.received(path, 5.0) == Changes(states=back, silence_ended=True)
    assert manager.silent_since is None


def test_a_suspect_that_brings_traffic_is_active_without_reconnecting() -> None:
    manager, (path,) = active()
    manager.received(path, 1.0)
    manager.timer(1.5)
    assert manager.received(path, 1.6) == Changes(states=[(path, State.ACTIVE)])


def test_what_the_first_hop_says_does_not_judge_a_path_in_use() -> None:
    manager, (path,) = active()
    manager.received(path, 1.0)
    assert manager.refuted(path, 1.0) == Changes()
    assert manager.carriers == (path,)
    manager.timer(3.0)
    assert path.state is State.DEAD
    assert manager.validated(path, 3.1) == Changes()


def test_a_second_path_stands_by_and_steps_in_when_the_first_dies() -> None:
    manager, (first, second) = active(paths=2)
    assert (first.state, second.state) == (State.ACTIVE, State.STANDBY)
    manager.received(first, 1.0)
    out = manager.timer(2.0)
    assert (second, State.ACTIVE) in out.states and out.silent_since is None
    assert manager.carriers == (second,)


def test_an_idle_path_that_is_refuted_is_validated_again() -> None:
    manager, (_, second) = active(paths=2)
    assert manager.refuted(second, 1.0) == Changes(states=[(second, State.VALIDATING)])
    assert states(manager.validated(second, 2.0)) == [(1, State.STANDBY)]


def test_a_lost_socket_is_silence_and_a_new_one_ends_it() -> None:
    manager, (path,) = active()
    manager.received(path, 1.0)
    assert manager.closed(path, 1.5) == Changes(states=[(path, State.CANDIDATE)], silent_since=1.0)
    assert manager.carriers == ()
    manager.opened(path, 2.0)
    manager.validated(path, 2.1)
    assert manager.received(path, 2.2) == Changes(silence_ended=True)


@pytest.mark.parametrize("state", [state for state in State if state is not State.CANDIDATE])
def test_without_its_socket_a_path_is_a_candidate_whatever_it_was(state: State) -> None:
    manager, (path,) = active()
    path.state = state
    assert manager.closed(path, 1.0) == Changes(states=[(path, State.CANDIDATE)])
    assert states(manager.opened(path, 2.0)) == [(0, State.VALIDATING)]


def test_every_state_can_be_reached_and_left() -> None:
    reached = {State.CANDIDATE}
    for _ in State:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == set(State)
    assert {before for before, _ in TRANSITIONS} == set(State)
    assert {trigger for _, trigger in TRANSITIONS} == set(Trigger)


# -- a relay and direct paths ------------------------------------------------------------------------------------


def add_direct(manager: PathManager, number: int, now: float, rtt_s: float = 0.02) -> Path:
    path = new_path(number, "direct")
    path.measured.round_trip.sample(rtt_s)
    validated(manager, path, now)
    return path


def on_relay(now: float = 1.0) -> tuple[PathManager, Path]:
    """Media flows over the relay, whose round trip is 80 ms."""
    manager, (relay,) = active()
    relay.measured.round_trip.sample(0.08)
    manager.received(relay, now)
    manager.media_sent(now)
    return manager, relay


def talk(manager: PathManager, path: Path, now: float) -> None:
    """The peer's media comes by the path."""
    path.measured.media_at = now
    manager.received(path, now)


def count(manager: PathManager, frames: dict[Path, int], now: float) -> Changes:
    """The peer reports that it has received these frames, all of those expected."""
    counts = ((path, PathCount(path.number, number, number, 0.0, 0.0)) for path, number in frames.items())
    return manager.peer_counted(counts, now)


def swapped(now: float = 1.0) -> tuple[PathManager, Path, Path, float]:
    """The direct path carries the call, the relay stands by, and the overlap is over."""
    manager, relay = on_relay(now)
    direct = add_direct(manager, 1, now)
    count(manager, {relay: 1, direct: 1}, now)
    manager.peer_uses("direct")
    while now < 1.5:
        now += 0.02
        manager.media_sent(now)
        for path in manager.carriers:
            talk(manager, path, now)
        count(manager, {relay: round(now * 50), direct: round(now * 50)}, now)
        manager.timer(now)
    assert direct.state is State.ACTIVE and manager.carriers == (direct,)
    return manager, relay, direct, now


def test_a_direct_path_is_evaluated_at_once_with_the_relay_still_carrying() -> None:
    manager, relay = on_relay()
    direct = new_path(1, "direct")
    assert validated(manager, direct, 1.0) == Changes(states=[(direct, State.STANDBY)])
    assert manager.carriers == (relay, direct) and relay.state is State.ACTIVE


def test_an_evaluation_that_passes_swaps_and_both_go_on_for_a_moment() -> None:
    manager, relay = on_relay()
    direct = add_direct(manager, 1, 1.0)
    count(manager, {relay: 1, direct: 1}, 1.1)
    talk(manager, direct, 1.4)
    out = count(manager, {relay: 16, direct: 16}, 1.4)
    assert out == Changes(states=[(relay, State.STANDBY), (direct, State.ACTIVE)])
    assert manager.carriers == (direct, relay)
    talk(manager, direct, 1.4 + OVERLAP_S)
    manager.timer(1.4 + OVERLAP_S)
    assert manager.carriers == (direct,)


def test_a_path_that_the_peer_reports_silent_does_not_pass_until_it_has_answered() -> None:
    manager, relay = on_relay()
    direct = add_direct(manager, 1, 1.0)
    count(manager, {relay: 1, direct: 1}, 1.1)
    manager.peer_reports_silence(direct, 0.06, 1.3)
    talk(manager, direct, 1.4)
    # What the peer had counted was true when it was sent.
    assert count(manager, {relay: 16, direct: 16}, 1.4) == Changes()
    assert relay.state is State.ACTIVE and manager.carriers == (relay, direct)
    out = manager.echoed(direct, 0.02, 1.41)
    assert out == Changes(states=[(relay, State.STANDBY), (direct, State.ACTIVE)])


def test_a_count_that_was_overtaken_by_a_newer_one_says_nothing() -> None:
    manager, relay = on_relay()
    direct = add_direct(manager, 1, 1.0)
    for frames, at in ((1, 1.1), (16, 1.25), (11, 1.28)):
        assert count(manager, {relay: frames, direct: frames}, at) == Changes()
    talk(manager, direct, 1.4)
    assert (direct, State.ACTIVE) in manager.echoed(direct, 0.02, 1.4).states


def test_silence_of_a_path_under_evaluation_is_reported_though_the_peer_has_not_announced_it() -> None:
    manager, relay = on_relay()
    direct = add_direct(manager, 1, 1.0)
    reports, now = [], 1.0
    while now < 3.0:
        now += 0.01
        manager.media_sent(now)
        talk(manager, relay, now)
        if now < 1.4:
            talk(manager, direct, now)
        reports += [(now, silent_s) for _, silent_s in manager.timer(now).silent]
    at = [when for when, _ in reports]
    assert 1.4 + SUSPECT_AFTER_S <= at[0] <= 1.4 + SUSPECT_AFTER_S + TICK_S + 0.02
    gaps = [after - before for before, after in pairwise(at)]
    assert all(gap == pytest.approx(REPORT_SILENCE_EVERY_S, abs=TICK_S + 0.01) for gap in gaps)
    # The peer may as well have left that path, and is not pestered about it.
    assert at[-1] <= 1.4 + DEAD_AFTER_S + 0.02
    assert all(silent_s == pytest.approx(when - 1.4, abs=0.03) for when, silent_s in reports)


def test_a_path_that_fails_its_evaluation_is_left_alone_for_longer_each_time() -> None:
    (manager, relay), now, evaluated = on_relay(), 1.0, []
    direct = add_direct(manager, 1, now)
    was = False
    while now < 80.0:
        now += 0.05
        for path in (relay, direct):
            manager.received(path, now)
        manager.media_sent(now)
        manager.timer(now)
        is_evaluated = manager.carriers == (relay, direct)
        if is_evaluated and not was:
            evaluated.append(now)
        was = is_evaluated
    gaps = [after - before for before, after in pairwise(evaluated)]
    assert gaps == pytest.approx([BACKOFF_S + 3, 2 * BACKOFF_S + 3, 4 * BACKOFF_S + 3], abs=0.3)


def test_silence_of_the_direct_path_brings_the_relay_in_at_once() -> None:
    manager, relay, direct, now = swapped()
    due = manager.next_deadline()
    assert due is not None and due <= now + TICK_S
    at = now + MEDIA_UNEXPECTED_S + 0.001
    out = manager.timer(at)
    assert out.states == [(direct, State.SUSPECT)] and out.revalidate
    (resend,) = out.resend
    assert (resend.lost_on, resend.onto) == (direct, relay) and resend.since < now
    assert out.silent == [(direct, pytest.approx(MEDIA_UNEXPECTED_S + 0.001))]
    assert manager.carriers == (direct, relay)
    # It brings traffic again: it is in use as before, and the relay is redundant for a while.
    assert manager.received(direct, at + 0.1) == Changes(states=[(direct, State.ACTIVE)])
    assert manager.carriers == (direct, relay)
    for step in range(10):
        manager.received(direct, at + 0.1 + step * 0.04)
        manager.timer(at + 0.1 + step * 0.04)
    assert manager.carriers == (direct,)


def test_a_second_of_silence_ends_it_and_a_dead_path_that_brings_traffic_stands_by() -> None:
    manager, relay, direct, now = swapped()
    manager.timer(now + 0.1)
    manager.received(relay, now + 0.9)
    out = manager.timer(now + DEAD_AFTER_S)
    assert out.states == [(direct, State.DEAD), (relay, State.ACTIVE)]
    assert out.direct_lost and out.silent_since is None
    assert manager.carriers == (relay,)
    assert manager.received(direct, now + 2.0) == Changes(states=[(direct, State.STANDBY)])
    assert relay.state is State.ACTIVE


def test_what_the_peer_does_not_receive_is_sent_by_the_relay_as_well_until_the_path_answers() -> None:
    manager, relay, direct, now = swapped()
    out = manager.peer_reports_silence(direct, 0.06, now)
    assert out.states == [(direct, State.SUSPECT)] and out.resend
    # That the peer's traffic comes by it says nothing about the other direction.
    assert manager.received(direct, now + 0.02) == Changes() and manager.carriers == (direct, relay)
    for step in range(1, 15):
        manager.received(direct, now + step * 0.05)
        manager.timer(now + step * 0.05)
    assert direct.state is State.SUSPECT, "that the peer reports no more may be that its reports are lost"
    # An answer to what was asked before the report came says nothing either.
    now += 0.75
    manager.echoed(direct, 0.8, now)
    assert direct.state is State.SUSPECT
    manager.received(direct, now)
    assert manager.echoed(direct, 0.02, now).states == [(direct, State.ACTIVE)]
    assert manager.carriers == (direct, relay), "redundant for a while"


def test_every_report_of_the_peer_sends_again_what_had_left_before_the_silence() -> None:
    manager, relay, direct, now = swapped()
    manager.timer(now + MEDIA_UNEXPECTED_S + 0.001)
    assert direct.state is State.SUSPECT
    # Found silent by ourselves, for less long than the peer misses it.
    out = manager.peer_reports_silence(direct, 0.3, now + 0.1)
    (resend,) = out.resend
    assert out == Changes(resend=[resend]) and (resend.lost_on, resend.onto) == (direct, relay)
    assert resend.since < now + 0.1 - 0.3
    # Also of a path that has been left meanwhile.
    manager.timer(now + DEAD_AFTER_S)
    assert direct.state is State.DEAD
    (resend,) = manager.peer_reports_silence(direct, 0.3, now + DEAD_AFTER_S).resend
    assert (resend.lost_on, resend.onto) == (direct, relay)


def test_reports_of_silence_for_a_second_end_a_path_that_we_still_receive() -> None:
    manager, relay, direct, now = swapped()
    end = now + DEAD_AFTER_S + 0.1
    while now < end:
        now += 0.05
        manager.received(relay, now)
        manager.received(direct, now)
        manager.peer_reports_silence(direct, 0.06, now)
        manager.timer(now)
    # Since it brings traffic it stands by: an evaluation would find out whether it carries again.
    assert direct.state is State.STANDBY and relay.state is State.ACTIVE


def test_a_suspect_gives_way_to_the_other_path_when_its_evaluation_fails() -> None:
    manager, relay, direct, now = swapped()
    direct.passed = False
    later = now + BACKOFF_S + DWELL_S
    talk(manager, direct, later)
    manager.media_sent(later)
    assert manager.carriers == (direct, relay), "under evaluation while it is in use"
    manager.received(relay, later + 0.5)
    while direct.state is State.ACTIVE and later < now + 20:
        later += 0.05
        manager.media_sent(later)
        manager.received(relay, later)
        manager.received(direct, later)
        manager.timer(later)
        manager.peer_reports_silence(direct, 0.06, later)
    assert direct.state is State.SUSPECT
    direct.missed_since = None
    while direct.state is State.SUSPECT:
        later += 0.05
        direct.measured.received_at = later - SUSPECT_AFTER_S - 0.01
        manager.received(relay, later)
        manager.timer(later)
    assert direct.state is State.STANDBY and manager.carriers == (relay, direct)


def test_a_path_whose_socket_is_gone_is_replaced_in_the_same_moment() -> None:
    manager, relay, direct, now = swapped()
    out = manager.closed(direct, now, forget=True)
    assert out.states == [(direct, State.CANDIDATE), (relay, State.ACTIVE)]
    assert [(resend.lost_on, resend.onto) for resend in out.resend] == [(direct, relay)]
    assert out.forgotten == [direct] and out.direct_lost
    assert manager.carriers == (relay,) and manager.path(1) is None and not manager.has_direct


def test_the_relay_may_fail_while_the_direct_path_carries() -> None:
    manager, relay, direct, now = swapped()
    assert manager.refuted(relay, now) == Changes(states=[(relay, State.VALIDATING)])
    assert manager.carriers == (direct,)
    assert manager.validated(relay, now + 1.0) == Changes(states=[(relay, State.STANDBY)])


def test_a_standby_that_answers_no_more_is_dead_and_forgotten_in_the_end() -> None:
    manager, relay, direct, now = swapped()
    other, end = add_direct(manager, 2, now), now + 40.0
    died: list[float] = []
    while now < end and manager.path(2) is not None:
        now += 0.05
        for path in (relay, direct):
            talk(manager, path, now)
        died += [now for _ in manager.timer(now).states if other.state is State.DEAD]
    assert died and manager.path(2) is None and direct.state is State.ACTIVE


def test_direct_paths_are_few_and_the_one_in_use_is_never_the_one_that_goes() -> None:
    manager, _, direct, now = swapped()
    for number in range(2, 30):
        add_direct(manager, number, now)
        talk(manager, direct, now)
        assert sum(stats.kind == "direct" for stats in manager.stats()) <= MAX_DIRECT_PATHS
        assert direct.state is State.ACTIVE


def test_a_faster_direct_path_replaces_a_slower_one_but_not_within_the_dwell() -> None:
    manager, _, direct, now = swapped()
    faster = add_direct(manager, 2, now, rtt_s=0.005)
    assert manager.carriers == (direct,)
    later = now
    while later < now + DWELL_S:
        later += 0.05
        talk(manager, direct, later)
        manager.received(faster, later)
        manager.media_sent(later)
        manager.timer(later)
    assert manager.carriers == (direct, faster)


# -- whatever happens --------------------------------------------------------------------------------------------

Call = Callable[[PathManager, float], Any]


def of(number: int, method: str, *arguments: Any) -> Call:
    """Call a method about this path, if it is known."""

    def call(manager: PathManager, now: float) -> Changes:
        path = manager.path(number)
        return Changes() if path is None else getattr(manager, method)(path, *arguments, now)

    return call


def adding(number: int) -> Call:
    def call(manager: PathManager, now: float) -> Changes:
        kind: PathKind = "direct" if number else "relay"
        return Changes() if manager.path(number) is not None else manager.add(new_path(number, kind), now)

    return call


def counting(number: int, ours: int, theirs: int) -> Call:
    def call(manager: PathManager, now: float) -> Changes:
        counts = ((0, PathCount(0, ours, ours, 0.0, 0.0)), (number, PathCount(0, theirs, ours, 0.0, 10.0)))
        known = [(path, counted) for each, counted in counts if (path := manager.path(each)) is not None]
        return manager.peer_counted(known, now)

    return call


def timer(manager: PathManager, now: float) -> Changes:
    return manager.timer(now)


def forget(manager: PathManager, now: float) -> Changes:
    path = manager.path(1)
    return Changes() if path is None else manager.closed(path, now, forget=True)


def calls_about(number: int) -> st.SearchStrategy[Call]:
    counts = st.integers(0, 400)
    return st.one_of(
        st.sampled_from(
            [
                adding(number),
                *(of(number, name) for name in ("opened", "closed", "validated", "refuted", "received")),
                of(number, "peer_reports_silence", 0.1),
                forget,
                lambda manager, now: manager.media_sent(now),
                lambda manager, now: manager.peer_uses("direct"),
                lambda manager, now: manager.peer_uses("relay"),
                timer,
            ]
        ),
        st.floats(0, 1).map(lambda rtt_s: of(number, "echoed", rtt_s)),
        st.builds(counting, st.just(number), counts, counts),
    )


PAUSES = st.sampled_from([0.0, 0.02, 0.05, 0.3, 1.5, 6.0])


@pytest.mark.parametrize("direct", [0, 2])
@given(steps=st.lists(st.tuples(st.integers(0, 5).flatmap(calls_about), PAUSES), max_size=120))
def test_the_invariants_hold_whatever_happens(direct: int, steps: list[tuple[Call, float]]) -> None:
    (manager, relay), now, silent = on_relay(0.0), 0.0, False
    for number in range(1, 1 + direct):
        add_direct(manager, number, 0.0, 0.01 * number)
    for call, pause in steps:
        now += pause
        before = manager.carriers
        out = call(manager, now)
        known = [path for number in range(6) if (path := manager.path(number)) is not None]
        in_use = [path for path in known if path.state in (State.ACTIVE, State.SUSPECT)]
        usable = [path for path in known if path.state in USABLE]
        # While any path is usable exactly one is in use, it carries, and at most one more does, which is usable.
        assert len(in_use) == min(1, len(usable))
        assert len(set(manager.carriers)) == len(manager.carriers) <= 2
        if usable:
            assert manager.carriers[0] is in_use[0] and set(manager.carriers) <= set(usable)
        else:
            assert len(manager.carriers) == any(path.state is State.DEAD for path in known)
        # Make before break: a path that takes over, while the old one still could carry, is accompanied by it.
        if before and usable and before[0] in usable and manager.carriers[0] is not before[0]:
            assert before[0] in manager.carriers
        if in_use and in_use[0].state is State.SUSPECT and len(usable) > 1:
            assert len(manager.carriers) == 2
        assert set(manager.echo_paces) <= {path.number for path in known}
        # Silence and its end are reported in turn.
        assert not (out.silent_since is not None and silent) and not (out.silence_ended and not silent)
        silent = (silent or out.silent_since is not None) and not out.silence_ended
        assert silent == (manager.silent_since is not None)
        assert all(resend.onto in manager.carriers for resend in out.resend)
        due = manager.next_deadline()
        if call is timer:
            assert due is None or due > now
    # No stuck state: a peer that is received by the relay again is sent to by it or by something better.
    for step in (manager.opened, manager.validated):
        step(relay, now)
    # It may yet find the relay dead, by reports of the peer that nothing has refuted.
    manager.timer(now)
    manager.received(relay, now)
    assert manager.carriers and manager.silent_since is None
