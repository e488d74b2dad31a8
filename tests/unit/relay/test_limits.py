"""relay.limits: token buckets in bounded memory."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.limits import Limiter, LimitKind, RelayLimits, address_subject, network_subject
from transport.net.token_bucket import Rate, TokenBucket


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    rate = Rate(3, 2.0)
    bucket = TokenBucket(rate, 0.0)
    assert [bucket.take(rate, 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert bucket.take(rate, 0.5) == 0.0
    assert bucket.take(rate, 0.5) == 0.5
    assert [bucket.take(rate, 1_000.0) for _ in range(4)][:3] == [0.0, 0.0, 0.0]


def test_several_are_taken_together_or_not_at_all() -> None:
    rate = Rate(10, 2.0)
    bucket = TokenBucket(rate, 0.0)
    assert [bucket.take(rate, 0.0, count) for count in (7, 4, 3, 0, 1)] == [0.0, 0.5, 0.0, 0.0, 0.5]
    assert bucket.take(rate, 2.0, 5) == 0.5
    assert bucket.take(rate, 2.5, 5) == 0.0
    assert bucket.take(rate, 1e6, 11) > 0.0


def test_a_bucket_that_never_refills_says_a_day() -> None:
    rate = Rate(1, 0.0)
    bucket = TokenBucket(rate, 0.0)
    assert bucket.take(rate, 0.0) == 0.0
    assert bucket.peek(rate, 1e9) == bucket.take(rate, 1e9) == 86_400.0


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.integers(1, 10), st.floats(0.1, 20))
def test_no_sequence_gets_more_than_burst_plus_rate(pauses: list[float], burst: int, per_s: float) -> None:
    rate = Rate(burst, per_s)
    bucket = TokenBucket(rate, 0.0)
    now, taken = 0.0, 0
    for pause in pauses:
        now += pause
        peeked = bucket.peek(rate, now)
        wait_s = bucket.take(rate, now)
        assert wait_s == peeked >= 0.0
        taken += wait_s == 0.0
        # Whoever waits as long as the answer asks gets through.
        if wait_s:
            assert bucket.peek(rate, now + wait_s * (1 + 1e-9) + 1e-9) == 0.0
    assert taken <= burst + now * per_s + 1e-6


def test_a_clock_that_stands_still_or_goes_back_gives_nothing_away() -> None:
    rate = Rate(1, 1.0)
    bucket = TokenBucket(rate, 10.0)
    assert bucket.take(rate, 10.0) == 0.0
    assert bucket.take(rate, 5.0) > 0.0
    assert bucket.take(rate, 10.0) > 0.0


def test_kinds_and_subjects_do_not_share() -> None:
    limiter = Limiter(RelayLimits(lookup=Rate(1, 0.1), invite=Rate(1, 0.1)))
    assert limiter.take("lookup", b"a", 0.0) == 0.0
    assert limiter.take("lookup", b"a", 0.0) > 0.0
    assert limiter.take("lookup", b"b", 0.0) == 0.0
    assert limiter.take("invite", b"a", 0.0) == 0.0


def test_memory_is_bounded_and_the_longest_rested_goes_first() -> None:
    limiter = Limiter(RelayLimits(lookup=Rate(1, 0.001)), max_buckets=3)
    for subject in ("a", "b", "c"):
        limiter.take("lookup", subject, 0.0)
    limiter.take("lookup", "a", 1.0)
    limiter.take("lookup", "d", 1.0)
    assert len(limiter) == 3
    assert limiter.peek("lookup", "a", 1.0) > 0.0
    assert limiter.peek("lookup", "b", 1.0) == 0.0
    for number in range(10_000):
        limiter.take("lookup", str(number), 2.0)
    assert len(limiter) == 3


@pytest.mark.parametrize("kind", get_args(LimitKind))
@pytest.mark.parametrize("flooded", get_args(LimitKind))
def test_no_kind_of_source_resets_the_limit_of_another(kind: LimitKind, flooded: LimitKind) -> None:
    limiter = Limiter(RelayLimits(), max_buckets=8)
    while not limiter.take(kind, "somebody", 0.0):
        pass
    for number in range(100):
        limiter.take(flooded, f"forged {number}", 0.0)
    assert len(limiter) <= 9
    assert (limiter.peek(kind, "somebody", 0.0) > 0.0) is (kind != flooded)


@pytest.mark.parametrize(
    ("one", "other", "same_address", "same_network"),
    [
        ("192.0.2.1", "192.0.2.1", True, True),
        ("192.0.2.1", "192.0.2.2", False, True),
        ("192.0.2.1", "192.0.3.1", False, False),
        ("2001:db8::1", "2001:db8::ffff:1", True, True),
        ("2001:db8::1", "2001:db8:0:1::1", False, False),
        ("fe80::1%eth0", "fe80::1", True, True),
        ("not an address", "not an address", True, True),
        ("0.0.0.1", "::1", False, False),
    ],
)
def test_who_counts_as_one(one: str, other: str, same_address: bool, same_network: bool) -> None:
    assert (address_subject(one) == address_subject(other)) is same_address
    assert (network_subject(one) == network_subject(other)) is same_network


@given(st.text(max_size=300))
def test_any_text_has_a_short_subject(host: str) -> None:
    assert len(address_subject(host)) <= 64 and len(network_subject(host)) <= 64
