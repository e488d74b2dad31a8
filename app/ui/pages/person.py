"""One contact on the home page: call, address, safety number, past calls, and what can be done with them."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QWidget

from app.ipc.engine_state import Contact
from app.ipc.messages import AddContact, BlockContact, PlaceCall, RemoveContact, TrustKey
from app.model.history import RecentCall
from app.ui.commands import Now, Send
from app.ui.theme.theme import BODY_PX, GRID_PX, font
from app.ui.widgets.avatar import Avatar, PresenceDot
from app.ui.widgets.buttons import icon_button, primary, quiet
from app.ui.widgets.call_row import call_row
from app.ui.widgets.dialogs import ask_texts, confirm
from app.ui.widgets.fields import Field
from app.ui.widgets.format import plain, presence, safety_rows, short_address
from app.ui.widgets.labels import Confirmation, ElidedLabel, Icon, Label, small, strong
from app.ui.widgets.layout import card, clear, column, copy_text, row, sheet, wrap
from app.ui.widgets.rows import show_rows

MAX_WIDTH_PX = 640
SHOWN_CALLS = 6


class PersonPage(QWidget):
    """One contact."""

    def __init__(self, send: Send, now: Now) -> None:
        super().__init__()
        self.setObjectName("person_page")
        self._send = send
        self._now = now
        self._contact = Contact(address="")
        self._calls: tuple[RecentCall, ...] = ()
        self._call_rows = column()
        calls = card(strong(self.tr("Recent calls")), self._call_rows, name="calls_card")
        parts = self._build_head(), self._build_address(), self._build_safety(), calls, self._build_actions()
        self.setLayout(column(sheet(*parts, None, width_px=MAX_WIDTH_PX, name="person_scroll")))

    def show_person(self, contact: Contact, calls: tuple[RecentCall, ...], can_call: bool) -> None:
        """Show ``contact`` and the latest of ``calls`` with them."""
        self.call.setEnabled(can_call and not contact.blocked)
        calls = calls[:SHOWN_CALLS]
        if calls != self._calls or contact.address != self._contact.address:
            self._calls = calls
            rows = (call_row(call, self._now()) for call in calls)
            show_rows(self._call_rows, rows, self.tr("No calls yet."))
        if contact == self._contact:
            return
        self._contact = contact
        title = plain(contact.title)
        self._avatar.set_title(contact.title)
        self._name.set_text(title)
        self._dot.set_presence(contact.online, contact.blocked)
        self._presence.set_text(presence(contact))
        self.call.setAccessibleName(self.tr("Call {name}").format(name=title))
        self._address.set_text(short_address(contact.address))
        self._block.setText(self.tr("Unblock") if contact.blocked else self.tr("Block"))
        self._show_safety(contact, title)

    def _show_safety(self, contact: Contact, title: str) -> None:
        clear(self._digits)
        rows = safety_rows(contact.safety_number)
        for down, groups in enumerate(rows):
            for across, group in enumerate(groups):
                digits = Label(group)
                digits.setFont(font(BODY_PX, QFont.Weight.Medium))
                self._digits.addWidget(digits, down, across)
        changed, verified = contact.trust == "changed", contact.trust == "verified"
        self._verify.setVisible(bool(rows) and not changed)
        self._verify.setText(self.tr("Compare again") if verified else self.tr("Compare"))
        self._trust.set_tone("warn" if changed else "text")
        if changed:
            self._shield.set_icon("shield-alert", "warn")
            self._trust.setText(self.tr("Their key has changed"))
            text = self.tr("Calls are stopped until you decide. Call them to see what happened and what you can do.")
        elif verified:
            self._shield.set_icon("shield-check", "accent")
            self._trust.setText(self.tr("Safety number verified"))
            text = self.tr("You and {name} have compared this number.").format(name=title)
        else:
            self._shield.set_icon("shield", "muted")
            self._trust.setText(self.tr("Safety number"))
            text = self.tr("Read it to each other once. If you both see the same number, nobody is listening in.")
        known = bool(rows) or changed or verified
        self._safety_text.setText(text if known else self.tr("It appears here after your first call."))

    def _build_head(self) -> QHBoxLayout:
        self._avatar = Avatar(72)
        self._name = ElidedLabel(size="title", name="person_name")
        self._dot = PresenceDot()
        self._presence = ElidedLabel(tone="muted")
        self.call = primary(self.tr("Call"), icon="phone", name="call_button", tall=True, clicked=self._place)
        self.call.setMinimumWidth(144)
        who = column(None, self._name, row(self._dot, self._presence), None, spacing=4)
        return row(self._avatar, who, self.call, spacing=2 * GRID_PX, stretch=1)

    def _build_address(self) -> QFrame:
        self._address = ElidedLabel(mode=Qt.TextElideMode.ElideMiddle, name="person_address")
        self._copied = Confirmation()
        copy = icon_button("copy", self.tr("Copy the address"), name="copy_address", clicked=self._copy_address)
        address = column(small(self.tr("Address"), wrap=False), self._address, spacing=2)
        return card(row(address, self._copied, copy, stretch=0), name="address_card", margins=(16, 10, 12, 10))

    def _build_safety(self) -> QFrame:
        self._shield = Icon("shield")
        self._trust = strong(name="trust")
        self._verify = quiet(name="verify_button", clicked=self._ask_verify)
        self._digits = QGridLayout()
        self._digits.setContentsMargins(0, 0, 0, 0)
        self._digits.setHorizontalSpacing(3 * GRID_PX)
        self._digits.setVerticalSpacing(4)
        self._safety_text = small()
        digits = wrap(self._digits)
        # Two people read the groups to each other: the same order in every language.
        digits.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
        return card(
            row(self._shield, self._trust, None, self._verify),
            row(digits, None),
            self._safety_text,
            name="safety_card",
            margins=(2 * GRID_PX, GRID_PX, GRID_PX, 2 * GRID_PX),
        )

    def _build_actions(self) -> QHBoxLayout:
        rename = quiet(self.tr("Rename"), icon="pencil", name="rename_button", clicked=self._ask_name)
        self._block = quiet(self.tr("Block"), icon="ban", name="block_button", clicked=self._toggle_block)
        remove = quiet(self.tr("Remove"), icon="trash-2", name="remove_button", clicked=self._ask_remove)
        return row(rename, self._block, remove, None)

    def _place(self) -> None:
        self._send(PlaceCall(address=self._contact.address))

    def _copy_address(self) -> None:
        copy_text(self._contact.address)
        self._copied.confirm(self.tr("Copied"))

    def _toggle_block(self) -> None:
        self._send(BlockContact(address=self._contact.address, blocked=not self._contact.blocked))

    def _ask_name(self) -> None:
        address = self._contact.address
        field = Field(self.tr("Name"), name="rename_field", hint=self.tr("Name"))
        field.setText(self._contact.title)
        ask_texts(
            self,
            self.tr("Rename"),
            self.tr("Only you see this name."),
            self.tr("Save"),
            (field,),
            lambda: self._send(AddContact(address=address, alias=field.text().strip())),
        )

    def _ask_remove(self) -> None:
        address = self._contact.address
        confirm(
            self,
            self.tr("Remove {name}?").format(name=plain(self._contact.title)),
            self.tr("They are removed from your list. Segue remembers their key, so nobody can pose as them later."),
            self.tr("Remove"),
            lambda: self._send(RemoveContact(address=address)),
        )

    def _ask_verify(self) -> None:
        address, key = self._contact.address, self._contact.key
        question = self.tr(
            "Compare all twelve groups with {name}, by voice or side by side. Confirm only if every one matches."
        )
        confirm(
            self,
            self.tr("Do you both see the same number?"),
            question.format(name=plain(self._contact.title)),
            self.tr("Yes, the same"),
            lambda: self._send(TrustKey(address=address, key=key, verified=True)),
            danger=False,
        )
