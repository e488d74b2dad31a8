"""The person at the right of the home page: call, address, safety number, calls so far, and what to do with them."""

import time
from collections.abc import Callable

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QGridLayout, QWidget

from app.ipc.messages import AddContact, BlockContact, Contact, PlaceCall, RemoveContact, TrustKey
from app.model.history import RecentCall
from app.ui.commands import COPIED_SHOWN_MS, Send
from app.ui.theme.theme import GRID_PX, digits_font
from app.ui.widgets.avatar import Avatar, PresenceDot
from app.ui.widgets.buttons import Button, icon_button
from app.ui.widgets.call_row import call_row
from app.ui.widgets.dialogs import ask_texts, confirm
from app.ui.widgets.fields import Field
from app.ui.widgets.format import plain, presence, safety_rows, short_address
from app.ui.widgets.labels import ElidedLabel, Label, Picture
from app.ui.widgets.layout import card, clear, column, copy_text, holder, row, rule, scrolled

MAX_WIDTH_PX = 640
SHOWN_CALLS = 6


class PersonPage(QWidget):
    """One contact."""

    def __init__(self, send: Send, now: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.setObjectName("person_page")
        self._send = send
        self._now = now
        self._contact = Contact(address="")
        self._calls: tuple[RecentCall, ...] = ()
        self._build()

    # -- what it shows ---------------------------------------------------------------------------------------------

    def show_person(self, contact: Contact, calls: tuple[RecentCall, ...], can_call: bool) -> None:
        """Show ``contact`` and the latest of ``calls`` with them."""
        self._call.setEnabled(can_call and not contact.blocked)
        calls = calls[:SHOWN_CALLS]
        if calls != self._calls or contact.address != self._contact.address:
            self._calls = calls
            self._show_calls()
        if contact == self._contact:
            return
        self._contact = contact
        title = plain(contact.title)
        self._avatar.set_title(contact.title)
        self._name.set_text(title)
        self._dot.set_presence(contact.online, contact.blocked)
        self._presence.set_text(presence(contact))
        self._call.setAccessibleName(self.tr("Call {0}").format(title))
        self._address.set_text(short_address(contact.address))
        self._block.setText(self.tr("Unblock") if contact.blocked else self.tr("Block"))
        self._show_safety()

    def call_button(self) -> Button:
        """The big one."""
        return self._call

    # -- building --------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        inside = QWidget()
        inside.setMaximumWidth(MAX_WIDTH_PX)
        column_of_cards = column(
            self._build_head(),
            self._build_address(),
            self._build_safety(),
            self._build_calls(),
            self._build_actions(),
            None,
            spacing=2 * GRID_PX,
        )
        column_of_cards.setContentsMargins(0, 4 * GRID_PX, 0, 3 * GRID_PX)
        inside.setLayout(column_of_cards)
        centred = row(4 * GRID_PX, inside, 4 * GRID_PX, spacing=0)
        centred.setStretchFactor(inside, 1)
        whole = column(scrolled(holder(centred), name="person_scroll"))
        self.setLayout(whole)

    def _build_head(self) -> QWidget:
        self._avatar = Avatar(72)
        self._name = ElidedLabel(size="title")
        self._name.setObjectName("person_name")
        self._dot = PresenceDot()
        self._presence = ElidedLabel(tone="muted")
        self._call = Button(
            self.tr("Call"), kind="primary", picture="phone", name="call_button", tall=True, clicked=self._place
        )
        self._call.setMinimumWidth(144)
        words = column(None, self._name, row(self._dot, self._presence), None, spacing=4)
        head = row(self._avatar, words, self._call, spacing=2 * GRID_PX)
        head.setStretchFactor(words, 1)
        return holder(head)

    def _build_address(self) -> QWidget:
        frame, inside = card(name="address_card")
        self._address = ElidedLabel(mode=Qt.TextElideMode.ElideMiddle)
        self._address.setObjectName("person_address")
        self._copied = Label(size="small", tone="accent")
        copy = icon_button("copy", self.tr("Copy the address"), name="copy_address", clicked=self._copy_address)
        line = row(column(Label(self.tr("Address"), size="small", tone="muted"), self._address, spacing=2))
        line.addWidget(self._copied)
        line.addWidget(copy)
        line.setStretch(0, 1)
        inside.addLayout(line)
        inside.setContentsMargins(16, 10, 12, 10)
        return frame

    def _build_safety(self) -> QWidget:
        frame, inside = card(name="safety_card")
        self._shield = Picture("shield", "muted")
        self._trust = Label(size="strong")
        self._trust.setObjectName("trust")
        self._verify = Button(kind="quiet", name="verify_button", clicked=self._ask_verify)
        head = row(self._shield, self._trust, None, self._verify)
        self._digits = QGridLayout()
        self._digits.setHorizontalSpacing(3 * GRID_PX)
        self._digits.setVerticalSpacing(4)
        self._safety_words = Label(size="small", tone="muted", wrap=True)
        inside.addLayout(head)
        inside.setContentsMargins(2 * GRID_PX, GRID_PX, GRID_PX, 2 * GRID_PX)
        digits = holder(self._digits)
        # Two people read the groups to each other: the same order in every language.
        digits.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
        inside.addLayout(row(digits, None))
        inside.addWidget(self._safety_words)
        return frame

    def _build_calls(self) -> QWidget:
        frame, inside = card(name="calls_card")
        inside.addWidget(Label(self.tr("Recent calls"), size="strong"))
        self._call_rows = column(spacing=0)
        inside.addLayout(self._call_rows)
        return frame

    def _build_actions(self) -> QWidget:
        self._rename = Button(
            self.tr("Rename"), kind="quiet", picture="pencil", name="rename_button", clicked=self._ask_name
        )
        self._block = Button(
            self.tr("Block"), kind="quiet", picture="ban", name="block_button", clicked=self._toggle_block
        )
        self._remove = Button(
            self.tr("Remove"), kind="quiet", picture="trash-2", name="remove_button", clicked=self._ask_remove
        )
        return holder(row(self._rename, self._block, self._remove, None))

    # -- parts that change -----------------------------------------------------------------------------------------

    def _show_safety(self) -> None:
        contact = self._contact
        clear(self._digits)
        rows = safety_rows(contact.safety_number)
        for down, groups in enumerate(rows):
            for across, group in enumerate(groups):
                digits = Label(group)
                digits.setFont(digits_font())
                self._digits.addWidget(digits, down, across)
        known = bool(rows)
        self._verify.setVisible(known and contact.trust != "changed")
        if contact.trust == "changed":
            self._shield.set_picture("shield-alert", "warn")
            self._trust.setText(self.tr("Their key has changed"))
            self._trust.set_tone("warn")
            self._safety_words.setText(
                self.tr("Calls are stopped until you decide. Call them to see what happened and what you can do.")
            )
        elif contact.trust == "verified":
            self._shield.set_picture("shield-check", "accent")
            self._trust.setText(self.tr("Safety number compared"))
            self._trust.set_tone("text")
            self._verify.setText(self.tr("Compare again"))
            self._safety_words.setText(self.tr("You and {0} read the same number.").format(plain(contact.title)))
        elif known:
            self._shield.set_picture("shield", "muted")
            self._trust.setText(self.tr("Safety number"))
            self._trust.set_tone("text")
            self._verify.setText(self.tr("Compare"))
            self._safety_words.setText(
                self.tr("Read it to each other once. If both of you see the same, nobody sits between you.")
            )
        else:
            self._shield.set_picture("shield", "muted")
            self._trust.setText(self.tr("Safety number"))
            self._trust.set_tone("text")
            self._safety_words.setText(self.tr("You will see it here after the first call."))

    def _show_calls(self) -> None:
        clear(self._call_rows)
        if not self._calls:
            self._call_rows.addWidget(Label(self.tr("You have not talked yet."), size="small", tone="muted"))
        for place, call in enumerate(self._calls):
            if place:
                self._call_rows.addWidget(rule())
            self._call_rows.addWidget(call_row(call, self._now(), ""))

    # -- what a person does ----------------------------------------------------------------------------------------

    def _place(self) -> None:
        self._send(PlaceCall(address=self._contact.address))

    def _copy_address(self) -> None:
        copy_text(self._contact.address)
        self._copied.setText(self.tr("Copied"))
        QTimer.singleShot(COPIED_SHOWN_MS, self._copied, self._copied.clear)

    def _toggle_block(self) -> None:
        self._send(BlockContact(address=self._contact.address, blocked=not self._contact.blocked))

    def _ask_name(self) -> None:
        address = self._contact.address
        field = Field(self.tr("Name"), name="rename_field", hint=self.tr("Name"))
        field.setText(self._contact.title)
        words = self.tr("Only you see this name.")
        ask_texts(
            self,
            self.tr("Rename"),
            words,
            self.tr("Save"),
            (field,),
            lambda: self._send(AddContact(address=address, alias=field.text().strip())),
        )

    def _ask_remove(self) -> None:
        address = self._contact.address
        confirm(
            self,
            self.tr("Remove {0}?").format(plain(self._contact.title)),
            self.tr("They leave your list. Their key stays known, so nobody can take their place unnoticed."),
            self.tr("Remove"),
            lambda: self._send(RemoveContact(address=address)),
        )

    def _ask_verify(self) -> None:
        address = self._contact.address
        confirm(
            self,
            self.tr("Did you both read the same number?"),
            self.tr(
                "Compare all twelve groups with {0}, by voice or side by side. Say yes only if every one matches."
            ).format(plain(self._contact.title)),
            self.tr("Yes, the same"),
            lambda: self._send(TrustKey(address=address, verified=True)),
            danger=False,
        )
