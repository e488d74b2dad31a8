"""Whose presence each session watches."""

from collections.abc import Iterable

from relay.events import SessionId


class WatchLists:
    """Watched names and their watchers. A watcher has one list, replaced as a whole."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[SessionId]] = {}
        self._watched: dict[SessionId, tuple[str, ...]] = {}
        self._total = 0

    def __len__(self) -> int:
        """Names watched, each counted once for every watcher."""
        return self._total

    def of(self, session: SessionId) -> tuple[str, ...]:
        """The list of ``session``."""
        return self._watched.get(session, ())

    def watch(self, session: SessionId, names: Iterable[str]) -> tuple[str, ...]:
        """Replace the list of ``session``; returns it without repetitions."""
        self.forget(session)
        unique = tuple(dict.fromkeys(names))
        if unique:
            self._watched[session] = unique
            self._total += len(unique)
        for name in unique:
            self._watchers.setdefault(name, set()).add(session)
        return unique

    def forget(self, session: SessionId) -> None:
        """The session is gone."""
        names = self._watched.pop(session, ())
        self._total -= len(names)
        for name in names:
            watchers = self._watchers[name]
            watchers.discard(session)
            if not watchers:
                del self._watchers[name]

    def watchers(self, name: str) -> list[SessionId]:
        """The sessions that watch ``name``, in a fixed order."""
        return sorted(self._watchers.get(name, ()))
