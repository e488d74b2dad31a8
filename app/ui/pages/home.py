"""Home: contacts on the left; on the right the selected one, the recent calls, the own network or a hint."""

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QKeyEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QStackedWidget, QWidget

from app.ipc.engine_state import Contact, Me
from app.ipc.messages import AddContact, EngineState, PlaceCall
from app.model.history import RecentCall
from app.text.accounts import busy_text, relay_text
from app.ui.commands import Now, Send
from app.ui.pages.network import NetworkLine, NetworkPage
from app.ui.pages.page import Page
from app.ui.pages.people_list import PeopleList
from app.ui.pages.person import PersonPage
from app.ui.pages.recent_calls import RecentCallsPage
from app.ui.widgets.avatar import PresenceDot
from app.ui.widgets.buttons import icon_button, primary, quiet
from app.ui.widgets.dialogs import ask_texts
from app.ui.widgets.fields import Field
from app.ui.widgets.format import milliseconds, plain, short_address
from app.ui.widgets.labels import ElidedLabel, Icon, Label
from app.ui.widgets.layout import card, column, framed, row, wrap
from app.ui.widgets.rows import hint

SIDE_PX = 304
# The age of what is known of the network is shown in minutes.
AGE_MS = 20_000


class SearchField(Field):
    """Search; Down moves into the list."""

    went_down = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Down:
            self.went_down.emit()
        elif event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
        else:
            super().keyPressEvent(event)


class HomePage(Page):
    """Contacts and calls."""

    settings_wanted = Signal()
    setup_wanted = Signal()

    def __init__(self, send: Send, now: Now) -> None:
        super().__init__()
        self.setObjectName("home_page")
        self._send = send
        self._now = now
        self._state = EngineState()
        self._shown_calls: tuple[tuple[RecentCall, ...], tuple[Contact, ...]] | None = None
        self.people = PeopleList(now)
        self._person = PersonPage(send, now)
        self._hint = self._build_hint()
        self._recent = RecentCallsPage(send, now)
        self._own_network = NetworkPage()
        self._right = QStackedWidget()
        for page in (self._hint, self._person, self._recent, self._own_network):
            self._right.addWidget(page)
        self.setLayout(row(self._build_side(), self._right, spacing=0, stretch=1))
        self._ages = QTimer(self, interval=AGE_MS)
        self._ages.timeout.connect(self._show_network)
        self.people.picked.connect(self._picked)
        self.people.called.connect(self._place)
        QShortcut(QKeySequence(QKeySequence.StandardKey.Find), self, self._search.setFocus)

    # -- what it shows ---------------------------------------------------------------------------------------------

    def show_state(self, state: EngineState) -> None:
        self._state = state
        self._show_me(state.me, busy_text(state.busy))
        self.people.set_contacts(state.contacts)
        if (state.recents, state.contacts) != self._shown_calls:
            self._shown_calls = (state.recents, state.contacts)
            self._recent.show_calls(state.recents, state.contacts)
        if self._right.currentWidget() is self._hint and state.contacts:
            self.people.select_first()
        self._show_network()
        self._show_right()
        self._show_offer()
        self._show_nobody()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._show_network()
        self._ages.start()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._ages.stop()

    def enter(self) -> None:
        # The arrow keys move through the contacts.
        (self.people if self._state.contacts else self._search).setFocus(Qt.FocusReason.OtherFocusReason)

    # -- building --------------------------------------------------------------------------------------------------

    def _build_side(self) -> QFrame:
        self._search = SearchField(
            self.tr("Search contacts, or type an address to call"),
            name="search",
            hint=self.tr("Search or type an address"),
            icon="search",
        )
        self._search.textChanged.connect(self._typed)
        self._search.returnPressed.connect(self._entered)
        self._search.went_down.connect(self._into_list)
        self._nobody = Label(tone="muted", wrap=True)
        self._nobody.setContentsMargins(12, 8, 12, 8)
        self._network = NetworkLine("network_button")
        self._network.button.clicked.connect(lambda _checked=False: self._toggle(self._own_network))
        inside = column(
            self._build_top(), 4, self._search, self._build_offer(), self.people, self._nobody, margins=(12, 14, 12, 8)
        )
        inside.addStretch(0)
        inside.addWidget(self._network)
        inside.setStretchFactor(self.people, 1)
        inside.setAlignment(self._nobody, Qt.AlignmentFlag.AlignTop)
        side = framed("side", inside)
        side.setFixedWidth(SIDE_PX)
        return side

    def _build_top(self) -> QHBoxLayout:
        self._my_name = ElidedLabel(size="strong")
        self._my_dot = PresenceDot()
        self._my_relay = ElidedLabel(size="small", tone="muted")
        me = column(self._my_name, row(self._my_dot, self._my_relay, spacing=6), spacing=2)
        buttons = (
            icon_button("user-plus", self.tr("Add a contact"), name="add_button", clicked=self._ask_add),
            icon_button(
                "history", self.tr("Recent calls"), name="recent_button", clicked=lambda: self._toggle(self._recent)
            ),
            icon_button("settings", self.tr("Settings"), name="settings_button", clicked=self.settings_wanted.emit),
        )
        return row(me, *buttons, spacing=0, stretch=0)

    def _build_offer(self) -> QFrame:
        self._offered = ElidedLabel(size="small", tone="muted", mode=Qt.TextElideMode.ElideMiddle)
        self._offer_call = primary(self.tr("Call"), icon="phone", name="call_address", clicked=self._call_typed)
        self._offer_add = quiet(self.tr("Add"), icon="user-plus", name="add_address", clicked=self._add_typed)
        buttons = row(self._offer_call, self._offer_add, None)
        self._offer = card(self._offered, buttons, name="address_offer", margins=(12,) * 4)
        self._offer.hide()
        return self._offer

    def _build_hint(self) -> QWidget:
        self._hint_title = Label(size="title", centred=True)
        self._hint_text = Label(tone="muted", wrap=True, centred=True)
        self._setup = primary(self.tr("Set up"), name="setup_button", tall=True, clicked=self.setup_wanted.emit)
        self._hint_add = primary(self.tr("Add a contact"), icon="user-plus", name="hint_add", clicked=self._ask_add)
        icon = Icon("user-round", "muted", 48)
        return wrap(hint(icon, self._hint_title, self._hint_text, self._setup, self._hint_add))

    # -- parts that change -----------------------------------------------------------------------------------------

    def _show_me(self, me: Me, busy: str) -> None:
        self._my_name.set_text(plain(me.name) if me.name else self.tr("No name yet"))
        self._my_dot.set_presence(me.relay == "online", me.relay == "refused")
        text = {
            "none": self.tr("Not set up"),
            "connecting": self.tr("Connecting…"),
            "online": self.tr("Online"),
            "offline": self.tr("Offline"),
            "refused": self.tr("Refused by the relay"),
        }[me.relay]
        if me.relay == "online" and me.local_trial:
            text = self.tr("Online on this computer")
        elif me.relay == "online" and me.relay_rtt_ms is not None:
            text = self.tr("Online · {time} to the relay").format(time=milliseconds(me.relay_rtt_ms))
        elif me.relay_problem:
            text = relay_text(me)
        elif busy:
            text = busy
        self._my_relay.set_text(text)

    def _show_network(self) -> None:
        network = self._state.network
        self._network.setVisible(bool(self._state.me.address))
        self._network.show_network(network, self._now())
        self._own_network.show_network(network, self._now())

    def _show_right(self) -> None:
        if self._right.currentWidget() in (self._recent, self._own_network):
            return
        me, address = self._state.me, self.people.current_address()
        contact = next((one for one in self._state.contacts if one.address == address), None)
        if contact is None:
            self._show_hint()
            self._right.setCurrentWidget(self._hint)
        else:
            with_them = tuple(call for call in self._state.recents if call.address == contact.address and call.vouched)
            self._person.show_person(contact, with_them, me.relay == "online")
            self._right.setCurrentWidget(self._person)

    def _show_hint(self) -> None:
        address, busy = short_address(self._state.me.address), busy_text(self._state.busy)
        self._setup.setVisible(not address and not busy)
        self._hint_add.setVisible(bool(address))
        if not address and busy:
            title, text = self.tr("One moment"), busy
        elif not address:
            title = self.tr("You have no address yet")
            text = self.tr("Choose a name and a relay, so that people can call you.")
        elif self._state.contacts:
            title = self.tr("Nobody selected")
            text = self.tr("Choose a contact on the left, or type an address.")
        else:
            title = self.tr("Who do you want to talk to?")
            text = self.tr("Add contacts by their address. Yours is {address}.").format(address=address)
        self._hint_title.setText(title)
        self._hint_text.setText(text)

    def _show_offer(self) -> None:
        typed = self._search.text().strip()
        self._offer.setVisible("@" in typed)
        if "@" in typed:
            self._offered.set_text(short_address(typed))
            self._offer_add.setVisible(all(contact.address != typed for contact in self._state.contacts))
            self._offer_call.setEnabled(self._state.me.relay == "online")
            self._offer_call.setAccessibleName(self.tr("Call {name}").format(name=short_address(typed)))

    def _show_nobody(self) -> None:
        found = self.people.people.rowCount() > 0
        self.people.setVisible(found)
        self._nobody.setVisible(not found and not self._offer.isVisibleTo(self))
        if self._state.contacts:
            self._nobody.setText(self.tr("No match. To call somebody new, type their full address."))
        else:
            self._nobody.setText(self.tr("Nobody here yet. Add contacts by their address, like bob@relay.example."))

    # -- what a person does ----------------------------------------------------------------------------------------

    def _picked(self, _address: str) -> None:
        if self._right.currentWidget() in (self._recent, self._own_network):
            self._right.setCurrentWidget(self._person)
        self._show_right()

    def _toggle(self, page: QWidget) -> None:
        shown = self._right.currentWidget() is page
        self._right.setCurrentWidget(self._person if shown else page)
        self._show_right()

    def _typed(self, text: str) -> None:
        self.people.set_needle(text)
        self._show_offer()
        self._show_nobody()

    def _entered(self) -> None:
        if "@" in self._search.text():
            if self._offer_call.isEnabled():
                self._call_typed()
        elif self._search.text().strip():
            self.people.select_first()
            self._person.call.setFocus(Qt.FocusReason.TabFocusReason)

    def _into_list(self) -> None:
        if not self.people.current_address():
            self.people.select_first()
        self.people.setFocus(Qt.FocusReason.TabFocusReason)

    def _place(self, address: str) -> None:
        self._send(PlaceCall(address=address))

    def _call_typed(self) -> None:
        self._place(self._search.text().strip())
        self._search.clear()

    def _add_typed(self) -> None:
        self._send(AddContact(address=self._search.text().strip()))
        self._search.clear()

    def _ask_add(self) -> None:
        address = Field(self.tr("Address"), name="new_address", hint=self.tr("name@relay.example"))
        alias = Field(self.tr("Name"), name="new_alias", hint=self.tr("A name for them (only you see it)"))
        ask_texts(
            self,
            self.tr("Add a contact"),
            self.tr("An address looks like an e-mail address. People find theirs in the settings."),
            self.tr("Add"),
            (address, alias),
            lambda: self._send(AddContact(address=address.text().strip(), alias=alias.text().strip())),
        )
