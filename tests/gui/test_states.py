"""What the window shows for what the engine says."""

import msgspec
import pytest
from PySide6.QtWidgets import QApplication

from app.ipc import messages
from app.ipc.engine_state import Notice
from app.ipc.messages import CommandFailed, EngineState, MeterMicrophone
from app.ui.main_window import MainWindow, page_for
from app.ui.theme.palette import DARK, LIGHT
from app.ui.theme.theme import colours
from app.ui.tray import Tray
from tests.gui.recording_bridge import RecordingBridge
from tests.gui.scenes import PREPARE
from tests.gui.states import CHANGED, FIRST, HOME, NOTICES, TALKING, call, themed, with_
from tests.gui.text import words

# Seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("state", "flags", "page"),
    [
        (None, {}, "starting"),
        (EngineState(), {}, "starting"),
        (HOME, {}, "home"),
        (HOME, {"in_settings": True}, "settings"),
        (HOME, {"gone": True}, "engine_down"),
        (None, {"gone": True}, "engine_down"),
        (FIRST, {}, "first_run"),
        (FIRST, {"skipped": True}, "home"),
        (with_(HOME, call=TALKING), {"in_settings": True}, "call"),
        (with_(FIRST, call=TALKING), {}, "call"),
        (with_(HOME, call=CHANGED), {}, "key_changed"),
        (with_(HOME, call=call("incoming", trust="changed")), {}, "key_changed"),
        (with_(HOME, call=TALKING), {"gone": True}, "engine_down"),
    ],
)
def test_page_for(state: EngineState | None, flags: dict[str, bool], page: str) -> None:
    known = {"gone": False, "skipped": False, "in_settings": False}
    assert page_for(state, **{**known, **flags}) == page


def test_the_microphone_is_open_only_while_its_level_is_shown(window: MainWindow, bridge: RecordingBridge) -> None:
    window.show_state(HOME)
    window.home.settings_wanted.emit()
    window.settings.open_section(1)
    window.settings.open_section(0)
    window.show_state(with_(HOME, audio=msgspec.structs.replace(HOME.audio, recording_test="recording")))
    window.settings.closed.emit()
    assert bridge.sent == [
        MeterMicrophone(True),
        MeterMicrophone(False),
        MeterMicrophone(True),
        MeterMicrophone(False),
        messages.TestRecording(False),
    ]


def test_the_meter_is_closed_with_the_window_and_opens_with_it(
    window: MainWindow, bridge: RecordingBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tray, "available", property(lambda tray: True))
    window.show_state(HOME)
    window.home.settings_wanted.emit()
    window.close()
    assert not window.isVisible()
    window.rise()
    assert window.isVisible()
    assert bridge.sent == [MeterMicrophone(True), MeterMicrophone(False), MeterMicrophone(True)]


def test_starting_in_the_tray(window: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tray, "available", property(lambda tray: True))
    window.show_state(with_(HOME, settings=msgspec.structs.replace(HOME.settings, start_in_tray=True)))
    assert not window.isVisible()
    window.tray.open_wanted.emit()
    window.show_state(with_(HOME, settings=msgspec.structs.replace(HOME.settings, start_in_tray=True)))
    assert window.isVisible()


# -- notices, failures, theme --------------------------------------------------------------------------------------


def test_notices_are_listed_and_go(window: MainWindow, qapp: QApplication) -> None:
    window.show_state(with_(HOME, notices=NOTICES))
    assert "settings could not be read" in words(window.notices)
    many = tuple(Notice(number, "info", "entries-unreadable", {"count": number}) for number in range(9))
    window.show_state(with_(HOME, notices=many))
    qapp.processEvents()
    assert "6 more" in words(window.notices)
    window.show_state(HOME)
    assert not window.notices.isVisible()


def test_a_refused_command_is_explained(window: MainWindow) -> None:
    window.show_state(HOME)
    window.command_failed(CommandFailed("PlaceCall", "There is no zoe at relay.example."))
    assert "There is no zoe at relay.example." in words(window)


def test_a_refused_registration_is_explained_where_it_was_typed(window: MainWindow) -> None:
    window.show_state(FIRST)
    PREPARE["relay"](window, FIRST)
    window.command_failed(CommandFailed("RegisterName", "relay-unreachable", field="relay"))
    assert "The relay of this address does not answer." in words(window.first_run) and not window.errors.isVisible()
    window.command_failed(CommandFailed("RegisterName", "name-taken", field="name"))
    assert "Somebody else has this name" in words(window.first_run)
    assert "Step 1 of 3" in words(window.first_run)
    window.command_failed(CommandFailed("PlaceCall", "in-call"))
    assert "You are in a call. Hang up first." in words(window.errors)


def test_the_theme_follows_the_settings(window: MainWindow, qapp: QApplication) -> None:
    window.show_state(themed(HOME, "dark"))
    assert colours() == DARK
    window.show_state(themed(HOME, "light"))
    assert colours() == LIGHT


# -- the engine goes -----------------------------------------------------------------------------------------------


def test_a_gone_engine_is_reported_and_restarted(window: MainWindow, bridge: RecordingBridge) -> None:
    window.show_state(with_(HOME, call=call("incoming")))
    assert window.incoming.isVisible()
    bridge.engine_gone.emit("It stopped by itself.")
    assert window.shown_page() == "engine_down"
    assert "It stopped by itself." in words(window.engine_down)
    assert not window.incoming.isVisible()
    button = window.engine_down.restart
    button.click()
    assert bridge.opened == 1
    assert window.shown_page() == "starting"
    bridge.state_changed.emit(HOME)
    assert window.shown_page() == "home"


def test_a_new_engine_is_asked_again_for_the_level(window: MainWindow, bridge: RecordingBridge) -> None:
    window.show_state(HOME)
    window.home.settings_wanted.emit()
    bridge.engine_gone.emit("It stopped by itself.")
    window.engine_down.restart.click()
    bridge.sent.clear()
    bridge.state_changed.emit(HOME)
    assert window.shown_page() == "settings"
    assert bridge.sent == [MeterMicrophone(True)]
