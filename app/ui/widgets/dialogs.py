"""Questions that stop nothing: small windows opened with ``open()``, answered through a signal."""

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QWidget

from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import Button
from app.ui.widgets.fields import Field
from app.ui.widgets.labels import Label
from app.ui.widgets.layout import column, row


class Question(QDialog):
    """A title, words, and two buttons. It lets itself go when closed."""

    def __init__(self, parent: QWidget, title: str, words: str, yes: str, *, danger: bool = False) -> None:
        super().__init__(parent)
        self.setObjectName("question")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.setMinimumWidth(400)
        self.setMaximumWidth(480)
        self.said = Label(words, tone="muted", wrap=True)
        self.middle = column()
        self.yes = Button(yes, kind="danger" if danger else "primary", name="question_yes", clicked=self.accept)
        self.no = Button(self.tr("Cancel"), name="question_no", clicked=self.reject)
        whole = column(
            Label(title, size="title"), self.said, self.middle, GRID_PX, row(None, self.no, self.yes), spacing=GRID_PX
        )
        whole.setContentsMargins(3 * GRID_PX, 3 * GRID_PX, 3 * GRID_PX, 3 * GRID_PX)
        self.setLayout(whole)
        if danger:
            # A slip of the Enter key must not remove anything.
            self.no.setDefault(True)
        else:
            self.yes.setDefault(True)


def confirm(
    parent: QWidget, title: str, words: str, yes: str, then: Callable[[], None], *, danger: bool = True
) -> Question:
    """Ask before something that cannot be undone by the same click; ``danger``: something is lost by it."""
    asked = Question(parent, title, words, yes, danger=danger)
    asked.accepted.connect(then)
    asked.open()
    return asked


def ask_texts(
    parent: QWidget, title: str, words: str, yes: str, fields: tuple[Field, ...], then: Callable[[], None]
) -> Question:
    """Ask for one or more lines; the first must not be empty."""
    asked = Question(parent, title, words, yes)
    for field in fields:
        asked.middle.addWidget(field)
    first = fields[0]
    first.textChanged.connect(lambda text: asked.yes.setEnabled(bool(text.strip())))
    asked.yes.setEnabled(bool(first.text().strip()))
    asked.accepted.connect(then)
    asked.open()
    first.setFocus()
    first.selectAll()
    return asked
