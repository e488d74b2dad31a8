"""Every button sends its command, and nothing else."""

from pathlib import Path

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox, QFileDialog, QLabel, QLineEdit, QMenu, QSlider
from pytestqt.qtbot import QtBot

from app.ipc import messages
from app.ipc.engine_state import BlockedGuest
from app.ipc.messages import (
    AddContact,
    AnswerCall,
    BlockCaller,
    BlockContact,
    ChangeSettings,
    DeclineCall,
    DismissCall,
    DismissNotice,
    EndEngine,
    EngineState,
    EraseHistory,
    EraseNetworks,
    GetReport,
    HangUpCall,
    PlaceCall,
    RefreshDevices,
    RegisterName,
    RemoveContact,
    Report,
    SaveTrace,
    SetMuted,
    SignOff,
    TraceSaved,
    TrustKey,
    TryHere,
    UnblockKey,
    WindowMessage,
)
from app.ui.main_window import MainWindow
from app.ui.panel.export import TraceSaver
from tests.gui.recording_bridge import RecordingBridge
from tests.gui.scenes import PREPARE, VERSIONS
from tests.gui.states import BOB, CHANGED, DIRECT, FIRST, HOME, KEY, NOTICES, TALKING, call, with_

# Seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow


def button(window: MainWindow, name: str) -> QAbstractButton:
    found = [one for one in window.findChildren(QAbstractButton, name) if one.isVisibleTo(window)]
    assert len(found) == 1, f"{len(found)} visible buttons are called {name}"
    return found[0]


def press(window: MainWindow, *names: str) -> None:
    for name in names:
        button(window, name).click()


CALLING = call("calling")
INCOMING = call("incoming", outgoing=False)
ENDED = call("ended", end_reason="no-answer")
MUTED = msgspec.structs.replace(TALKING, muted=True)
GUESTS = (BlockedGuest(KEY, "zoe@calls.example:7850"),)
BLOCKED = msgspec.structs.replace(BOB, blocked=True)
UNTRUSTED = msgspec.structs.replace(INCOMING, trust="changed")


def settings(**fields: object) -> ChangeSettings:
    return ChangeSettings(settings=msgspec.structs.replace(HOME.settings, **fields))


@pytest.mark.parametrize(
    ("state", "prepare", "names", "sent"),
    [
        (HOME, "bob", ["call_button"], [PlaceCall(BOB.address)]),
        (HOME, "bob", ["block_button"], [BlockContact(BOB.address, True)]),
        (with_(HOME, contacts=(BLOCKED,)), "", ["block_button"], [BlockContact(BOB.address, False)]),
        (HOME, "bob", ["remove_button", "question_no"], []),
        (HOME, "bob", ["remove_button", "question_yes"], [RemoveContact(BOB.address)]),
        (HOME, "bob", ["verify_button", "question_yes"], [TrustKey(BOB.address, KEY, True)]),
        (HOME, "latest", ["erase_button", "question_yes"], [EraseHistory()]),
        (HOME, "typed", ["call_address"], [PlaceCall("zoe@calls.example")]),
        (HOME, "typed", ["add_address"], [AddContact("zoe@calls.example")]),
        (with_(HOME, notices=NOTICES), "", ["notice_2"], [DismissNotice(2)]),
        (with_(HOME, call=CALLING), "", ["hang_up"], [HangUpCall("call-1")]),
        (with_(HOME, call=INCOMING), "", ["page_answer"], [AnswerCall("call-1")]),
        (with_(HOME, call=INCOMING), "", ["page_decline"], [DeclineCall("call-1")]),
        (with_(HOME, call=INCOMING), "", ["block_caller", "question_yes"], [BlockCaller("call-1")]),
        (with_(HOME, call=TALKING), "", ["block_caller", "question_yes"], [BlockCaller("call-1")]),
        (with_(HOME, call=ENDED), "", ["block_caller", "question_yes"], [BlockCaller("call-1")]),
        (with_(HOME, call=TALKING), "", ["block_caller", "question_no"], []),
        (with_(HOME, call=TALKING), "", ["mute_button"], [SetMuted(True)]),
        (with_(HOME, call=MUTED), "", ["mute_button"], [SetMuted(False)]),
        (with_(HOME, call=TALKING), "", ["hang_up"], [HangUpCall("call-1")]),
        (with_(HOME, call=TALKING), "panel", ["copy_report"], [GetReport("call-1")]),
        (with_(HOME, call=ENDED), "", ["close_call"], [DismissCall("call-1")]),
        (with_(HOME, call=ENDED), "", ["call_again"], [DismissCall("call-1"), PlaceCall(BOB.address)]),
        (with_(HOME, call=CHANGED), "", ["refuse_call"], [DismissCall("call-1")]),
        (
            with_(HOME, call=CHANGED),
            "",
            ["accept_key", "question_yes"],
            [TrustKey(BOB.address, KEY, False), DismissCall("call-1")],
        ),
        (with_(HOME, call=CHANGED), "", ["accept_key", "question_no"], []),
        (with_(HOME, call=UNTRUSTED), "", ["refuse_call"], [DeclineCall("call-1")]),
        (with_(HOME, call=UNTRUSTED), "", ["accept_key", "question_yes"], [TrustKey(BOB.address, KEY, False)]),
        (HOME, "section-1", ["switch_always_relay"], [settings(always_relay=True)]),
        (HOME, "section-1", ["switch_try_harder"], [settings(try_harder=True)]),
        (HOME, "section-1", ["switch_port_mapping"], [settings(port_mapping=False)]),
        (HOME, "section-1", ["erase_networks", "question_yes"], [EraseNetworks()]),
        (HOME, "section-1", ["erase_networks", "question_no"], []),
        (HOME, "section-1", ["sign_off", "question_yes"], [SignOff()]),
        (HOME, "section-2", ["erase_history", "question_yes"], [EraseHistory()]),
        (HOME, "section-2", ["switch_contacts_only"], [settings(contacts_only=True)]),
        (with_(HOME, contacts=(), blocked_guests=GUESTS), "section-2", ["unblock"], [UnblockKey(KEY)]),
        (HOME, "section-2", ["unblock"], [BlockContact(HOME.contacts[-1].address, False)]),
        (HOME, "section-3", ["switch_notifications"], [settings(notifications=False)]),
        (HOME, "section-3", ["switch_start_in_tray"], [settings(start_in_tray=True)]),
        (HOME, "section-3", ["switch_keep_call_without_window"], [settings(keep_call_without_window=False)]),
        (HOME, "section-4", ["copy_last_report"], [GetReport(HOME.recents[0].call_id)]),
        (HOME, "section-0", ["test_recording"], [messages.TestRecording(True)]),
        (HOME, "section-0", ["refresh_devices"], [RefreshDevices()]),
    ],
)
def test_button(
    window: MainWindow,
    bridge: RecordingBridge,
    state: EngineState,
    prepare: str,
    names: list[str],
    sent: list[WindowMessage],
) -> None:
    window.show_state(state)
    if prepare:
        PREPARE[prepare](window, state)
    bridge.sent.clear()
    press(window, *names)
    assert bridge.sent == sent


def test_rename_asks_for_the_name(window: MainWindow, bridge: RecordingBridge) -> None:
    window.show_state(HOME)
    window.home.people.select(BOB.address)
    press(window, "rename_button")
    field = window.findChild(QLineEdit, "rename_field")
    assert field is not None and field.text() == BOB.alias
    field.setText("")
    assert not button(window, "question_yes").isEnabled()
    field.setText("  Bobby ")
    press(window, "question_yes")
    assert bridge.sent == [AddContact(BOB.address, "Bobby")]


def test_add_asks_for_address_and_name(window: MainWindow, bridge: RecordingBridge) -> None:
    window.show_state(HOME)
    press(window, "add_button")
    for name, text in (("new_address", " zoe@calls.example "), ("new_alias", "Zoë")):
        field = window.findChild(QLineEdit, name)
        assert field is not None
        field.setText(text)
    press(window, "question_yes")
    assert bridge.sent == [AddContact("zoe@calls.example", "Zoë")]


def test_choosing_devices_in_the_settings(window: MainWindow, bridge: RecordingBridge) -> None:
    window.show_state(HOME)
    PREPARE["section-0"](window, HOME)
    bridge.sent.clear()
    for name, place in (("input_choice", 2), ("output_choice", 1)):
        choice = window.findChild(QComboBox, name)
        assert choice is not None
        choice.activated.emit(place)
    assert bridge.sent == [settings(input_device="mic-2"), settings(output_device="out-1")]


def test_theme_and_ring_volume(window: MainWindow, bridge: RecordingBridge) -> None:
    window.show_state(HOME)
    PREPARE["section-3"](window, HOME)
    bridge.sent.clear()
    theme = window.findChild(QComboBox, "theme_choice")
    volume = window.findChild(QSlider, "ring_volume")
    assert theme is not None and volume is not None
    theme.activated.emit(2)
    volume.setValue(30)
    assert bridge.sent == [settings(theme="dark"), settings(ring_volume=0.3)]


def test_the_devices_menu_of_a_call(window: MainWindow, bridge: RecordingBridge, qapp: QApplication) -> None:
    window.show_state(with_(HOME, call=TALKING))
    press(window, "devices_button")
    menu = window.findChild(QMenu, "devices_menu")
    assert menu is not None
    actions = [action for action in menu.actions() if action.text()]
    words = [action.text() for action in actions]
    assert words.count("System default") == 2 and words.count("Jabra Evolve2 65 (USB headset)") == 2
    assert [action.text() for action in actions if action.isChecked()] == ["System default"] * 2
    actions[words.index("Jabra Evolve2 65 (USB headset)")].trigger()
    actions[-1].trigger()
    assert bridge.sent == [settings(input_device="mic-2"), RefreshDevices()]
    menu.close()


def test_copied_report_reaches_the_clipboard(window: MainWindow, qapp: QApplication) -> None:
    window.show_state(with_(HOME, call=DIRECT))
    PREPARE["panel"](window, with_(HOME, call=DIRECT))
    qapp.clipboard().clear()
    window.take_report(Report("call-1", '{"version": 0}'))
    assert qapp.clipboard().text() == ""  # nobody asked
    press(window, "copy_report")
    window.take_report(Report("another", '{"version": 1}'))
    window.take_report(Report("call-1", '{"version": 2}'))
    assert qapp.clipboard().text() == '{"version": 2}'


@pytest.mark.parametrize(("choice", "with_addresses"), [("trace_to_share", False), ("trace_for_self", True)])
def test_a_trace_is_saved_without_addresses_unless_they_are_asked_for(
    window: MainWindow, bridge: RecordingBridge, tmp_path: Path, choice: str, with_addresses: bool
) -> None:
    window.show_state(with_(HOME, call=DIRECT))
    PREPARE["panel"](window, with_(HOME, call=DIRECT))
    saver = window.findChild(TraceSaver)
    action = saver.findChild(QAction, choice)
    action.trigger()
    dialog = saver.findChild(QFileDialog)
    dialog.selectFile(str(tmp_path / "trace"))
    dialog.accept()
    assert bridge.sent == [SaveTrace("call-1", str(tmp_path / "trace.json"), with_addresses)]
    confirmation = saver.findChild(QLabel, "trace_saved")
    window.call.panel.trace_saved(TraceSaved("another", ""))
    assert confirmation.text() == ""
    window.call.panel.trace_saved(TraceSaved("call-1", ""))
    assert confirmation.text() == "Saved"


def test_copied_addresses_carry_the_pin(window: MainWindow, qapp: QApplication) -> None:
    window.show_state(HOME)
    window.home.people.select(BOB.address)
    press(window, "copy_address")
    assert qapp.clipboard().text() == BOB.address
    PREPARE["section-1"](window, HOME)
    press(window, "copy_my_address")
    assert qapp.clipboard().text() == HOME.me.address


def test_quit_in_the_tray_ends_the_engine(qtbot: QtBot, window: MainWindow, bridge: RecordingBridge) -> None:
    with qtbot.waitSignal(window.quit_wanted, timeout=1_000):
        window.tray.quit_wanted.emit()
    assert bridge.sent == [EndEngine()]


def test_closing_the_window_leaves_the_engine_alone(qtbot: QtBot, window: MainWindow, bridge: RecordingBridge) -> None:
    window.show_state(with_(HOME, call=TALKING))
    with qtbot.waitSignal(window.quit_wanted, timeout=1_000):
        window.close()
    assert bridge.sent == []


def test_tray_menu_of_a_call(window: MainWindow, bridge: RecordingBridge) -> None:
    def shown() -> dict[str, str]:
        return {
            one.objectName(): one.text() for one in window.tray.menu.actions() if one.isVisible() and one.objectName()
        }

    window.show_state(HOME)
    assert set(shown()) == {"tray_open", "tray_quit"}
    window.show_state(with_(HOME, call=MUTED))
    assert set(shown()) == {"tray_open", "tray_quit", "tray_mute", "tray_hang_up"}
    assert shown()["tray_mute"] == "Unmute"
    for action in window.tray.menu.actions():
        if action.objectName() in ("tray_mute", "tray_hang_up"):
            action.trigger()
    window.show_state(with_(HOME, call=UNTRUSTED))
    assert "tray_answer" not in shown() and "tray_decline" in shown()
    window.show_state(with_(HOME, call=INCOMING))
    for action in window.tray.menu.actions():
        if action.objectName() in ("tray_answer", "tray_decline"):
            action.trigger()
    assert bridge.sent == [SetMuted(False), HangUpCall("call-1"), AnswerCall("call-1"), DeclineCall("call-1")]


# -- the first run -----------------------------------------------------------------------------------------------------


def test_first_run_with_a_relay_of_ones_own(qtbot: QtBot, window: MainWindow, bridge: RecordingBridge) -> None:
    window.show_state(FIRST)
    assert window.shown_page() == "first_run"
    name, relay = window.findChild(QLineEdit, "name_field"), window.findChild(QLineEdit, "relay_field")
    assert name is not None and relay is not None
    assert not button(window, "name_next").isEnabled()
    qtbot.keyClicks(name, "maria")
    qtbot.keyClick(name, Qt.Key.Key_Return)
    assert not button(window, "relay_next").isEnabled()
    qtbot.keyClicks(relay, "relay.example")
    qtbot.keyClick(relay, Qt.Key.Key_Return)
    assert bridge.sent == [RegisterName("maria", "relay.example")]
    window.show_state(with_(FIRST, busy="Registering…"))
    assert not button(window, "relay_next").isEnabled()
    window.show_state(with_(FIRST, first_run=False, me=HOME.me))
    assert window.shown_page() == "first_run"  # the third step is still to come
    assert button(window, "sound_next").isVisible()
    press(window, "sound_next", "done_button")
    assert window.shown_page() == "home"


def test_first_run_trying_it_here_ends_with_echo(window: MainWindow, bridge: RecordingBridge) -> None:
    window.show_state(FIRST)
    press(window, "later_button")  # no name yet: trying it here is offered
    press(window, "relay_next")
    assert bridge.sent == [TryHere("")]
    echo = with_(FIRST, first_run=False, me=HOME.me, contacts=HOME.contacts[:1])
    window.show_state(echo)
    bridge.sent.clear()
    press(window, "sound_next", "call_echo")
    assert bridge.sent[-1] == PlaceCall(HOME.contacts[0].address)
    assert window.shown_page() == "home"


def test_every_step_can_wait(window: MainWindow) -> None:
    window.show_state(FIRST)
    press(window, "later_button", "later_button", "later_button", "done_button")
    assert window.shown_page() == "home"
    press(window, "setup_button")
    assert window.shown_page() == "first_run"


def test_try_here_starts_by_itself_once(qtbot: QtBot, bridge: RecordingBridge) -> None:
    window = MainWindow(bridge, VERSIONS, try_here=True)
    qtbot.addWidget(window)
    window.show_state(EngineState())
    assert bridge.sent == []
    window.show_state(FIRST)
    window.show_state(with_(FIRST, busy="Starting…"))
    assert bridge.sent == [TryHere()]
    assert window.shown_page() == "home"


def test_try_here_does_nothing_for_somebody_who_has_a_name(qtbot: QtBot, bridge: RecordingBridge) -> None:
    window = MainWindow(bridge, VERSIONS, try_here=True)
    qtbot.addWidget(window)
    window.show_state(HOME)
    assert bridge.sent == []
