"""The pictures of docs/architecture.md are those of the tree."""

import re
from dataclasses import dataclass

import pytest

from tests.arch.source import ROOT
from tests.arch.test_imports import graph

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
BOX = re.compile(r'(\w+)\["([\w.]+)(?:<br/>[^"]*)?"\]')
END = re.compile(r'(\w+)\(\["[^"]*"\]\)')
ARROW = re.compile(r'(\w+) (-->|-\.->)(?:\|"[^"]*"\|)? (\w+)')


@dataclass(frozen=True)
class Picture:
    title: str
    boxes: dict[str, str]
    ends: frozenset[str]
    arrows: tuple[tuple[str, str, str], ...]


def pictures() -> list[Picture]:
    found = []
    for title, text in re.findall(r"^## ([^\n]+)\n+```mermaid\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL):
        plain = END.sub(r"\1", BOX.sub(r"\1", text))
        lines = [line.strip() for line in plain.strip().split("\n")[1:]]
        assert all(ARROW.fullmatch(line) for line in lines), lines
        arrows = tuple((start, kind, end) for start, kind, end in ARROW.findall(plain))
        found.append(Picture(title, dict(BOX.findall(text)), frozenset(END.findall(text)), arrows))
    return found


@pytest.mark.parametrize("picture", pictures(), ids=lambda picture: str(picture.title))
def test_every_box_is_a_module_and_every_arrow_an_import(picture: Picture) -> None:
    imports = graph()
    assert {module for module in picture.boxes.values() if module not in imports.modules} == set()

    def imported(one: str, other: str) -> bool:
        return imports.direct_import_exists(importer=one, imported=other)

    wrong = []
    for start, kind, end in picture.arrows:
        if start in picture.ends or end in picture.ends:
            continue
        one, other = picture.boxes[start], picture.boxes[end]
        if kind == "-->":
            is_there = imported(one, other) or imported(other, one)
        else:
            is_there = any(imported(third, one) and imported(third, other) for third in imports.modules)
        if not is_there:
            wrong.append(f"{one} {kind} {other}")
    assert not wrong


def test_both_data_paths_are_shown() -> None:
    assert {picture.title for picture in pictures()} >= {
        *("Voice, out", "Voice, in"),
        *("A connectivity check, out", "A connectivity check, in"),
    }
