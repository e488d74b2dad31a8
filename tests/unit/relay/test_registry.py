"""relay.registry: a name belongs to the first key whose write reached the disk."""

from hypothesis import given
from hypothesis import strategies as st

from relay.registry import Entry, Registry

ONE, TWO = Entry(b"1" * 32, b"cert-1"), Entry(b"2" * 32, b"cert-2")


def test_a_claim_counts_when_it_is_settled() -> None:
    registry = Registry()
    write = registry.claim("ann", ONE, 5, 9)
    assert (write.name, write.key, write.certificate) == ("ann", ONE.key, ONE.certificate)
    assert registry.get("ann") is None and len(registry) == 0
    settled = registry.settle(write.ticket, True)
    assert settled is not None and (settled.session, settled.request) == (5, 9)
    assert registry.get("ann") == ONE and len(registry) == 1
    assert registry.settle(write.ticket, True) is None


def test_a_failed_write_frees_the_name() -> None:
    registry = Registry()
    write = registry.claim("ann", ONE, 1, 1)
    assert not registry.is_free_for("ann", TWO.key) and registry.is_free_for("ann", ONE.key)
    registry.settle(write.ticket, False)
    assert registry.get("ann") is None and registry.is_free_for("ann", TWO.key)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([ONE, TWO]), st.booleans(), st.booleans())))
def test_a_name_never_changes_its_key(steps: list[tuple[str, Entry, bool, bool]]) -> None:
    registry = Registry([("a", ONE)])
    tickets: list[int] = []
    holders = {"a": ONE.key}
    for name, entry, settle_now, stored in steps:
        if registry.is_free_for(name, entry.key):
            tickets.append(registry.claim(name, entry, 0, 0).ticket)
        if settle_now and tickets:
            registry.settle(tickets.pop(0), stored)
        for known in "abc":
            held = registry.get(known)
            if held is not None:
                assert holders.setdefault(known, held.key) == held.key
    for ticket in tickets:
        registry.settle(ticket, True)
    assert all(registry.is_free_for(name, key) for name, key in holders.items())
