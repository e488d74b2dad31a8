"""transport.io.private_files: what others could have planted or exchanged."""

import os
import stat
import sys
from pathlib import Path

import pytest

from transport.io import private_files
from transport.io.private_files import Exposure, close_to_others, database_files, find_exposure, make_private_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX owners and modes")
STRANGER = 54_321
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="gives files away")
NAMES = ("secret", *database_files("data"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "above" / "own"
    make_private_folder(folder)
    for name in NAMES:
        (folder / name).write_bytes(b"")
        (folder / name).chmod(0o600)
    return folder


def test_our_own_is_ours(folder: Path) -> None:
    assert find_exposure(folder, NAMES) is None
    assert find_exposure(folder, ["missing"]) is None


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o700, 0o500])
def test_others_may_look_into_a_folder(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    assert find_exposure(folder, NAMES) is None


@pytest.mark.parametrize("mode", [0o775, 0o770, 0o720, 0o702, 0o777, 0o1777, 0o2775])
@pytest.mark.parametrize("name", [".", *NAMES])
def test_what_others_can_write_to_is_exposed(folder: Path, name: str, mode: int) -> None:
    (folder / name).chmod(mode)
    assert find_exposure(folder, NAMES) == Exposure(folder / name, "writable")


@as_root
@pytest.mark.parametrize("name", [".", "..", *NAMES])
def test_what_another_owns_is_exposed(folder: Path, name: str) -> None:
    path = (folder / name).resolve()
    os.chown(path, STRANGER, -1)
    assert find_exposure(folder, NAMES) == Exposure(path, "other-owner")


def test_what_root_owns_is_trusted_and_nobody_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = folder.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    monkeypatch.setattr(private_files, "_ROOT", uid)
    assert find_exposure(folder, NAMES) is None
    monkeypatch.setattr(private_files, "_ROOT", STRANGER + 1)
    found = find_exposure(folder, NAMES)
    assert found is not None and found.kind == "other-owner"


@pytest.mark.parametrize(("mode", "is_exposed"), [(0o777, True), (0o707, True), (0o1777, False), (0o775, False)])
def test_folders_above_may_be_shared_where_nobody_can_exchange_ours(folder: Path, mode: int, is_exposed: bool) -> None:
    folder.parent.chmod(mode)
    assert find_exposure(folder, NAMES) == (Exposure(folder.parent, "writable") if is_exposed else None)


def test_a_link_leads_to_what_is_looked_at(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_bytes(b"")
    target.chmod(0o666)
    (folder / "link").symlink_to(target)
    assert find_exposure(folder, ["link"]) == Exposure(folder / "link", "writable")
    (tmp_path / "to-folder").symlink_to(folder)
    folder.chmod(0o770)
    assert find_exposure(tmp_path / "to-folder", []) == Exposure(folder, "writable")


@pytest.mark.parametrize("mask", [0, 0o002, 0o022])
def test_new_folders_are_for_their_owner_alone(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        make_private_folder(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    made = [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o700] * 3


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o600, 0o400, 0o444])
def test_files_are_closed_to_others(folder: Path, mode: int) -> None:
    for name in NAMES:
        (folder / name).chmod(mode)
    closed = close_to_others(folder, ["missing", *NAMES])
    assert closed == ([folder / name for name in NAMES] if mode & 0o077 else [])
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in NAMES} == {mode & 0o700}
