"""app.store and files that are damaged, foreign, newer, full or closed: kept, reported, and the program goes on."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.model.history import RecentCall
from app.model.settings import Settings
from app.store import StoreBusy, StoreFull, StoreReadOnly
from app.store.schema import MIGRATIONS, VERSION
from tests.unit.app.store.conftest import MakeStore
from transport.wire.addresses import parse_person

BOB = parse_person("bob@relay.example")
KEY = b"k" * 32


def aside(path: Path) -> list[Path]:
    return sorted(p for p in path.parent.iterdir() if ".damaged-" in p.name and not p.name.endswith(("-wal", "-shm")))


def a_database(make: MakeStore) -> None:
    store = make()
    store.people.add(BOB, "Bob")
    store.people.meet(BOB, KEY, b"certificate" * 100)
    store.close()


def expect_set_aside(make: MakeStore, path: Path, content: bytes) -> None:
    """The next start works, tells, and has kept the file; the start after that has nothing to tell."""
    store = make()
    (kept,) = aside(path)
    assert kept.read_bytes() == content
    (finding,) = store.take_findings()
    assert finding.kind == "error"
    assert finding.values["kept"] == str(kept)
    assert store.people.contacts() == ()
    store.people.add(BOB, "again")
    store.close()
    store = make()
    assert (store.trouble, store.take_findings()) == (None, ())
    assert [person.alias for person in store.people.contacts()] == ["again"]
    store.close()


@pytest.mark.parametrize("content", [b"", b"x", b"garbage" * 5_000, b"SQLite format 3\0", b"\0" * 8192])
def test_a_file_that_is_no_database(make: MakeStore, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    expect_set_aside(make, path, content)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(share=st.floats(0, 0.999))
def test_a_truncated_database(make: MakeStore, path: Path, share: float) -> None:
    for file in path.parent.iterdir():
        file.unlink()
    a_database(make)
    content = path.read_bytes()
    content = content[: int(len(content) * share)]
    path.write_bytes(content)
    expect_set_aside(make, path, content)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(data=st.data())
def test_bytes_overwritten_anywhere_never_stop_the_start(make: MakeStore, path: Path, data: st.DataObject) -> None:
    for file in path.parent.iterdir():
        file.unlink()
    a_database(make)
    content = bytearray(path.read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    garbage = data.draw(st.binary(min_size=1, max_size=600))
    content[start : start + len(garbage)] = garbage
    path.write_bytes(content)
    store = make()
    if aside(path):
        # SQLite may note in the header that it has looked; all else is as it was.
        assert aside(path)[0].read_bytes()[100:] == bytes(content)[100:]
        assert store.take_findings()
    store.people.add(BOB, "again")
    store.close()
    assert [person.alias for person in make().people.contacts()] == ["again"]


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE people",
        "ALTER TABLE people DROP COLUMN alias",
        "PRAGMA application_id = 7",
        f"PRAGMA user_version = {VERSION + 1}",
        "PRAGMA user_version = 0",
    ],
)
def test_tables_that_are_not_ours(make: MakeStore, path: Path, change: str) -> None:
    a_database(make)
    connection = sqlite3.connect(path)
    connection.execute(change)
    connection.commit()
    connection.close()
    content = path.read_bytes()
    expect_set_aside(make, path, content)


def test_a_newer_version_is_known_as_such(make: MakeStore, path: Path) -> None:
    a_database(make)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    assert make().take_findings()[0].values["cause"] == "newer"


def test_the_log_goes_with_its_database(make: MakeStore, path: Path) -> None:
    path.write_bytes(b"garbage" * 5_000)
    log = path.with_name("segue.db-wal")
    log.write_bytes(b"log")
    make()
    (kept,) = aside(path)
    assert kept.with_name(kept.name + "-wal").read_bytes() == b"log"


def test_rows_that_make_no_sense_cost_only_themselves(make: MakeStore, path: Path) -> None:
    a_database(make)
    store = make()
    store.documents.change_settings(Settings(theme="dark", always_relay=True))
    store.close()
    connection = sqlite3.connect(path)
    row = "INSERT INTO people VALUES (?, ?, 'x', 1, 0, 0.0, 0.0, x'', x'', 0, x'', x'')"
    connection.executemany(row, [("no address", ""), ("bob@relay.example", ""), ("eve@h:7850", "zz")])
    connection.execute("INSERT INTO calls VALUES (1, x'7b7d')")
    connection.execute("INSERT INTO relays VALUES ('!', '', x'', 0.0)")
    connection.execute("UPDATE documents SET json = CAST(replace(CAST(json AS TEXT), 'dark', 'pink') AS BLOB)")
    connection.commit()
    connection.close()
    store = make()
    assert [person.address for person in store.people.contacts()] == [BOB]
    assert store.documents.settings == Settings(always_relay=True)
    found = {finding.code: finding.values for finding in store.take_findings()}
    assert found["entries-unreadable"] == {"count": 5}
    assert "theme" in str(found["settings-reset"]["names"])
    assert aside(path) == []


def test_damage_while_running_loses_nothing(make: MakeStore, path: Path) -> None:
    store = make()
    store.people.add(BOB, "Bob")
    other = sqlite3.connect(path)
    other.execute("DROP TABLE calls")
    other.commit()
    other.close()
    store.calls.erase()
    call = RecentCall("0" * 32, "bob@relay.example", True, 1.0, 2.0, "answered")
    store.calls.add(call)
    assert store.trouble is None
    assert len(aside(path)) == 1
    (finding,) = store.take_findings()
    assert finding.code == "data-rewritten"
    store.close()
    again = make()
    assert [person.alias for person in again.people.contacts()] == ["Bob"]
    assert again.calls.recent() == (call,)


def test_each_migration_starts_where_the_one_before_ends() -> None:
    assert VERSION == len(MIGRATIONS) >= 1


# -- no room -----------------------------------------------------------------------------------------------------------


def test_no_room_is_typed_reported_once_and_made_good(make: MakeStore) -> None:
    store = make(max_bytes=16 * 4096)
    added = []
    while store.trouble is None and len(added) < 200:
        added.append(parse_person(f"p{len(added)}@relay.example"))
        store.people.add(added[-1], "x" * 90)
        store.people.meet(added[-1], len(added).to_bytes(32, "big"), b"c" * 1_000)
    assert isinstance(store.trouble, StoreFull)
    late = parse_person("late@relay.example")
    store.people.add(late, "not written yet")
    store.documents.change_settings(Settings(theme="dark"))
    assert [finding.code for finding in store.take_findings()] == ["not-saving"]
    assert store.people.get(late) is not None
    for address in added[: len(added) // 2]:
        store.people.remove(address)
    seen = make(max_bytes=64 * 4096)
    assert seen.people.get(late) is None
    seen.close()

    store.close()
    store = make()
    store.people.add(late, "now")
    assert store.trouble is None


def test_what_could_not_be_written_is_written_when_there_is_room(make: MakeStore, path: Path) -> None:
    store = make()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store.people.add(BOB, "one")
    assert isinstance(store.trouble, StoreBusy)
    store.people.add(BOB, "two")
    store.people.add(parse_person("eve@relay.example"))
    store.people.remove(parse_person("eve@relay.example"))
    assert make().people.contacts() == ()
    other.execute("COMMIT")
    other.close()
    store.retry()
    assert store.trouble is None
    assert [finding.code for finding in store.take_findings()] == ["not-saving", "saved-again"]
    assert [person.alias for person in make().people.contacts()] == ["two"]


def test_a_missing_folder_is_no_end(make: MakeStore, path: Path) -> None:
    path.parent.rmdir()
    store = make()
    store.people.add(BOB, "Bob")
    assert isinstance(store.trouble, StoreReadOnly)
    path.parent.mkdir()
    store.retry()
    assert store.trouble is None
    assert [person.alias for person in make().people.contacts()] == ["Bob"]


def test_a_folder_in_the_files_place_is_reported_and_left(make: MakeStore, path: Path) -> None:
    path.mkdir()
    (path / "mine").write_bytes(b"1")
    store = make()
    store.people.add(BOB, "Bob")
    assert store.trouble is not None
    assert (path / "mine").read_bytes() == b"1"


MOUNTED = """
import subprocess, sys
from pathlib import Path
from app.store import Store, StoreFull, StoreReadOnly
from transport.wire.addresses import parse_person

folder, kind = Path(sys.argv[1]), sys.argv[2]
def mount(*arguments):
    subprocess.run(["mount", *arguments, str(folder)], check=True)

mount("-t", "tmpfs", "-o", "size=600k", "tmpfs")
bob, eve = parse_person("bob@relay.example"), parse_person("eve@relay.example")
store = Store(folder / "segue.db")
store.people.add(bob, "Bob")
ballast = folder / "ballast"
if kind == "full-at-start":
    store.close()
if kind.startswith("full"):
    with open(ballast, "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    expected = StoreFull
else:
    store.close()
    mount("-o", "remount,ro")
    expected = StoreReadOnly
if kind != "full":
    store = Store(folder / "segue.db")
number = 0
while store.trouble is None and number < 2000:
    number += 1
    store.people.add(eve, "x" * (number % 90))
store.people.add(eve, "Eve")
assert isinstance(store.trouble, expected), repr(store.trouble)
assert [p.alias for p in store.people.contacts()] == ["Bob", "Eve"], store.people.contacts()
assert len(store.take_findings()) == 1
ballast.unlink() if kind.startswith("full") else mount("-o", "remount,rw")
store.retry()
assert store.trouble is None, repr(store.trouble)
store.close()
store = Store(folder / "segue.db")
assert [p.alias for p in store.people.contacts()] == ["Bob", "Eve"]
store.close()
print("good")
"""


def _may_mount() -> bool:
    if sys.platform != "linux":
        return False
    try:
        return subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.process
@pytest.mark.parametrize("kind", ["full", "full-at-start", "read-only"])
def test_a_real_disk_that_is_full_or_closed(tmp_path: Path, kind: str) -> None:
    if not _may_mount():
        pytest.skip("needs user namespaces: unshare -Urm")
    command = ["unshare", "-Urm", sys.executable, "-W", "error", "-c", MOUNTED, str(tmp_path), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.returncode) == ("good\n", 0), done.stderr
