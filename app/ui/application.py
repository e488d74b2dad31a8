"""The Qt application: name, style, font, versions, and a clean end on a signal."""

import importlib.metadata
import platform
import signal
import socket
from collections.abc import Callable
from types import FrameType

from PySide6.QtCore import QCoreApplication, QObject, QSocketNotifier, qVersion
from PySide6.QtWidgets import QApplication

from app.text.catalogue import use_translator
from app.ui.pages.settings_sections import Versions
from app.ui.theme.theme import apply_theme, choose_font


class EndSignals(QObject):
    """Ctrl-C and SIGTERM close the window as its close button does.

    Python runs signal handlers only between bytecode instructions, and Qt's loop may be waiting in C++ for long:
    the wake-up socket brings it back.
    """

    def __init__(self, end: Callable[[], None], parent: QObject) -> None:
        super().__init__(parent)
        self._wanted = end
        self._read, self._write = socket.socketpair()
        for half in (self._read, self._write):
            half.setblocking(False)
        self._before = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        self._notifier = QSocketNotifier(self._read.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._drain)
        self._handlers = {number: signal.signal(number, self._end) for number in (signal.SIGINT, signal.SIGTERM)}

    def close(self) -> None:
        """Give the signals back."""
        signal.set_wakeup_fd(self._before)
        self._notifier.setEnabled(False)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._read.close()
        self._write.close()

    def _drain(self) -> None:
        self._read.recv(64)

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._wanted()


def make_application(arguments: list[str]) -> QApplication:
    """The Qt application with Segue's name, style and font. Themes come with the first state."""
    application = QApplication(arguments)
    application.setApplicationName("Segue")
    application.setDesktopFileName("segue")
    application.setStyle("Fusion")
    # The tray keeps the program alive; the window decides when to quit.
    application.setQuitOnLastWindowClosed(False)
    use_translator(lambda text, count: QCoreApplication.translate("text", text, "", -1 if count is None else count))
    choose_font(application)
    apply_theme("system")
    return application


def versions() -> Versions:
    """What runs here."""
    return Versions(
        segue=importlib.metadata.version("segue"),
        qt=qVersion(),
        python=platform.python_version(),
        system=platform.system(),
    )
