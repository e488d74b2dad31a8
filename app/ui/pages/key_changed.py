"""The loud stop: the key of the person called, or calling, is not the one that was known."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QWidget

from app.ipc.messages import CallState, DeclineCall, DismissCall, HangUp, TrustKey
from app.ui.commands import Send
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import Button
from app.ui.widgets.dialogs import confirm
from app.ui.widgets.format import plain, short_address
from app.ui.widgets.labels import Label, Picture
from app.ui.widgets.layout import card, column, holder, row, scrolled

WIDTH_PX = 640


class KeyChangedPage(QWidget):
    """Nothing is sent until the person has chosen."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self.setObjectName("stop_page")
        self._send = send
        self._call: CallState | None = None
        self._title = Label(size="title", wrap=True)
        self._words = Label(wrap=True)
        self._stay = Button(self.tr("Do not talk now"), kind="primary", name="stop_call", tall=True, clicked=self._stop)
        self._accept = Button(self.tr("Accept the new key…"), name="accept_key", tall=True, clicked=self._ask)
        alarm, inside = card(kind="alarm", padding=3 * GRID_PX)
        head = row(Picture("shield-alert", "warn", 40), self._title, spacing=2 * GRID_PX)
        head.setStretch(1, 1)
        inside.addLayout(head)
        inside.addWidget(self._words)
        self._stay_words = Label(tone="muted", wrap=True)
        self._accept_words = Label(tone="muted", wrap=True)
        body = QWidget()
        body.setMaximumWidth(WIDTH_PX)
        body.setLayout(
            column(
                None,
                alarm,
                self._choice(self._stay, self.tr("The safe choice"), self._stay_words),
                self._choice(self._accept, self.tr("If you know why it changed"), self._accept_words),
                None,
                spacing=2 * GRID_PX,
            )
        )
        centred = row(4 * GRID_PX, body, 4 * GRID_PX, spacing=0)
        centred.setStretch(1, 1)
        self.setLayout(column(scrolled(holder(centred), name="stop_scroll")))

    def show_call(self, call: CallState) -> None:
        """Tell about ``call``."""
        self._call = call
        who = plain(call.title)
        self._title.setText(self.tr("This may not be {0}").format(who))
        self._words.setText(
            self.tr(
                "The key of {0} is not the one that Segue knows. Either they set up Segue anew, for example on a new "
                "computer, or somebody is trying to take their place. Segue has stopped the call; no sound was sent."
            ).format(short_address(call.address))
        )
        self._stay_words.setText(
            self.tr("Ask {0} in another way, by phone or in person, whether they set up Segue anew.").format(who)
        )
        self._accept_words.setText(
            self.tr(
                "Segue takes the new key as theirs and forgets the old one. Compare the safety number with {0} "
                "afterwards."
            ).format(who)
        )

    @staticmethod
    def _choice(button: Button, title: str, words: Label) -> QFrame:
        frame, inside = card()
        button.setMinimumWidth(184)
        line = row(column(Label(title, size="strong"), words, spacing=4), button, spacing=2 * GRID_PX)
        line.setStretch(0, 1)
        line.setAlignment(button, Qt.AlignmentFlag.AlignVCenter)
        inside.addLayout(line)
        return frame

    def _stop(self) -> None:
        if self._call is None:
            return
        call_id = self._call.call_id
        if self._call.phase == "ended":
            self._send(DismissCall(call_id=call_id))
        elif self._call.phase == "incoming":
            self._send(DeclineCall(call_id=call_id))
        else:
            self._send(HangUp(call_id=call_id))

    def _ask(self) -> None:
        if self._call is None:
            return
        address, call_id, ended = self._call.address, self._call.call_id, self._call.phase == "ended"

        def accept() -> None:
            self._send(TrustKey(address=address, verified=False))
            if ended:
                self._send(DismissCall(call_id=call_id))

        confirm(
            self,
            self.tr("Take the new key as theirs?"),
            self.tr("Do this only if {0} told you, not through Segue, that they set it up anew.").format(
                plain(self._call.title)
            ),
            self.tr("Accept the new key"),
            accept,
        )
