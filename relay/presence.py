"""Who wants to be told when whom comes and goes. Pure."""

from collections.abc import Iterable

from relay.events import SessionId


class Presence:
    """Watched names and their watchers. A watcher has one list, replaced as a whole."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[SessionId]] = {}
        self._watched: dict[SessionId, tuple[str, ...]] = {}

    def watch(self, session: SessionId, names: Iterable[str]) -> tuple[str, ...]:
        """Replace the list of ``session``; returns it without repetitions."""
        self.forget(session)
        unique = tuple(dict.fromkeys(names))
        if unique:
            self._watched[session] = unique
        for name in unique:
            self._watchers.setdefault(name, set()).add(session)
        return unique

    def forget(self, session: SessionId) -> None:
        """The session is gone."""
        for name in self._watched.pop(session, ()):
            watchers = self._watchers[name]
            watchers.discard(session)
            if not watchers:
                del self._watchers[name]

    def watchers(self, name: str) -> list[SessionId]:
        """Who is to be told about ``name``, in a fixed order."""
        return sorted(self._watchers.get(name, ()))
