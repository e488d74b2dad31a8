"""A small window that rises above others when somebody calls."""

import time
from collections.abc import Callable

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent
from PySide6.QtWidgets import QWidget

from app.ipc.messages import AnswerCall, CallState, DeclineCall
from app.ui.commands import Send
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.animation import Pulse
from app.ui.widgets.avatar import Avatar
from app.ui.widgets.buttons import Button
from app.ui.widgets.format import plain, short_address
from app.ui.widgets.labels import ElidedLabel, Label
from app.ui.widgets.layout import column, row

WIDTH_PX = 400
# Somebody who is typing when the window rises must not answer with their next Enter.
KEYS_AFTER_S = 0.7


class IncomingWindow(QWidget):
    """Who calls, Answer (Enter) and Decline (Esc)."""

    look_wanted = Signal()
    """The person wants to see why the key is not trusted."""

    def __init__(self, send: Send, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(None, Qt.WindowType.Dialog | Qt.WindowType.WindowStaysOnTopHint)
        self.setObjectName("incoming_window")
        self.setProperty("kind", "window")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAttribute(Qt.WidgetAttribute.WA_QuitOnClose, False)
        self.setWindowTitle(self.tr("Incoming call"))
        self.setFixedWidth(WIDTH_PX)
        self._send = send
        self._now = now
        self._call: CallState | None = None
        self._shown_at = 0.0
        self._avatar = Avatar(88, halo_px=16)
        self._pulse = Pulse(self._avatar.set_halo, self)
        self._name = ElidedLabel(size="title")
        self._name.setObjectName("incoming_name")
        self._address = ElidedLabel(tone="muted", mode=Qt.TextElideMode.ElideMiddle)
        self._remark = Label(size="small", tone="muted", wrap=True)
        self._remark.setObjectName("incoming_remark")
        self._answer = Button(
            self.tr("Answer"), kind="primary", picture="phone", name="answer", tall=True, clicked=self._take
        )
        self._decline = Button(
            self.tr("Decline"), kind="danger", picture="phone-off", name="decline", tall=True, clicked=self._refuse
        )
        for label in (self._name, self._address, self._remark):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        keys = Label(self.tr("Enter answers, Esc declines"), size="small", tone="muted")
        keys.setAlignment(Qt.AlignmentFlag.AlignCenter)
        whole = column(
            row(None, self._avatar, None),
            self._name,
            self._address,
            self._remark,
            GRID_PX,
            row(self._decline, self._answer),
            keys,
            spacing=6,
        )
        whole.setContentsMargins(3 * GRID_PX, 2 * GRID_PX, 3 * GRID_PX, 2 * GRID_PX)
        self.setLayout(whole)

    def show_call(self, call: CallState | None) -> None:
        """Rise for an incoming call; go for anything else."""
        if call is None or call.phase != "incoming":
            self._call = None
            self._pulse.stop()
            self.hide()
            return
        fresh = self._call is None or self._call.call_id != call.call_id
        self._call = call
        self._avatar.set_title(call.title)
        self._name.set_text(plain(call.title))
        self._address.set_text(short_address(call.address))
        changed = call.trust == "changed"
        if changed:
            self._remark.setText(self.tr("Careful: their key is not the one that Segue knows."))
        elif call.first_call:
            self._remark.setText(self.tr("First call from this person"))
        else:
            self._remark.setText("")
        self._remark.set_tone("warn" if changed else "muted")
        self._remark.setVisible(bool(self._remark.text()))
        self._answer.setText(self.tr("See why") if changed else self.tr("Answer"))
        self._answer.set_picture("shield-alert" if changed else "phone")
        self.setAccessibleName(self.tr("{0} is calling").format(plain(call.title)))
        if fresh:
            self._shown_at = self._now()
            self._pulse.set_on(True)
            self.adjustSize()
            self._move_to_corner()
            self.show()
            self.raise_()
            # On no button: a space typed into another program's window must press nothing here.
            self.setFocus(Qt.FocusReason.OtherFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        early = self._now() - self._shown_at < KEYS_AFTER_S
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if not early:
                (self._refuse if self._decline.hasFocus() else self._take)()
        elif event.key() == Qt.Key.Key_Escape:
            if not early:
                self._refuse()
        else:
            super().keyPressEvent(event)

    def _move_to_corner(self) -> None:
        screen = QGuiApplication.primaryScreen()
        if screen is not None:
            free = screen.availableGeometry()
            self.move(free.right() - self.width() - 3 * GRID_PX, free.top() + 3 * GRID_PX)

    def _take(self) -> None:
        if self._call is None:
            return
        if self._call.trust == "changed":
            self.look_wanted.emit()
        else:
            self._send(AnswerCall(call_id=self._call.call_id))

    def _refuse(self) -> None:
        if self._call is not None:
            self._send(DeclineCall(call_id=self._call.call_id))
