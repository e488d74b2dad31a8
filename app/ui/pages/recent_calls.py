"""All recent calls, newest first, each with a button to call again."""

from PySide6.QtWidgets import QWidget

from app.ipc.engine_state import Contact
from app.ipc.messages import EraseHistory, PlaceCall
from app.model.history import RecentCall
from app.text.calls import claim_text
from app.ui.commands import Now, Send
from app.ui.widgets.buttons import icon_button, quiet
from app.ui.widgets.call_row import call_row
from app.ui.widgets.dialogs import confirm
from app.ui.widgets.format import plain, short_address
from app.ui.widgets.labels import Label
from app.ui.widgets.layout import card, column, row, sheet
from app.ui.widgets.rows import show_rows

MAX_WIDTH_PX = 640
SHOWN_CALLS = 30


class RecentCallsPage(QWidget):
    """The calls with everybody."""

    def __init__(self, send: Send, now: Now) -> None:
        super().__init__()
        self._send = send
        self._now = now
        self._rows = column()
        self._erase = quiet(
            self.tr("Erase"), icon="trash-2", name="erase_button", clicked=lambda: ask_erase_calls(self, send)
        )
        head = row(Label(self.tr("Recent calls"), size="title"), None, self._erase)
        parts = head, card(self._rows, name="recent_card"), None
        self.setLayout(column(sheet(*parts, width_px=MAX_WIDTH_PX, name="recent_scroll")))

    def show_calls(self, calls: tuple[RecentCall, ...], contacts: tuple[Contact, ...]) -> None:
        """Show ``calls`` with the names that ``contacts`` have."""
        self._erase.setVisible(bool(calls))
        titles = {contact.address: contact.title for contact in contacts}
        rows = (self._row(call, titles.get(call.address)) for call in calls[:SHOWN_CALLS])
        show_rows(self._rows, rows, self.tr("No calls yet."))

    def _row(self, call: RecentCall, title: str | None) -> QWidget:
        address = short_address(call.address)
        who = (title or address) if call.vouched else claim_text(address)
        again = icon_button("phone", self.tr("Call again"), name="call_again")
        again.setAccessibleName(self.tr("Call {name}").format(name=plain(who)))
        again.clicked.connect(lambda _checked=False: self._send(PlaceCall(address=call.address)))
        return call_row(call, self._now(), who, again)


def ask_erase_calls(parent: QWidget, send: Send) -> None:
    """Ask, and then erase the list of recent calls."""
    confirm(
        parent,
        parent.tr("Erase all recent calls?"),
        parent.tr("The list on this computer is cleared. Your contacts are kept."),
        parent.tr("Erase"),
        lambda: send(EraseHistory()),
    )
