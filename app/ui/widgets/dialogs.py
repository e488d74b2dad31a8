"""Questions. They are opened with ``open()``, so they block nothing, and answer through a signal."""

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QWidget

from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import Button
from app.ui.widgets.fields import Field
from app.ui.widgets.labels import Label
from app.ui.widgets.layout import column, row


class Question(QDialog):
    """A title, a text, fields where something is to be typed, and two buttons. Deleted when closed."""

    def __init__(
        self, parent: QWidget, title: str, text: str, action: str, fields: tuple[Field, ...] = (), *, danger: bool
    ) -> None:
        super().__init__(parent)
        self.setObjectName("question")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.setMinimumWidth(400)
        self.setMaximumWidth(480)
        self.yes = Button(action, kind="danger" if danger else "primary", name="question_yes", clicked=self.accept)
        self.no = Button(self.tr("Cancel"), name="question_no", clicked=self.reject)
        self.setLayout(
            column(
                Label(title, size="title"),
                Label(text, tone="muted", wrap=True),
                *fields,
                GRID_PX,
                row(None, self.no, self.yes),
                margins=(3 * GRID_PX,) * 4,
            )
        )
        # Pressing Enter by accident must not remove anything.
        (self.no if danger else self.yes).setDefault(True)


def confirm(
    parent: QWidget, title: str, text: str, action: str, then: Callable[[], None], *, danger: bool = True
) -> Question:
    """Ask before something that cannot be undone; ``danger``: something is lost by it."""
    asked = Question(parent, title, text, action, danger=danger)
    asked.accepted.connect(then)
    asked.open()
    return asked


def ask_texts(
    parent: QWidget, title: str, text: str, action: str, fields: tuple[Field, ...], then: Callable[[], None]
) -> Question:
    """Ask for one or more lines; the first must not be empty."""
    asked = Question(parent, title, text, action, fields, danger=False)
    first = fields[0]
    first.textChanged.connect(lambda typed: asked.yes.setEnabled(bool(typed.strip())))
    asked.yes.setEnabled(bool(first.text().strip()))
    asked.accepted.connect(then)
    asked.open()
    first.setFocus()
    first.selectAll()
    return asked
