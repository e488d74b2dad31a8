"""What strangers call themselves cannot become markup, turn the words beside it round, or push the layout apart."""

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QWidget
from pytestqt.qtbot import QtBot

from app.ipc.engine_state import AudioDevice, Contact, DeviceProblem, Notice
from app.ipc.messages import CommandFailed, EngineState
from app.ui.main_window import MainWindow
from app.ui.pages.incoming import WIDTH_PX, IncomingWindow
from app.ui.tray import notification
from tests.gui.scenes import PREPARE
from tests.gui.states import BOB, HOME, RECENTS, SAFETY, TALKING, call, with_

# Whole calls in virtual time, or whole pages: seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow

HOSTILE = (
    "<b>bold</b><img src='file:///etc/passwd'>",
    "<a href='https://evil.example'>Answer</a>",
    "W" * 2_000,
    "one two three " * 140,
    "a\nb\r\nc\u2028d\u2029e\x00f\x07g",
    "\u202egnp.evil\u202c \u2066hidden\u2069 \u200f\u200e",
    "ـ" * 50 + "مرحبا بالعالم",
    "🧑\u200d🚀" * 200,
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘" * 20,
    "&&&&&&&&",
    "%1 %n {0} {} {name}",
    "",
)
# What no shown text may have: controls and what turns the direction.
FORBIDDEN = set("\x00\x07\r\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def states(text: str) -> list[tuple[EngineState, str]]:
    contact = Contact(BOB.address, alias=text, online=True, trust="first-use", safety_number=SAFETY, last_call=1.0)
    strange = msgspec.structs.replace(TALKING, title=text, address=text)
    ended = call("ended", title=text, end_reason="failed", end_detail=text)
    changed = msgspec.structs.replace(ended, trust="changed")
    devices = (AudioDevice("x", text, is_default=True),)
    audio = msgspec.structs.replace(
        HOME.audio,
        inputs=devices,
        outputs=devices,
        input_problem=DeviceProblem("gone", text),
        output_problem=DeviceProblem("failed", text),
    )
    recents = tuple(msgspec.structs.replace(one, address=text or one.address) for one in RECENTS)
    notices = (Notice(1, "error", "key-was-open", {"path": text}),)
    home = with_(HOME, contacts=(contact,), recents=recents, notices=notices)
    refused = {"relay": "refused", "relay_problem": "refused", "relay_detail": text}
    me = msgspec.structs.replace(HOME.me, name=text, address=text, **refused)
    return [
        (home, ""),
        (home, "latest"),
        (with_(HOME, me=me), ""),
        (with_(HOME, me=me, data_place=text, contacts=(msgspec.structs.replace(contact, blocked=True),)), "section-2"),
        (with_(HOME, me=me), "section-1"),
        (with_(HOME, audio=audio), "section-0"),
        (with_(HOME, call=strange, audio=audio), ""),
        (with_(HOME, call=strange), "panel"),
        (with_(HOME, call=ended), ""),
        (with_(HOME, call=changed), ""),
        (with_(HOME, call=call("incoming", title=text, address=text)), ""),
    ]


def shown_labels(widget: QWidget) -> list[QLabel]:
    return [label for label in widget.findChildren(QLabel) if label.isVisibleTo(widget)]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_strange_names_stay_plain_and_inside(qtbot: QtBot, window: MainWindow, text: str) -> None:
    window.resize(800, 560)
    size = window.size()
    for state, prepare in states(text):
        window._in_settings = False
        window.show_state(state)
        if prepare:
            PREPARE[prepare](window, state)
        window.command_failed(CommandFailed("PlaceCall", "failed", {"detail": text}))
        window.grab()
        assert window.size() == size, (state.call, prepare)
        assert window.minimumSizeHint().width() <= size.width()
        for label in shown_labels(window):
            assert label.textFormat() == Qt.TextFormat.PlainText
            assert not FORBIDDEN & set(label.text())
            assert len(label.text()) <= 700
        for button in window.findChildren(QAbstractButton):
            assert "<" not in button.toolTip() and not FORBIDDEN & set(button.text())


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_strange_names_in_the_incoming_window(qtbot: QtBot, text: str) -> None:
    window = IncomingWindow(lambda command: None)
    qtbot.addWidget(window)
    window.show_call(call("incoming", title=text, address=text))
    assert window.width() == WIDTH_PX and window.height() < 400
    for label in shown_labels(window):
        assert label.textFormat() == Qt.TextFormat.PlainText
    for part in notification(call("incoming", title=text, address=text)):
        assert not set("<>&") & set(part) and len(part) < 200 and not FORBIDDEN & set(part)


def test_right_to_left_mirrors_the_window(window: MainWindow, qapp: QApplication) -> None:
    window.show_state(HOME)
    window.home.people.select(BOB.address)
    window.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
    qapp.processEvents()
    button = window.findChild(QAbstractButton, "call_button")
    assert button is not None
    people = window.home.people
    assert people.mapTo(window, people.rect().center()).x() > window.width() / 2
    assert button.mapTo(window, button.rect().center()).x() < window.width() / 2
