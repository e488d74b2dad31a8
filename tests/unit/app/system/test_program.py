"""app.system.program: no code of the folder that Segue happens to be started in is ever run."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.system.program import own_program

PLANTED = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"


@pytest.mark.process
@pytest.mark.parametrize("name", ["app/__init__.py", "app/__main__.py", "msgspec.py", "socket.py", "sitecustomize.py"])
def test_a_folder_with_code_in_it_is_not_run(tmp_path: Path, name: str) -> None:
    planted = tmp_path / name
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(PLANTED)
    done = subprocess.run([*own_program(), "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "netcheck" in done.stdout, done.stderr
    assert not (planted.parent / "ran").exists()


@pytest.mark.process
def test_the_plant_would_be_run_otherwise(tmp_path: Path) -> None:
    (tmp_path / "socket.py").write_text(PLANTED)
    subprocess.run([sys.executable, "-c", "import socket"], cwd=tmp_path, timeout=60, check=True)
    assert (tmp_path / "ran").exists()
