"""app.system.data_dir: folders for one person alone, and one engine in each."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.system.data_dir import AlreadyRunning, Home, HomeError, HomeLock, check, find_home, prepare
from transport.io import private_files

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")

HOLD = """
import sys
from pathlib import Path
from app.system.data_dir import AlreadyRunning, HomeLock, find_home
try:
    lock = HomeLock(find_home(Path(sys.argv[1])))
    lock.acquire()
except AlreadyRunning as error:
    print("refused", error, flush=True)
    sys.exit(7)
print("held", flush=True)
sys.stdin.readline()
"""


def a_home(folder: Path) -> Home:
    home = find_home(folder)
    prepare(home)
    return home


@posix
def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    home = a_home(tmp_path / "a" / "b")
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(home.logs.stat().st_mode) == 0o700
    prepare(home)


def test_the_default_is_the_systems_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    home = find_home()
    assert home.folder.name == "segue"
    assert not home.chosen
    if sys.platform == "linux":
        assert home.folder == tmp_path / "segue"
    assert find_home(tmp_path).chosen
    assert not home.folder.exists()


def test_two_ways_to_write_a_folder_are_one_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = find_home(Path("x/../h")), find_home(tmp_path / "h")
    assert one == other
    assert one.keyring_user == other.keyring_user
    assert one.keyring_user != find_home(tmp_path / "g").keyring_user


@posix
def test_an_existing_folder_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "h").mkdir(mode=0o755)
    a_home(tmp_path / "h")
    assert stat.S_IMODE((tmp_path / "h").stat().st_mode) == 0o755


@posix
def test_a_folder_open_to_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "h").mkdir()
    (tmp_path / "h").chmod(0o1777)
    with pytest.raises(HomeError, match="home-open-to-all"):
        a_home(tmp_path / "h")
    assert stat.S_IMODE((tmp_path / "h").stat().st_mode) == 0o1777


@posix
@pytest.mark.parametrize("name", ["identity.key", "identity.crt", "engine.lock", "segue.db", "segue.db-wal", "logs"])
def test_a_file_that_others_can_write_to_is_refused(tmp_path: Path, name: str) -> None:
    home = a_home(tmp_path / "h")
    path = home.folder / name
    if name != "logs":
        path.write_bytes(b"planted")
    path.chmod(path.stat().st_mode | stat.S_IWGRP)
    for look in (prepare, check):
        with pytest.raises(HomeError, match="home-open-to-all") as refused:
            look(home)
        assert refused.value.values == {"path": str(path)}


@posix
def test_a_folder_of_another_user_is_refused_and_nothing_is_made_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "h").mkdir()
    monkeypatch.setattr(private_files, "_ROOT", -1)
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with pytest.raises(HomeError, match="home-of-another"):
        a_home(tmp_path / "h")
    assert not list((tmp_path / "h").iterdir())


@posix
@pytest.mark.parametrize("mask", [0, 0o002, 0o022, 0o077])
def test_new_folders_do_not_follow_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        home = a_home(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (home.folder.parent, home.folder, home.logs)} == {0o700}


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "h").write_bytes(b"mine")
    with pytest.raises(HomeError, match="file-in-the-way"):
        a_home(tmp_path / "h")
    with pytest.raises(HomeError):
        a_home(tmp_path / "h" / "below")
    assert (tmp_path / "h").read_bytes() == b"mine"


def test_one_lock_within_a_process_too(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    with HomeLock(home) as held:
        with pytest.raises(AlreadyRunning, match="already-running"):
            HomeLock(home).acquire()
        with pytest.raises(AlreadyRunning):
            held.acquire()
    with HomeLock(home):
        pass
    held.release()


def test_a_missing_folder_is_an_error_with_words(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="no-folder"):
        HomeLock(find_home(tmp_path / "none")).acquire()


@pytest.mark.process
@posix
def test_a_killed_engine_leaves_no_lock_behind(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(AlreadyRunning):
                HomeLock(home).acquire()
            second = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            assert second.returncode == 7
            assert "already-running" in second.stdout
        finally:
            os.kill(holder.pid, signal.SIGKILL)
    with HomeLock(home):
        pass
