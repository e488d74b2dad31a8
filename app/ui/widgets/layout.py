"""The small parts that all pages are made of. Every label is plain text: a name from outside is never markup."""

from collections.abc import Callable

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetrics,
    QGuiApplication,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app.ui.theme.icons import ICON_PX, icon, paint_icon
from app.ui.theme.theme import BODY_PX, GRID_PX, colours, font
from app.ui.widgets.format import MAX_LABEL_CHARS, breakable, initials, plain, plain_lines

BUTTON_ICON_PX = 18
# Style sheets know no distance between icon and words; the icon's picture carries it.
ICON_GAP_PX = 6


class Label(QLabel):
    """Plain text in one of the three sizes and a tone of the palette."""

    def __init__(self, text: str = "", *, size: str = "body", tone: str = "text", wrap: bool = False) -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(wrap)
        self.setText(text)
        # "size" itself is a property of every QWidget.
        self.setProperty("scale", size)
        self.setProperty("tone", tone)
        if wrap:
            self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.MinimumExpanding)

    def setText(self, text: str) -> None:
        """Show ``text``, made harmless: some of it comes from outside."""
        shown = plain_lines(text)
        super().setText(breakable(shown) if self.wordWrap() else shown)

    def set_tone(self, tone: str) -> None:
        """Another colour role."""
        if self.property("tone") != tone:
            self.setProperty("tone", tone)
            restyle(self)


class ElidedLabel(Label):
    """One line that ends in … where there is no room; the whole text stays readable for assistive technology."""

    def __init__(
        self,
        text: str = "",
        *,
        size: str = "body",
        tone: str = "text",
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
    ) -> None:
        super().__init__("", size=size, tone=tone)
        self._mode = mode
        self._whole = ""
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.set_text(text)

    def set_text(self, text: str) -> None:
        """Show ``text``."""
        text = plain(text, MAX_LABEL_CHARS)
        if text != self._whole:
            self._whole = text
            self.setAccessibleName(text)
            self.updateGeometry()
            self._elide()

    def whole_text(self) -> str:
        """What would be shown if there were room."""
        return self._whole

    def minimumSizeHint(self) -> QSize:
        return QSize(GRID_PX * 4, super().sizeHint().height())

    def sizeHint(self) -> QSize:
        self.ensurePolished()
        return QSize(QFontMetrics(self.font()).horizontalAdvance(self._whole) + 2, super().sizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._elide()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._elide()

    def _elide(self) -> None:
        self.setText(QFontMetrics(self.font()).elidedText(self._whole, self._mode, max(self.width(), 1)))


class Button(QPushButton):
    """A push button of one kind of the style sheet, with an icon that follows the palette.

    Buttons take the focus from the keyboard only: a click with the mouse leaves no ring behind.
    """

    def __init__(
        self,
        text: str = "",
        *,
        kind: str = "plain",
        picture: str = "",
        name: str = "",
        tall: bool = False,
        clicked: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(text)
        self._picture = picture
        self._tone = ""
        self.setProperty("kind", kind)
        if tall:
            self.setProperty("tall", "yes")
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAutoDefault(False)
        if name:
            self.setObjectName(name)
        if clicked is not None:
            # "clicked" carries a bool that no slot here wants.
            self.clicked.connect(lambda _checked=False: clicked())
        self._tint()

    def set_picture(self, picture: str, tone: str = "") -> None:
        """Another icon, and where ``tone`` is given another role of the palette for it."""
        if (picture, tone) != (self._picture, self._tone):
            self._picture, self._tone = picture, tone
            self._tint()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.EnabledChange):
            self._tint()

    def _tint(self) -> None:
        if not self._picture:
            return
        worn = colours()
        by_kind = {
            "primary": worn.on_accent,
            "danger": worn.on_danger,
            "quiet": worn.muted,
            "icon": worn.muted,
            "section": worn.muted,
        }
        colour = getattr(worn, self._tone) if self._tone else by_kind.get(self.property("kind"), worn.text)
        mirrored = self.layoutDirection() == Qt.LayoutDirection.RightToLeft
        gap = 0 if not self.text() else -ICON_GAP_PX if mirrored else ICON_GAP_PX
        self.setIcon(icon(self._picture, colour if self.isEnabled() else worn.muted, BUTTON_ICON_PX, gap))
        self.setIconSize(QSize(BUTTON_ICON_PX + abs(gap), BUTTON_ICON_PX))


def icon_button(picture: str, spoken: str, *, name: str, clicked: Callable[[], None] | None = None) -> Button:
    """A button that is only an icon; ``spoken`` is its tooltip and accessible name."""
    made = Button(kind="icon", picture=picture, name=name, clicked=clicked)
    made.setToolTip(spoken)
    made.setAccessibleName(spoken)
    made.setFixedSize(36, 36)
    return made


class Picture(QWidget):
    """An icon by itself."""

    def __init__(self, picture: str, tone: str = "muted", size_px: int = ICON_PX) -> None:
        super().__init__()
        self._picture, self._tone = picture, tone
        self.setFixedSize(size_px, size_px)

    def set_picture(self, picture: str, tone: str) -> None:
        """Another icon or role."""
        if (picture, tone) != (self._picture, self._tone):
            self._picture, self._tone = picture, tone
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        paint_icon(painter, QRectF(self.rect()), self._picture, getattr(colours(), self._tone))


class Avatar(QWidget):
    """A round ground with one or two letters, and room for a halo around it."""

    def __init__(self, size_px: int = 72, halo_px: int = 0) -> None:
        super().__init__()
        self._letters = "?"
        self._halo_px = halo_px
        self._halo = 0.0
        self.setFixedSize(size_px + 2 * halo_px, size_px + 2 * halo_px)

    def set_title(self, title: str) -> None:
        """Whose picture this is."""
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
    """The round picture of somebody."""
    worn = colours()
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(worn.accent_soft))
    painter.drawEllipse(circle)
    # The letters are part of a picture, sized with it, not a line of text.
    painter.setFont(font(round(circle.width() * 0.36), QFont.Weight.DemiBold))
    painter.setPen(QColor(worn.accent))
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
    worn = colours()
    if blocked:
        painter.setPen(QPen(QColor(worn.warn), 1.6))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawEllipse(centre, 4, 4)
        painter.drawLine(centre + QPointF(-2.6, 2.6), centre + QPointF(2.6, -2.6))
    elif online:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(worn.accent))
        painter.drawEllipse(centre, 4.5, 4.5)
    else:
        pen = QPen(QColor(worn.outline), 1.6)
        if online is None:
            pen.setStyle(Qt.PenStyle.DotLine)
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawEllipse(centre, 4, 4)


class LevelMeter(QWidget):
    """Loudness (0 to 1) as a row of bars; assistive technology reads it in percent."""

    BARS = 24

    def __init__(self, spoken: str, *, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self._spoken = spoken
        self._level = 0.0
        self._off = False
        self.setAccessibleName(spoken)
        self.setMinimumSize(self.BARS * 4, 16)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def level(self) -> float:
        """What is shown."""
        return self._level

    def set_level(self, level: float) -> None:
        """Show ``level``; draws only when a bar changes."""
        level = min(1.0, max(0.0, level))
        before = self._lit()
        self._level = level
        if self._lit() != before:
            self.update()

    def set_off(self, off: bool) -> None:
        """Muted: the bars stay empty."""
        if off != self._off:
            self._off = off
            self.update()

    def _lit(self) -> int:
        return 0 if self._off else round(self._level * self.BARS)

    def paintEvent(self, _event: QPaintEvent) -> None:
        worn = colours()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        step = self.width() / self.BARS
        lit = self._lit()
        for place in range(self.BARS):
            painter.setBrush(QColor(worn.accent if place < lit else worn.line))
            shown = self.BARS - 1 - place if self.layoutDirection() == Qt.LayoutDirection.RightToLeft else place
            painter.drawRoundedRect(QRectF(shown * step, 2, max(step - 3, 2), self.height() - 4), 2, 2)


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


def restyle(widget: QWidget) -> None:
    """Apply the style sheet anew after a dynamic property changed."""
    widget.style().unpolish(widget)
    widget.style().polish(widget)
    widget.update()


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


def digits_font() -> QFont:
    """Body size, for numbers that are read aloud."""
    return font(BODY_PX, QFont.Weight.Medium)
