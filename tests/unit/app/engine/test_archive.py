"""app.engine.archive: a report or a trace on disk is whole or not there, and its owner's alone."""

import errno
import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from app.engine.archive import write
from app.system.errors import AppError


def test_a_document_on_disk_is_whole_and_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    write(path, b"{}\n", "report")
    assert path.read_bytes() == b"{}\n"
    assert os.listdir(tmp_path) == ["report.json"]
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_full_disk_keeps_the_old_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AppError, match=r"report-not-written.*disk-full"):
        write(path, b"{}\n", "report")
    assert path.read_text() == "old"


@pytest.mark.parametrize("place", ["none/trace.json", ".", "file/below"])
def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AppError, match="trace-not-written"):
        write(tmp_path / place, b"{}\n", "trace")


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()), name="reader")
    reader.start()
    write(path, b"{}\n", "report")
    reader.join()
    assert received == [b"{}\n"]
    assert stat.S_ISFIFO(path.stat().st_mode)
