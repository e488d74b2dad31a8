"""Small charts of the last minute, drawn by hand: one polyline a series, a few hundred points, 5 times a second.

(pyqtgraph took 0.3 s and 50 MB to import and 20 MB for four plots; charts as small as these need none of it.)
"""

from collections import deque
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ipc.engine_state import PathMark
from app.ui.panel.marks import mark_colour, paint_mark
from app.ui.theme.theme import BODY_PX, GRID_PX, SMALL_PX, colours, font

WINDOW_S = 60.0
# The engine sends 5 samples a second; twice that is kept, should it send more.
KEPT_POINTS = 600
CHART_HEIGHT_PX = 112
# What changes the figures stands on every chart. The phases of the traversal stand on the timeline only.
MARKED = ("swap", "failover", "lost", "back", "network")
MARK_REACH_PX = 3.5
# Where the scale may end: the next of these above the largest value in view.
SCALE_STEPS = (1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Series:
    """A line: its name in the legend, the palette's role, and whether it is dashed (colour alone is not enough)."""

    name: str
    role: str
    dashed: bool = False


class Points:
    """The points of one series: (seconds since the answer, value); None breaks the line."""

    def __init__(self) -> None:
        self.points: deque[tuple[float, float | None]] = deque(maxlen=KEPT_POINTS)

    def add(self, at: float, value: float | None) -> None:
        """Append, and forget what has left the window."""
        if self.points and at < self.points[-1][0]:
            self.points.clear()
        self.points.append((at, value))
        while self.points and self.points[0][0] < at - WINDOW_S:
            self.points.popleft()

    def latest(self) -> float | None:
        """The newest value."""
        return self.points[-1][1] if self.points else None

    def peak(self) -> float:
        """The largest value in the window."""
        return max((value for _, value in self.points if value is not None), default=0.0)


def scale_top(peak: float, least: float) -> float:
    """The end of a scale: 1, 2 or 5 times a power of ten, not under ``peak`` or ``least``."""
    wanted = max(peak, least)
    power = 1.0
    while power * 10 <= wanted:
        power *= 10
    while power > wanted:
        power /= 10
    return next((step * power for step in SCALE_STEPS if step * power >= wanted), 10 * power)


class Chart(QWidget):
    """One chart with its title, its newest figure and its legend."""

    def __init__(self, title: str, series: tuple[Series, ...], scale: str, least: float, *, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setAccessibleName(title)
        self._title = title
        self._series = series
        # A format, for the end of the scale.
        self._scale = scale
        self._least = least
        self.lines = tuple(Points() for _ in series)
        self._marks: tuple[PathMark, ...] = ()
        self._figure = ""
        self._end = 0.0
        self.setMinimumSize(160, CHART_HEIGHT_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def add(self, at: float, values: tuple[float | None, ...], figure: str) -> None:
        """One sample: a value for each series, and the newest figure in words."""
        for line, value in zip(self.lines, values, strict=True):
            line.add(at, value)
        self._end = at
        self._figure = figure
        self.setAccessibleDescription(figure)
        self.update()

    def set_marks(self, marks: tuple[PathMark, ...]) -> None:
        """What happened to the paths: each swap, failover and network change of the last minute is drawn."""
        chosen = tuple(mark for mark in marks if mark.kind in MARKED)
        if chosen != self._marks:
            self._marks = chosen
            self.update()

    def marks(self) -> tuple[PathMark, ...]:
        """Those in view."""
        return tuple(mark for mark in self._marks if self._end - WINDOW_S <= mark.at <= self._end)

    def reset(self) -> None:
        """Start again for another call."""
        self._marks = ()
        self.lines = tuple(Points() for _ in self._series)
        self._figure = ""
        self._end = 0.0
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        palette = colours()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QPen(QColor(palette.line), 1))
        painter.setBrush(QColor(palette.raised))
        painter.drawRoundedRect(frame, 10, 10)
        inner = frame.adjusted(12, 8, -12, -8)
        painter.setFont(font(SMALL_PX))
        painter.setPen(QColor(palette.muted))
        painter.drawText(inner, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, self._title)
        painter.setFont(font(BODY_PX, QFont.Weight.DemiBold))
        painter.setPen(QColor(palette.text))
        painter.drawText(inner, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop, self._figure or "–")
        self._paint_legend(painter, inner)
        self._paint_lines(painter, inner.adjusted(0, 26, 0, -20))

    def _paint_legend(self, painter: QPainter, inner: QRectF) -> None:
        palette = colours()
        painter.setFont(font(SMALL_PX))
        metrics = painter.fontMetrics()
        left = inner.left()
        middle = inner.bottom() - 6
        for series, points in zip(self._series, self.lines, strict=True):
            if points.peak() == 0 and points.latest() is None:
                continue
            painter.setPen(self._pen(series, getattr(palette, series.role)))
            painter.drawLine(QPointF(left, middle), QPointF(left + 16, middle))
            painter.setPen(QColor(palette.muted))
            painter.drawText(QPointF(left + 22, middle + metrics.ascent() / 2 - 1), series.name)
            left += 22 + metrics.horizontalAdvance(series.name) + 2 * GRID_PX

    def _paint_lines(self, painter: QPainter, plot: QRectF) -> None:
        palette = colours()
        top = scale_top(max(points.peak() for points in self.lines), self._least)
        painter.setFont(font(SMALL_PX))
        painter.setPen(QColor(palette.muted))
        end = self._scale.format(top)
        ground = painter.fontMetrics().horizontalAdvance(end) + GRID_PX
        plot = plot.adjusted(ground, 0, 0, 0)
        per_second = plot.width() / WINDOW_S
        label = QRectF(plot.left() - ground, plot.top() - 8, ground - GRID_PX, 16)
        painter.drawText(label, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, end)
        painter.setPen(QPen(QColor(palette.line), 1))
        painter.drawLine(plot.bottomLeft(), plot.bottomRight())
        painter.drawLine(plot.topLeft(), plot.topRight())
        self._paint_marks(painter, plot)
        for series, points in zip(self._series, self.lines, strict=True):
            painter.setPen(self._pen(series, getattr(palette, series.role)))
            line = QPolygonF()
            for at, value in points.points:
                if value is None:
                    painter.drawPolyline(line)
                    line = QPolygonF()
                    continue
                share = min(value / top, 1.0)
                line.append(
                    QPointF(plot.right() - (self._end - at) * per_second, plot.bottom() - share * plot.height())
                )
            painter.drawPolyline(line)

    def _paint_marks(self, painter: QPainter, plot: QRectF) -> None:
        """A line from top to bottom, with the mark that the timeline has for the same moment."""
        for mark in self.marks():
            x = plot.right() - (self._end - mark.at) * plot.width() / WINDOW_S
            line = QPen(mark_colour(mark.kind), 1)
            line.setDashPattern([1, 3])
            painter.setPen(line)
            painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom()))
            paint_mark(painter, mark.kind, QPointF(x, plot.top()), MARK_REACH_PX, 1.2)
        painter.setBrush(Qt.BrushStyle.NoBrush)

    @staticmethod
    def _pen(series: Series, colour: str) -> QPen:
        pen = QPen(QColor(colour), 1.6)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        if series.dashed:
            pen.setDashPattern([3, 2])
        return pen
