"""Microphone and speaker with a level and a test recording; used by the first run and by the settings."""

from PySide6.QtCore import QSignalBlocker
from PySide6.QtWidgets import QWidget

from app.ipc.engine_state import AudioDevice
from app.ipc.messages import EngineState, Levels, MeterMicrophone, RefreshDevices, TestRecording
from app.text.devices import device_text
from app.ui.commands import Send, change_settings
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import Button, icon_button
from app.ui.widgets.fields import Choice
from app.ui.widgets.format import plain
from app.ui.widgets.labels import Icon, small, strong
from app.ui.widgets.layout import card, column, row
from app.ui.widgets.level_bars import LevelBars


class AudioCheck(QWidget):
    """Choose devices and see that they work. The microphone is open only between ``start`` and ``stop``."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send
        self._state = EngineState()
        self._listening = False
        self._input = Choice(self.tr("Microphone"), name="input_choice")
        self._output = Choice(self.tr("Speaker"), name="output_choice")
        self._listed: dict[Choice, tuple[AudioDevice, ...] | None] = {self._input: None, self._output: None}
        self._meter = LevelBars(self.tr("Microphone level"), name="input_level")
        self._input_problem = small(tone="warn")
        self._output_problem = small(tone="warn")
        self._test = Button(self.tr("Test recording"), icon="play", name="test_recording", clicked=self._toggle_test)
        self._test_text = small()
        refresh = icon_button(
            "refresh-cw", self.tr("Refresh devices"), name="refresh_devices", clicked=lambda: send(RefreshDevices())
        )
        microphone = card(
            row(Icon("mic"), strong(self.tr("Microphone")), None, refresh),
            self._input,
            self._meter,
            self._input_problem,
        )
        speaker = card(
            row(Icon("volume-2"), strong(self.tr("Speaker")), None),
            self._output,
            self._output_problem,
            row(self._test, self._test_text, spacing=12, stretch=1),
        )
        self.setLayout(column(microphone, speaker, spacing=2 * GRID_PX))
        self._input.activated.connect(lambda place: self._choose("input_device", self._input.itemData(place)))
        self._output.activated.connect(lambda place: self._choose("output_device", self._output.itemData(place)))

    def show_state(self, state: EngineState) -> None:
        """Bring lists, problems and the test up to date."""
        self._state = state
        audio = state.audio
        self._fill(self._input, audio.inputs, state.settings.input_device)
        self._fill(self._output, audio.outputs, state.settings.output_device)
        self._input_problem.show_text(device_text("input", audio.input_problem))
        self._output_problem.show_text(device_text("output", audio.output_problem))
        self._test.setText(self.tr("Stop") if audio.recording_test else self.tr("Test recording"))
        self._test.set_icon("square" if audio.recording_test else "play")
        self._test_text.setText(
            {
                "": self.tr("Records three seconds and plays them back."),
                "recording": self.tr("Say something…"),
                "playing": self.tr("This is how you sound."),
            }[audio.recording_test]
        )

    def show_levels(self, levels: Levels) -> None:
        """Move the meter."""
        self._meter.set_level(levels.microphone)

    def start(self) -> None:
        """Open the microphone to show its level."""
        if not self._listening:
            self._listening = True
            self._send(MeterMicrophone(on=True))

    def stop(self) -> None:
        """Close it again."""
        if self._listening:
            self._listening = False
            self._meter.set_level(0)
            self._send(MeterMicrophone(on=False))
            if self._state.audio.recording_test:
                self._send(TestRecording(on=False))

    def forget(self) -> None:
        """A new engine knows nothing of an open microphone."""
        self._listening = False

    def _fill(self, choice: Choice, devices: tuple[AudioDevice, ...], chosen: str) -> None:
        with QSignalBlocker(choice):
            if self._listed[choice] != devices:
                self._listed[choice] = devices
                choice.clear()
                default = plain(next((device.name for device in devices if device.is_default), ""))
                named = self.tr("System default ({device})").format(device=default)
                choice.addItem(named if default else self.tr("System default"), "")
                for device in devices:
                    choice.addItem(plain(device.name), device.device)
            place = choice.findData(chosen)
            if place < 0:
                # Not connected at the moment; the engine uses it again when it is back.
                choice.addItem(self.tr("Your chosen device (not connected)"), chosen)
                place = choice.count() - 1
            choice.setCurrentIndex(place)

    def _choose(self, field: str, device: str) -> None:
        change_settings(self._send, self._state.settings, **{field: device})

    def _toggle_test(self) -> None:
        self._send(TestRecording(on=not self._state.audio.recording_test))
