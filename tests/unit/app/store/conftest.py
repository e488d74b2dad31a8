"""A store in a fresh folder, and a clock that only tests move."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.store import Store

MakeStore = Callable[..., Store]


class Clock:
    """Unix seconds."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "segue.db"


@pytest.fixture
def make(path: Path) -> Iterator[MakeStore]:
    """Opens the store at ``path``; all are closed at the end."""
    opened: list[Store] = []
    clock = Clock()

    def open_one(**options: int) -> Store:
        opened.append(Store(path, clock, **options))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()
