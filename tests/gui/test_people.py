"""Two thousand people cost no more than those that are seen."""

import msgspec
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QLineEdit, QStyleOptionViewItem
from pytestqt.qtbot import QtBot

from app.ipc.engine_state import Contact
from app.ui.main_window import MainWindow
from app.ui.pages.people_list import Index, PeopleModel, PersonDelegate
from tests.gui.recording_bridge import RecordingBridge
from tests.gui.states import HOME, with_

MANY = tuple(
    Contact(f"person{number:04d}@relay.example", alias=f"Person {number:04d}", online=number % 7 == 0)
    for number in range(2_000)
)


class CountingDelegate(PersonDelegate):
    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.painted = 0

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        self.painted += 1
        super().paint(painter, option, index)


def test_only_what_is_seen_is_painted(window: MainWindow) -> None:
    people = window.home.people
    delegate = CountingDelegate()
    people.setItemDelegate(delegate)
    rows_in_sight = window.height() // 64 + 2
    window.show_state(with_(HOME, contacts=MANY))
    window.grab()
    first = delegate.painted
    assert 0 < first <= 2 * rows_in_sight
    # One of them goes offline far down the list: still only what is in sight.
    delegate.painted = 0
    changed = (*MANY[:-1], msgspec.structs.replace(MANY[-1], blocked=True))
    window.show_state(with_(HOME, contacts=changed))
    window.grab()
    assert delegate.painted <= 2 * rows_in_sight


def test_an_equal_list_is_not_looked_at_again(qtbot: QtBot) -> None:
    model = PeopleModel()
    resets, changes = [], []
    model.modelReset.connect(lambda: resets.append(1))
    model.dataChanged.connect(lambda *_: changes.append(1))
    model.set_contacts(MANY)
    model.set_contacts(tuple(list(MANY)))
    assert (len(resets), len(changes)) == (1, 0)
    # Somebody's last call: the order stays, so the view keeps selection and place.
    model.set_contacts((msgspec.structs.replace(MANY[0], last_call=5.0), *MANY[1:]))
    assert (len(resets), len(changes)) == (1, 1)


def test_online_people_come_first_blocked_last() -> None:
    model = PeopleModel()
    model.set_contacts(
        (
            Contact("d@r", online=True, blocked=True),
            Contact("c@r", online=False),
            Contact("b@r", online=True),
            Contact("a@r", online=None),
        )
    )
    assert [model.data(model.index(row)) for row in range(4)] == ["b", "a", "c", "d"]


def test_searching_and_calling_by_keys_among_many(qtbot: QtBot, window: MainWindow, bridge: RecordingBridge) -> None:
    from PySide6.QtCore import Qt

    window.show_state(with_(HOME, contacts=MANY))
    search = window.findChild(QLineEdit, "search")
    assert search is not None
    qtbot.keyClicks(search, "1234")
    qtbot.keyClick(search, Qt.Key.Key_Down)
    qtbot.keyClick(window.home.people, Qt.Key.Key_Return)
    assert [command.address for command in bridge.sent] == ["person1234@relay.example"]  # type: ignore[union-attr]
