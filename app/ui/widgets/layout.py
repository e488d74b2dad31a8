"""The small parts that all pages are made of. Every label is plain text: a name from outside is never markup."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLayout, QScrollArea, QVBoxLayout, QWidget

from app.ui.theme.theme import GRID_PX


def card(*, kind: str = "card", name: str = "", padding: int = 2 * GRID_PX) -> tuple[QFrame, QVBoxLayout]:
    """A raised ground with round corners, and the column inside it."""
    frame = QFrame()
    frame.setProperty("kind", kind)
    if name:
        frame.setObjectName(name)
    inside = QVBoxLayout(frame)
    inside.setContentsMargins(padding, padding, padding, padding)
    inside.setSpacing(GRID_PX)
    return frame, inside


def rule() -> QFrame:
    """A hairline."""
    frame = QFrame()
    frame.setProperty("kind", "rule")
    frame.setFixedHeight(1)
    return frame


def row(*parts: QWidget | QLayout | int | None, spacing: int = GRID_PX) -> QHBoxLayout:
    """Parts from the leading to the trailing side; ``None`` stretches, a number is a gap in pixels."""
    made = QHBoxLayout()
    made.setContentsMargins(0, 0, 0, 0)
    made.setSpacing(spacing)
    fill(made, parts)
    return made


def column(*parts: QWidget | QLayout | int | None, spacing: int = GRID_PX) -> QVBoxLayout:
    """Parts from top to bottom; ``None`` stretches, a number is a gap in pixels."""
    made = QVBoxLayout()
    made.setContentsMargins(0, 0, 0, 0)
    made.setSpacing(spacing)
    fill(made, parts)
    return made


def fill(box: QHBoxLayout | QVBoxLayout, parts: tuple[QWidget | QLayout | int | None, ...]) -> None:
    """Add ``parts`` as :func:`row` and :func:`column` do."""
    for part in parts:
        if part is None:
            box.addStretch(1)
        elif isinstance(part, int):
            box.addSpacing(part)
        elif isinstance(part, QLayout):
            box.addLayout(part)
        else:
            box.addWidget(part)


def holder(layout: QLayout) -> QWidget:
    """A bare widget around ``layout``."""
    made = QWidget()
    layout.setContentsMargins(0, 0, 0, 0)
    made.setLayout(layout)
    return made


def scrolled(inside: QWidget, *, name: str) -> QScrollArea:
    """``inside`` in an area that scrolls downwards only."""
    area = QScrollArea()
    area.setObjectName(name)
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setFrameShape(QFrame.Shape.NoFrame)
    inside.setProperty("kind", "scrolled")
    area.setWidget(inside)
    return area


def copy_text(text: str) -> None:
    """Put ``text`` on the clipboard."""
    QGuiApplication.clipboard().setText(text)


def clear(layout: QLayout) -> None:
    """Take everything out of ``layout`` and let it go."""
    while (item := layout.takeAt(0)) is not None:
        inner = item.layout()
        if inner is not None:
            clear(inner)
        widget = item.widget()
        if widget is not None:
            widget.setParent(None)
            widget.deleteLater()
