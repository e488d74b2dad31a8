"""app.store.networks: bounded, ageing, and gone from the file when it is erased."""

import sqlite3
from pathlib import Path

import msgspec
import pytest

from app.model.network_history import MAX_AGE_S, TAG_BYTES, NetworkOutcome, NetworkPair
from app.store import Store, networks
from tests.unit.app.store.conftest import Clock, MakeStore
from transport.nat.profile import NatKind

OURS, THEIRS = b"o" * TAG_BYTES, b"t" * TAG_BYTES
START = 1_800_000_000.0


def call(at: float = START, way: str | None = "punch") -> NetworkOutcome:
    return NetworkOutcome(NatKind.CONE, NatKind.CONE, way, 1.0 if way else None, at)


def tag(number: int) -> bytes:
    return number.to_bytes(TAG_BYTES, "big")


def rows(path: Path) -> list[tuple[str, bytes]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT pair, record FROM networks").fetchall()
    finally:
        connection.close()


def test_pairs_survive_a_restart_newest_first(make: MakeStore) -> None:
    store = make()
    store.networks.add(OURS, THEIRS, call(START))
    store.networks.add(THEIRS, OURS, call(START + 1, None))
    store.networks.add(OURS, THEIRS, call(START + 2, "birthday"))
    before = store.networks.newest_first()
    store.close()
    again = make()
    assert again.networks.newest_first() == before and [pair.ours for pair in before] == [OURS, THEIRS]
    known = again.networks.get(OURS, THEIRS)
    assert known is not None and (known.way, known.worked) == ("birthday", 2)
    assert again.networks.get(OURS, OURS) is None
    assert (again.trouble, again.take_findings()) == (None, ())


def test_there_are_never_more_than_fit(make: MakeStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "MAX_PAIRS", 5)
    store = make()
    for number in range(9):
        store.networks.add(OURS, tag(number), call(START + number))
    assert [pair.theirs for pair in store.networks.newest_first()] == [tag(number) for number in (8, 7, 6, 5, 4)]
    assert len(rows(path)) == 5


def test_old_ones_are_forgotten_in_the_file_as_well(path: Path) -> None:
    clock = Clock()
    store = Store(path, clock)
    store.networks.add(OURS, THEIRS, call(clock.now))
    clock.now += MAX_AGE_S / 2
    store.networks.add(OURS, OURS, call(clock.now))
    clock.now += MAX_AGE_S / 2 + 60
    store.close()
    store = Store(path, clock)
    assert [pair.theirs for pair in store.networks.newest_first()] == [OURS]
    store.networks.forget_old()
    assert len(rows(path)) == 1
    store.close()


def test_what_is_erased_is_gone(make: MakeStore, path: Path) -> None:
    store = make()
    for number in range(20):
        store.networks.add(OURS, tag(number), call(START + number))
    store.networks.erase()
    assert store.networks.newest_first() == () and rows(path) == []
    store.networks.erase()
    store.close()
    assert make().networks.all_keys() == []


def test_records_that_make_no_sense_are_left_out(make: MakeStore, path: Path) -> None:
    store = make()
    store.networks.add(OURS, THEIRS, call())
    store.close()
    good = NetworkPair(OURS, tag(1))
    connection = sqlite3.connect(path)
    for key, record in (
        ("x", b"{}"),
        ("y", b"\xff"),
        ("z", msgspec.json.encode(good)),
        ("-", msgspec.json.encode(NetworkPair(b"", b""))),
    ):
        connection.execute("INSERT INTO networks VALUES (?, ?)", (key, record))
    connection.commit()
    connection.close()
    again = make()
    assert [pair.theirs for pair in again.networks.newest_first()] == [THEIRS]
    (finding,) = again.take_findings()
    assert finding.values == {"count": 4}
