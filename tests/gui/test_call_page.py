"""The call page: its text, meters and buttons in each phase; when the microphone is open."""

import msgspec
import pytest
from PySide6.QtWidgets import QAbstractButton, QApplication
from pytestqt.qtbot import QtBot

from app.ipc.engine_state import DeviceProblem
from app.ipc.messages import Levels, MeterMicrophone
from app.ui.main_window import MainWindow
from app.ui.widgets.level_bars import LevelBars
from tests.gui.pictures import StillStyle
from tests.gui.recording_bridge import RecordingBridge
from tests.gui.scenes import VERSIONS
from tests.gui.states import DIRECT, HOME, NOW, TALKING, call, with_
from tests.gui.text import words

# Seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (call("calling"), ["Calling…", "Hang up"]),
        (call("ringing"), ["Ringing…", "Hang up"]),
        (call("connecting"), ["Connecting…"]),
        (call("incoming", first_call=True), ["First call from this person", "Answer", "Decline"]),
        (TALKING, ["0:47", "On the relay · 31 ms", "Mute", "Hang up"]),
        (msgspec.structs.replace(TALKING, rtt_ms=None), ["On the relay"]),
        (DIRECT, ["Direct · 23 ms"]),
        (msgspec.structs.replace(TALKING, muted=True), ["Unmute", "You (muted)"]),
        (msgspec.structs.replace(TALKING, peer_muted=True), ["Bob Okafor is muted."]),
        (
            msgspec.structs.replace(TALKING, phase="reconnecting", reconnecting_since=NOW - 4),
            ["Reconnecting… 0:04", "No connection", "keeps trying"],
        ),
        (
            msgspec.structs.replace(DIRECT, phase="ended", ended=NOW, end_reason="hung-up"),
            ["0:47", "The call has ended.", "Close", "Call again", "Connection details"],
        ),
        (call("ended", ended=NOW, end_reason="declined", blocked=True), ["You blocked them.", "Close"]),
        (call("ended", ended=NOW, end_reason="no-answer"), ["Not connected", "Nobody answered. Try again later."]),
    ],
)
def test_call_page(window: MainWindow, shown: object, expected: list[str]) -> None:
    window.show_state(with_(HOME, call=shown))
    seen = words(window.call)
    for part in expected:
        assert part in seen


def test_the_clock_runs_without_news_from_the_engine(qtbot: QtBot, bridge: RecordingBridge) -> None:
    now = [NOW]
    window = MainWindow(bridge, VERSIONS, now=lambda: now[0])
    qtbot.addWidget(window)
    window.show_state(with_(HOME, call=TALKING))
    now[0] += 61
    qtbot.waitUntil(lambda: "1:48" in words(window.call), timeout=2_000)


def test_device_problems_are_shown_in_the_call(window: MainWindow) -> None:
    audio = msgspec.structs.replace(HOME.audio, input_problem=DeviceProblem("gone"))
    window.show_state(with_(HOME, call=TALKING, audio=audio))
    assert "The microphone was unplugged." in words(window.call)
    window.show_state(with_(HOME, call=TALKING))
    assert "unplugged" not in words(window.call)


def test_levels_move_the_meters_of_the_page_that_is_shown(window: MainWindow) -> None:
    window.show_state(with_(HOME, call=TALKING))
    window.show_levels(Levels(0.5, 0.25))
    you, them = window.findChild(LevelBars, "level_you"), window.findChild(LevelBars, "level_them")
    assert you is not None and them is not None
    assert (you.level, them.level) == (0.5, 0.25)
    window.show_levels(Levels(7.0, -3.0))
    assert (you.level, them.level) == (1.0, 0.0)


def test_a_call_that_comes_while_in_the_settings_closes_the_meter(window: MainWindow, bridge: RecordingBridge) -> None:
    window.show_state(HOME)
    window.home.settings_wanted.emit()
    window.show_state(with_(HOME, call=call("incoming")))
    assert window.shown_page() == "call"
    assert bridge.sent == [MeterMicrophone(True), MeterMicrophone(False)]


def test_a_change_of_path_is_shown_by_a_short_movement(qtbot: QtBot, window: MainWindow, qapp: QApplication) -> None:
    line = window.findChild(QAbstractButton, "connection_line")
    assert line is not None
    effect = line.graphicsEffect()
    window.show_state(with_(HOME, call=TALKING))
    window.show_state(with_(HOME, call=msgspec.structs.replace(TALKING, rtt_ms=33.0)))
    assert not effect.isEnabled()  # the same path: nothing moves
    window.show_state(with_(HOME, call=DIRECT))
    assert effect.isEnabled()
    qtbot.waitUntil(lambda: not effect.isEnabled(), timeout=2_000)
    qapp.setStyle(StillStyle("Fusion"))
    window.show_state(with_(HOME, call=TALKING))
    moved = effect.isEnabled()
    qapp.setStyle("Fusion")
    assert not moved  # the desktop asks for no motion
