"""The home page: people, trust, search and the own network."""

import msgspec
import pytest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLineEdit
from pytestqt.qtbot import QtBot

from app.ipc.engine_state import CallFeasibility, NetworkState
from app.ipc.messages import EngineState
from app.ui.main_window import MainWindow
from app.ui.pages.network import summary
from app.ui.pages.network_history import NetworkHistory
from app.ui.widgets.labels import ElidedLabel
from tests.gui.recording_bridge import RecordingBridge
from tests.gui.scenes import PREPARE, VERSIONS
from tests.gui.states import BOB, CONTACTS, HOME, NOW, with_
from tests.gui.text import words

# Seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow


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
    assert "Add contacts by their address" in words(window.home)
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


def test_the_idle_page_says_what_the_network_is_like_and_how_old_that_is(qtbot: QtBot, bridge: RecordingBridge) -> None:
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
        "Home router → Strict router",
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
