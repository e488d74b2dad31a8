"""The small window of an incoming call."""

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton
from pytestqt.qtbot import QtBot

from app.ipc.messages import AnswerCall, BlockCaller, DeclineCall
from app.ui.main_window import MainWindow
from app.ui.pages.incoming import IncomingWindow
from app.ui.tray import notification
from tests.gui.states import CLAIM, DIRECT, HOME, TALKING, call, with_
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


def test_a_claim_of_a_guest_is_shown_as_one_on_every_page(qtbot: QtBot, window: MainWindow) -> None:
    claimed = call("incoming", **CLAIM)
    small, _ = incoming(qtbot, **{name: value for name, value in CLAIM.items() if name != "outgoing"})
    changed = msgspec.structs.replace(claimed, trust="changed")
    for page, shown in ((window.call, claimed), (window.key_changed, changed), (small, claimed), (small, changed)):
        window.show_state(with_(HOME, call=shown))
        if page is small:
            small.show_call(shown)
        seen = words(page)
        assert "says to be bob@relay.example:7850" in seen.replace("Says", "says")
        assert page is window.key_changed or "A guest" in seen
    assert not window.key_changed._acceptance.isVisibleTo(window.key_changed)
    assert notification(claimed) == ("A guest is calling", "Says to be bob@relay.example:7850")
    talking = msgspec.structs.replace(DIRECT, title="claimed-name", vouched=False)
    window.show_state(with_(HOME, call=talking))
    window.call.open_panel(True)
    assert "claimed-name" not in words(window) and "A guest" in words(window.call.panel)
    window.show_state(with_(HOME, call=msgspec.structs.replace(changed, vouched=True)))
    assert window.key_changed._acceptance.isVisibleTo(window.key_changed)


def test_block_where_it_rings_blocks_at_once(qtbot: QtBot) -> None:
    window, commands = incoming(qtbot)
    button = window.findChild(QAbstractButton, "incoming_block")
    assert button is not None
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert commands == [BlockCaller("call-1")]


def test_enter_on_block_does_not_answer(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    window, commands = incoming(qtbot)
    monkeypatch.setattr(window._block, "hasFocus", lambda: True)
    qtbot.keyClick(window, Qt.Key.Key_Return)
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    assert commands == [BlockCaller("call-1"), DeclineCall("call-1")]
