"""Mute, devices and hang up: the row under a running call."""

from collections.abc import Callable

from PySide6.QtCore import QPoint, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QMenu, QWidget

from app.ipc.messages import Audio, AudioDevice, ChangeSettings, RefreshDevices, SetMuted
from app.model.settings import Settings
from app.ui.commands import Send, changed
from app.ui.theme.icons import icon
from app.ui.theme.theme import colours
from app.ui.widgets.buttons import Button
from app.ui.widgets.format import menu_text


class CallControls(QWidget):
    """What one can do while a call runs."""

    hang_up_wanted = Signal()

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send
        self._audio = Audio()
        self._settings = Settings()
        self._muted = False
        self._mute = Button(picture="mic", name="mute_button", tall=True, clicked=self._toggle_mute)
        self._mute.setCheckable(True)
        self._devices = Button(
            self.tr("Devices"), picture="headphones", name="devices_button", tall=True, clicked=self._open_devices
        )
        self._hang_up = Button(self.tr("Hang up"), kind="danger", picture="phone-off", name="hang_up", tall=True)
        self._hang_up.clicked.connect(self.hang_up_wanted)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        for button in (self._mute, self._devices, self._hang_up):
            layout.addWidget(button, 1)
        self._show_mute()

    def show_call(self, muted: bool, audio: Audio, settings: Settings, *, talking: bool) -> None:
        """``talking``: the call is answered, so that muting makes sense."""
        self._audio, self._settings = audio, settings
        self._mute.setEnabled(talking)
        if muted != self._muted:
            self._muted = muted
            self._show_mute()

    def devices_menu(self) -> QMenu:
        """The menu with microphones and speakers; whoever opens it lets it go."""
        menu = QMenu(self)
        menu.setObjectName("devices_menu")
        audio, settings = self._audio, self._settings
        self._add_devices(
            menu, self.tr("Microphone"), audio.inputs, settings.input_device, lambda one: {"input_device": one}
        )
        menu.addSeparator()
        self._add_devices(
            menu, self.tr("Speaker"), audio.outputs, settings.output_device, lambda one: {"output_device": one}
        )
        menu.addSeparator()
        again = menu.addAction(self.tr("Look for devices again"))
        again.setIcon(icon("refresh-cw", colours().muted))
        again.triggered.connect(lambda _checked=False: self._send(RefreshDevices()))
        return menu

    def _add_devices(
        self,
        menu: QMenu,
        title: str,
        devices: tuple[AudioDevice, ...],
        chosen: str,
        change: Callable[[str], dict[str, str]],
    ) -> None:
        head = menu.addAction(title)
        head.setEnabled(False)
        default = AudioDevice(device="", name=self.tr("System default"))
        for device in (default, *devices):
            action: QAction = menu.addAction(menu_text(device.name))
            action.setCheckable(True)
            action.setChecked(device.device == chosen)
            if device.device == chosen:
                action.setIcon(icon("check", colours().accent))
            wanted = change(device.device)
            action.triggered.connect(lambda _checked=False, wanted=wanted: self._choose(wanted))

    def _choose(self, change: dict[str, str]) -> None:
        self._send(ChangeSettings(settings=changed(self._settings, **change)))

    def _open_devices(self) -> None:
        menu = self.devices_menu()
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self._devices.mapToGlobal(QPoint(0, self._devices.height() + 4)))

    def _toggle_mute(self) -> None:
        self._send(SetMuted(muted=not self._muted))
        # The engine's answer decides what is shown.
        self._mute.setChecked(self._muted)

    def _show_mute(self) -> None:
        self._mute.setChecked(self._muted)
        self._mute.setText(self.tr("Unmute") if self._muted else self.tr("Mute"))
        self._mute.set_picture("mic-off" if self._muted else "mic", "warn" if self._muted else "")
