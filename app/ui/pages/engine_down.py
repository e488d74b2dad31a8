"""The pages without an engine: what happened and a button to restart it; or that it is starting."""

from PySide6.QtCore import Signal

from app.ipc.messages import EngineState
from app.text.accounts import busy_text
from app.text.catalogue import joined
from app.ui.pages.page import Page
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import primary
from app.ui.widgets.labels import Icon, Label, logo_label
from app.ui.widgets.layout import column
from app.ui.widgets.rows import hint


class EngineDownPage(Page):
    """The engine has gone, or could not be reached."""

    restart_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("engine_down_page")
        self._text = Label(tone="muted", name="engine_down_text", wrap=True, centred=True)
        self.restart = primary(
            self.tr("Restart"), icon="refresh-cw", name="restart_button", tall=True, clicked=self.restart_wanted.emit
        )
        title = Label(self.tr("Segue's engine is not running"), size="title", centred=True)
        self.setLayout(hint(Icon("power", "warn", 48), title, self._text, self.restart))

    def show_reason(self, text: str) -> None:
        """Say what happened."""
        self._text.setText(joined(text, self.tr("Your contacts and settings are safe.")))


class StartingPage(Page):
    """Shown while the engine starts."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("starting_page")
        self._text = Label(self.tr("Starting…"), tone="muted", centred=True)
        self.setLayout(column(None, logo_label(64), GRID_PX, self._text, None))

    def show_state(self, state: EngineState) -> None:
        self._text.setText(busy_text(state.busy) or self.tr("Starting…"))
