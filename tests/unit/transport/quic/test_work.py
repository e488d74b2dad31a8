"""transport.quic.work: what a peer costs is charged to it, and debts are not forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.quic.work import AddressBudgets, WorkBudget, WorkLimit, site

LIMIT = WorkLimit(share=0.1, burst_s=0.5)
charges = st.lists(st.tuples(st.floats(0, 5), st.floats(0, 0.2)), max_size=60)


def test_a_burst_is_let_through_and_more_is_not() -> None:
    budget = WorkBudget(LIMIT)
    assert budget.charge(0.4, 0.0)
    assert not budget.charge(0.2, 0.0)
    assert budget.is_overdrawn(0.5), "0.1 s are owed, and half of it has been earned"
    assert not budget.is_overdrawn(1.5)


@given(charges)
def test_nobody_gets_more_than_the_burst_and_a_share_of_the_time(steps: list[tuple[float, float]]) -> None:
    budget, now, spent, allowed = WorkBudget(LIMIT), 0.0, 0.0, 0.0
    for pause, cost in steps:
        now += pause
        if not budget.is_overdrawn(now):
            budget.charge(cost, now)
            spent += cost
            allowed = cost  # the last one may overdraw it
    assert spent <= LIMIT.burst_s + LIMIT.share * now + allowed + 1e-9


@given(charges)
def test_whoever_stays_under_the_share_is_never_refused(steps: list[tuple[float, float]]) -> None:
    budget, now = WorkBudget(LIMIT), 0.0
    for pause, _ in steps:
        now += pause
        assert budget.charge(pause * LIMIT.share * 0.99, now)


def test_a_clock_that_goes_back_pays_nothing() -> None:
    budget = WorkBudget(LIMIT)
    budget.charge(0.6, 100.0)
    assert budget.is_overdrawn(50.0) and budget.is_overdrawn(100.5)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
    ],
)
def test_a_site_is_one_address(one: str, other: str, same: bool) -> None:
    assert (site(one) == site(other)) is same


def test_a_debt_outlives_a_crowd_of_other_addresses() -> None:
    budgets = AddressBudgets(LIMIT, max_addresses=100)
    assert not budgets.charge("192.0.2.1", 2.0, 0.0)
    for number in range(10_000):
        budgets.charge(f"10.0.{number // 250}.{number % 250}", 0.001, 0.0)
    assert len(budgets) <= 100
    assert budgets.is_overdrawn("192.0.2.1", 1.0)


def test_those_who_owe_nothing_make_room() -> None:
    budgets = AddressBudgets(LIMIT, max_addresses=10)
    for number in range(50):
        assert budgets.charge(f"192.0.2.{number}", 0.01, number * 1.0)
    assert len(budgets) == 10 and not budgets.charge("198.51.100.1", 1.0, 60.0)
    assert budgets.is_overdrawn("198.51.100.1", 60.0)


def test_a_full_table_of_debtors_keeps_no_newcomer_and_charges_it_all_the_same() -> None:
    budgets = AddressBudgets(LIMIT, max_addresses=2)
    budgets.charge("192.0.2.1", 0.4, 0.0)
    budgets.charge("192.0.2.2", 0.4, 0.0)
    assert budgets.charge("192.0.2.3", 0.1, 0.0)
    assert not budgets.charge("192.0.2.3", 0.9, 0.0)
    assert len(budgets) == 2
