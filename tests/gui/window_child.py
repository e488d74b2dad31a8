"""The real window with an ear for tests: ``python -m tests.gui.window_child ARGUMENTS`` is ``app.ui.run`` with them.

One JSON object a line on standard input asks what a person would see (``place``, ``row``, ``text``, ``page``), has a
picture taken of what the screen shows (``picture``), blocks the window's thread (``block``) or closes the window as a
window manager does, of which there is none (``close``). It never clicks and never calls the program's own functions:
what else is done to the window goes through the X server.
"""

import hashlib
import json
import sys
import threading
import time
from typing import Any

from PySide6.QtCore import QObject, QPoint, QRect, QSize, QTimer, Signal
from PySide6.QtGui import QPixmap
from PySide6.QtWidgets import QApplication, QWidget

from app.ui.main_window import MainWindow
from app.ui.pages.people_list import PeopleList
from app.ui.run import main


class Ear(QObject):
    """Hears questions in a thread of its own and answers them on the window's."""

    asked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.asked.connect(self._answer)
        threading.Thread(target=self._listen, name="ear", daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            self.asked.emit(line)

    def _answer(self, line: str) -> None:
        question = json.loads(line)
        answer = getattr(self, f"_{question.pop('ask')}")(**question)
        print(json.dumps(answer), flush=True)

    def _page(self) -> str:
        return _window().shown_page()

    def _text(self, name: str) -> str | None:
        widget = _shown(name)
        return None if widget is None else str(widget.property("text"))

    def _place(self, name: str) -> list[int] | None:
        """Left, top, width, height in pixels of the window; nothing while it cannot be clicked."""
        widget = _shown(name)
        if widget is None or not widget.isEnabled():
            return None
        return _in_window(widget, widget.rect())

    def _row(self, title: str) -> list[int] | None:
        people = _shown("people")
        assert people is None or isinstance(people, PeopleList)
        for number in range(people.people.rowCount() if people is not None else 0):
            index = people.people.index(number)
            if people.people.data(index) == title:
                return _in_window(people.viewport(), people.visualRect(index))
        return None

    def _picture(self, file: str) -> bool:
        return _seen().save(file)

    def _looks(self, name: str) -> str | None:
        """A fingerprint of what the screen shows at the place of a widget."""
        place = self._place(name)
        if place is None:
            return None
        left, top, width, height = place
        image = _seen().copy(left, top, width, height).toImage()
        return hashlib.sha256(bytes(image.constBits())).hexdigest()

    def _block(self, seconds: float) -> float:
        """Nothing else of the window happens for so long. Answers before."""

        def busy() -> None:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                pass

        QTimer.singleShot(0, self, busy)
        return seconds

    def _close(self) -> bool:
        """Soon, so that the answer gets out before."""
        QTimer.singleShot(0, _window(), _window().close)
        return True


def _window() -> MainWindow:
    return next(widget for widget in QApplication.topLevelWidgets() if isinstance(widget, MainWindow))


def _shown(name: str) -> QWidget | None:
    return next((one for one in _window().findChildren(QWidget, name) if one.isVisible()), None)


def _in_window(widget: QWidget, part: QRect) -> list[int]:
    place = QRect(widget.mapTo(_window(), part.topLeft()), part.size())
    return [place.x(), place.y(), place.width(), place.height()]


def _seen() -> QPixmap:
    """The window's part of the screen, as the X server shows it."""
    window = _window()
    corner, size = window.mapToGlobal(QPoint(0, 0)), window.size() if window.isVisible() else QSize(1, 1)
    return window.screen().grabWindow(0, corner.x(), corner.y(), size.width(), size.height())


def run(arguments: list[str]) -> Any:
    ear = Ear()
    try:
        return main(arguments)
    finally:
        ear.asked.disconnect()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
