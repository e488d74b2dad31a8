"""relay.store: what was acknowledged is there, whatever happens to the process, the file or the disk."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from relay.errors import RelayError
from relay.events import NameStored, StoreName
from relay.registry import Entry
from relay.store import DATABASE_FILE, MAX_WAITING_WRITES, NameStore, StoreThread

ROOT = Path(__file__).parents[3]


def write(number: int, name: str = "", key: int = 0) -> StoreName:
    return StoreName(number, name or f"name-{number}", (key or number).to_bytes(32, "big"), b"certificate")


def fill(folder: Path, count: int) -> None:
    store = NameStore(folder)
    store.put([write(number) for number in range(1, count + 1)])
    store.close()


def test_names_are_there_after_a_restart(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    store = NameStore(tmp_path)
    assert store.load() == [
        (f"name-{number}", Entry(number.to_bytes(32, "big"), b"certificate")) for number in (1, 2, 3)
    ]
    assert not store.notice
    store.close()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
@pytest.mark.parametrize("is_older", [False, True])
@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_nobody_else_reads_the_names(tmp_path: Path, mask: int, is_older: bool) -> None:
    before = os.umask(mask)
    try:
        if is_older:
            fill(tmp_path, 1)
            (tmp_path / DATABASE_FILE).chmod(0o644)
        store = NameStore(tmp_path)
        store.put([write(1)])
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys((DATABASE_FILE, f"{DATABASE_FILE}-wal", f"{DATABASE_FILE}-shm"), 0o600)
    store.close()


@pytest.mark.parametrize("planted", ["bob\n", "Bob", "bob ", "b\u043eb", ".bob", ""])
def test_what_an_older_relay_took_for_a_name_is_nobodys(tmp_path: Path, planted: str) -> None:
    store = NameStore(tmp_path)
    store.put([write(1, "bob", key=1), StoreName(2, planted, bytes(32), b"certificate")])
    assert [name for name, _ in store.load()] == ["bob"]
    store.close()


def test_it_is_a_write_ahead_log_that_is_flushed_at_each_commit(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    database = sqlite3.connect(tmp_path / DATABASE_FILE)
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


def test_another_key_never_takes_a_name_even_in_the_database(tmp_path: Path) -> None:
    store = NameStore(tmp_path)
    store.put([write(1, "ann", key=1)])
    store.put([write(2, "ann", key=2)])
    assert store.load() == [("ann", Entry((1).to_bytes(32, "big"), b"certificate"))]
    store.close()


def test_the_thread_acknowledges_everything_once(tmp_path: Path) -> None:
    reports: list[NameStored] = []
    thread = StoreThread(NameStore(tmp_path), reports.append)
    assert all(thread.put(write(number)) for number in range(1, 401))
    thread.close()
    assert [report.ticket for report in reports] == list(range(1, 401))
    assert not any(report.problem for report in reports)
    store = NameStore(tmp_path)
    assert len(store.load()) == 400
    store.close()


def test_a_queue_that_is_full_takes_no_more(tmp_path: Path) -> None:
    gate = threading.Event()
    reports: list[NameStored] = []

    def report(stored: NameStored) -> None:
        gate.wait(20)
        reports.append(stored)

    thread = StoreThread(NameStore(tmp_path), report)
    taken = 0
    while thread.put(write(taken + 1)):
        taken += 1
    assert taken >= MAX_WAITING_WRITES
    gate.set()
    thread.close()
    assert len(reports) == taken


@pytest.mark.process
@pytest.mark.slow
def test_kill_9_in_the_middle_of_registrations_loses_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    for round_number in range(3):
        folder = tmp_path / str(round_number)
        folder.mkdir()
        command = [sys.executable, "-m", "tests.unit.relay.store_writer", str(folder)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            # Killed at different moments of a batch, always with writes under way.
            lines = [process.stdout.readline() for _ in range(150 + 77 * round_number)]
            process.kill()
            lines += process.stdout.readlines()
            process.wait()
        acknowledged = {f"name-{int(line)}" for line in lines if line.endswith("\n")}
        assert len(acknowledged) >= 150
        store = NameStore(folder)
        assert not store.notice
        assert acknowledged <= {name for name, _ in store.load()}
        store.close()


@pytest.mark.parametrize("damage", ["not a database", "page", "truncated"])
def test_a_damaged_database_is_kept_aside_and_the_operator_informed(tmp_path: Path, damage: str) -> None:
    fill(tmp_path, 400)
    path = tmp_path / DATABASE_FILE
    content = bytearray(path.read_bytes())
    assert len(content) > 3 * 4096
    if damage == "not a database":
        content[:] = b"this is a letter to my grandmother\n" * 200
    elif damage == "page":
        content[4096 : 3 * 4096] = b"\xa5" * (2 * 4096)
    else:
        del content[2 * 4096 + 100 :]
    path.write_bytes(content)
    store = NameStore(tmp_path)
    assert "damaged" in store.notice and f"{DATABASE_FILE}.damaged-1" in store.notice
    assert store.load() == []
    store.put([write(1)])
    store.close()
    assert (tmp_path / f"{DATABASE_FILE}.damaged-1").read_bytes() == bytes(content)
    again = NameStore(tmp_path)
    assert not again.notice and len(again.load()) == 1
    again.close()


def test_a_second_damage_gets_a_name_of_its_own(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / DATABASE_FILE).write_bytes(b"rubbish" * number * 100)
        store = NameStore(tmp_path)
        assert f"damaged-{number}" in store.notice
        store.close()


def test_a_table_of_another_shape_is_set_aside_or_refused_never_used(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / DATABASE_FILE)
    database.execute("CREATE TABLE names (something TEXT)")
    database.commit()
    database.close()
    with pytest.raises(RelayError, match="cannot be opened"):
        NameStore(tmp_path)


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    database = sqlite3.connect(tmp_path / DATABASE_FILE)
    database.execute("PRAGMA user_version=99")
    database.commit()
    database.close()
    with pytest.raises(RelayError, match="newer version"):
        NameStore(tmp_path)
    assert not list(tmp_path.glob("*.damaged-*"))


def test_a_full_disk_refuses_and_writes_again_when_there_is_room(tmp_path: Path) -> None:
    """The store's own limit gives the very error of a full disk (SQLITE_FULL) without filling one."""
    store = NameStore(tmp_path, max_pages=3)
    store.put([write(1)])
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.put([write(number) for number in range(10, 1_000)])
    assert [name for name, _ in store.load()] == ["name-1"]
    store.put([write(1)])
    store.close()
    roomier = NameStore(tmp_path)
    roomier.put([write(2)])
    assert len(roomier.load()) == 2 and not roomier.notice
    roomier.close()


def test_the_thread_survives_a_full_disk_and_says_so(tmp_path: Path) -> None:
    reports: list[NameStored] = []
    thread = StoreThread(NameStore(tmp_path, max_pages=3), reports.append)
    for number in range(1, 300):
        thread.put(write(number))
    thread.close()
    assert len(reports) == 299
    refused = [report for report in reports if report.problem]
    assert refused and all("full" in report.problem for report in refused)
    again = NameStore(tmp_path)
    assert len(again.load()) == 299 - len(refused)
    again.close()


def test_a_folder_that_is_not_there_is_reported_plainly(tmp_path: Path) -> None:
    with pytest.raises(RelayError, match="cannot be opened"):
        NameStore(tmp_path / "missing")
    shutil.rmtree(tmp_path)
