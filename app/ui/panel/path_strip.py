"""The call as a timeline: amber on the relay, green on a direct path, hatched where both carried it.

Marks above it show swaps, failovers and network changes. Pointing at them, or the arrow keys, reads them out.
"""

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QAccessible,
    QAccessibleAnnouncementEvent,
    QColor,
    QFont,
    QFontMetrics,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ipc.engine_state import CallStatus, PathMark, PathSpan
from app.text.calls import mark_text
from app.ui.panel.marks import paint_mark
from app.ui.theme.theme import SMALL_PX, colours, font
from app.ui.widgets.format import clock, plain

HEIGHT_PX = 84
BAND_TOP_PX = 26
BAND_PX = 32
SIDE_PX = 6
# A shorter call does not fill the strip: the scale stays the same while the call grows.
LEAST_SPAN_S = 30.0
NEAR_PX = 9
MARK_REACH_PX = 5.0
# Steps between the times under the band, in seconds: the first that leaves room for the text is taken.
TICK_STEPS_S = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200)
TICK_ROOM_PX = 64


@dataclass(frozen=True, slots=True)
class Moment:
    """Something to read out: when, what, and the kind of its mark ("" at the start of a span)."""

    at: float
    text: str
    kind: str


class PathStrip(QWidget):
    """The timeline of one call."""

    pointed = Signal(str)
    """What is under the mouse, or chosen with the keys; "" for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("path_strip")
        self.setAccessibleName(self.tr("Paths of this call over time"))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setMinimumSize(240, HEIGHT_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._spans: tuple[PathSpan, ...] = ()
        self._marks: tuple[PathMark, ...] = ()
        self._elapsed = 0.0
        # What the arrow keys go through, in order of time.
        self.moments: list[Moment] = []
        self._chosen: int | None = None

    def show_call(self, call: CallStatus, elapsed: float) -> None:
        """Show the spans and marks of ``call``, ``elapsed`` seconds after the answer."""
        self._elapsed = max(elapsed, 0.0)
        if (call.spans, call.marks) != (self._spans, self._marks):
            self._spans, self._marks = call.spans, call.marks
            starts = [Moment(span.start, self._span_text(span), "") for span in call.spans]
            marks = [Moment(mark.at, plain(mark_text(mark), 160), mark.kind) for mark in call.marks]
            self.moments = sorted(starts + marks, key=lambda moment: moment.at)
            if self._chosen is not None and self._chosen >= len(self.moments):
                self._chosen = None
        self.update()

    # -- reading out -----------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        last = len(self.moments) - 1
        here = self._chosen
        places = {
            Qt.Key.Key_Right: 0 if here is None else min(here + 1, last),
            Qt.Key.Key_Left: last if here is None else max(here - 1, 0),
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: last,
        }
        wanted = places.get(Qt.Key(event.key()))
        if wanted is None or last < 0:
            super().keyPressEvent(event)
            return
        self._choose(wanted)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        x = event.position().x()
        near = [(abs(self._x(moment.at) - x), place) for place, moment in enumerate(self.moments) if moment.kind]
        if near and min(near)[0] <= NEAR_PX:
            self.pointed.emit(self._moment_text(self.moments[min(near)[1]]))
            return
        at = self._at(x)
        covering = [span for span in self._spans if span.start <= at <= self._end(span)]
        kinds = {span.kind for span in covering}
        if len(kinds) > 1:
            self.pointed.emit(self.tr("{time} · on both paths").format(time=clock(at)))
        elif covering:
            self.pointed.emit(f"{clock(at)} · {self._span_text(covering[-1])}")
        elif 0 <= at <= self._elapsed and self._spans:
            self.pointed.emit(self.tr("{time} · no connection").format(time=clock(at)))
        else:
            self.pointed.emit("")

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.pointed.emit(self._moment_text(self.moments[self._chosen]) if self._chosen is not None else "")

    def _choose(self, place: int) -> None:
        self._chosen = place
        text = self._moment_text(self.moments[place])
        self.pointed.emit(text)
        self.setAccessibleDescription(text)
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self, text))
        self.update()

    def _moment_text(self, moment: Moment) -> str:
        return f"{clock(moment.at)} · {moment.text}"

    def _span_text(self, span: PathSpan) -> str:
        if span.kind == "relay":
            return self.tr("On the relay")
        return {
            "host": self.tr("Direct, on the same network"),
            "port_mapping": self.tr("Direct, through a mapped port"),
            "punch": self.tr("Direct, by hole punching"),
            "prediction": self.tr("Direct, by port prediction"),
            "birthday": self.tr("Direct, by birthday search"),
            "blocks": self.tr("Direct, by port block search"),
        }.get(span.via, self.tr("Direct"))

    # -- painting --------------------------------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent) -> None:
        palette = colours()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        band = QRectF(SIDE_PX, BAND_TOP_PX, self.width() - 2 * SIDE_PX, BAND_PX)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(palette.sunken))
        painter.drawRoundedRect(band, 8, 8)
        rounded = QPainterPath()
        rounded.addRoundedRect(band, 8, 8)
        painter.save()
        painter.setClipPath(rounded)
        for span in self._spans:
            self._paint_span(painter, span, band)
        self._paint_overlaps(painter, band)
        painter.restore()
        for span in self._spans:
            self._paint_word(painter, span, band)
        self._paint_ticks(painter, band)
        for place, moment in enumerate(self.moments):
            self._paint_mark(painter, moment, chosen=place == self._chosen, band=band)
        if self.hasFocus():
            painter.setPen(QPen(QColor(palette.accent), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(band.adjusted(-3, -3, 3, 3), 10, 10)

    def _scale_s(self) -> float:
        return max(self._elapsed, LEAST_SPAN_S)

    def _x(self, at: float) -> float:
        return SIDE_PX + at / self._scale_s() * (self.width() - 2 * SIDE_PX)

    def _at(self, x: float) -> float:
        return (x - SIDE_PX) / max(self.width() - 2 * SIDE_PX, 1) * self._scale_s()

    def _end(self, span: PathSpan) -> float:
        return self._elapsed if span.end is None else span.end

    def _place(self, start: float, end: float, band: QRectF) -> QRectF:
        return QRectF(self._x(start), band.top(), max(self._x(end) - self._x(start), 1.5), band.height())

    def _paint_span(self, painter: QPainter, span: PathSpan, band: QRectF) -> None:
        palette = colours()
        fill = palette.relay_fill if span.kind == "relay" else palette.direct_fill
        painter.fillRect(self._place(span.start, self._end(span), band), QColor(fill))

    def _paint_overlaps(self, painter: QPainter, band: QRectF) -> None:
        for relay in (span for span in self._spans if span.kind == "relay"):
            for direct in (span for span in self._spans if span.kind == "direct"):
                start, end = max(relay.start, direct.start), min(self._end(relay), self._end(direct))
                if end > start:
                    self._paint_hatch(painter, self._place(start, end, band))

    def _paint_hatch(self, painter: QPainter, place: QRectF) -> None:
        painter.save()
        painter.setClipRect(place, Qt.ClipOperation.IntersectClip)
        painter.fillRect(place, QColor(colours().relay_fill))
        painter.setPen(QPen(QColor(colours().direct_fill), 5))
        x = place.left() - place.height()
        while x < place.right() + place.height():
            painter.drawLine(QPointF(x, place.bottom() + 4), QPointF(x + place.height() + 8, place.top() - 4))
            x += 10
        painter.restore()

    def _paint_word(self, painter: QPainter, span: PathSpan, band: QRectF) -> None:
        words = self.tr("Relay") if span.kind == "relay" else self.tr("Direct")
        face = font(SMALL_PX, QFont.Weight.DemiBold)
        others = [one for one in self._spans if one.kind != span.kind]
        start, end = span.start, self._end(span)
        for other in others:
            if other.start <= start < self._end(other) < end:
                start = self._end(other)
            if start < other.start < end <= self._end(other):
                end = other.start
        place = self._place(start, end, band)
        if QFontMetrics(face).horizontalAdvance(words) + 12 <= place.width():
            painter.setFont(face)
            painter.setPen(QColor(colours().on_fill))
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, words)

    def _paint_ticks(self, painter: QPainter, band: QRectF) -> None:
        room = self._scale_s() * TICK_ROOM_PX / max(band.width(), 1)
        step = next((one for one in TICK_STEPS_S if one >= room), TICK_STEPS_S[-1])
        painter.setFont(font(SMALL_PX))
        painter.setPen(QColor(colours().muted))
        at = 0
        while at <= self._scale_s():
            x = self._x(at)
            words = clock(at)
            width = painter.fontMetrics().horizontalAdvance(words)
            left = min(max(x - width / 2, band.left()), band.right() - width)
            painter.drawText(QPointF(left, band.bottom() + 18), words)
            at += step

    def _paint_mark(self, painter: QPainter, moment: Moment, *, chosen: bool, band: QRectF) -> None:
        x = self._x(moment.at)
        if chosen:
            painter.setPen(QPen(QColor(colours().text), 2))
            painter.drawLine(QPointF(x, band.top() - 4), QPointF(x, band.bottom() + 2))
        if not moment.kind:
            return
        # Phases are many and move nothing: their marks are small, and nearer to the band.
        stem = 3 if moment.kind == "phase" else 6
        painter.setPen(QPen(QColor(colours().muted), 1))
        painter.drawLine(QPointF(x, band.top() - stem), QPointF(x, band.top()))
        centre = QPointF(x, band.top() - stem - (3 if moment.kind == "phase" else 7))
        paint_mark(painter, moment.kind, centre, MARK_REACH_PX, 1.6)
