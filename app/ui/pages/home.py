"""Home: people at the left, the selected one, the latest calls or a hint at the right."""

import time
from collections.abc import Callable

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QKeyEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import QFrame, QStackedWidget, QWidget

from app.ipc.messages import AddContact, EngineState, EraseHistory, Me, PlaceCall
from app.model.history import RecentCall
from app.ui.commands import Send
from app.ui.pages.network import NetworkLine, NetworkPage
from app.ui.pages.people_list import PeopleList
from app.ui.pages.person import PersonPage
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.avatar import PresenceDot
from app.ui.widgets.buttons import Button, icon_button
from app.ui.widgets.call_row import call_row
from app.ui.widgets.dialogs import ask_texts, confirm
from app.ui.widgets.fields import Field
from app.ui.widgets.format import milliseconds, plain, short_address
from app.ui.widgets.labels import ElidedLabel, Label, Picture
from app.ui.widgets.layout import card, clear, column, holder, row, rule, scrolled

SIDE_PX = 304
SHOWN_CALLS = 30
# Ages are told in minutes.
AGE_MS = 20_000


class SearchField(Field):
    """Search; Down goes on into the list."""

    went_down = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Down:
            self.went_down.emit()
        elif event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
        else:
            super().keyPressEvent(event)


class HomePage(QWidget):
    """People and calls."""

    settings_wanted = Signal()
    setup_wanted = Signal()

    def __init__(self, send: Send, now: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.setObjectName("home_page")
        self._send = send
        self._now = now
        self._state = EngineState()
        self._recents: tuple[RecentCall, ...] | None = None
        self._person = PersonPage(send, now)
        self._list = PeopleList(now)
        self._right = QStackedWidget()
        self._right.setObjectName("home_right")
        whole = row(self._build_side(), self._right, spacing=0)
        whole.setStretch(1, 1)
        self.setLayout(whole)
        self._hint = self._build_hint()
        self._latest = self._build_latest()
        self._own_network = NetworkPage()
        for page in (self._hint, self._person, self._latest, self._own_network):
            self._right.addWidget(page)
        self._ages = QTimer(self, interval=AGE_MS)
        self._ages.timeout.connect(self._show_network)
        self._list.picked.connect(self._picked)
        self._list.called.connect(self._place)
        QShortcut(QKeySequence(QKeySequence.StandardKey.Find), self, self._search.setFocus)

    # -- what it shows ---------------------------------------------------------------------------------------------

    def show_state(self, state: EngineState) -> None:
        """Bring every part up to date."""
        self._state = state
        self._show_me(state.me, state.busy)
        self._list.set_contacts(state.contacts)
        if state.recents != self._recents:
            self._recents = state.recents
            self._show_latest()
        if self._right.currentWidget() is self._hint and state.contacts:
            self._list.select_first()
        self._show_network()
        self._show_right()
        self._offer_address()
        self._show_nobody()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._show_network()
        self._ages.start()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._ages.stop()

    def enter(self) -> None:
        """The page is shown: keys go to the people."""
        (self._list if self._state.contacts else self._search).setFocus(Qt.FocusReason.OtherFocusReason)

    def select(self, address: str) -> None:
        """Show a person."""
        self._list.select(address)

    def people(self) -> PeopleList:
        """The list at the left."""
        return self._list

    # -- building --------------------------------------------------------------------------------------------------

    def _build_side(self) -> QFrame:
        side = QFrame()
        side.setProperty("kind", "side")
        side.setFixedWidth(SIDE_PX)
        self._my_name = ElidedLabel(size="strong")
        self._my_dot = PresenceDot()
        self._my_relay = ElidedLabel(size="small", tone="muted")
        me = column(self._my_name, row(self._my_dot, self._my_relay, spacing=6), spacing=2)
        top = row(me, spacing=0)
        top.setStretch(0, 1)
        for picture, spoken, name, clicked in (
            ("user-plus", self.tr("Add a person"), "add_button", self._ask_add),
            ("history", self.tr("Recent calls"), "latest_button", self._open_latest),
            ("settings", self.tr("Settings"), "settings_button", self.settings_wanted.emit),
        ):
            top.addWidget(icon_button(picture, spoken, name=name, clicked=clicked))
        self._search = SearchField(
            self.tr("Search people, or type an address to call"),
            name="search",
            hint=self.tr("Search or type an address"),
            picture="search",
        )
        self._search.setClearButtonEnabled(False)
        self._search.textChanged.connect(self._typed)
        self._search.returnPressed.connect(self._entered)
        self._search.went_down.connect(self._into_list)
        self._offer = self._build_offer()
        self._nobody = Label(tone="muted", wrap=True)
        self._nobody.setContentsMargins(12, 8, 12, 8)
        self._network = NetworkLine("network_button")
        self._network.button.clicked.connect(lambda _checked=False: self._open_network())
        inside = column(top, 4, self._search, self._offer, self._list, self._nobody, spacing=GRID_PX)
        inside.addStretch(0)
        inside.addWidget(self._network)
        inside.setStretchFactor(self._list, 1)
        inside.setContentsMargins(12, 14, 12, 8)
        side.setLayout(inside)
        inside.setAlignment(self._nobody, Qt.AlignmentFlag.AlignTop)
        return side

    def _build_offer(self) -> QFrame:
        frame, inside = card(name="address_offer", padding=12)
        self._offered = ElidedLabel(size="small", tone="muted", mode=Qt.TextElideMode.ElideMiddle)
        call = Button(self.tr("Call"), kind="primary", picture="phone", name="call_address", clicked=self._call_typed)
        add = Button(self.tr("Add"), kind="quiet", picture="user-plus", name="add_address", clicked=self._add_typed)
        self._offer_call, self._offer_add = call, add
        inside.addWidget(self._offered)
        inside.addLayout(row(call, add, None))
        frame.hide()
        return frame

    def _build_hint(self) -> QWidget:
        self._hint_title = Label(size="title")
        self._hint_title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._hint_words = Label(tone="muted", wrap=True)
        self._hint_words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._hint_words.setFixedWidth(400)
        self._setup = Button(
            self.tr("Set up"), kind="primary", name="setup_button", tall=True, clicked=self.setup_wanted.emit
        )
        self._hint_add = Button(
            self.tr("Add a person"), kind="primary", picture="user-plus", name="hint_add", clicked=self._ask_add
        )
        made = QWidget()
        made.setLayout(
            column(
                None,
                row(None, Picture("user-round", "muted", 48), None),
                GRID_PX,
                self._hint_title,
                row(None, self._hint_words, None),
                GRID_PX,
                row(None, self._setup, self._hint_add, None),
                None,
            )
        )
        return made

    def _build_latest(self) -> QWidget:
        self._latest_rows = column(spacing=0)
        self._erase = Button(
            self.tr("Erase"), kind="quiet", picture="trash-2", name="erase_button", clicked=self._ask_erase
        )
        frame, inside = card(name="latest_card")
        inside.addLayout(self._latest_rows)
        whole = column(
            row(Label(self.tr("Recent calls"), size="title"), None, self._erase), frame, None, spacing=2 * GRID_PX
        )
        whole.setContentsMargins(0, 4 * GRID_PX, 0, 3 * GRID_PX)
        body = QWidget()
        body.setMaximumWidth(640)
        body.setLayout(whole)
        centred = row(4 * GRID_PX, body, 4 * GRID_PX, spacing=0)
        centred.setStretchFactor(body, 1)
        return scrolled(holder(centred), name="latest_scroll")

    # -- parts that change -----------------------------------------------------------------------------------------

    def _show_me(self, me: Me, busy: str) -> None:
        self._my_name.set_text(plain(me.name) if me.name else self.tr("No name yet"))
        self._my_dot.set_presence(me.relay == "online", me.relay == "refused")
        words = {
            "none": self.tr("Not set up"),
            "connecting": self.tr("Connecting…"),
            "online": self.tr("Online"),
            "offline": self.tr("Offline"),
            "refused": self.tr("Refused"),
        }[me.relay]
        if me.relay == "online" and me.local_trial:
            words = self.tr("Online on this machine")
        elif me.relay == "online" and me.relay_rtt_ms is not None:
            words = self.tr("Online · relay {0} away").format(milliseconds(me.relay_rtt_ms))
        elif me.relay not in ("online", "none") and me.relay_text:
            words = me.relay_text
        elif busy:
            words = busy
        self._my_relay.set_text(words)

    def _show_network(self) -> None:
        network = self._state.network
        self._network.setVisible(bool(self._state.me.address))
        self._network.show_network(network, self._now())
        self._own_network.show_network(network, self._now())

    def _show_right(self) -> None:
        me = self._state.me
        contact = next((one for one in self._state.contacts if one.address == self._list.current_address()), None)
        if self._right.currentWidget() in (self._latest, self._own_network):
            return
        if contact is not None:
            with_them = tuple(call for call in self._state.recents if call.address == contact.address)
            self._person.show_person(contact, with_them, me.relay == "online")
            self._right.setCurrentWidget(self._person)
            return
        unset = not me.address
        busy = unset and bool(self._state.busy)
        self._setup.setVisible(unset and not busy)
        self._hint_add.setVisible(not unset)
        if busy:
            self._hint_title.setText(self.tr("One moment"))
            self._hint_words.setText(self._state.busy)
        elif unset:
            self._hint_title.setText(self.tr("You have no address yet"))
            self._hint_words.setText(self.tr("Choose a name and a relay, and people can call you. It takes a minute."))
        elif self._state.contacts:
            self._hint_title.setText(self.tr("Nobody selected"))
            self._hint_words.setText(self.tr("Choose a person at the left, or type an address."))
        else:
            self._hint_title.setText(self.tr("Who do you want to talk to?"))
            address = short_address(me.address)
            self._hint_words.setText(self.tr("Add a person by their address. They reach you at {0}.").format(address))
        self._right.setCurrentWidget(self._hint)

    def _show_latest(self) -> None:
        clear(self._latest_rows)
        recents = self._recents or ()
        self._erase.setVisible(bool(recents))
        if not recents:
            self._latest_rows.addWidget(Label(self.tr("No calls yet."), tone="muted"))
        titles = {contact.address: contact.title for contact in self._state.contacts}
        for place, call in enumerate(recents[:SHOWN_CALLS]):
            if place:
                self._latest_rows.addWidget(rule())
            who = titles.get(call.address) or short_address(call.address)
            line = row(call_row(call, self._now(), who), spacing=GRID_PX)
            line.setStretch(0, 1)
            again = icon_button("phone", self.tr("Call again"), name="call_again")
            again.setAccessibleName(self.tr("Call {0}").format(plain(who)))
            again.clicked.connect(lambda _checked=False, address=call.address: self._place(address))
            line.addWidget(again)
            self._latest_rows.addWidget(holder(line))

    def _offer_address(self) -> None:
        typed = self._search.text().strip()
        shown = "@" in typed
        self._offer.setVisible(shown)
        if shown:
            self._offered.set_text(short_address(typed))
            known = any(contact.address == typed for contact in self._state.contacts)
            self._offer_add.setVisible(not known)
            self._offer_call.setEnabled(self._state.me.relay == "online")
            self._offer_call.setAccessibleName(self.tr("Call {0}").format(short_address(typed)))

    def _show_nobody(self) -> None:
        found = self._list.people.rowCount() > 0
        self._list.setVisible(found)
        self._nobody.setVisible(not found and not self._offer.isVisibleTo(self))
        if self._state.contacts:
            self._nobody.setText(self.tr("Nobody of that name. To call somebody new, type their whole address."))
        else:
            self._nobody.setText(self.tr("Nobody here yet. Add a person by their address, like bob@relay.example."))

    # -- what a person does ----------------------------------------------------------------------------------------

    def _picked(self, _address: str) -> None:
        if self._right.currentWidget() in (self._latest, self._own_network):
            self._right.setCurrentWidget(self._person)
        self._show_right()

    def _typed(self, text: str) -> None:
        self._list.set_needle(text)
        self._offer_address()
        self._show_nobody()

    def _entered(self) -> None:
        if "@" in self._search.text():
            if self._offer_call.isEnabled():
                self._call_typed()
        elif self._search.text().strip():
            self._list.select_first()
            self._person.call_button().setFocus(Qt.FocusReason.TabFocusReason)

    def _into_list(self) -> None:
        if not self._list.current_address():
            self._list.select_first()
        self._list.setFocus(Qt.FocusReason.TabFocusReason)

    def _place(self, address: str) -> None:
        self._send(PlaceCall(address=address))

    def _call_typed(self) -> None:
        self._place(self._search.text().strip())
        self._search.clear()

    def _add_typed(self) -> None:
        self._send(AddContact(address=self._search.text().strip()))
        self._search.clear()

    def _open_latest(self) -> None:
        self._toggle(self._latest)

    def _open_network(self) -> None:
        self._toggle(self._own_network)

    def _toggle(self, page: QWidget) -> None:
        shown = self._right.currentWidget() is page
        self._right.setCurrentWidget(self._person if shown else page)
        self._show_right()

    def _ask_add(self) -> None:
        address = Field(self.tr("Address"), name="new_address", hint=self.tr("name@relay.example"))
        alias = Field(self.tr("Name"), name="new_alias", hint=self.tr("A name for them (only you see it)"))
        ask_texts(
            self,
            self.tr("Add a person"),
            self.tr("Their address looks like an e-mail address. They find it in their settings."),
            self.tr("Add"),
            (address, alias),
            lambda: self._send(AddContact(address=address.text().strip(), alias=alias.text().strip())),
        )

    def _ask_erase(self) -> None:
        confirm(
            self,
            self.tr("Erase all recent calls?"),
            self.tr("The list is emptied on this machine. People stay."),
            self.tr("Erase"),
            lambda: self._send(EraseHistory()),
        )
