"""transport.ice.pacing: one set of limits for all that a host sends to find direct paths."""

from hypothesis import given
from hypothesis import strategies as st

from transport.ice.pacing import MAPPING_LIFE_S, MAX_LIVE_MAPPINGS, MAX_SOCKETS, Budget, HostLimits, PacketBudget

HOST = "203.0.113.1"
WIDE = Budget(10_000, 1_000, 256, 10.0)


@given(st.lists(st.floats(0, 0.05), min_size=1, max_size=900))
def test_never_more_than_two_hundred_packets_in_a_second(pauses: list[float]) -> None:
    limits, now, sent = HostLimits(), 0.0, []
    for pause in pauses:
        now += pause
        if limits.consume(now):
            sent.append(now)
    for number, at in enumerate(sent):
        assert sum(at <= other < at + 1.0 for other in sent[number:]) <= 200


def test_two_budgets_share_the_limits_of_the_host() -> None:
    limits = HostLimits()
    budgets = [PacketBudget(WIDE, 100, limits=limits, is_focused=True) for _ in range(2)]
    sent = sum(budget.consume((HOST, 2_000 + number), 0.0) for number in range(100) for budget in budgets)
    assert sent == 30 and sum(budget.spent for budget in budgets) == 30


def test_mappings_are_counted_for_as_long_as_a_nat_may_know_them() -> None:
    limits = HostLimits()
    assert all(limits.allows_mapping(1, (HOST, port), 0.0) for port in range(2_000, 2_000 + MAX_LIVE_MAPPINGS))
    assert not limits.allows_mapping(1, (HOST, 1_999), 1.0), "full"
    assert limits.allows_mapping(1, (HOST, 2_000), 1.0), "one that is there already costs nothing"
    assert limits.live_mappings(MAPPING_LIFE_S) == MAX_LIVE_MAPPINGS
    assert (
        limits.allows_mapping(1, (HOST, 1_999), MAPPING_LIFE_S + 0.1)
        and limits.live_mappings(MAPPING_LIFE_S + 0.1) == 1
    )


def test_sockets_are_few_and_come_back() -> None:
    limits = HostLimits()
    assert sum(limits.open_socket() for _ in range(300)) == MAX_SOCKETS
    limits.close_socket()
    assert limits.open_socket() and not limits.open_socket()
    for _ in range(400):
        limits.close_socket()
    assert limits.sockets == 0


def test_one_traversal_with_probe_rounds_at_a_time() -> None:
    limits = HostLimits()
    assert limits.acquire("one") and limits.acquire("one") and not limits.acquire("other")
    limits.release("other")
    assert not limits.acquire("other"), "only its owner releases it"
    limits.release("one")
    assert limits.acquire("other")
