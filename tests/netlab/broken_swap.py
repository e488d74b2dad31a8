"""Segue with a swap that is broken on purpose: for three frames after each change of path nothing is sent.

    python -m tests.netlab.broken_swap ARGUMENTS OF SEGUE

What judges swaps has to notice this one.
"""

from app.cli.main import main
from transport.path.paths import Multipath

GAP_S = 0.06


class _BrokenSend:
    """Takes the place of ``Multipath.send`` for the one call of this process."""

    def __init__(self) -> None:
        self._send = Multipath.send
        self._in_use: int | None = None
        self._silent_until = 0.0

    def __call__(self, paths: Multipath, data: bytes, now: float) -> None:
        in_use = next((path.number for path in paths.manager.carriers), None)
        if self._in_use is not None and in_use != self._in_use:
            self._silent_until = now + GAP_S
        self._in_use = in_use
        if now >= self._silent_until:
            self._send(paths, data, now)


def break_swaps() -> None:
    """From now on, in this process."""
    broken = _BrokenSend()

    def send(self: Multipath, data: bytes, now: float) -> None:
        broken(self, data, now)

    Multipath.send = send  # type: ignore[method-assign]


if __name__ == "__main__":
    break_swaps()
    main()
