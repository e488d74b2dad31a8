"""app.model.network_history: what calls leave behind, and what the next one learns."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.model.network_history import (
    HOPELESS_AFTER,
    HOPELESS_S,
    MAX_AGE_S,
    MAX_HOPELESS_S,
    TAG_BYTES,
    NetworkOutcome,
    NetworkPair,
    ended,
    hints,
    is_forgotten,
    tag,
    tag_key,
    updated,
)
from transport.nat.profile import Allocation, Filtering, Mapping, NatKind, NatProfile
from transport.traversal.context import Hints
from transport.traversal.events import PhaseStatus

KEY = tag_key(b"s" * 32)
NOW = 1_800_000_000.0
RANDOM = NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, Filtering.UNKNOWN, Allocation.RANDOM)
HOME = NatProfile(Mapping.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_AND_PORT_DEPENDENT)


def pair() -> NetworkPair:
    return NetworkPair(b"o" * TAG_BYTES, b"t" * TAG_BYTES)


def call(way: str | None, at: float = NOW, seconds: float | None = 1.5) -> NetworkOutcome:
    return NetworkOutcome(NatKind.SYMMETRIC_RANDOM, NatKind.PORT_RESTRICTED, way, seconds if way else None, at)


def test_a_tag_is_that_of_the_neighbourhood_and_needs_the_key() -> None:
    assert tag(KEY, "203.0.113.7") == tag(KEY, "203.0.113.250") == tag(KEY, "::ffff:203.0.113.9")
    assert tag(KEY, "2001:db8:1:2::3") == tag(KEY, "2001:db8:1:ffff::1") != tag(KEY, "2001:db8:2::3")
    tags = [tag(KEY, f"203.0.{number}.1") for number in range(200)] + [tag(tag_key(b"x" * 32), "203.0.113.7")]
    assert len(set(tags)) == 201 and all(one is not None and len(one) == TAG_BYTES for one in tags)
    assert tag(KEY, "not an address") is None is tag(KEY, "")


@given(st.text(max_size=60))
def test_whatever_claims_to_be_an_address(text: str) -> None:
    made = tag(KEY, text)
    assert made is None or len(made) == TAG_BYTES


def test_a_call_that_came_to_a_path_names_the_phase_and_the_time() -> None:
    statuses = [
        PhaseStatus("punch", "failed", 10.0, 12.0, reason="no-answer"),
        PhaseStatus("birthday", "won", 12.0, 14.5),
        PhaseStatus("punch", "won", 40.0, 41.0),
    ]
    assert ended(statuses, 10.0, RANDOM, HOME, NOW) == call("birthday", seconds=4.5)
    # Found while it rang.
    early = ended([PhaseStatus("punch", "won", 5.0, 6.0)], 10.0, None, None, NOW)
    assert early == NetworkOutcome(NatKind.UNKNOWN, NatKind.UNKNOWN, "punch", 0.0, NOW)


@pytest.mark.parametrize(
    ("tried", "counts"),
    [
        ("", False),
        ("punch trying", False),
        ("punch waiting", False),
        ("punch cancelled", False),
        ("punch failed", True),
        ("punch skipped", True),
        ("punch failed, birthday failed", True),
        ("punch skipped, birthday trying", False),
        ("punch failed, birthday cancelled", False),
        ("punch failed, punch cancelled", True),
        ("punch failed, birthday failed, punch failed, birthday cancelled", True),
    ],
)
def test_a_call_without_a_path_counts_when_an_attempt_came_to_its_end(tried: str, counts: bool) -> None:
    statuses = [
        PhaseStatus(name, outcome, 1.0, None if outcome in ("trying", "waiting") else 2.0)  # type: ignore[arg-type]
        for name, outcome in (each.split() for each in tried.split(", ") if each)
    ]
    assert (ended(statuses, 0.0, None, None, NOW) is not None) is counts


def test_the_last_way_is_tried_first() -> None:
    assert hints(None, NOW, 0.0) == Hints() == hints(pair(), NOW + MAX_AGE_S + 1, 0.0)
    known = updated(pair(), call("birthday"))
    known = updated(known, call("prediction", NOW + 5, 0.5))
    assert (known.worked, known.failed, known.way, known.seconds, known.at) == (2, 0, "prediction", 0.5, NOW + 5)
    assert hints(known, NOW + 9, 0.0) == Hints("prediction", 0.5, None)
    # A failure does not make it another way.
    assert hints(updated(known, call(None, NOW + 6)), NOW + 9, 0.0).first == "prediction"


def test_after_failures_in_a_row_there_is_no_hope_for_longer_and_longer() -> None:
    known, at, offset = pair(), NOW, 1_000.0
    waits = []
    for number in range(1, 40):
        at += 10.0
        known = updated(known, call(None, at))
        until = hints(known, at, offset).hopeless_until
        assert (until is not None) is (number >= HOPELESS_AFTER)
        if until is not None:
            waits.append(until + offset - at)
            assert hints(known, at + waits[-1], offset).hopeless_until is None, "and then there is again"
    assert waits[:3] == [HOPELESS_S, 2 * HOPELESS_S, 4 * HOPELESS_S] and waits[-1] == MAX_HOPELESS_S
    again = updated(known, call("punch", at))
    assert hints(again, at, offset).hopeless_until is None and (again.worked, again.failed_in_row) == (1, 0)
    assert again.failed == 39


def test_a_kind_that_was_known_is_not_forgotten_for_one_that_is_not() -> None:
    known = updated(pair(), call("punch"))
    known = updated(known, NetworkOutcome(NatKind.UNKNOWN, NatKind.CONE, None, None, NOW + 1))
    assert (known.our_kind, known.their_kind) == (NatKind.SYMMETRIC_RANDOM, NatKind.CONE)


def test_a_clock_that_was_set_back_does_not_end_hope_for_years() -> None:
    known = pair()
    for _ in range(HOPELESS_AFTER):
        known = updated(known, call(None, NOW + 10 * 365 * 86_400.0))
    until = hints(known, NOW, 0.0).hopeless_until
    assert until is not None and until <= NOW + MAX_HOPELESS_S


def test_it_is_kept_as_json_and_stays_what_it_is() -> None:
    rng, known = random.Random(1), pair()
    for number in range(20):
        known = updated(known, call(rng.choice([None, "punch"]), NOW + number))
    assert msgspec.json.decode(msgspec.json.encode(known), type=NetworkPair) == known
    assert known.worked + known.failed == 20 and not is_forgotten(known, NOW + MAX_AGE_S)
    assert is_forgotten(known, NOW + MAX_AGE_S + 20)
