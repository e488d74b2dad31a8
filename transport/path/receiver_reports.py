"""When the peer gets a report about the paths that its media comes by, and about which (pure)."""

# Several times within an evaluation of 300 ms, and a twentieth of the voice's own traffic.
REPORT_EVERY_S = 0.1
# While media comes by one path only, nothing is to be decided; that the path holds is reported now and then.
CALM_EVERY_S = 1.0
# Without a frame for so long a path carries no media.
CARRIES_S = 0.5


class Reports:
    """Nothing is due before media came by a direct path."""

    __slots__ = ("_came", "_due", "_several")

    def __init__(self) -> None:
        self._came: dict[int, float] = {}
        self._due: float | None = None
        self._several = False

    def came(self, path: int, now: float) -> None:
        """A frame came by the path, first or as a copy."""
        self._came[path] = now
        if self._due is None:
            self._due = now
        elif len(self._came) > 1 and not self._several:
            # The first frame by a second path: the peer waits for this.
            self._several, self._due = True, now

    def forget(self, path: int) -> None:
        """The path is no more."""
        self._came.pop(path, None)

    def next_deadline(self) -> float | None:
        """When a report is due."""
        return self._due

    def due(self, now: float) -> list[int]:
        """The paths to report on at ``now``."""
        if self._due is None or now < self._due:
            return []
        self._came = {path: at for path, at in self._came.items() if now - at < CARRIES_S}
        self._several = len(self._came) > 1
        self._due = now + (REPORT_EVERY_S if self._several else CALM_EVERY_S) if self._came else None
        return list(self._came)
