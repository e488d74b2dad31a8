"""One QApplication for the test process, drawn into memory, in Segue's style."""

import os

# Before Qt is imported by anyone.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.pop("XDG_CURRENT_DESKTOP", None)

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.ui.main_window import MainWindow
from app.ui.theme.palette import LIGHT
from app.ui.theme.theme import apply_style, choose_font
from tests.gui.recording_bridge import RecordingBridge
from tests.gui.scenes import VERSIONS
from tests.gui.states import NOW


@pytest.fixture(autouse=True)
def look(qapp: QApplication) -> Iterator[None]:
    """Every test begins in the light theme, and leaves no widget behind."""
    if qapp.style().name() != "fusion":
        qapp.setStyle("Fusion")
    qapp.setQuitOnLastWindowClosed(False)
    choose_font(qapp)
    apply_style(LIGHT)
    yield
    # pytest-qt closes the windows and asks for their deletion; without a running loop that is only a posted event.
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


@pytest.fixture
def bridge(qapp: QApplication) -> RecordingBridge:
    """A bridge without an engine: it keeps what the window sends, and the test speaks for the engine."""
    return RecordingBridge()


@pytest.fixture
def window(qtbot: QtBot, bridge: RecordingBridge) -> Iterator[MainWindow]:
    """The main window on that bridge, shown; its clock stands at ``NOW``."""
    made = MainWindow(bridge, VERSIONS, now=lambda: NOW)
    qtbot.addWidget(made)
    qtbot.addWidget(made.incoming)
    made.show()
    yield made
    made.tray.hide()
