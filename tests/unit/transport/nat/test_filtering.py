"""transport.nat.filtering by itself; behind every NAT of the laboratory it is in tests/natsim/test_profiles.py."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.ice.pacing import Budget, PacketBudget
from transport.nat.filtering import LAST_WAIT_S, MAX_PACKETS, OTHER_BOTH, OTHER_PORT, TRIES_AT_S, FilteringProbe
from transport.nat.profile import Filtering, Mapping
from transport.net.sockets import Address, SendDatagram
from transport.wire import stun
from transport.wire.stun import Change

SERVER: Address = ("192.0.2.1", 3_478)
OTHER: Address = ("192.0.2.2", 3_479)
ALL = {SERVER, OTHER, (SERVER[0], OTHER[1]), (OTHER[0], SERVER[1])}
OUTSIDE: Address = ("198.51.100.1", 4_000)
Gets = Callable[[int, Change | None], bool]
"""(number of the question, its change) -> whether its answer comes."""


def run(
    gets_in: Gets,
    *,
    other: Address | None = OTHER,
    control: bool = True,
    alive: set[Address] | None = None,
    packets: int = 100,
    source_of: Callable[[Change], Address] | None = None,
) -> tuple[FilteringProbe, int]:
    """A whole test, with a round trip of 20 ms; and how many packets it took."""
    test = FilteringProbe(1, SERVER, PacketBudget(Budget(packets, 100, 1, 5.0)), random.Random(1), 0.0)
    now, asked, controlled = 0.0, 0, False
    while True:
        for command in test.timer(now):
            message = stun.parse(command.data)
            asked += 1
            if command.socket == 2:
                if control:
                    test.control_received(source(message.change, other), answer(message, other))
            elif gets_in(asked, message.change):
                come_from = source_of(message.change) if source_of and message.change else source(message.change, other)
                test.received(come_from, answer(message, other), now + 0.02)
        if test.done and not controlled:
            controlled = True
            test.control(2, Mapping.ENDPOINT_INDEPENDENT, now)
            continue
        due = test.next_deadline()
        if due is None:
            return test, asked
        assert due > now - 1e-9 and now < 5.0
        now = due + 1e-6


def source(change: Change | None, other: Address | None) -> Address:
    if change is None or other is None:
        return SERVER
    return (other[0] if change.ip else SERVER[0], other[1] if change.port else SERVER[1])


def answer(message: stun.StunMessage, other: Address | None) -> bytes:
    return stun.binding_success(message, OUTSIDE, other=other)


@pytest.mark.parametrize(
    ("lets_in", "filtering"),
    [
        ({None, OTHER_PORT, OTHER_BOTH}, Filtering.ENDPOINT_INDEPENDENT),
        ({None, OTHER_PORT}, Filtering.ADDRESS_DEPENDENT),
        ({None}, Filtering.ADDRESS_AND_PORT_DEPENDENT),
        (set(), Filtering.UNKNOWN),
    ],
)
def test_what_comes_in_is_the_verdict(lets_in: set[Change | None], filtering: Filtering) -> None:
    test, asked = run(lambda number, change: change in lets_in)
    seen = test.verdict(ALL)
    assert seen.filtering is filtering and asked <= MAX_PACKETS
    assert bool(seen.evidence) is (filtering is not Filtering.UNKNOWN)
    assert asked == 3 or filtering is not Filtering.ENDPOINT_INDEPENDENT, "one answer is enough"


def test_silence_counts_only_when_nothing_else_was_lost_and_who_is_silent_lives() -> None:
    def only_plain(number: int, change: Change | None) -> bool:
        return change is None

    quiet, _ = run(only_plain)
    assert quiet.verdict({SERVER}).filtering is Filtering.UNKNOWN
    assert quiet.verdict({(SERVER[0], OTHER[1])}).filtering is Filtering.ADDRESS_AND_PORT_DEPENDENT
    for lost, filtering in ((1, Filtering.ADDRESS_AND_PORT_DEPENDENT), (2, Filtering.UNKNOWN)):
        test, _ = run(lambda number, change, lost=lost: change is None and number > 3 * lost)  # type: ignore[misc]
        assert test.verdict(ALL).filtering is filtering
    without_control, _ = run(only_plain, control=False)
    assert without_control.verdict(ALL).filtering is Filtering.UNKNOWN


def test_a_budget_that_is_empty_makes_no_verdict() -> None:
    for packets in range(MAX_PACKETS):
        test, asked = run(lambda number, change: change is None, packets=packets)
        assert asked <= packets
        assert test.verdict(ALL).filtering is Filtering.UNKNOWN or packets >= 3 * (len(TRIES_AT_S) - 1)


def test_what_is_not_announced_is_not_asked_for_again() -> None:
    test, asked = run(lambda number, change: change is None, other=None)
    assert asked == 3 and test.verdict(ALL).filtering is Filtering.UNKNOWN


def test_a_server_with_one_address_tells_no_more_than_it_can() -> None:
    here = ("0.0.0.0", OTHER[1])
    for lets_in, filtering in (
        ({None, OTHER_PORT}, Filtering.UNKNOWN),
        ({None}, Filtering.ADDRESS_AND_PORT_DEPENDENT),
    ):
        test, _ = run(lambda number, change, lets_in=lets_in: change in lets_in, other=here)  # type: ignore[misc]
        assert test.verdict(ALL).filtering is filtering


def test_an_answer_from_where_it_was_asked_is_no_changed_one() -> None:
    test, _ = run(lambda number, change: True, source_of=lambda change: SERVER)
    assert test.verdict(ALL).filtering is Filtering.UNKNOWN


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(ALL)),
            st.sampled_from(["answer", "request", "foreign", "garbage"]),
            st.integers(0, MAX_PACKETS),
            st.floats(0, 0.4),
        ),
        max_size=60,
    )
)
def test_nothing_that_comes_raises_and_nothing_unasked_proves(
    events: list[tuple[Address, str, int, float]],
) -> None:
    test = FilteringProbe(1, SERVER, PacketBudget(Budget(100, 100, 1, 5.0)), random.Random(1), 0.0)
    now, sent, answered = 0.0, list[SendDatagram](), False
    for come_from, what, number, later in events:
        now += later
        sent += test.timer(now)
        if what == "garbage" or not sent:
            assert not test.received(come_from, b"\x00\x01garbage", now)
            continue
        asked = stun.parse(sent[number % len(sent)].data)
        if what == "foreign":
            asked = stun.parse(stun.question(b"f" * 12))
        data = stun.question(asked.transaction_id) if what == "request" else answer(asked, OTHER)
        was = test.received(come_from, data, now)
        assert not was or what == "answer"
        answered = answered or was
    assert answered or test.verdict(ALL).filtering is Filtering.UNKNOWN
    # It ends by itself, whatever came.
    for _ in range(20):
        due = test.next_deadline()
        if due is None:
            break
        test.timer(max(due, now))
    assert test.done and now + TRIES_AT_S[-1] + LAST_WAIT_S >= 0
