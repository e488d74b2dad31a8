"""What the window shows for what the engine says."""

import msgspec
import pytest
from PySide6.QtCore import QEvent, QObject, QPoint, Qt
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from app.ipc import messages
from app.ipc.engine_state import CallFeasibility, DeviceProblem, NetworkState, Notice, PathSpan, TraversalStep
from app.ipc.messages import AnswerCall, CommandFailed, DeclineCall, EngineState, Levels, MeterMicrophone
from app.ui.main_window import MainWindow, page_for
from app.ui.pages.incoming import IncomingWindow
from app.ui.pages.network import summary
from app.ui.pages.network_history import NetworkHistory
from app.ui.panel.charts import Chart
from app.ui.panel.path_strip import PathStrip
from app.ui.panel.traversal_steps import Progress, TraversalSteps
from app.ui.theme.palette import DARK, LIGHT
from app.ui.theme.theme import colours
from app.ui.tray import Tray
from app.ui.widgets.labels import ElidedLabel
from app.ui.widgets.level_bars import LevelBars
from tests.gui.pictures import StillStyle
from tests.gui.scenes import (
    BOB,
    CHANGED,
    CONTACTS,
    DIRECT,
    FIRST,
    HARDEST,
    HOME,
    NOTICES,
    NOW,
    PREPARE,
    TALKING,
    TRYING,
    RecordingBridge,
    call,
    samples,
    themed,
    with_,
)

# Seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow


def words(widget: QWidget) -> str:
    """All the text that can be seen in ``widget``."""
    labels = [label.text() for label in widget.findChildren(QLabel) if label.isVisibleTo(widget)]
    buttons = [button.text() for button in widget.findChildren(QAbstractButton) if button.isVisibleTo(widget)]
    return "\n".join(labels + buttons)


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
        (call("ended", ended=NOW, end_reason="no-answer"), ["Not connected", "Nobody answered. Try again later."]),
    ],
)
def test_call_page(window: MainWindow, shown: object, expected: list[str]) -> None:
    window.show_state(with_(HOME, call=shown))
    seen = words(window.call)
    for part in expected:
        assert part in seen


def test_the_clock_runs_without_news_from_the_engine(qtbot: QtBot, bridge: RecordingBridge) -> None:
    from tests.gui.scenes import VERSIONS

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


def test_a_call_that_comes_while_in_the_settings_closes_the_meter(window: MainWindow, bridge: RecordingBridge) -> None:
    window.show_state(HOME)
    window.home.settings_wanted.emit()
    window.show_state(with_(HOME, call=call("incoming")))
    assert window.shown_page() == "call"
    assert bridge.sent == [MeterMicrophone(True), MeterMicrophone(False)]


# -- incoming ------------------------------------------------------------------------------------------------------


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


# -- home ----------------------------------------------------------------------------------------------------------


def test_home_tells_of_the_person(window: MainWindow) -> None:
    window.show_state(HOME)
    window.home.people.select(BOB.address)
    seen = words(window.home)
    for part in ("Bob Okafor", "bob@relay.example:7850", "05120", "49973", "Missed", "13 min", "Busy"):
        assert part in seen
    assert "#0f3c" not in seen  # the pin is for copying, not for reading


@pytest.mark.parametrize(
    ("trust", "expected"),
    [
        ("unknown", "Safety number"),
        ("first-use", "Read it to each other once"),
        ("verified", "have compared this number"),
        ("changed", "Their key has changed"),
    ],
)
def test_trust_in_words(window: MainWindow, trust: str, expected: str) -> None:
    window.show_state(with_(HOME, contacts=(msgspec.structs.replace(BOB, trust=trust),)))
    assert expected in words(window.home)


def test_empty_states_say_what_to_do(window: MainWindow) -> None:
    window.show_state(with_(HOME, contacts=(), recents=()))
    assert "Add people by their address" in words(window.home)
    window.show_state(EngineState(ready=True, first_run=False))
    assert "You have no address yet" in words(window.home)


def test_a_long_step_is_named(window: MainWindow) -> None:
    window.show_state(EngineState(ready=True, first_run=False, busy="starting-local-relay"))
    seen = words(window.home)
    assert "Starting a private relay and Echo…" in seen and "Set up" not in seen


def test_nobody_can_be_called_while_offline_or_blocked(window: MainWindow) -> None:
    button = window.findChild(QAbstractButton, "call_button")
    assert button is not None
    window.show_state(HOME)
    window.home.people.select(BOB.address)
    assert button.isEnabled()
    window.show_state(with_(HOME, me=msgspec.structs.replace(HOME.me, relay="offline")))
    assert not button.isEnabled()
    window.show_state(with_(HOME, contacts=(msgspec.structs.replace(BOB, blocked=True),)))
    assert not button.isEnabled()


def test_the_selection_stays_with_the_person(window: MainWindow) -> None:
    window.show_state(HOME)
    window.home.people.select(BOB.address)
    moved = tuple(msgspec.structs.replace(one, online=one.address != BOB.address) for one in CONTACTS)
    window.show_state(with_(HOME, contacts=moved))
    assert window.home.people.current_address() == BOB.address
    search = window.findChild(QLineEdit, "search")
    assert search is not None
    search.setText("mei")
    search.clear()
    assert window.home.people.current_address() == BOB.address


def test_search_finds_by_name_and_address(window: MainWindow) -> None:
    window.show_state(HOME)
    people = window.home.people.people
    search = window.findChild(QLineEdit, "search")
    assert search is not None
    found = {}
    for needle in ("LING", "grandma@", "nobody"):
        search.setText(needle)
        found[needle] = [people.data(people.index(row)) for row in range(people.rowCount())]
    assert found == {"LING": ["Mei-Ling Chen"], "grandma@": ["Grandma"], "nobody": []}
    assert "type their full address" in words(window.home)
    search.setText("zoe@calls.example")
    assert "type their full address" not in words(window.home)


# -- the own network -----------------------------------------------------------------------------------------------


def test_the_idle_page_says_what_the_network_is_like_and_how_old_that_is(qtbot: QtBot, bridge: RecordingBridge) -> None:
    from tests.gui.scenes import VERSIONS

    now = [NOW]
    window = MainWindow(bridge, VERSIONS, now=lambda: now[0])
    qtbot.addWidget(window)
    window.show()
    window.show_state(HOME)
    button, line = window.findChild(QAbstractButton, "network_button"), window.findChild(ElidedLabel, "network_summary")
    assert button is not None and line is not None
    assert button.text() == "Home router" and line.whole_text() == "Most calls can be direct · 12 min ago"
    assert button.accessibleName() == "Your network: Home router"
    button.click()
    seen = words(window.home)
    for part in ("uses one port for all", "Tested 12 min ago", "port-restricted", "8 answers of 2 servers"):
        assert part in seen
    assert "Your router does not open ports on request." in seen
    for part in ("A strict router with random ports", "Direct, after a few seconds of searching", "On the relay"):
        assert part in seen
    # Ages grow without a word of the engine.
    now[0] += 3_600
    window.home._ages.timeout.emit()
    assert "Tested 1 h ago" in words(window.home) and line.whole_text().endswith("1 h ago")
    # Another picture of the engine leaves the page where it is; a second click or a person closes it.
    window.show_state(with_(HOME, network=NetworkState()))
    assert "Not known yet" in words(window.home) and "Tested" not in words(window.home)
    assert line.whole_text() == "Not tested yet"
    button.click()
    assert "Not known yet" not in words(window.home)


@pytest.mark.parametrize(
    ("chances", "expected"),
    [
        ((), "Not tested yet"),
        (("direct", "search", "relay"), "Most calls can be direct"),
        (("direct", "search", "relay", "relay"), "Some calls can be direct"),
        (("search", "relay", "relay", "relay"), "Some calls can be direct"),
        (("maybe", "relay", "relay"), "Some calls might be direct"),
        (("relay", "relay"), "Calls stay on the relay"),
    ],
)
def test_the_network_in_a_few_words(chances: tuple[str, ...], expected: str) -> None:
    feasible = tuple(CallFeasibility("a router", chance, "text") for chance in chances)  # type: ignore[arg-type]
    assert summary(NetworkState(chances=feasible)) == expected


def test_no_network_is_shown_before_there_is_a_relay_to_test_it_with(window: MainWindow) -> None:
    window.show_state(EngineState(ready=True, first_run=False))
    button = window.findChild(QAbstractButton, "network_button")
    assert button is not None and not button.isVisibleTo(window)


def test_what_worked_on_which_network(window: MainWindow, qapp: QApplication) -> None:
    window.show_state(HOME)
    PREPARE["section-1"](window, HOME)
    card = window.findChild(NetworkHistory, "network_history")
    erase = window.findChild(QAbstractButton, "erase_networks")
    assert card is not None and erase is not None and erase.isEnabled()
    seen = words(card)
    for part in (
        "Home router to strict router",
        "Birthday search · 4.7 s after the answer · 3 of 4 calls direct · from this network",
        "26 min ago",
        "On the relay · 0 of 2 calls direct",
        "3 days ago",
        "2 more",
    ):
        assert part in seen
    window.show_state(with_(HOME, network=NetworkState()))
    qapp.processEvents()
    assert "Nothing yet." in words(card) and not erase.isEnabled()


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


# -- the connection panel ------------------------------------------------------------------------------------------


def test_charts_draw_what_the_samples_say(window: MainWindow) -> None:
    window.show_state(with_(HOME, call=DIRECT))
    drawn = samples(DIRECT)
    for one in drawn:
        window.call.panel.add_sample(one)
    window.call.panel.add_sample(msgspec.structs.replace(drawn[-1], call_id="another call", rtt_ms=9_999.0))
    rtt, delay = window.findChild(Chart, "chart_rtt"), window.findChild(Chart, "chart_delay")
    assert rtt is not None and delay is not None
    relay, direct = rtt.lines
    assert relay.latest() == drawn[-1].paths[0].rtt_ms
    assert direct.latest() == drawn[-1].paths[1].rtt_ms
    assert next(at for at, value in direct.points if value is None) == 0.0
    assert delay.lines[0].latest() == drawn[-1].playout_delay_ms
    assert rtt.accessibleDescription() == f"{drawn[-1].rtt_ms:.0f} ms"
    # Another call begins with empty charts.
    window.show_state(with_(HOME, call=msgspec.structs.replace(TALKING, call_id="call-2")))
    window.call.open_panel(True)
    assert all(not line.points for line in rtt.lines)


def test_the_strip_is_read_with_the_arrow_keys(qtbot: QtBot, window: MainWindow) -> None:
    window.show_state(with_(HOME, call=DIRECT))
    window.call.open_panel(True)
    strip = window.findChild(PathStrip, "path_strip")
    text = window.findChild(QLabel, "strip_text")
    assert strip is not None and text is not None
    read = []
    for _ in range(len(strip.moments) + 2):
        qtbot.keyClick(strip, Qt.Key.Key_Right)
        read.append(text.accessibleName())
    assert read[0] == "0:00 · On the relay"
    assert any("Back on the relay" in line for line in read)
    assert read[-1] == read[-2]  # stays at the last
    qtbot.keyClick(strip, Qt.Key.Key_Home)
    assert text.accessibleName() == read[0]
    assert strip.accessibleDescription() == read[0]


def test_the_strip_is_read_with_the_mouse(qtbot: QtBot, window: MainWindow, qapp: QApplication) -> None:
    # An overlap wide enough that its own marks do not cover it.
    spans = (PathSpan("relay", "relay", 0.0, 20.0), PathSpan("direct", "punch", 12.0, 30.0), DIRECT.spans[3])
    window.show_state(with_(HOME, call=msgspec.structs.replace(DIRECT, spans=spans)))
    window.call.open_panel(True)
    strip = window.findChild(PathStrip, "path_strip")
    assert strip is not None
    qapp.processEvents()
    read: list[str] = []
    strip.pointed.connect(read.append)
    for x in range(0, strip.width(), 2):
        qtbot.mouseMove(strip, QPoint(x, 40))
    seen = "\n".join(read)
    for part in (
        "On the relay",
        "Direct, by hole punching",
        "Direct, by birthday search",
        "on both paths",
        "no connection",
        "Back on the relay",
    ):
        assert part in seen


def test_the_steps_show_each_phase(window: MainWindow) -> None:
    window.show_state(with_(HOME, call=DIRECT))
    window.call.open_panel(True)
    steps = window.findChild(TraversalSteps, "traversal_steps")
    assert steps is not None
    seen = words(steps)
    for part in ("Port mapping", "Failed", "Skipped", "Succeeded", "902 packets", "4.4 s", "found after 871 tries"):
        assert part in seen
    window.show_state(with_(HOME, call=TALKING))
    assert "Segue is not looking for a direct path" in words(steps)
    assert "Waiting" not in words(steps)
    some = msgspec.structs.replace(TALKING, phases=(TraversalStep("punch", "trying", 0.5),))
    window.show_state(with_(HOME, call=some))
    assert "Trying" in words(steps) and "Waiting" not in words(steps), (
        "a phase that the engine does not have is not promised"
    )


def test_overlapping_phases_have_their_own_progress_and_time_left(qtbot: QtBot, bridge: RecordingBridge) -> None:
    from tests.gui.scenes import VERSIONS

    now = [NOW]
    window = MainWindow(bridge, VERSIONS, now=lambda: now[0])
    qtbot.addWidget(window)
    window.show_state(with_(HOME, call=TRYING))
    window.call.open_panel(True)

    def step(name: str) -> QWidget:
        found = window.findChild(QWidget, f"step_{name}")
        assert found is not None
        return found

    def progress(name: str) -> Progress:
        (found,) = step(name).findChildren(Progress)
        return found

    # By what it counts, and by its time.
    assert progress("birthday").share == pytest.approx(487 / 1_024)
    assert progress("port_mapping").share == pytest.approx(0.8)
    assert "487 of 1,024 ports · 6 s left" in words(step("birthday"))
    assert "Trying 1,024 ports there" in words(step("birthday"))
    assert "1 s left" in words(step("port_mapping"))
    assert progress("birthday").accessibleName() == "Birthday search: 48 %"
    assert step("birthday").accessibleName() == "Birthday search: Trying"
    assert "Bob Okafor's network uses a random port for every destination" in step("birthday").accessibleDescription()
    # The clock goes on without a word of the engine.
    now[0] += 4
    qtbot.waitUntil(lambda: "2 s left" in words(step("birthday")), timeout=2_000)
    assert not progress("punch").isVisibleTo(window)


def test_a_search_of_minutes_and_an_open_port(window: MainWindow) -> None:
    window.show_state(with_(HOME, call=HARDEST))
    window.call.open_panel(True)
    seen = words(window.call)
    assert "5,940 ports tried · 4 min left" in seen and "Random ports cannot be predicted." in seen
    assert seen.count("opened a port, but another router stands") == 2, "on its step, and on the card of the network"
    assert "Port open" in seen.splitlines() and "Succeeded" not in seen
    # By time, where there is nothing to count: 34.8 s of 300 s.
    step = window.findChild(QWidget, "step_blocks")
    assert step is not None
    assert step.findChildren(Progress)[0].share == pytest.approx(0.116, abs=0.001)


@pytest.mark.parametrize(
    ("reason", "word"), [("relay-trouble", "Stopped"), ("not-needed", "Not needed"), ("", "Not needed")]
)
def test_what_a_cancelled_phase_is_called(window: MainWindow, reason: str, word: str) -> None:
    phases = (TraversalStep("birthday", "cancelled", started=1.0, ended=2.0, reason=reason),)
    window.show_state(with_(HOME, call=msgspec.structs.replace(TALKING, phases=phases)))
    window.call.open_panel(True)
    assert word in words(window.call).splitlines()


def test_every_swap_stands_on_every_chart(window: MainWindow) -> None:
    window.show_state(with_(HOME, call=DIRECT))
    window.call.open_panel(True)
    for one in samples(DIRECT):
        window.call.panel.add_sample(one)
    moved = [mark for mark in DIRECT.marks if mark.kind != "phase"]
    assert [mark.kind for mark in moved] == ["swap", "failover", "network", "swap"]
    for chart in window.findChildren(Chart):
        assert list(chart.marks()) == moved
        before = chart.grab().toImage()
        chart.set_marks(())
        assert chart.grab().toImage() != before
        chart.set_marks(DIRECT.marks)
    # What has left the minute is no longer drawn.
    window.call.panel.add_sample(msgspec.structs.replace(samples(DIRECT)[-1], at=80.0))
    assert [mark.at for mark in window.findChildren(Chart)[0].marks()] == [26.6, 27.4, 32.9]


def test_networks_are_empty_until_they_are_known(window: MainWindow) -> None:
    window.show_state(with_(HOME, call=TALKING))
    window.call.open_panel(True)
    assert words(window.call).count("Not known yet") == 2
    window.show_state(with_(HOME, call=DIRECT))
    seen = words(window.call)
    assert "Not known yet" not in seen and "Strict router" in seen and "Hard" in seen


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


def test_charts_cost_nothing_while_the_panel_is_closed(window: MainWindow, qapp: QApplication) -> None:
    """And a sample paints each chart once, with no more points than a minute has."""
    painted: list[str] = []

    class Watch(QObject):
        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if event.type() == QEvent.Type.Paint and isinstance(watched, Chart):
                painted.append(watched.objectName())
            return False

    watch = Watch()
    qapp.installEventFilter(watch)
    window.show_state(with_(HOME, call=DIRECT))
    drawn = samples(DIRECT)
    for one in drawn:
        window.call.panel.add_sample(one)
        qapp.processEvents()
    assert painted == []
    window.call.open_panel(True)
    qapp.processEvents()
    painted.clear()
    for step in range(1, 21):
        window.call.panel.add_sample(msgspec.structs.replace(drawn[-1], at=drawn[-1].at + step / 5))
        qapp.processEvents()
    qapp.removeEventFilter(watch)
    charts = ("chart_rtt", "chart_loss", "chart_delay", "chart_rate")
    assert {name: painted.count(name) for name in charts} == dict.fromkeys(charts, 20)


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
    assert bridge.restarts == 1
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
