"""Everything can be reached and used without a mouse, and has a name for assistive technology."""

import msgspec
import pytest
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QScrollBar,
    QWidget,
)
from pytestqt.qtbot import QtBot

from app.ipc.messages import EngineState, HangUpCall, PlaceCall, SetMuted
from app.ui.main_window import MainWindow
from app.ui.panel.path_strip import PathStrip
from tests.gui.recording_bridge import RecordingBridge
from tests.gui.scenes import PREPARE
from tests.gui.states import BOB, CHANGED, DIRECT, FIRST, HARDEST, HOME, NOTICES, TALKING, call, with_

# Whole calls in virtual time, or whole pages: seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow

CONTROLS = (QAbstractButton, QLineEdit, QComboBox, QAbstractSlider, QAbstractItemView, PathStrip)
PAGES: dict[str, tuple[EngineState, str]] = {
    "first-name": (FIRST, "name"),
    "first-relay": (FIRST, "relay"),
    "first-sound": (FIRST, "sound"),
    "first-ready": (with_(FIRST, me=HOME.me, contacts=HOME.contacts), "ready"),
    "home": (with_(HOME, notices=NOTICES), "bob"),
    "home-typed": (HOME, "typed"),
    "home-latest": (HOME, "latest"),
    "home-network": (HOME, "network"),
    "home-empty": (with_(HOME, contacts=()), ""),
    "calling": (with_(HOME, call=call("ringing")), ""),
    "incoming": (with_(HOME, call=call("incoming")), ""),
    "talking": (with_(HOME, call=TALKING), ""),
    "panel": (with_(HOME, call=DIRECT), "panel"),
    "panel-hardest": (with_(HOME, call=HARDEST), "panel-end"),
    "ended": (with_(HOME, call=call("ended")), ""),
    "changed": (with_(HOME, call=CHANGED), ""),
    "gone": (HOME, "gone"),
    **{f"settings-{place}": (HOME, f"section-{place}") for place in range(5)},
}


def in_order(window: MainWindow, state: EngineState, prepare: str, qapp: QApplication) -> None:
    window.show_state(state)
    if prepare:
        PREPARE[prepare](window, state)
    qapp.processEvents()
    window.incoming.hide()
    window.activateWindow()
    qapp.processEvents()


def usable(window: QWidget) -> set[QWidget]:
    found = set()
    for widget in window.findChildren(QWidget):
        inner = isinstance(widget.parent(), QComboBox) or isinstance(widget, QScrollBar)
        if isinstance(widget, CONTROLS) and widget.isVisible() and widget.isEnabled() and not inner:
            found.add(widget)
    return found


def tab_reaches_every_control(qtbot: QtBot, window: MainWindow, qapp: QApplication) -> None:
    reached: set[QWidget] = set()
    for _ in range(120):
        focused = qapp.focusWidget()
        if focused in reached and focused in usable(window):
            break  # once around
        if focused is not None:
            reached.add(focused)
        qtbot.keyClick(focused or window, Qt.Key.Key_Tab)
    missing = {f"{type(one).__name__} {one.objectName()}" for one in usable(window) - reached}
    assert not missing
    assert len(usable(window)) >= 1


def every_control_has_a_name(window: MainWindow) -> None:
    for widget in usable(window):
        face = QAccessible.queryAccessibleInterface(widget)
        assert face.text(QAccessible.Text.Name), f"{type(widget).__name__} {widget.objectName()} has no name"
        assert widget.objectName(), f"{type(widget).__name__} has no object name"


def focus_can_be_seen(window: MainWindow) -> None:
    """Each control looks different with the focus than without."""
    for widget in usable(window):
        if isinstance(widget, QLineEdit | QAbstractItemView):
            continue  # a text cursor, a chosen row
        window.setFocus()
        before = widget.grab().toImage()
        widget.setFocus(Qt.FocusReason.TabFocusReason)
        assert widget.hasFocus()
        assert widget.grab().toImage() != before, f"{widget.objectName()} hides its focus"


def no_text_is_cut(window: MainWindow) -> None:
    """At the window's usual size every label and button has the room that its words need."""
    for button in window.findChildren(QAbstractButton):
        if button.isVisible() and button.text():
            assert button.width() >= button.minimumSizeHint().width(), f"{button.objectName()}: {button.text()}"
            words = button.fontMetrics().horizontalAdvance(button.text())
            icon = button.iconSize().width() if not button.icon().isNull() else 0
            assert words + icon + 8 <= button.width(), f"{button.objectName()}: {button.text()}"
    for label in window.findChildren(QLabel):
        if label.isVisible() and label.text() and not label.text().endswith("…"):
            # A pixel for the rounding of wide glyphs.
            assert label.height() + 1 >= label.heightForWidth(label.width()), label.text()


@pytest.mark.parametrize("page", PAGES)
def test_page_without_a_mouse(qtbot: QtBot, window: MainWindow, qapp: QApplication, page: str) -> None:
    # One window for all four: making it is what takes the time.
    in_order(window, *PAGES[page], qapp)
    every_control_has_a_name(window)
    no_text_is_cut(window)
    focus_can_be_seen(window)
    tab_reaches_every_control(qtbot, window, qapp)


@pytest.mark.parametrize("page", PAGES)
def test_nothing_pops_up(window: MainWindow, qapp: QApplication, page: str) -> None:
    """A part that is shown before it has a parent would be a window of its own for a moment."""
    popped: list[QWidget] = []

    class Watch(QObject):
        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
                popped.append(watched)
            return False

    watch = Watch()
    qapp.installEventFilter(watch)
    in_order(window, *PAGES[page], qapp)
    qapp.removeEventFilter(watch)
    assert {one.objectName() for one in popped} <= {"incoming_window", "main_window"}


def test_a_whole_call_with_keys_only(
    qtbot: QtBot, window: MainWindow, bridge: RecordingBridge, qapp: QApplication
) -> None:
    in_order(window, HOME, "", qapp)

    def tab_to(name: str) -> QWidget:
        for _ in range(60):
            focused = qapp.focusWidget()
            if focused is not None and focused.objectName() == name:
                return focused
            qtbot.keyClick(focused or window, Qt.Key.Key_Tab)
        raise AssertionError(f"{name} was not reached")

    search = tab_to("search")
    qtbot.keyClicks(search, "bob")
    qtbot.keyClick(search, Qt.Key.Key_Return)
    focused = qapp.focusWidget()
    assert focused is not None and focused.objectName() == "call_button"
    qtbot.keyClick(focused, Qt.Key.Key_Space)
    assert bridge.sent == [PlaceCall(BOB.address)]
    bridge.sent.clear()
    window.show_state(with_(HOME, call=TALKING))
    qapp.processEvents()
    qtbot.keyClick(tab_to("connection_line"), Qt.Key.Key_Space)
    assert window.call.panel.isVisible()
    qtbot.keyClick(tab_to("mute_button"), Qt.Key.Key_Space)
    window.show_state(with_(HOME, call=msgspec.structs.replace(TALKING, muted=True)))
    qtbot.keyClick(tab_to("hang_up"), Qt.Key.Key_Space)
    assert bridge.sent == [SetMuted(True), HangUpCall("call-1")]
