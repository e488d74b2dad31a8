"""Why the last command failed. It disappears after a while, or with its button."""

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QFrame

from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import icon_button
from app.ui.widgets.format import plain
from app.ui.widgets.labels import Icon, Label
from app.ui.widgets.layout import row

# Long enough to read two lines twice.
SHOWN_MS = 12_000


class ErrorBar(QFrame):
    """One line at the top of the window."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("error_bar")
        self.setProperty("kind", "bar")
        self._text = Label(name="error_text", wrap=True)
        close = icon_button("x", self.tr("Dismiss"), name="error_close", clicked=self.hide)
        parts = Icon("circle-alert", "warn"), self._text, close
        self.setLayout(row(*parts, spacing=12, stretch=1, margins=(2 * GRID_PX, 8, 12, 8)))
        self._timer = QTimer(self, singleShot=True, interval=SHOWN_MS)
        self._timer.timeout.connect(self.hide)
        self.hide()

    def show_error(self, text: str) -> None:
        """Show ``text`` for a while."""
        self._text.setText(plain(text, 400))
        self._text.setAccessibleName(self._text.text())
        self.show()
        self._timer.start()
