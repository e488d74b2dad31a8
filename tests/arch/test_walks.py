"""docs/walks.md: ten walks, and every function on them exists."""

import importlib
import re

import pytest

from tests.arch.source import PACKAGES, ROOT

PAGE = (ROOT / "docs" / "walks.md").read_text(encoding="utf-8")
WALKS = dict(re.findall(r"^## [0-9]+\. ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
TITLES = [
    *("Voice out", "Voice in", "A connectivity check, out", "A connectivity check, in", "The swap", "A cut"),
    *("A click on “Call”", "An incoming call", "A field of the report", "Login at the relay"),
]


def test_there_are_ten() -> None:
    assert list(WALKS) == TITLES


@pytest.mark.parametrize("title", WALKS)
def test_every_step_is_a_function_that_exists(title: str) -> None:
    lines = re.findall(r"^[0-9]+\. .*", WALKS[title], re.MULTILINE)
    steps = [re.match(r"[0-9]+\. `([\w.]+):([\w.]+)` – ", line) for line in lines]
    assert len(steps) > 4 and all(steps), lines
    missing = [f"{step[1]}:{step[2]}" for step in steps if step and not exists(step[1], step[2])]
    assert not missing


def exists(module: str, name: str) -> bool:
    if module.partition(".")[0] not in PACKAGES:
        return False
    try:
        thing: object = importlib.import_module(module)
    except ImportError:
        return False
    for attribute in name.split("."):
        thing = getattr(thing, attribute, None)
    return callable(thing)
