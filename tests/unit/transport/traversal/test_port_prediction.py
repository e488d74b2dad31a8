"""transport.traversal.port_prediction: which ports are sent, and that two counters meet in whatever cross traffic."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.transport.traversal.round_lab import OUTSIDE, PEER, RoundLab, a_context, candidates
from transport.nat.port_allocation import LAST_PORT, wrapped
from transport.nat.profile import Allocation, Filtering, Mapping, NatProfile
from transport.net.sockets import Address
from transport.traversal import port_prediction
from transport.traversal.context import TraversalContext
from transport.traversal.port_prediction import (
    FIRST_PORT,
    MAX_GUESSES,
    MAX_WINDOW,
    MIN_WINDOW,
    SOCKETS,
    TURNS,
    window,
)
from transport.wire.call_messages import ConnectAck, Sync

STRICT = Filtering.ADDRESS_AND_PORT_DEPENDENT
FIXED = NatProfile(Mapping.ENDPOINT_INDEPENDENT, STRICT, Allocation.PRESERVING, reflexive=(OUTSIDE, 4_000))


def counting(
    step: int, mapping: Mapping = Mapping.ADDRESS_AND_PORT_DEPENDENT, *, cross_traffic_per_s: float | None = None
) -> NatProfile:
    return NatProfile(mapping, STRICT, Allocation.SEQUENTIAL, step, cross_traffic_per_s, reflexive=(OUTSIDE, 4_000))


def a_lab(context: TraversalContext, maps: Callable[[int, Address], int]) -> RoundLab:
    return RoundLab(port_prediction.make_round, context, maps, budget=port_prediction.BUDGET)


class Counter:
    """A NAT that counts; ``strangers`` come before the flows of these numbers."""

    def __init__(self, start: int, step: int, cross_traffic: dict[int, int] | None = None) -> None:
        self.port, self.step, self.flows = start, step, 0
        self.cross_traffic = cross_traffic or {}

    def __call__(self, socket: int, destination: object) -> int:
        self.port = wrapped(self.port + self.step * (1 + self.cross_traffic.get(self.flows, 0)))
        self.flows += 1
        return self.port


@pytest.mark.parametrize("step", [1, 2, -1, 7])
def test_the_port_between_two_requests_is_sent_and_is_right(step: int) -> None:
    lab = a_lab(
        a_context(counting(step), FIXED),
        Counter(30_000, step),
    )
    lab.begin()
    assert not lab.opened, "nothing to do before the peer has sent its address"
    lab.receive_message(candidates(4, PEER[1]))
    assert len(lab.opened) == SOCKETS
    [sent_message] = lab.messages
    toward_peer = {port for (_, destination), port in lab.flows.items() if destination == PEER}
    assert {one.port for one in sent_message.candidates} == toward_peer and len(toward_peer) == SOCKETS
    assert all(one.ip == OUTSIDE for one in sent_message.candidates)


def test_a_stranger_in_between_leaves_a_few_ports_with_the_right_one_among_them() -> None:
    for before in range(2):
        nat = Counter(30_000, 1, {1 + before: 1})
        lab = a_lab(a_context(counting(1), FIXED), nat)
        lab.begin()
        lab.receive_message(candidates(4, PEER[1]))
        toward_peer = {port for (_, destination), port in lab.flows.items() if destination == PEER}
        listed = [one.port for one in lab.messages[0].candidates]
        assert toward_peer <= set(listed) and len(listed) <= SOCKETS * MAX_GUESSES


def test_a_pinned_side_tells_its_port_before_it_knows_the_peers() -> None:
    pinned = counting(2, Mapping.ADDRESS_DEPENDENT)
    ports: dict[tuple[int, str], int] = {}
    counter = Counter(40_000, 2)

    def maps(socket: int, destination: tuple[str, int]) -> int:
        return (
            ports.setdefault((socket, destination[0]), 0)
            or ports.update(  # type: ignore[func-returns-value]
                {(socket, destination[0]): counter(socket, destination)}
            )
            or ports[socket, destination[0]]
        )

    lab = a_lab(a_context(pinned, counting(1)), maps)
    lab.begin()
    listed = [one.port for one in lab.messages[0].candidates]
    assert {port for (_, host), port in ports.items() if host == PEER[0]} <= set(listed)
    assert not lab.won and not lab.lost


def test_the_stable_side_checks_every_port_that_it_gets_and_wins_with_the_right_one() -> None:
    lab = a_lab(a_context(FIXED, counting(1)), lambda *_: 4_000)
    lab.begin()
    assert [(one.ip, one.port) for one in lab.messages[0].candidates] == [(OUTSIDE, 4_000)]
    lab.receive_message(candidates(4, 30_002, 30_005, 30_008))
    lab.wait(0.05)
    assert {sent.destination[1] for sent in lab.checks} == {30_002, 30_005, 30_008}
    lab.answer(next(sent for sent in lab.checks if sent.destination[1] == 30_005))
    assert [won.remote for won in lab.won] == [(PEER[0], 30_005)] and len(lab.opened) == 1
    assert lab.context.limits.sockets == 0, "a path is no search any more"


def test_without_an_answer_it_is_over_in_time_and_everything_is_closed() -> None:
    for ours, theirs in ((FIXED, counting(1)), (counting(1), FIXED), (counting(1), counting(1))):
        lab = a_lab(a_context(ours, theirs), Counter(30_000, 1))
        lab.begin()
        lab.receive_message(candidates(4, PEER[1]))
        lab.wait(port_prediction.BUDGET.seconds)
        assert len(lab.lost) == 1 and not lab.opened and lab.context.limits.sockets == 0
        assert lab.round.next_deadline() is None and len(lab.sent) <= port_prediction.BUDGET.packets


Seen = tuple[float | None, float | None]
"""Strangers' flows a second that both profiles have measured."""


def burst(
    steps: tuple[int, int], bases: tuple[int, int], *, leads: bool, cross_traffic: int, seen: Seen = (None, None)
) -> list[tuple[int, int]]:
    """Of each packet of one side's burst: the outside port that it leaves from, and the peer's port that it goes to."""
    (step, their_step), (base, theirs) = steps, bases
    profiles = (counting(step, cross_traffic_per_s=seen[0]), counting(their_step, cross_traffic_per_s=seen[1]))
    context = a_context(*profiles, controlling=leads)
    # Three questions; the burst's first flow is the fourth.
    nat = Counter(wrapped(base + -3 * step), step, {3: cross_traffic})
    lab = a_lab(context, nat)
    lab.begin()
    assert [one.port for one in lab.messages[0].candidates] == [base], "the newest port is sent"
    lab.receive_message(candidates(4, theirs))
    lab.receive_message(ConnectAck(4) if leads else Sync(4))
    lab.wait(1.0)
    packets = list(dict.fromkeys((sent.socket, sent.destination) for sent in lab.checks))
    assert len(packets) == TURNS * window(*profiles, 0)
    return [(lab.flows[packet], packet[1][1]) for packet in packets]


RATES = st.none() | st.floats(0, 40)


def room(seen: Seen, attempt: int = 0) -> int:
    return window(counting(1, cross_traffic_per_s=seen[0]), counting(1, cross_traffic_per_s=seen[1]), attempt)


@given(
    st.sampled_from([1, -1, 2, 3, -8]),
    st.sampled_from([1, -1, 2, 5]),
    st.integers(FIRST_PORT, LAST_PORT),
    st.integers(FIRST_PORT, LAST_PORT),
    st.tuples(RATES, RATES).flatmap(
        lambda seen: st.tuples(st.just(seen), st.integers(0, room(seen) - 1), st.floats(0, 1, exclude_max=True))
    ),
)
def test_two_bursts_meet_whatever_strangers_have_done(
    step: int, their_step: int, base: int, theirs: int, drift: tuple[Seen, int, float]
) -> None:
    seen, both, share = drift
    here = int(both * share)
    ours = burst((step, their_step), (base, theirs), leads=True, cross_traffic=here, seen=seen)
    others = burst((their_step, step), (theirs, base), leads=False, cross_traffic=both - here, seen=seen[::-1])
    met = {(own, aimed) for own, aimed in ours} & {(aimed, own) for own, aimed in others}
    assert met


def test_beyond_the_window_they_do_not_meet() -> None:
    """A figure that is too good would be a mistake of the laboratory."""
    most = room((None, None))
    ours = burst((1, 1), (20_000, 40_000), leads=True, cross_traffic=most)
    others = burst((1, 1), (40_000, 20_000), leads=False, cross_traffic=most)
    assert not set(ours) & {(aimed, own) for own, aimed in others}


def test_the_window_is_as_large_as_the_drift_that_was_measured() -> None:
    assert room((0, 0)) == MIN_WINDOW
    assert room((0, 0)) < room((2, 0)) < room((5, 5)) < room((10, 10)) < room((500, 500)) == MAX_WINDOW
    assert room((None, 5)) == room((5, 5)) == room((4.2, 5)), "as it is sent, in whole flows"
    # Where ten are expected there are 24 or more in one of 8,000 seconds (Poisson).
    assert room((5, 5)) == 24
    assert room((5, 5), 1) == room((10, 10)), "and more after an attempt in vain"
    assert port_prediction.BUDGET.seconds / 3 > TURNS * MAX_WINDOW * port_prediction.PACE_S
    assert port_prediction.BUDGET.packets > TURNS * MAX_WINDOW
