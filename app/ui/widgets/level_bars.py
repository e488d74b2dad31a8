"""How loud a microphone or speaker is."""

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ui.theme.theme import colours


class LevelBars(QWidget):
    """Loudness (0 to 1) as a row of bars; assistive technology reads it in percent."""

    BARS = 24

    def __init__(self, spoken: str, *, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self._spoken = spoken
        self.level = 0.0
        self._off = False
        self.setAccessibleName(spoken)
        self.setMinimumSize(self.BARS * 4, 16)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_level(self, level: float) -> None:
        """Show ``level``; draws only when a bar changes."""
        level = min(1.0, max(0.0, level))
        before = self._lit()
        self.level = level
        if self._lit() != before:
            self.update()

    def set_off(self, off: bool) -> None:
        """Muted: the bars stay empty."""
        if off != self._off:
            self._off = off
            self.update()

    def _lit(self) -> int:
        return 0 if self._off else round(self.level * self.BARS)

    def paintEvent(self, _event: QPaintEvent) -> None:
        palette = colours()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        step = self.width() / self.BARS
        lit = self._lit()
        for place in range(self.BARS):
            painter.setBrush(QColor(palette.accent if place < lit else palette.line))
            shown = self.BARS - 1 - place if self.layoutDirection() == Qt.LayoutDirection.RightToLeft else place
            painter.drawRoundedRect(QRectF(shown * step, 2, max(step - 3, 2), self.height() - 4), 2, 2)
