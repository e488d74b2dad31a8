"""The marks for what happens to the paths of a call, the same on the timeline and on the charts."""

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from app.ui.theme.theme import colours

WARNED = ("failover", "lost")


def mark_colour(kind: str) -> QColor:
    """The colour of a mark; its shape says the same."""
    palette = colours()
    return QColor(palette.warn if kind in WARNED else palette.muted if kind == "phase" else palette.text)


def paint_mark(painter: QPainter, kind: str, centre: QPointF, reach: float, width: float) -> None:
    """A diamond for a swap, a triangle down for a failover or a lost path, up for its return, a small square for a
    phase, a larger one for the rest. Filled where the call moved, an outline otherwise."""
    small, little = reach * 0.8, reach * 0.5
    corners = {
        "swap": ((0, -reach), (reach, 0), (0, reach), (-reach, 0)),
        "failover": ((-reach, -small), (reach, -small), (0, reach)),
        "lost": ((-reach, -small), (reach, -small), (0, reach)),
        "back": ((-reach, small), (reach, small), (0, -reach)),
        "phase": ((-little, -little), (little, -little), (little, little), (-little, little)),
    }.get(kind, ((-small, -small), (small, -small), (small, small), (-small, small)))
    painter.setPen(QPen(mark_colour(kind), width))
    painter.setBrush(mark_colour(kind) if kind in ("swap", *WARNED) else Qt.BrushStyle.NoBrush)
    painter.drawPolygon(QPolygonF([centre + QPointF(x, y) for x, y in corners]))
