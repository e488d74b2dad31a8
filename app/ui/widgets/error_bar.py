"""Why the last command could not be done; goes by itself, or with its button."""

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QFrame

from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import icon_button
from app.ui.widgets.format import plain
from app.ui.widgets.labels import Label, Picture
from app.ui.widgets.layout import row

# Long enough to read two lines twice.
SHOWN_MS = 12_000


class ErrorBar(QFrame):
    """One line at the top of the window."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("failure_bar")
        self.setProperty("kind", "bar")
        self._words = Label(wrap=True)
        self._words.setObjectName("failure_words")
        close = icon_button("x", self.tr("Dismiss"), name="failure_close", clicked=self.hide)
        line = row(Picture("circle-alert", "warn"), self._words, close, spacing=12)
        line.setStretch(1, 1)
        line.setContentsMargins(2 * GRID_PX, 8, 12, 8)
        self.setLayout(line)
        self._timer = QTimer(self, singleShot=True, interval=SHOWN_MS)
        self._timer.timeout.connect(self.hide)
        self.hide()

    def tell(self, words: str) -> None:
        """Show ``words`` for a while."""
        self._words.setText(plain(words, 400))
        self._words.setAccessibleName(self._words.text())
        self.show()
        self._timer.start()
