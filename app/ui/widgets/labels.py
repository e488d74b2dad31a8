"""Labels and icons. Every label is plain text: a name from outside is never markup."""

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, QTimer
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from app.ui.theme.icons import ICON_PX, logo_pixmap, paint_icon
from app.ui.theme.theme import GRID_PX, colours, restyle
from app.ui.widgets.format import MAX_LABEL_CHARS, breakable, plain, plain_lines

# Long enough to be noticed, short enough not to be in the way.
CONFIRMED_MS = 1_500


class Label(QLabel):
    """Plain text in one of the three sizes and a tone of the palette."""

    def __init__(
        self,
        text: str = "",
        *,
        size: str = "body",
        tone: str = "text",
        name: str = "",
        wrap: bool = False,
        centred: bool = False,
    ) -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setObjectName(name)
        self.setWordWrap(wrap)
        self.setText(text)
        # "size" itself is a property of every QWidget.
        self.setProperty("scale", size)
        self.setProperty("tone", tone)
        if wrap:
            self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.MinimumExpanding)
        if centred:
            self.setAlignment(Qt.AlignmentFlag.AlignCenter)

    def setText(self, text: str) -> None:
        """Show ``text``, made harmless: some of it comes from outside."""
        shown = plain_lines(text)
        super().setText(breakable(shown) if self.wordWrap() else shown)

    def show_text(self, text: str) -> None:
        """Show ``text``; without any, the label takes no room."""
        self.setText(text)
        self.setVisible(bool(text))

    def set_tone(self, tone: str) -> None:
        """Another colour role."""
        if self.property("tone") != tone:
            self.setProperty("tone", tone)
            restyle(self)


def small(text: str = "", *, tone: str = "muted", name: str = "", wrap: bool = True, centred: bool = False) -> Label:
    """Small print."""
    return Label(text, size="small", tone=tone, name=name, wrap=wrap, centred=centred)


def strong(text: str = "", *, name: str = "", wrap: bool = False) -> Label:
    """The heading of a card."""
    return Label(text, size="strong", name=name, wrap=wrap)


class Confirmation(Label):
    """“Copied”, for a moment."""

    def __init__(self, name: str = "") -> None:
        super().__init__(size="small", tone="accent", name=name)
        self._timer = QTimer(self, singleShot=True, interval=CONFIRMED_MS)
        self._timer.timeout.connect(self.clear)

    def confirm(self, text: str) -> None:
        """Show ``text`` for a moment."""
        self.setText(text)
        self._timer.start()


class ElidedLabel(Label):
    """One line that ends in … where there is no room; the whole text stays readable for assistive technology."""

    def __init__(
        self,
        text: str = "",
        *,
        size: str = "body",
        tone: str = "text",
        name: str = "",
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        centred: bool = False,
    ) -> None:
        super().__init__(size=size, tone=tone, name=name, centred=centred)
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


class Icon(QWidget):
    """An icon by itself."""

    def __init__(self, icon: str, tone: str = "muted", size_px: int = ICON_PX) -> None:
        super().__init__()
        self._icon, self._tone = icon, tone
        self.setFixedSize(size_px, size_px)

    def set_icon(self, icon: str, tone: str) -> None:
        """Another icon or role."""
        if (icon, tone) != (self._icon, self._tone):
            self._icon, self._tone = icon, tone
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        paint_icon(painter, QRectF(self.rect()), self._icon, getattr(colours(), self._tone))


def logo_label(size_px: int) -> Label:
    """Segue's logo."""
    made = Label(centred=True)
    made.setPixmap(logo_pixmap(size_px, made.devicePixelRatioF()))
    return made
