"""Shown when the other person's key is not the known one. No audio flows until the user decides."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame

from app.ipc.messages import DismissCall, EngineState, TrustKey
from app.ui.commands import CallCommands, Send
from app.ui.pages.page import Page
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import Button, primary
from app.ui.widgets.dialogs import confirm
from app.ui.widgets.format import plain, short_address
from app.ui.widgets.labels import Icon, Label, strong
from app.ui.widgets.layout import card, column, framed, row, sheet

WIDTH_PX = 640
BUTTON_PX = 184


class KeyChangedPage(Page):
    """What it means, and the two choices."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self.setObjectName("key_changed_page")
        self._send = send
        self._commands = CallCommands(send)
        self._title = Label(size="title", wrap=True)
        self._text = Label(wrap=True)
        self._stay = primary(self.tr("Don't talk now"), name="refuse_call", tall=True, clicked=self._commands.refuse)
        self._accept = Button(self.tr("Accept the new key…"), name="accept_key", tall=True, clicked=self._ask)
        self._stay_text = Label(tone="muted", wrap=True)
        self._accept_text = Label(tone="muted", wrap=True)
        head = row(Icon("shield-alert", "warn", 40), self._title, spacing=2 * GRID_PX, stretch=1)
        self._acceptance = self._choice(self._accept, self.tr("If you know why it changed"), self._accept_text)
        parts = (
            framed("alarm", column(head, self._text, margins=(3 * GRID_PX,) * 4)),
            self._choice(self._stay, self.tr("The safe choice"), self._stay_text),
            self._acceptance,
        )
        self.setLayout(column(sheet(None, *parts, None, width_px=WIDTH_PX, name="key_changed_scroll")))

    def show_state(self, state: EngineState) -> None:
        call = self._commands.call = state.call
        if call is None:
            return
        who = plain(call.title)
        self._title.setText(self.tr("This may not be {name}").format(name=who))
        self._acceptance.setVisible(call.vouched)
        if not call.vouched:
            self._show_claim(short_address(call.address))
            return
        self._text.setText(
            self.tr(
                "The key of {address} has changed. Either they set up Segue again, for example on a new computer, or "
                "somebody is pretending to be them. Segue stopped the call before any sound was sent."
            ).format(address=short_address(call.address))
        )
        self._stay_text.setText(
            self.tr("Ask {name} some other way, by phone or in person, whether they set up Segue again.").format(
                name=who
            )
        )
        self._accept_text.setText(
            self.tr(
                "Segue will trust the new key from now on. Compare the safety number with {name} afterwards."
            ).format(name=who)
        )

    def _show_claim(self, address: str) -> None:
        self._text.setText(
            self.tr(
                "A guest is calling who says to be {address}, but their key is not the one that Segue knows. Their "
                "relay does not vouch for it, so Segue does not accept it. No sound was sent."
            ).format(address=address)
        )
        self._stay_text.setText(
            self.tr("Call {address} yourself. If their key has really changed, Segue asks you then.").format(
                address=address
            )
        )

    @staticmethod
    def _choice(button: Button, title: str, text: Label) -> QFrame:
        button.setMinimumWidth(BUTTON_PX)
        line = row(column(strong(title), text, spacing=4), button, spacing=2 * GRID_PX, stretch=0)
        line.setAlignment(button, Qt.AlignmentFlag.AlignVCenter)
        return card(line)

    def _ask(self) -> None:
        call = self._commands.call
        if call is None:
            return

        def accept() -> None:
            self._send(TrustKey(address=call.address, key=call.key, verified=False))
            if call.phase == "ended":
                self._send(DismissCall(call_id=call.call_id))

        confirm(
            self,
            self.tr("Accept the new key?"),
            self.tr("Do this only if {name} confirmed, outside Segue, that they set it up again.").format(
                name=plain(call.title)
            ),
            self.tr("Accept the new key"),
            accept,
        )
