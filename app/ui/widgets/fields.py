"""What a person types into, chooses from and switches."""

from PySide6.QtCore import QObject, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QAbstractButton, QCheckBox, QComboBox, QLineEdit

from app.ui.theme.icons import paint_icon
from app.ui.theme.theme import GRID_PX, colours, restyle

# The longest text that the engine takes for an address or a name.
MAX_TYPED_CHARS = 400
ICON_PX = 18


class Field(QLineEdit):
    """One line to type into, with an icon at its leading edge where one is given."""

    def __init__(self, spoken: str, *, name: str, hint: str = "", icon: str = "") -> None:
        super().__init__()
        self._icon = icon
        self.setObjectName(name)
        self.setAccessibleName(spoken)
        self.setPlaceholderText(hint)
        self.setMaxLength(MAX_TYPED_CHARS)
        if icon:
            self.setTextMargins(ICON_PX + GRID_PX, 0, 0, 0)

    def set_wrong(self, wrong: bool) -> None:
        """Mark what was typed as not accepted."""
        state = "yes" if wrong else "no"
        if self.property("wrong") != state:
            self.setProperty("wrong", state)
            restyle(self)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._icon:
            left = 12 if self.layoutDirection() == Qt.LayoutDirection.LeftToRight else self.width() - 12 - ICON_PX
            painter = QPainter(self)
            place = QRectF(left, (self.height() - ICON_PX) / 2, ICON_PX, ICON_PX)
            paint_icon(painter, place, self._icon, colours().muted)


class Switch(QCheckBox):
    """A check box that looks like a switch."""

    def __init__(self, spoken: str, *, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setAccessibleName(spoken)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFixedSize(48, 28)

    def hitButton(self, pos: object) -> bool:
        return True

    def paintEvent(self, _event: QPaintEvent) -> None:
        palette = colours()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self.hasFocus():
            painter.setPen(QPen(QColor(palette.accent), 2))
            painter.drawRoundedRect(QRectF(1, 1, 46, 26), 13, 13)
        track = QRectF(4, 4, 40, 20)
        on = self.isChecked()
        painter.setPen(Qt.PenStyle.NoPen if on else QPen(QColor(palette.outline), 1.5))
        painter.setBrush(QColor(palette.accent if on else palette.sunken))
        painter.drawRoundedRect(track, 10, 10)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(palette.on_accent if on else palette.outline))
        painter.drawEllipse(QPointF(34 if on else 14, 14), 7, 7)


class OneOf(QObject):
    """Buttons of which one is chosen. Unlike in a QButtonGroup each is reached with Tab."""

    chosen = Signal(int)
    """The place of the newly chosen button."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._buttons: list[QAbstractButton] = []

    def add(self, button: QAbstractButton) -> None:
        """One more; the first is chosen."""
        place = len(self._buttons)
        self._buttons.append(button)
        button.setCheckable(True)
        button.setChecked(place == 0)
        button.clicked.connect(lambda _checked=False: self.choose(place))

    def place(self) -> int:
        """The chosen one."""
        return next(place for place, button in enumerate(self._buttons) if button.isChecked())

    def choose(self, wanted: int) -> None:
        """Choose a button."""
        for place, button in enumerate(self._buttons):
            button.setChecked(place == wanted)
        self.chosen.emit(wanted)


class Choice(QComboBox):
    """A drop-down list with an arrow in the palette's colour; the wheel scrolls the page and chooses nothing."""

    def __init__(self, spoken: str, *, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setAccessibleName(spoken)
        self.setMinimumContentsLength(12)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self)
        left = GRID_PX if self.layoutDirection() == Qt.LayoutDirection.RightToLeft else self.width() - 28
        paint_icon(painter, QRectF(left, (self.height() - 18) / 2, 18, 18), "chevron-down", colours().muted)
