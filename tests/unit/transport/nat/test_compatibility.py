"""transport.nat.compatibility: both sides choose the same, and only what can succeed."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.nat.compatibility import MappingBehaviour, Technique, mapping_behaviour, strategy, would_help
from transport.nat.profile import Allocation, Filtering, Mapping, NatProfile, from_wire

EIM, ADM, APDM = Mapping.ENDPOINT_INDEPENDENT, Mapping.ADDRESS_DEPENDENT, Mapping.ADDRESS_AND_PORT_DEPENDENT
STRICT = Filtering.ADDRESS_AND_PORT_DEPENDENT
FIXED = NatProfile(EIM, STRICT, Allocation.PRESERVING)
OPEN_FILTER = NatProfile(EIM, Filtering.ENDPOINT_INDEPENDENT, Allocation.PRESERVING)
COUNTED = NatProfile(APDM, STRICT, Allocation.SEQUENTIAL, 1)
PINNED = NatProfile(ADM, STRICT, Allocation.SEQUENTIAL, 2)
RANDOM = NatProfile(APDM, STRICT, Allocation.RANDOM)
BLOCK = NatProfile(APDM, STRICT, Allocation.BLOCK, block=(2_000, 2_900))

profiles = st.builds(
    NatProfile,
    st.sampled_from(Mapping),
    st.sampled_from(Filtering),
    st.sampled_from(Allocation),
    st.integers(-64, 64),
    udp_blocked=st.sampled_from([None, False, True]),
)


@pytest.mark.parametrize(
    ("one", "other", "technique"),
    [
        (FIXED, FIXED, None),
        (OPEN_FILTER, RANDOM, None),
        (FIXED, COUNTED, Technique.PREDICTION),
        (COUNTED, COUNTED, Technique.PREDICTION),
        (PINNED, COUNTED, Technique.PREDICTION),
        (PINNED, PINNED, Technique.PREDICTION),
        (FIXED, RANDOM, Technique.BIRTHDAY),
        (FIXED, BLOCK, Technique.BIRTHDAY),
        (PINNED, RANDOM, Technique.BIRTHDAY),
        (PINNED, BLOCK, Technique.BIRTHDAY),
        (COUNTED, RANDOM, None),
        (RANDOM, RANDOM, None),
        (RANDOM, BLOCK, None),
        (BLOCK, BLOCK, None),
    ],
)
def test_each_pair_has_its_technique(one: NatProfile, other: NatProfile, technique: Technique | None) -> None:
    assert strategy(one, other).technique is technique
    assert strategy(other, one).technique is technique


def test_block_and_block_is_for_those_who_ask() -> None:
    assert strategy(BLOCK, BLOCK).reason == "not-opted-in"
    assert strategy(BLOCK, BLOCK, try_harder=True).technique is Technique.BLOCKS
    assert strategy(BLOCK, RANDOM, try_harder=True).technique is None, "the full range is too large"


def test_a_filter_that_is_not_known_leaves_it_to_punching_first() -> None:
    unknown = NatProfile(EIM, Filtering.UNKNOWN, Allocation.PRESERVING)
    assert strategy(unknown, RANDOM).technique is Technique.BIRTHDAY and not strategy(unknown, RANDOM).is_sure
    assert strategy(FIXED, RANDOM).is_sure and strategy(COUNTED, COUNTED).is_sure


def test_nothing_is_chosen_before_both_are_known_or_without_udp() -> None:
    assert strategy(None, RANDOM).technique is None and strategy(FIXED, None).reason == "unknown"
    blocked = NatProfile(udp_blocked=True)
    assert all(strategy(blocked, each).reason == "udp-blocked" for each in (FIXED, RANDOM, BLOCK, blocked))


@given(profiles, profiles, st.booleans())
def test_both_sides_come_to_the_same(one: NatProfile, other: NatProfile, try_harder: bool) -> None:
    """Each knows its own profile, and the other's as it came over the wire."""
    ours = strategy(one, from_wire(other.to_wire(), 0.0), try_harder=try_harder)
    theirs = strategy(other, from_wire(one.to_wire(), 0.0), try_harder=try_harder)
    assert (ours.technique, ours.reason, ours.is_sure) == (theirs.technique, theirs.reason, theirs.is_sure)
    assert (ours.local, ours.remote) == (theirs.remote, theirs.local)


def test_what_can_never_succeed_is_never_chosen() -> None:
    hopeless = {MappingBehaviour.RANDOM, MappingBehaviour.BLOCK, MappingBehaviour.UNKNOWN}
    every = [NatProfile(m, f, a) for m, f, a in itertools.product(Mapping, Filtering, Allocation)]
    for one, other in itertools.product(every, every):
        if {mapping_behaviour(one), mapping_behaviour(other)} <= hopeless:
            assert strategy(one, other).technique is None


def test_another_look_is_worth_it_where_a_rule_is_hidden_that_could_be_used() -> None:
    hidden = NatProfile(APDM, STRICT, Allocation.UNKNOWN)
    assert would_help(hidden, FIXED) and would_help(COUNTED, hidden) and would_help(hidden, hidden)
    assert not would_help(hidden, RANDOM), "whatever it is"
    assert would_help(hidden, BLOCK, try_harder=True) and not would_help(hidden, BLOCK)
    assert not would_help(FIXED, RANDOM) and not would_help(None, hidden)
    assert not would_help(NatProfile(udp_blocked=True), hidden)


@given(profiles, profiles, st.booleans())
def test_both_sides_look_again_or_neither(one: NatProfile, other: NatProfile, try_harder: bool) -> None:
    ours = would_help(one, from_wire(other.to_wire(), 0.0), try_harder=try_harder)
    assert ours == would_help(other, from_wire(one.to_wire(), 0.0), try_harder=try_harder)
    assert not ours or strategy(one, other, try_harder=try_harder).technique is None
