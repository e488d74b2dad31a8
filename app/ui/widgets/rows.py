"""Rows that pages share: a heading with an explanation, a setting with its control, a list with hairlines."""

from collections.abc import Iterable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLayout, QVBoxLayout, QWidget

from app.ui.theme.theme import GRID_PX
from app.ui.widgets.labels import Icon, Label, small, strong
from app.ui.widgets.layout import clear, column, row, rule

HINT_PX = 440


def hint(icon: Icon, title: Label, text: Label, *below: QWidget | QLayout) -> QVBoxLayout:
    """What to show where there is nothing else, in the middle of a page."""
    text.setFixedWidth(HINT_PX)
    parts = (GRID_PX, row(None, *below, None)) if below else ()
    return column(None, row(None, icon, None), GRID_PX, title, row(None, text, None), *parts, None)


def titled(title: str, *below: str | QWidget) -> QVBoxLayout:
    """A heading, and under it small print or other parts."""
    parts = (small(part) if isinstance(part, str) else part for part in below if part != "")
    return column(strong(title), *parts, spacing=2)


def setting(title: str, text: str | QWidget, *controls: QWidget) -> QHBoxLayout:
    """What it is, what it does, and its controls."""
    made = row(titled(title, text), *controls, spacing=2 * GRID_PX, stretch=0)
    for control in controls:
        made.setAlignment(control, Qt.AlignmentFlag.AlignVCenter)
    return made


def ruled(rows: Iterable[QWidget | QHBoxLayout]) -> QVBoxLayout:
    """Rows with a hairline between each two."""
    made = column()
    for place, one in enumerate(rows):
        if place:
            made.addWidget(rule())
        made.addWidget(one) if isinstance(one, QWidget) else made.addLayout(one)
    return made


def show_rows(place: QVBoxLayout, rows: Iterable[QWidget], empty: str = "") -> None:
    """Put ``rows`` in ``place`` instead of what was there, with hairlines; without rows, the text ``empty``."""
    clear(place)
    place.setSpacing(0)
    shown = list(rows)
    for number, one in enumerate(shown):
        if number:
            place.addWidget(rule())
        place.addWidget(one)
    if not shown and empty:
        place.addWidget(small(empty, wrap=False))
