"""app.system.files and app.system.errors: the old content or the new, nothing half, nothing overwritten."""

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from app.system import files
from app.system.errors import cause_of
from app.text.problems import CAUSES


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    files.write_atomically(tmp_path / "a", b"1")
    assert (tmp_path / "a").read_bytes() == b"1"
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failure_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "a"
    files.write_atomically(path, b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, broken, full)
    with pytest.raises(OSError, match="No space"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_what_is_set_aside_overwrites_nothing(tmp_path: Path) -> None:
    names = []
    for content in (b"1", b"2", b"3"):
        (tmp_path / "a").write_bytes(content)
        names.append(files.set_aside(tmp_path / "a", "damaged", 0.0))
    assert [name.read_bytes() for name in names] == [b"1", b"2", b"3"]
    assert names[0].name == "a.damaged-19700101-000000"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOTDIR, errno.EISDIR, errno.EIO])
def test_every_refusal_has_a_cause(number: int) -> None:
    cause = cause_of(OSError(number, os.strerror(number)))
    assert cause in CAUSES or cause == os.strerror(number).lower()
