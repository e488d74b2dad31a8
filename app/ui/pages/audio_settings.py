"""Microphone and speaker with a level and a test recording; used by the first run and by the settings."""

from PySide6.QtCore import QSignalBlocker
from PySide6.QtWidgets import QWidget

from app.ipc.messages import (
    Audio,
    AudioDevice,
    ChangeSettings,
    EngineState,
    Levels,
    MeterMicrophone,
    RefreshDevices,
    TestRecording,
)
from app.model.settings import Settings
from app.ui.commands import Send, changed
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import Button, icon_button
from app.ui.widgets.fields import Choice
from app.ui.widgets.format import plain
from app.ui.widgets.labels import Label, Picture
from app.ui.widgets.layout import card, column, row
from app.ui.widgets.meter import LevelMeter


class SoundCheck(QWidget):
    """Choose devices and see that they work. The microphone is open only between ``start`` and ``stop``."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send
        self._settings = Settings()
        self._audio = Audio()
        self._listening = False
        self._input = Choice(self.tr("Microphone"), name="input_choice")
        self._output = Choice(self.tr("Speaker"), name="output_choice")
        self._listed: dict[Choice, tuple[AudioDevice, ...] | None] = {self._input: None, self._output: None}
        self._meter = LevelMeter(self.tr("Microphone level"), name="input_level")
        self._input_problem = Label(size="small", tone="warn", wrap=True)
        self._output_problem = Label(size="small", tone="warn", wrap=True)
        self._test = Button(self.tr("Test recording"), picture="play", name="test_recording", clicked=self._toggle_test)
        self._test_words = Label(size="small", tone="muted", wrap=True)
        refresh = icon_button(
            "refresh-cw", self.tr("Look for devices again"), name="refresh_devices", clicked=self._refresh
        )
        microphone, inside = card()
        inside.addLayout(row(Picture("mic", "muted"), Label(self.tr("Microphone"), size="strong"), None, refresh))
        for part in (self._input, self._meter, self._input_problem):
            inside.addWidget(part)
        speaker, inside = card()
        inside.addLayout(row(Picture("volume-2", "muted"), Label(self.tr("Speaker"), size="strong"), None))
        inside.addWidget(self._output)
        inside.addWidget(self._output_problem)
        test = row(self._test, self._test_words, spacing=12)
        test.setStretch(1, 1)
        inside.addLayout(test)
        self.setLayout(column(microphone, speaker, spacing=2 * GRID_PX))
        self._input.activated.connect(lambda place: self._choose("input_device", self._input.itemData(place)))
        self._output.activated.connect(lambda place: self._choose("output_device", self._output.itemData(place)))

    def show_state(self, state: EngineState) -> None:
        """Bring lists, problems and the test up to date."""
        self._settings = state.settings
        self._audio = state.audio
        self._fill(self._input, state.audio.inputs, state.settings.input_device)
        self._fill(self._output, state.audio.outputs, state.settings.output_device)
        for label, words in (
            (self._input_problem, state.audio.input_problem),
            (self._output_problem, state.audio.output_problem),
        ):
            label.setText(plain(words, 300))
            label.setVisible(bool(words))
        phase = state.audio.recording_test
        self._test.setText(self.tr("Stop") if phase else self.tr("Test recording"))
        self._test.set_picture("square" if phase else "play")
        self._test_words.setText(
            {
                "": self.tr("Records three seconds and plays them back."),
                "recording": self.tr("Say something…"),
                "playing": self.tr("This is how you sound."),
            }[phase]
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
            if self._audio.recording_test:
                self._send(TestRecording(on=False))

    def forget(self) -> None:
        """The engine is a new one: it knows nothing of an open microphone."""
        self._listening = False

    def _fill(self, choice: Choice, devices: tuple[AudioDevice, ...], chosen: str) -> None:
        with QSignalBlocker(choice):
            if self._listed[choice] != devices:
                self._listed[choice] = devices
                choice.clear()
                default = next((device.name for device in devices if device.is_default), "")
                words = self.tr("System default ({0})").format(plain(default)) if default else self.tr("System default")
                choice.addItem(words, "")
                for device in devices:
                    choice.addItem(plain(device.name), device.device)
            place = choice.findData(chosen)
            if place < 0:
                # Unplugged at the moment; the engine takes it up when it is back.
                choice.addItem(self.tr("The one you chose (not plugged in)"), chosen)
                place = choice.count() - 1
            choice.setCurrentIndex(place)

    def _choose(self, field: str, device: str) -> None:
        self._send(ChangeSettings(settings=changed(self._settings, **{field: device})))

    def _toggle_test(self) -> None:
        self._send(TestRecording(on=not self._audio.recording_test))

    def _refresh(self) -> None:
        self._send(RefreshDevices())
