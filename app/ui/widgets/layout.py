"""Rows, columns, cards and pages to scroll: how parts stand beside each other."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLayout, QScrollArea, QVBoxLayout, QWidget

from app.ui.theme.theme import GRID_PX

Part = QWidget | QLayout | int | None
Margins = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels."""
NO_MARGINS = (0, 0, 0, 0)
PADDING = (2 * GRID_PX,) * 4


def row(*parts: Part, spacing: int = GRID_PX, stretch: int | None = None, margins: Margins = NO_MARGINS) -> QHBoxLayout:
    """Parts from the leading to the trailing side; ``None`` stretches, a number is a gap in pixels.

    ``stretch``: the place of the part that takes the room that is left.
    """
    made = QHBoxLayout()
    _fill(made, parts, spacing, stretch, margins)
    return made


def column(
    *parts: Part, spacing: int = GRID_PX, stretch: int | None = None, margins: Margins = NO_MARGINS
) -> QVBoxLayout:
    """Parts from top to bottom, as :func:`row`."""
    made = QVBoxLayout()
    _fill(made, parts, spacing, stretch, margins)
    return made


def _fill(
    box: QHBoxLayout | QVBoxLayout, parts: tuple[Part, ...], spacing: int, stretch: int | None, margins: Margins
) -> None:
    box.setContentsMargins(*margins)
    box.setSpacing(spacing)
    for part in parts:
        if part is None:
            box.addStretch(1)
        elif isinstance(part, int):
            box.addSpacing(part)
        elif isinstance(part, QLayout):
            box.addLayout(part)
        else:
            box.addWidget(part)
    if stretch is not None:
        box.setStretch(stretch, 1)


def wrap(layout: QLayout) -> QWidget:
    """A bare widget around ``layout``."""
    made = QWidget()
    made.setLayout(layout)
    return made


def framed(kind: str, layout: QLayout, name: str = "") -> QFrame:
    """A frame around ``layout`` in a look of the style sheet."""
    made = QFrame()
    made.setProperty("kind", kind)
    made.setObjectName(name)
    made.setLayout(layout)
    return made


def card(*parts: Part, name: str = "", spacing: int = GRID_PX, margins: Margins = PADDING) -> QFrame:
    """A column on a raised background with round corners."""
    return framed("card", column(*parts, spacing=spacing, margins=margins), name)


def rule() -> QFrame:
    """A hairline."""
    made = QFrame()
    made.setProperty("kind", "rule")
    made.setFixedHeight(1)
    return made


def scrolled(inside: QWidget, *, name: str) -> QScrollArea:
    """``inside`` in an area that scrolls vertically."""
    area = QScrollArea()
    area.setObjectName(name)
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setFrameShape(QFrame.Shape.NoFrame)
    inside.setProperty("kind", "scrolled")
    # Otherwise Qt asks for the height of the narrowest layout, and scrolls a page that has room.
    inside.setMinimumHeight(1)
    area.setWidget(inside)
    return area


def sheet(*parts: Part, width_px: int, name: str, top_px: int = 4 * GRID_PX) -> QScrollArea:
    """A centred column of cards that scrolls."""
    body = wrap(column(*parts, spacing=2 * GRID_PX, margins=(0, top_px, 0, 3 * GRID_PX)))
    body.setMaximumWidth(width_px)
    return scrolled(wrap(row(4 * GRID_PX, body, 4 * GRID_PX, spacing=0, stretch=1)), name=name)


def clear(layout: QLayout) -> None:
    """Remove and delete everything in ``layout``."""
    while (item := layout.takeAt(0)) is not None:
        if (inner := item.layout()) is not None:
            clear(inner)
        if (widget := item.widget()) is not None:
            widget.setParent(None)
            widget.deleteLater()


def copy_text(text: str) -> None:
    """Put ``text`` on the clipboard."""
    QGuiApplication.clipboard().setText(text)
