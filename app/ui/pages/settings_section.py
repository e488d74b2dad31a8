"""What the sections of the settings have in common: they show the engine's settings, and ask it to change one."""

from PySide6.QtCore import QSignalBlocker
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.ipc.messages import EngineState
from app.ui.commands import Send, change_settings
from app.ui.widgets.fields import Switch
from app.ui.widgets.rows import setting


class Section(QWidget):
    """One section. Its switches are named after the field of the settings that they change."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send
        self._state = EngineState()
        self._switches: dict[str, Switch] = {}

    def show_state(self, state: EngineState) -> None:
        """Bring every control up to date."""
        self._state = state
        for field, switch in self._switches.items():
            with QSignalBlocker(switch):
                switch.setChecked(bool(getattr(state.settings, field)))
            switch.update()

    def _switch(self, field: str, title: str, text: str) -> QHBoxLayout:
        switch = Switch(title, name=f"switch_{field}")
        switch.setAccessibleDescription(text)
        switch.toggled.connect(lambda on: self._change(field, on))
        self._switches[field] = switch
        return setting(title, text, switch)

    def _change(self, field: str, value: object) -> None:
        change_settings(self._send, self._state.settings, **{field: value})
