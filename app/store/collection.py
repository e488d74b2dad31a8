"""What the collections of the store share: items in memory by key, written through and read row by row."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import msgspec

from app.store.database import Row, Statement

ItemT = TypeVar("ItemT")

# What a row that makes no sense raises; WireError is a ValueError.
BROKEN = (TypeError, ValueError, RecursionError, msgspec.MsgspecError)


class Collection(ABC, Generic[ItemT]):
    """``changed`` hears the keys of what has changed; ``clock`` gives Unix seconds."""

    TABLE: str
    KEY: str
    """The column that names an item."""
    QUERY: str

    def __init__(self, changed: Callable[[Iterable[str]], None], clock: Callable[[], float]) -> None:
        self._items: dict[str, ItemT] = {}
        self._changed = changed
        self._clock = clock

    def all_keys(self) -> list[str]:
        """The keys of all items."""
        return list(self._items)

    def load(self, rows: Iterable[Row], newer: set[str]) -> int:
        """Take over what is stored, except where memory is ``newer``. Returns how many rows made no sense."""
        broken = 0
        for row in rows:
            try:
                key, item = self._read(row)
            except BROKEN:
                broken += 1
                continue
            if key not in newer:
                self._items[key] = item
        return broken

    def statement(self, key: str) -> Statement:
        """What makes the stored row equal to what is in memory."""
        item = self._items.get(key)
        if item is None:
            return f"DELETE FROM {self.TABLE} WHERE {self.KEY} = ?", (self._column(key),)  # noqa: S608 - our own names
        values = self._column(key), *self._write(item)
        places = ", ".join("?" * len(values))
        return f"INSERT OR REPLACE INTO {self.TABLE} VALUES ({places})", values  # noqa: S608 - our own names

    @abstractmethod
    def _read(self, row: Row) -> tuple[str, ItemT]:
        """Key and item of a row. Raises one of :data:`BROKEN`."""

    @abstractmethod
    def _write(self, item: ItemT) -> Row:
        """The columns after the key."""

    def _column(self, key: str) -> object:
        return key
