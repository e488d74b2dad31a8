"""The marks for what happens to the paths of a call, the same on the timeline and on the charts."""

from PySide6.QtCore import QPointF
from PySide6.QtGui import QPolygonF

from app.ui.theme.theme import colours

WARNED = ("failover", "lost")


def is_filled(kind: str) -> bool:
    """A mark is filled where the call moved, and an outline otherwise."""
    return kind in ("swap", *WARNED)


def mark_colour(kind: str) -> str:
    """The colour of a mark; its shape says the same."""
    palette = colours()
    return palette.warn if kind in WARNED else palette.muted if kind == "phase" else palette.text


def mark_shape(kind: str, centre: QPointF, reach: float) -> QPolygonF:
    """A diamond for a swap, a triangle down for a failover or a lost path, up for its return, a small square for a
    phase, a larger one for the rest."""
    small, little = reach * 0.8, reach * 0.5
    corners = {
        "swap": ((0, -reach), (reach, 0), (0, reach), (-reach, 0)),
        "failover": ((-reach, -small), (reach, -small), (0, reach)),
        "lost": ((-reach, -small), (reach, -small), (0, reach)),
        "back": ((-reach, small), (reach, small), (0, -reach)),
        "phase": ((-little, -little), (little, -little), (little, little), (-little, little)),
    }.get(kind, ((-small, -small), (small, -small), (small, small), (-small, small)))
    return QPolygonF([centre + QPointF(x, y) for x, y in corners])
