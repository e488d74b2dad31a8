"""When there is no engine: what happened, and one button."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QWidget

from app.ui.theme.icons import logo_pixmap
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import Button
from app.ui.widgets.labels import Label, Picture
from app.ui.widgets.layout import column, row


class EngineDownPage(QWidget):
    """The engine has gone, or could not be reached."""

    restart_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("problem_page")
        self._words = Label(tone="muted", wrap=True)
        self._words.setObjectName("problem_words")
        self._words.setFixedWidth(440)
        self._title = Label(self.tr("Segue's engine is not running"), size="title")
        self._restart = Button(
            self.tr("Restart"), kind="primary", picture="refresh-cw", name="restart_button", tall=True
        )
        self._restart.clicked.connect(self.restart_wanted)
        calm = Label(self.tr("Your people, calls and settings are safe."), size="small", tone="muted")
        for label in (self._words, self._title, calm):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setLayout(
            column(
                None,
                row(None, Picture("power", "warn", 40), None),
                GRID_PX,
                self._title,
                row(None, self._words, None),
                GRID_PX,
                row(None, self._restart, None),
                GRID_PX,
                calm,
                None,
            )
        )

    def tell(self, words: str) -> None:
        """Say what happened."""
        self._words.setText(words)

    def restart_button(self) -> Button:
        """The one button."""
        return self._restart


class StartingPage(QWidget):
    """Shown for the moment that the engine takes."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("starting_page")
        self._words = Label(self.tr("Starting…"), tone="muted")
        self._words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        picture = Label()
        picture.setPixmap(logo_pixmap(64, picture.devicePixelRatioF()))
        picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setLayout(column(None, picture, GRID_PX, self._words, None))

    def tell(self, words: str) -> None:
        """Say what takes its time."""
        self._words.setText(words or self.tr("Starting…"))
