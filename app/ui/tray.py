"""The icon in the system's tray: presence, the call's commands, and the notification of a call."""

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QSystemTrayIcon

from app.ipc.messages import AnswerCall, CallState, DeclineCall, EngineState, HangUp, SetMuted
from app.ui.commands import Send
from app.ui.theme.icons import logo
from app.ui.widgets.format import menu_text, plain, short_address, translate

NOTIFICATION_MS = 45_000
# Some notification servers read their text as markup: these signs would begin it.
MARKUP = str.maketrans("", "", "<>&")


class Tray(QObject):
    """The tray icon and its menu."""

    open_wanted = Signal()
    quit_wanted = Signal()

    def __init__(self, send: Send, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._send = send
        self._call: CallState | None = None
        self._told = ""
        self.icon = QSystemTrayIcon(logo(), self)
        self.icon.setToolTip("Segue")
        self.menu = QMenu()
        self._status = self.menu.addAction("")
        self._status.setEnabled(False)
        self.menu.addSeparator()
        self._answer = self._add(self.tr("Answer"), "tray_answer", self._take)
        self._decline = self._add(self.tr("Decline"), "tray_decline", self._refuse)
        self._mute = self._add(self.tr("Mute"), "tray_mute", self._toggle_mute)
        self._hang_up = self._add(self.tr("Hang up"), "tray_hang_up", self._end)
        self.menu.addSeparator()
        self._add(self.tr("Open Segue"), "tray_open", self.open_wanted.emit)
        self._add(self.tr("Quit Segue"), "tray_quit", self.quit_wanted.emit)
        self.icon.setContextMenu(self.menu)
        self.icon.activated.connect(self._activated)
        self.icon.messageClicked.connect(self.open_wanted)

    @property
    def there(self) -> bool:
        """Whether the desktop shows the icon."""
        return QSystemTrayIcon.isSystemTrayAvailable() and self.icon.isVisible()

    def show(self) -> None:
        """Appear, where there is a tray."""
        if QSystemTrayIcon.isSystemTrayAvailable():
            self.icon.show()

    def hide(self) -> None:
        """Go before the program ends; some trays keep an empty place otherwise."""
        self.icon.hide()

    def show_state(self, state: EngineState, *, window_active: bool) -> None:
        """Bring the menu up to date; notify once of each incoming call while the window is in the background."""
        call = state.call if state.call is not None and state.call.phase != "ended" else None
        self._call = call
        incoming = call is not None and call.phase == "incoming"
        trusted = incoming and call is not None and call.trust != "changed"
        self._answer.setVisible(trusted)
        self._decline.setVisible(incoming)
        self._mute.setVisible(call is not None and call.phase in ("talking", "reconnecting"))
        self._mute.setText(self.tr("Unmute") if call is not None and call.muted else self.tr("Mute"))
        self._hang_up.setVisible(call is not None and not incoming)
        if call is not None:
            self._status.setText(menu_text(call.title))
        elif state.me.relay == "online":
            self._status.setText(self.tr("Online"))
        else:
            self._status.setText(self.tr("Offline"))
        self.icon.setToolTip("Segue · " + self._status.text())
        if incoming and call is not None and call.call_id != self._told:
            self._told = call.call_id
            if state.settings.notifications and not window_active:
                title, text = notification(call)
                self.icon.showMessage(title, text, logo(), NOTIFICATION_MS)

    def _add(self, words: str, name: str, then: object) -> QAction:
        action = self.menu.addAction(words)
        action.setObjectName(name)
        action.triggered.connect(then)
        return action

    def _activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason in (QSystemTrayIcon.ActivationReason.Trigger, QSystemTrayIcon.ActivationReason.DoubleClick):
            self.open_wanted.emit()

    def _take(self) -> None:
        if self._call is not None:
            self._send(AnswerCall(call_id=self._call.call_id))

    def _refuse(self) -> None:
        if self._call is not None:
            self._send(DeclineCall(call_id=self._call.call_id))

    def _toggle_mute(self) -> None:
        if self._call is not None:
            self._send(SetMuted(muted=not self._call.muted))

    def _end(self) -> None:
        if self._call is not None:
            self._send(HangUp(call_id=self._call.call_id))


def notification(call: CallState) -> tuple[str, str]:
    """Title and text of the system's notification of an incoming call."""
    return (
        translate("tray", "{0} is calling").format(plain(call.title)).translate(MARKUP),
        short_address(call.address).translate(MARKUP),
    )
