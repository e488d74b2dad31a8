"""transport.ice.pacing: one allowance for all that a machine sends to find direct paths."""

from hypothesis import given
from hypothesis import strategies as st

from transport.ice.pacing import MAPPING_LIFE_S, MAX_LIVE_MAPPINGS, MAX_SOCKETS, Budget, HostLimits, PacketBudget

HOST = "203.0.113.1"
WIDE = Budget(10_000, 1_000, 256, 10.0)


@given(st.lists(st.floats(0, 0.05), min_size=1, max_size=900))
def test_never_more_than_two_hundred_packets_in_a_second(pauses: list[float]) -> None:
    allowance, now, sent = HostLimits(), 0.0, []
    for pause in pauses:
        now += pause
        if allowance.take(now):
            sent.append(now)
    for number, at in enumerate(sent):
        assert sum(at <= other < at + 1.0 for other in sent[number:]) <= 200


def test_two_purses_draw_from_one_allowance() -> None:
    allowance = HostLimits()
    purses = [PacketBudget(WIDE, 100, allowance=allowance, is_focused=True) for _ in range(2)]
    paid = sum(purse.pay((HOST, 2_000 + number), 0.0) for number in range(100) for purse in purses)
    assert paid == 30 and sum(purse.spent for purse in purses) == 30


def test_mappings_are_counted_for_as_long_as_a_nat_may_know_them() -> None:
    allowance = HostLimits()
    assert all(allowance.map(1, (HOST, port), 0.0) for port in range(2_000, 2_000 + MAX_LIVE_MAPPINGS))
    assert not allowance.map(1, (HOST, 1_999), 1.0), "full"
    assert allowance.map(1, (HOST, 2_000), 1.0), "one that is there already costs nothing"
    assert allowance.live_mappings(MAPPING_LIFE_S) == MAX_LIVE_MAPPINGS
    assert allowance.map(1, (HOST, 1_999), MAPPING_LIFE_S + 0.1) and allowance.live_mappings(MAPPING_LIFE_S + 0.1) == 1


def test_sockets_are_few_and_come_back() -> None:
    allowance = HostLimits()
    assert sum(allowance.open_socket() for _ in range(300)) == MAX_SOCKETS
    allowance.close_socket()
    assert allowance.open_socket() and not allowance.open_socket()
    for _ in range(400):
        allowance.close_socket()
    assert allowance.sockets == 0


def test_one_hard_traversal_at_a_time() -> None:
    allowance = HostLimits()
    assert allowance.take_turn("one") and allowance.take_turn("one") and not allowance.take_turn("other")
    allowance.end_turn("other")
    assert not allowance.take_turn("other"), "only its owner ends a turn"
    allowance.end_turn("one")
    assert allowance.take_turn("other")
