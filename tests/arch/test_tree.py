"""What is in the tree, and what must never be."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.arch.source import ROOT

TOP_LEVEL = {
    *("app", "transport", "media", "relay", "tests", "packaging", "docs", ".ci"),
    *("pyproject.toml", "Makefile", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", ".gitignore"),
}


# Of app; the design has thirteen and the sounds.
MAX_ROOMS = 15


def own_home() -> tuple[str, ...]:
    home = Path.home()
    return (f"{home}{os.sep}",) if len(home.parts) > 1 else ()


# Written in two parts, so that this file does not hold what it looks for.
FOREIGN = {
    "a package registry's host": ("pypi" + ".org", "python" + "hosted.org", "--index" + "-url", "--extra" + "-index"),
    # Invented ones (/home/anna) are fine: pictures and examples have them.
    "a path of somebody's machine": ("/work" + "/", "/root" + "/", *own_home()),
    "an open end": ("TO" + "DO", "FIX" + "ME", "X" + "XX:"),
}


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout: nothing says what belongs to the tree")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def test_the_top_level_is_the_one_of_the_design() -> None:
    assert {file.relative_to(ROOT).parts[0] for file in tracked()} <= TOP_LEVEL


def test_app_has_few_rooms_and_nothing_loose() -> None:
    here = [file.relative_to(ROOT / "app").parts for file in tracked() if file.is_relative_to(ROOT / "app")]
    assert {parts[0] for parts in here if len(parts) == 1} == {"__init__.py", "__main__.py"}
    assert len({parts[0] for parts in here if len(parts) > 1}) <= MAX_ROOMS


def test_no_file_names_a_registry_or_a_machine() -> None:
    wrong: list[str] = []
    for file in tracked():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # pictures and sounds
        for what, needles in FOREIGN.items():
            wrong += [f"{file.relative_to(ROOT)}: {what}: {needle}" for needle in needles if needle in text]
    assert not wrong


def test_the_locks_pin_and_hash_everything() -> None:
    for name in ("lock.txt", "lock-dev.txt", "lock-build.txt"):
        text = (ROOT / "packaging" / name).read_text().replace("\\\n", " ")
        for line in filter(None, map(str.strip, text.splitlines())):
            assert re.match(r"[a-z0-9-]+==[^ ;]+ ( *; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+$", line), line[:90]


def test_the_dev_lock_holds_the_same_versions_as_the_run_lock() -> None:
    """So that the tests test what runs, and one environment serves both."""
    pins = {
        name: set(re.findall(r"^[a-z0-9-]+==\S+", (ROOT / "packaging" / name).read_text(), re.MULTILINE))
        for name in ("lock.txt", "lock-dev.txt")
    }
    assert pins["lock.txt"] <= pins["lock-dev.txt"]
