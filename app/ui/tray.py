"""The icon in the system's tray: presence, the call's commands, and the notification of a call."""

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QSystemTrayIcon

from app.ipc.engine_state import CallStatus
from app.ipc.messages import EngineState
from app.text.catalogue import sentence
from app.ui.commands import CallCommands, Send
from app.ui.theme.icons import logo
from app.ui.widgets.format import caller, menu_text

NOTIFICATION_MS = 45_000
# Some notification servers read their text as markup: these signs would begin it.
MARKUP = str.maketrans("", "", "<>&")


class Tray(QObject):
    """The tray icon and its menu."""

    open_wanted = Signal()
    quit_wanted = Signal()

    def __init__(self, send: Send, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._commands = CallCommands(send)
        self._notified = ""
        self.icon = QSystemTrayIcon(logo(), self)
        self.icon.setToolTip("Segue")
        self.menu = QMenu()
        self._status = self.menu.addAction("")
        self._status.setEnabled(False)
        self.menu.addSeparator()
        self._answer = self._add(self.tr("Answer"), "tray_answer", self._commands.answer)
        self._decline = self._add(self.tr("Decline"), "tray_decline", self._commands.decline)
        self._mute = self._add(self.tr("Mute"), "tray_mute", self._commands.toggle_mute)
        self._hang_up = self._add(self.tr("Hang up"), "tray_hang_up", self._commands.hang_up)
        self.menu.addSeparator()
        self._add(self.tr("Open Segue"), "tray_open", self.open_wanted.emit)
        self._add(self.tr("Quit Segue"), "tray_quit", self.quit_wanted.emit)
        self.icon.setContextMenu(self.menu)
        self.icon.activated.connect(self._activated)
        self.icon.messageClicked.connect(self.open_wanted)

    @property
    def available(self) -> bool:
        """Whether the desktop shows the icon."""
        return QSystemTrayIcon.isSystemTrayAvailable() and self.icon.isVisible()

    def show(self) -> None:
        """Appear, where there is a tray."""
        if QSystemTrayIcon.isSystemTrayAvailable():
            self.icon.show()

    def hide(self) -> None:
        """Disappear before the program ends; some trays leave a gap otherwise."""
        self.icon.hide()

    def show_state(self, state: EngineState, *, window_active: bool) -> None:
        """Bring the menu up to date; notify once of each incoming call while the window is in the background."""
        call = state.call if state.call is not None and state.call.phase != "ended" else None
        self._commands.call = call
        phase = call.phase if call is not None else None
        incoming = phase == "incoming"
        self._answer.setVisible(incoming and call is not None and call.trust != "changed")
        self._decline.setVisible(incoming)
        self._mute.setVisible(phase in ("talking", "reconnecting"))
        self._mute.setText(self.tr("Unmute") if call is not None and call.muted else self.tr("Mute"))
        self._hang_up.setVisible(call is not None and not incoming)
        if call is not None:
            self._status.setText(menu_text(caller(call)[0]))
        else:
            self._status.setText(self.tr("Online") if state.me.relay == "online" else self.tr("Offline"))
        self.icon.setToolTip(self.tr("Segue · {status}").format(status=self._status.text()))
        if incoming and call is not None and call.call_id != self._notified:
            self._notified = call.call_id
            if state.settings.notifications and not window_active:
                title, text = notification(call)
                self.icon.showMessage(title, text, logo(), NOTIFICATION_MS)

    def _add(self, text: str, name: str, then: Callable[[], None]) -> QAction:
        action = self.menu.addAction(text)
        action.setObjectName(name)
        action.triggered.connect(lambda _checked=False: then())
        return action

    def _activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason in (QSystemTrayIcon.ActivationReason.Trigger, QSystemTrayIcon.ActivationReason.DoubleClick):
            self.open_wanted.emit()


def notification(call: CallStatus) -> tuple[str, str]:
    """Title and text of the system's notification of an incoming call."""
    name, address = caller(call)
    return sentence("{name} is calling", name=name).translate(MARKUP), address.translate(MARKUP)
