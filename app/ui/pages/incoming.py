"""A small window that comes up above all others when somebody calls."""

import time
from collections.abc import Callable

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent
from PySide6.QtWidgets import QWidget

from app.ipc.engine_state import CallStatus
from app.text.calls import caller_note
from app.ui.commands import CallCommands, Send
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.animation import Pulse
from app.ui.widgets.avatar import Avatar
from app.ui.widgets.buttons import danger, primary, quiet
from app.ui.widgets.format import caller
from app.ui.widgets.labels import ElidedLabel, small
from app.ui.widgets.layout import column, row

WIDTH_PX = 400
# Somebody who is typing when the window comes up must not answer with their next Enter.
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
        self._commands = CallCommands(send)
        self._now = now
        self._shown_at = 0.0
        self._avatar = Avatar(88, halo_px=16)
        self._pulse = Pulse(self._avatar.set_halo, self)
        self._name = ElidedLabel(size="title", name="incoming_name", centred=True)
        self._address = ElidedLabel(tone="muted", mode=Qt.TextElideMode.ElideMiddle, centred=True)
        self._note = small(name="incoming_note", centred=True)
        self._answer = primary(icon="phone", name="answer", tall=True, clicked=self._take)
        self._decline = danger(
            self.tr("Decline"), icon="phone-off", name="decline", tall=True, clicked=self._commands.decline
        )
        self._block = quiet(self.tr("Block"), icon="ban", name="incoming_block", clicked=self._commands.block)
        self.setLayout(
            column(
                row(None, self._avatar, None),
                self._name,
                self._address,
                self._note,
                GRID_PX,
                row(self._decline, self._answer),
                row(None, self._block, None),
                small(self.tr("Enter to answer, Esc to decline"), wrap=False, centred=True),
                spacing=6,
                margins=(3 * GRID_PX, 2 * GRID_PX, 3 * GRID_PX, 2 * GRID_PX),
            )
        )

    def show_call(self, call: CallStatus | None) -> None:
        """Show an incoming call; hide for anything else."""
        before = self._commands.call
        if call is None or call.phase != "incoming":
            self._commands.call = None
            self._pulse.set_on(False)
            self.hide()
            return
        self._commands.call = call
        title, address = caller(call)
        self._avatar.set_title(title)
        self._name.set_text(title)
        self._address.set_text(address)
        changed = call.trust == "changed"
        self._note.show_text(caller_note(call))
        self._note.set_tone("warn" if changed or not call.vouched else "muted")
        self._answer.setText(self.tr("See why") if changed else self.tr("Answer"))
        self._answer.set_icon("shield-alert" if changed else "phone")
        self.setAccessibleName(self.tr("{name} is calling").format(name=title))
        if before is None or before.call_id != call.call_id:
            self._shown_at = self._now()
            self._pulse.set_on(True)
            self.adjustSize()
            self._move_to_corner()
            self.show()
            self.raise_()
            # On no button: a space typed into another program's window must press nothing here.
            self.setFocus(Qt.FocusReason.OtherFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() not in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape):
            super().keyPressEvent(event)
        elif self._now() - self._shown_at >= KEYS_AFTER_S:
            refused = event.key() == Qt.Key.Key_Escape or self._decline.hasFocus()
            if self._block.hasFocus() and event.key() != Qt.Key.Key_Escape:
                self._commands.block()
            else:
                (self._commands.decline if refused else self._take)()

    def _move_to_corner(self) -> None:
        screen = QGuiApplication.primaryScreen()
        if screen is not None:
            free = screen.availableGeometry()
            self.move(free.right() - self.width() - 3 * GRID_PX, free.top() + 3 * GRID_PX)

    def _take(self) -> None:
        if self._commands.call is not None and self._commands.call.trust == "changed":
            self.look_wanted.emit()
        else:
            self._commands.answer()
