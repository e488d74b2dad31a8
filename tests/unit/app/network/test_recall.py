"""app.network.recall: from a call that has ended to the next one's hints, and to what the settings show."""

import sqlite3
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from app.engine import archive
from app.ipc.engine_state import MAX_KNOWN_SHOWN, KnownPair, NetworkState
from app.ipc.messages import EngineState, decode_engine_message, encode
from app.model.network_history import HOPELESS_AFTER, NetworkOutcome, NetworkPair
from app.network.recall import KnownNetworks
from app.report.recorder import CallTimes
from app.store import Store
from transport.nat.profile import NatKind, NatProfile
from transport.traversal.context import Hints
from transport.traversal.events import PhaseStatus

HOME, FRIEND = "203.0.113.7", "198.51.100.20"
HERE = NatProfile(reflexive=(HOME, 4_000))
START = 1_800_000_000.0
OFFSET = START - 500.0
"""The loop's clock says 500 s."""


def ended(way: str | None, at: float = START, seconds: float | None = 4.7) -> NetworkOutcome:
    return NetworkOutcome(NatKind.PORT_RESTRICTED, NatKind.SYMMETRIC_RANDOM, way, seconds if way else None, at)


def opened(tmp_path: Path) -> tuple[Store, KnownNetworks]:
    store = Store(tmp_path / "segue.db", lambda: START)
    return store, KnownNetworks(store.networks, b"s" * 32, OFFSET)


def test_the_next_call_begins_with_what_worked(tmp_path: Path) -> None:
    store, known = opened(tmp_path)
    assert known.recall(HOME, FRIEND, 500.0) == Hints()
    known.note(HOME, FRIEND, ended("birthday"))
    neighbour = HOME.rpartition(".")[0] + ".200"
    assert known.recall(neighbour, FRIEND, 501.0) == Hints("birthday", 4.7)
    assert known.recall(FRIEND, HOME, 501.0) == Hints(), "the other way around it is another's memory"
    for _ in range(HOPELESS_AFTER):
        known.note(FRIEND, HOME, ended(None))
    until = known.recall(FRIEND, HOME, 501.0).hopeless_until
    assert until is not None and until > 501.0
    store.close()
    store, known = opened(tmp_path)
    assert known.recall(HOME, FRIEND, 501.0).first == "birthday"
    known.erase()
    assert known.recall(HOME, FRIEND, 501.0) == Hints()
    store.close()


def test_another_identity_knows_nothing_and_the_file_has_no_addresses(tmp_path: Path) -> None:
    store, known = opened(tmp_path)
    known.note(HOME, FRIEND, ended("punch"))
    assert KnownNetworks(store.networks, b"o" * 32, OFFSET).recall(HOME, FRIEND, 500.0) == Hints()
    store.close()
    content = (tmp_path / "segue.db").read_bytes()
    assert b"networks" in content
    for address in (HOME, FRIEND):
        prefix = address.rpartition(".")[0]
        assert prefix.encode() not in content and bytes(map(int, prefix.split("."))) not in content


def test_what_is_no_address_is_never_remembered(tmp_path: Path) -> None:
    store, known = opened(tmp_path)
    for ours, theirs in (("", FRIEND), (HOME, "relay.example"), ("", "")):
        known.note(ours, theirs, ended("punch"))
        assert known.recall(ours, theirs, 500.0) == Hints()
    assert store.networks.newest_first() == ()
    store.close()


def test_the_settings_show_it_and_a_window_can_read_it(tmp_path: Path) -> None:
    store, known = opened(tmp_path)
    known.note(HOME, FRIEND, ended("birthday"))
    known.note(HOME, FRIEND, ended(None, START + 1))
    for number in range(30):
        known.note(f"10.0.{number}.1", FRIEND, ended("punch", START - 10 - number))
    pairs, in_all = known.shown(HERE)
    assert (len(pairs), in_all) == (MAX_KNOWN_SHOWN, 31)
    assert pairs[0] == KnownPair("port-restricted", "symmetric random", True, "birthday", 4.7, 1, 1, START + 1)
    assert not any(pair.here for pair in pairs[1:])
    assert not any(pair.here for profile in (None, NatProfile()) for pair in known.shown(profile)[0])
    state = EngineState(network=NetworkState(known=pairs, known_in_all=in_all))
    assert decode_engine_message(encode(state)) == state
    store.close()


def test_a_way_of_a_later_version_is_kept_and_not_shown(tmp_path: Path) -> None:
    store, known = opened(tmp_path)
    known.note(HOME, FRIEND, ended("telepathy"))
    assert known.shown(HERE)[0][0].way is None
    store.close()
    connection = sqlite3.connect(tmp_path / "segue.db")
    [(record,)] = connection.execute("SELECT record FROM networks").fetchall()
    connection.close()
    assert msgspec.json.decode(record, type=NetworkPair).way == "telepathy"


class Session:
    """What :func:`app.engine.archive.between_networks` asks a session that has ended."""

    def __init__(self, networks: set[tuple[str, str]], answered: float | None, outcomes: tuple[str, ...]) -> None:
        self.networks = networks
        self.times = CallTimes(placed=400.0, answered=answered)
        self.record = SimpleNamespace(nats={"local": HERE, "remote": None})
        self._phases = tuple(PhaseStatus("punch", outcome, 401.0, 412.5) for outcome in outcomes)  # type: ignore

    def link_stats(self, now: float) -> SimpleNamespace:
        return SimpleNamespace(phases=self._phases)


@pytest.mark.parametrize(
    ("networks", "answered", "outcomes", "way"),
    [
        ({(HOME, FRIEND)}, 410.0, ("won",), "punch"),
        ({(HOME, FRIEND)}, 410.0, ("failed", "failed"), None),
        ({(HOME, FRIEND)}, 410.0, ("cancelled",), "nothing"),
        ({(HOME, FRIEND)}, 410.0, (), "nothing"),
        ({(HOME, FRIEND)}, None, ("won",), "nothing"),
        (set(), 410.0, ("won",), "nothing"),
        ({(HOME, FRIEND), ("192.0.2.1", FRIEND)}, 410.0, ("won",), "nothing"),
    ],
)
def test_only_what_a_call_showed_of_one_pair_is_kept(networks, answered, outcomes, way) -> None:  # type: ignore
    kept = archive.between_networks(Session(networks, answered, outcomes), OFFSET, 500.0)  # type: ignore[arg-type]
    if way == "nothing":
        assert kept is None
        return
    assert kept is not None
    ours, theirs, call = kept
    assert (ours, theirs, call.way, call.at) == (HOME, FRIEND, way, answered + OFFSET)
    assert call.seconds == (2.5 if way else None)
