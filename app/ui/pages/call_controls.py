"""The buttons under a call: mute, devices and hang up; answer and decline; close and call again."""

from functools import partial

from PySide6.QtCore import QPoint
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QWidget

from app.ipc.engine_state import AudioDevice, CallStatus
from app.ipc.messages import EngineState, RefreshDevices
from app.ui.commands import CallCommands, Send, change_settings
from app.ui.theme.icons import icon
from app.ui.theme.theme import colours
from app.ui.widgets.buttons import Button, danger, primary
from app.ui.widgets.format import menu_text
from app.ui.widgets.layout import row


class CallControls(QWidget):
    """What one can do with a call in its phase."""

    def __init__(self, send: Send, commands: CallCommands) -> None:
        super().__init__()
        self._send = send
        self._commands = commands
        self._state = EngineState()
        self._mute = Button(icon="mic", name="mute_button", tall=True, clicked=self._toggle_mute)
        self._mute.setCheckable(True)
        self._devices = Button(
            self.tr("Devices"), icon="headphones", name="devices_button", tall=True, clicked=self._open_devices
        )
        red = partial(danger, icon="phone-off", tall=True)
        blue = partial(primary, icon="phone", tall=True)
        self._hang_up = red(self.tr("Hang up"), name="hang_up", clicked=commands.hang_up)
        self._decline = red(self.tr("Decline"), name="page_decline", clicked=commands.decline)
        self._answer = blue(self.tr("Answer"), name="page_answer", clicked=commands.answer)
        self._close = Button(self.tr("Close"), name="close_call", tall=True, clicked=commands.dismiss)
        self._again = blue(self.tr("Call again"), name="call_again", clicked=commands.redial)
        running, incoming = (self._mute, self._devices, self._hang_up), (self._decline, self._answer)
        self._phases = {"incoming": incoming, "ended": (self._close, self._again)}
        self._running = running
        layout = row(*running, *incoming, self._close, self._again)
        for place in range(layout.count()):
            layout.setStretch(place, 1)
        self.setLayout(layout)

    def show_state(self, call: CallStatus, state: EngineState) -> None:
        """Show the buttons of the phase. Muting makes sense once a call is answered."""
        self._state = state
        shown = self._phases.get(call.phase, self._running)
        for button in (*self._running, *self._phases["incoming"], self._close, self._again):
            button.setVisible(button in shown)
        self._again.setVisible(call.phase == "ended" and state.me.relay == "online" and not call.blocked)
        self._mute.setEnabled(call.phase in ("talking", "reconnecting", "connecting"))
        self._mute.setChecked(call.muted)
        self._mute.setText(self.tr("Unmute") if call.muted else self.tr("Mute"))
        self._mute.set_icon("mic-off" if call.muted else "mic", "warn" if call.muted else "")

    def devices_menu(self) -> QMenu:
        """The menu of microphones and speakers; the caller deletes it."""
        menu = QMenu(self)
        menu.setObjectName("devices_menu")
        audio, settings = self._state.audio, self._state.settings
        self._add_devices(menu, self.tr("Microphone"), audio.inputs, "input_device", settings.input_device)
        menu.addSeparator()
        self._add_devices(menu, self.tr("Speaker"), audio.outputs, "output_device", settings.output_device)
        menu.addSeparator()
        again = menu.addAction(self.tr("Refresh devices"))
        again.setIcon(icon("refresh-cw", colours().muted))
        again.triggered.connect(lambda _checked=False: self._send(RefreshDevices()))
        return menu

    def _add_devices(self, menu: QMenu, title: str, devices: tuple[AudioDevice, ...], field: str, chosen: str) -> None:
        menu.addAction(title).setEnabled(False)
        for device in (AudioDevice(device="", name=self.tr("System default")), *devices):
            action: QAction = menu.addAction(menu_text(device.name))
            action.setCheckable(True)
            action.setChecked(device.device == chosen)
            if device.device == chosen:
                action.setIcon(icon("check", colours().accent))
            action.triggered.connect(lambda _checked=False, wanted=device.device: self._choose(field, wanted))

    def _choose(self, field: str, device: str) -> None:
        change_settings(self._send, self._state.settings, **{field: device})

    def _open_devices(self) -> None:
        menu = self.devices_menu()
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self._devices.mapToGlobal(QPoint(0, self._devices.height() + 4)))

    def _toggle_mute(self) -> None:
        self._commands.toggle_mute()
        # The engine's answer decides what is shown.
        self._mute.setChecked(self._state.call is not None and self._state.call.muted)
