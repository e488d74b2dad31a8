"""The avatar of a person, and the mark of their presence."""

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from app.ui.theme.theme import colours, font
from app.ui.widgets.format import initials


class Avatar(QWidget):
    """A circle with one or two letters, and room for a halo around it."""

    def __init__(self, size_px: int = 72, halo_px: int = 0) -> None:
        super().__init__()
        self._letters = "?"
        self._halo_px = halo_px
        self._halo = 0.0
        self.setFixedSize(size_px + 2 * halo_px, size_px + 2 * halo_px)

    def set_title(self, title: str) -> None:
        """Whose avatar this is."""
        self._letters = initials(title)
        self.update()

    def set_halo(self, share: float) -> None:
        """How far the halo is out; 0 hides it."""
        self._halo = share
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        circle = QRectF(self.rect()).adjusted(self._halo_px, self._halo_px, -self._halo_px, -self._halo_px)
        if self._halo > 0:
            reach = self._halo_px * self._halo
            halo = QColor(colours().accent)
            halo.setAlphaF(0.35)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(halo)
            painter.drawEllipse(circle.adjusted(-reach, -reach, reach, reach))
        paint_avatar(painter, circle, self._letters)


def paint_avatar(painter: QPainter, circle: QRectF, letters: str) -> None:
    """Draw the avatar of somebody."""
    palette = colours()
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(palette.accent_soft))
    painter.drawEllipse(circle)
    # The letters are part of the picture and sized with it.
    painter.setFont(font(round(circle.width() * 0.36), QFont.Weight.DemiBold))
    painter.setPen(QColor(palette.accent))
    painter.drawText(circle, Qt.AlignmentFlag.AlignCenter, letters)


class PresenceDot(QWidget):
    """A filled dot for online, a ring for offline, a bar across for blocked; a word stands beside it."""

    def __init__(self) -> None:
        super().__init__()
        self._online: bool | None = None
        self._blocked = False
        self.setFixedSize(12, 12)

    def set_presence(self, online: bool | None, blocked: bool) -> None:
        """What to show."""
        self._online, self._blocked = online, blocked
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        paint_presence(painter, QPointF(6, 6), self._online, self._blocked)


def paint_presence(painter: QPainter, centre: QPointF, online: bool | None, blocked: bool) -> None:
    """The mark of :class:`PresenceDot` around ``centre``."""
    palette = colours()
    if blocked:
        painter.setPen(QPen(QColor(palette.warn), 1.6))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawEllipse(centre, 4, 4)
        painter.drawLine(centre + QPointF(-2.6, 2.6), centre + QPointF(2.6, -2.6))
    elif online:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(palette.accent))
        painter.drawEllipse(centre, 4.5, 4.5)
    else:
        pen = QPen(QColor(palette.outline), 1.6)
        if online is None:
            pen.setStyle(Qt.PenStyle.DotLine)
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawEllipse(centre, 4, 4)
