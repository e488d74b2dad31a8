"""The small window of an incoming call."""

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.ipc.messages import AnswerCall, DeclineCall
from app.ui.pages.incoming import IncomingWindow
from tests.gui.states import TALKING, call
from tests.gui.text import words

# Seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow


def incoming(qtbot: QtBot, after_s: float = 2.0, **more: object) -> tuple[IncomingWindow, list[object]]:
    sent: list[object] = []
    clock = [0.0]
    window = IncomingWindow(sent.append, lambda: clock[0])
    qtbot.addWidget(window)
    window.show_call(call("incoming", outgoing=False, **more))
    clock[0] = after_s
    return window, sent


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        (Qt.Key.Key_Return, [AnswerCall("call-1")]),
        (Qt.Key.Key_Enter, [AnswerCall("call-1")]),
        (Qt.Key.Key_Escape, [DeclineCall("call-1")]),
        (Qt.Key.Key_Space, []),
        (Qt.Key.Key_A, []),
    ],
)
def test_keys_of_the_incoming_window(qtbot: QtBot, key: Qt.Key, sent: list[object]) -> None:
    window, commands = incoming(qtbot)
    qtbot.keyClick(window, key)
    assert commands == sent


def test_a_key_meant_for_another_window_answers_nothing(qtbot: QtBot) -> None:
    window, commands = incoming(qtbot, after_s=0.3)
    for key in (Qt.Key.Key_Return, Qt.Key.Key_Escape, Qt.Key.Key_Space):
        qtbot.keyClick(window, key)
    assert commands == []


def test_incoming_says_who_and_whether_they_are_new(qtbot: QtBot) -> None:
    window, _ = incoming(qtbot, first_call=True)
    assert window.isVisible()
    seen = words(window)
    assert "Bob Okafor" in seen and "bob@relay.example:7850" in seen and "First call from this person" in seen
    window.show_call(TALKING)
    assert not window.isVisible()


def test_a_changed_key_cannot_be_answered_from_the_small_window(qtbot: QtBot) -> None:
    window, commands = incoming(qtbot, trust="changed")
    assert "their key has changed" in words(window)
    with qtbot.waitSignal(window.look_wanted, timeout=1_000):
        qtbot.keyClick(window, Qt.Key.Key_Return)
    assert commands == []
