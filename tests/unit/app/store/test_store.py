"""app.store: what was kept is there after the next start, and only that."""

import os
import sqlite3
import stat
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.model.history import RecentCall
from app.model.key_pinning import Trust
from app.model.settings import Settings
from app.store import ListFull, Profile, Store, calls, people, relays
from app.store.documents import salvage
from tests.unit.app.store.conftest import Clock, MakeStore
from transport.wire.addresses import parse_person, parse_relay

BOB = parse_person("bob@relay.example")
PINNED_BOB = parse_person("bob@relay.example#" + "ab" * 16)
EVE = parse_person("eve@[2001:db8::1]:9000")
KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def a_call(number: int = 1, address: str = "bob@relay.example:7850") -> RecentCall:
    return RecentCall(f"{number:032x}", address, True, 1_800_000_000.0 + number, 3.5, "answered")


def contents(store: Store) -> tuple[object, ...]:
    return (
        store.people.contacts(),
        store.calls.recent(),
        store.documents.settings,
        store.documents.profile,
        {key: store.relays.get(parse_relay(key)) for key in store.relays.all_keys()},
    )


def test_all_of_it_survives_a_restart(make: MakeStore) -> None:
    store = make()
    store.people.add(PINNED_BOB, "Bob ☎")
    store.people.meet(BOB, KEY, b"certificate")
    store.people.meet(BOB, OTHER_KEY, b"other")
    store.people.add(EVE)
    store.people.set_blocked(EVE, True)
    store.calls.add(a_call())
    store.documents.change_settings(Settings(theme="dark", always_relay=True, ring_volume=0.25))
    store.documents.change_profile(Profile("me", "relay.example", local_trial=True))
    store.relays.remember(PINNED_BOB.relay, b"relay certificate")
    before = contents(store)
    store.close()
    again = make()
    assert contents(again) == before
    assert (again.trouble, again.take_findings()) == (None, ())
    bob = again.people.get(BOB)
    assert bob is not None
    assert str(bob.address) == str(PINNED_BOB)
    assert bob.pin.trust == "changed"
    assert again.calls.last_times() == {BOB.short: 1_800_000_001.0}


def test_nothing_waits_for_a_clean_end(make: MakeStore) -> None:
    make().people.add(BOB)
    assert [person.address for person in make().people.contacts()] == [BOB]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_the_files_are_for_their_owner_alone(make: MakeStore, path: Path) -> None:
    make().people.add(BOB)
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
    assert modes == {"segue.db": 0o600, "segue.db-wal": 0o600, "segue.db-shm": 0o600}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
@pytest.mark.parametrize("mask", [0, 0o022])
def test_they_are_whatever_the_umask_and_what_they_were_before(make: MakeStore, path: Path, mask: int) -> None:
    make().close()
    path.chmod(0o664)
    before = os.umask(mask)
    try:
        make().people.add(BOB)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()} == {0o600}


# -- people ------------------------------------------------------------------------------------------------------------


def test_one_person_with_and_without_the_pin(make: MakeStore) -> None:
    store = make()
    store.people.add(BOB, "one")
    store.people.add(PINNED_BOB, "two")
    store.people.add(BOB, "three")
    (bob,) = store.people.contacts()
    assert (bob.alias, bob.address) == ("three", PINNED_BOB)


def test_who_is_taken_out_keeps_key_and_block(make: MakeStore) -> None:
    store = make()
    store.people.add(BOB, "Bob")
    store.people.meet(BOB, KEY, b"certificate")
    store.people.set_blocked(BOB, True)
    store.people.remove(BOB)
    assert store.people.is_blocked(BOB, b"")
    assert [person.listed for person in store.people.contacts()] == [False]
    store.people.set_blocked(BOB, False)
    assert store.people.contacts() == ()
    assert store.people.meet(BOB, OTHER_KEY, b"") is Trust.CHANGED


def test_a_block_follows_the_key_and_the_address(make: MakeStore) -> None:
    store = make()
    store.people.meet(BOB, KEY, b"certificate")
    store.people.set_blocked(BOB, True)
    store = make()
    assert store.people.is_blocked(EVE, KEY)
    assert store.people.is_blocked(PINNED_BOB, OTHER_KEY)
    assert not store.people.is_blocked(EVE, OTHER_KEY)
    assert not store.people.is_blocked(EVE, b"")


def test_blocked_keys_outlive_people_and_restarts(make: MakeStore) -> None:
    store = make()
    store.people.meet(BOB, KEY, b"certificate")
    store.people.add(BOB)
    store.blocked_keys.add(KEY, BOB.short, vouched=True)
    store.blocked_keys.add(OTHER_KEY, EVE.short, vouched=False)
    store.people.remove(BOB)
    store = make()
    assert KEY in store.blocked_keys and OTHER_KEY in store.blocked_keys
    assert [guest.key for guest in store.blocked_keys.of_guests()] == [OTHER_KEY]
    store.blocked_keys.lift_of(EVE.short)  # what a guest claims is not theirs: their key stays
    store.blocked_keys.lift_of(BOB.short)
    store = make()
    assert KEY not in store.blocked_keys and OTHER_KEY in store.blocked_keys
    store.blocked_keys.lift(OTHER_KEY.hex())
    assert OTHER_KEY not in make().blocked_keys


def test_who_was_blocked_before_keys_were_kept_stays_blocked_by_key(make: MakeStore, path: Path) -> None:
    store = make()
    store.people.meet(BOB, KEY, b"certificate")
    store.people.set_blocked(BOB, True)
    store.people.meet(EVE, OTHER_KEY, b"certificate")
    store.close()
    old = sqlite3.connect(path)
    old.execute("DROP TABLE blocked_keys")
    old.execute("PRAGMA user_version = 2")
    old.commit()
    old.close()
    store = make()
    assert KEY in store.blocked_keys and OTHER_KEY not in store.blocked_keys


def test_an_unknown_key_blocks_nobody_else(make: MakeStore) -> None:
    store = make()
    store.people.set_blocked(BOB, True)
    assert not store.people.is_blocked(EVE, b"")


def test_a_changed_key_waits_across_restarts(make: MakeStore) -> None:
    store = make()
    assert store.people.meet(BOB, KEY, b"1") is Trust.FIRST_USE
    store.people.mark_verified(BOB)
    assert store.people.meet(BOB, OTHER_KEY, b"2") is Trust.CHANGED
    store = make()
    bob = store.people.get(BOB)
    assert bob is not None
    assert (bob.pin.key, bob.pin.trust, bob.pin.offered_certificate) == (KEY, "changed", b"2")
    store.people.accept_changed_key(BOB)
    bob = make().people.get(BOB)
    assert bob is not None
    assert (bob.pin.key, bob.pin.trust) == (OTHER_KEY, "first-use")
    assert store.people.knows_key(OTHER_KEY)
    assert not store.people.knows_key(KEY)


def test_strangers_push_out_only_strangers(make: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "MAX_REMEMBERED", 3)
    store = make()
    store.people.add(BOB)
    store.people.set_blocked(EVE, True)
    strangers = [parse_person(f"s{number}@relay.example") for number in range(6)]
    for number, stranger in enumerate(strangers):
        store.people.meet(stranger, bytes([number]) * 32, b"")
    for seen in (store, make()):
        assert [seen.people.get(stranger) is not None for stranger in strangers] == [False] * 3 + [True] * 3
        assert seen.people.get(BOB) is not None
        assert seen.people.is_blocked(EVE, b"")


def test_a_full_list_says_so(make: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "MAX_LISTED", 1)
    store = make()
    store.people.add(BOB)
    with pytest.raises(ListFull):
        store.people.add(EVE)
    store.people.add(BOB, "renamed")
    assert [person.alias for person in store.people.contacts()] == ["renamed"]


# -- calls, relays -----------------------------------------------------------------------------------------------------


def test_the_history_has_an_end_and_the_newest_first(make: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_CALLS", 5)
    store = make()
    for number in range(8):
        store.calls.add(a_call(number))
    expected = [a_call(number) for number in (7, 6, 5, 4, 3)]
    assert list(store.calls.recent()) == expected
    store = make()
    assert list(store.calls.recent()) == expected
    store.calls.erase()
    assert store.calls.recent() == make().calls.recent() == ()


@pytest.mark.parametrize("outcome", ["missed", "declined", "failed"])
def test_thirty_rings_of_one_key_are_one_line(make: MakeStore, outcome: str) -> None:
    store = make()
    store.calls.add(a_call())
    for number in range(30):
        claim = f"liar{number}@relay.example"
        ring = msgspec.structs.replace(
            a_call(number, claim), outgoing=False, outcome=outcome, key=KEY.hex(), vouched=False
        )
        store.calls.add(ring)
    for seen in (store, make()):
        newest, before = seen.calls.recent()
        assert (newest.count, newest.call_id, newest.outcome) == (30, ring.call_id, outcome)
        assert before == a_call()
        assert set(seen.calls.last_times()) == {BOB.short}


def test_only_calls_that_nobody_took_are_folded(make: MakeStore) -> None:
    store = make()
    ring = msgspec.structs.replace(a_call(), outgoing=False, outcome="missed", key=KEY.hex())
    taken = msgspec.structs.replace(ring, outcome="answered")
    placed = msgspec.structs.replace(ring, outgoing=True, outcome="no-answer")
    other = msgspec.structs.replace(ring, key=OTHER_KEY.hex())
    keyless = msgspec.structs.replace(ring, key="")
    for call in (ring, ring, taken, ring, other, ring, placed, ring, keyless, keyless):
        store.calls.add(call)
    assert [(call.outcome, call.key[:2], call.count) for call in store.calls.recent()] == [
        ("missed", "", 1),
        ("missed", "", 1),
        ("missed", "6b", 1),
        ("no-answer", "6b", 1),
        ("missed", "6b", 2),
        ("missed", "6f", 1),
        ("answered", "6b", 1),
        ("missed", "6b", 2),
    ]


def test_a_repeated_call_id_replaces_nothing(make: MakeStore) -> None:
    store = make()
    store.calls.add(a_call())
    store.calls.add(a_call())
    assert len(make().calls.recent()) == 2


def test_the_last_call_with_each_person_follows_every_change(make: MakeStore) -> None:
    store = make()
    store.calls.add(a_call(1, "bob@relay.example"))
    assert store.calls.last_times() == {BOB.short: 1_800_000_001.0}
    store.calls.add(a_call(3, str(PINNED_BOB)))
    store.calls.add(a_call(2, "no address"))
    expected = {BOB.short: 1_800_000_003.0, "no address": 1_800_000_002.0}
    assert store.calls.last_times() == make().calls.last_times() == expected
    store.calls.erase()
    assert store.calls.last_times() == {}


def test_the_clock_may_go_back(path: Path) -> None:
    clock = Clock()
    store = Store(path, clock)
    store.calls.add(a_call(1))
    clock.now = 5.0
    store.calls.add(a_call(2))
    assert list(store.calls.recent()) == [a_call(2), a_call(1)]
    store.close()


def test_relays_are_known_by_host_and_port(make: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relays, "MAX_RELAYS", 2)
    store = make()
    for host in ("a.example", "b.example", "c.example"):
        store.relays.remember(parse_relay(host), host.encode())
    store.relays.remember(parse_relay("b.example:7850#" + "ab" * 10), b"newer")
    for seen in (store, make()):
        assert seen.relays.get(parse_relay("a.example")) is None
        known = seen.relays.get(parse_relay("b.example"))
        assert known is not None
        assert (known.certificate, known.address.pin) == (b"newer", "ab" * 10)


# -- texts -------------------------------------------------------------------------------------------------------------

any_text = st.text(st.characters(exclude_categories=()), max_size=60)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(alias=any_text, relay=any_text, device=any_text, address=any_text, call_id=any_text)
def test_any_text_comes_back_as_it_was_kept(
    make: MakeStore, path: Path, alias: str, relay: str, device: str, address: str, call_id: str
) -> None:
    store = make()
    store.calls.erase()
    store.people.add(BOB, alias)
    store.documents.change_profile(Profile(alias, relay))
    store.documents.change_settings(Settings(input_device=device))
    store.calls.add(RecentCall(call_id, address, False, 1.0, 0.0, "missed"))
    assert (store.trouble, store.take_findings()) == (None, ())
    before = contents(store)
    store.close()
    again = make()
    assert contents(again) == before
    assert again.take_findings() == ()
    again.close()


# -- documents ---------------------------------------------------------------------------------------------------------


def test_one_bad_setting_costs_only_itself() -> None:
    document = b'{"theme": "pink", "always_relay": true, "ring_volume": 7, "colour": 1}'
    found, bad = salvage(document, Settings)
    assert found == Settings(always_relay=True)
    assert sorted(bad) == ["colour", "ring_volume", "theme"]


@given(st.one_of(st.binary(), st.recursive(st.none() | st.floats() | st.text(), st.lists).map(msgspec.json.encode)))
def test_no_document_is_too_bad(document: bytes) -> None:
    found, _ = salvage(document, Settings)
    assert isinstance(found, Settings)


@given(st.dictionaries(st.sampled_from([*Settings.__struct_fields__, "x"]), st.none() | st.integers() | st.text()))
def test_whatever_the_fields_hold_settings_come_out(fields: dict[str, object]) -> None:
    found, bad = salvage(msgspec.json.encode(fields), Settings)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Settings) == found
    for name in fields.keys() - set(bad):
        assert getattr(found, name) == fields[name]
