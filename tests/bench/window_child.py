"""The real window, which tells when it was first painted: ``python -m tests.bench.window_child SPAWNED ARGUMENTS``.

``SPAWNED`` is what the monotonic clock showed when the process was started. One line on standard output: seconds from
then to the first painted window without and with the engine's state. Afterwards each line on standard input opens
(``1``) or closes (``0``) the connection panel.
"""

import json
import sys
import threading
import time

from PySide6.QtCore import QEvent, QObject, Signal
from PySide6.QtWidgets import QApplication

import app.ui.run
from app.ui.application import make_application
from app.ui.main_window import MainWindow


class Watch(QObject):
    """Sees the paint events of all windows until the one that counts."""

    panel = Signal(bool)

    def __init__(self, spawned: float) -> None:
        super().__init__()
        self._spawned = spawned
        self._first_s = 0.0
        self._window: MainWindow | None = None
        self.panel.connect(self._open_panel)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """A paint event comes when the pixels are wanted; the window is done when the loop runs again."""
        if event.type() == QEvent.Type.UpdateRequest and isinstance(watched, MainWindow):
            self._window = watched
            watched.event(event)
            self._painted(watched)
            return True
        return False

    def _painted(self, window: MainWindow) -> None:
        now = time.monotonic() - self._spawned
        self._first_s = self._first_s or now
        if window.shown_page() != "starting":
            application = QApplication.instance()
            assert application is not None
            application.removeEventFilter(self)
            print(json.dumps({"first": self._first_s, "with_state": now}), flush=True)
            threading.Thread(target=self._listen, name="panel commands", daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            self.panel.emit(line.strip() == "1")

    def _open_panel(self, wanted: bool) -> None:
        assert self._window is not None
        self._window.call.open_panel(wanted)
        print(json.dumps({"open": self._window.call.panel.isVisibleTo(self._window.call)}), flush=True)


def main() -> int:
    watch = Watch(float(sys.argv.pop(1)))

    def watched_application(arguments: list[str]) -> QApplication:
        application = make_application(arguments)
        application.installEventFilter(watch)
        return application

    app.ui.run.make_application = watched_application  # type: ignore[attr-defined]
    return app.ui.run.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
