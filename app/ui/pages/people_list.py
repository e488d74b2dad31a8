"""The list of contacts: model, filter and painting. Of 2,000 rows only the visible ones cost time."""

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QFocusEvent, QFont, QFontMetrics, QKeyEvent, QPainter, QPen
from PySide6.QtWidgets import QAbstractItemView, QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from app.ipc.engine_state import Contact
from app.ui.commands import Now
from app.ui.theme.theme import BODY_PX, GRID_PX, SMALL_PX, colours, font
from app.ui.widgets.avatar import paint_avatar, paint_presence
from app.ui.widgets.format import initials, plain, presence, short_address, when

ROW_PX = 64
AVATAR_PX = 40

Index = QModelIndex | QPersistentModelIndex
NO_INDEX = QModelIndex()
KEYBOARD_REASONS = (
    Qt.FocusReason.TabFocusReason,
    Qt.FocusReason.BacktabFocusReason,
    Qt.FocusReason.ShortcutFocusReason,
)


class PeopleModel(QAbstractListModel):
    """Contacts, online ones first, then by name; filtered by a text in name or address."""

    def __init__(self) -> None:
        super().__init__()
        self._all: tuple[Contact, ...] = ()
        self._shown: list[Contact] = []
        self._needle = ""

    def set_contacts(self, contacts: tuple[Contact, ...]) -> None:
        """Show these. If the order is the same, rows are only redrawn, and the selection stays."""
        if contacts == self._all:
            return
        self._all = contacts
        self._arrange()

    def set_needle(self, needle: str) -> None:
        """Keep only what contains ``needle``, ignoring case."""
        needle = needle.strip().casefold()
        if needle != self._needle:
            self._needle = needle
            self._arrange()

    def contact_at(self, index: Index) -> Contact | None:
        """The contact of a row."""
        return self._shown[index.row()] if index.isValid() and index.row() < len(self._shown) else None

    def index_of(self, address: str) -> QModelIndex:
        """The row of an address; invalid if it is not shown."""
        for place, contact in enumerate(self._shown):
            if contact.address == address:
                return self.index(place)
        return QModelIndex()

    def rowCount(self, parent: Index = NO_INDEX) -> int:
        return 0 if parent.isValid() else len(self._shown)

    def data(self, index: Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> object:
        contact = self.contact_at(index)
        if contact is None:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return plain(contact.title)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{plain(contact.title)}, {presence(contact)}"
        if role == Qt.ItemDataRole.AccessibleDescriptionRole:
            return short_address(contact.address)
        return None

    def _arrange(self) -> None:
        found = [
            contact
            for contact in self._all
            if self._needle in contact.title.casefold() or self._needle in contact.address.casefold()
        ]
        found.sort(key=lambda one: (one.blocked, not one.online, one.title.casefold(), one.address))
        same_rows = [one.address for one in found] == [one.address for one in self._shown]
        if same_rows:
            self._shown = found
            if found:
                self.dataChanged.emit(self.index(0), self.index(len(found) - 1))
            return
        self.beginResetModel()
        self._shown = found
        self.endResetModel()


class PersonDelegate(QStyledItemDelegate):
    """Paints one person: picture, presence, name, and when they were last talked to."""

    def __init__(self, now: Now) -> None:
        super().__init__()
        self._now = now

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        return QSize(200, ROW_PX)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        model = index.model()
        contact = model.contact_at(index) if isinstance(model, PeopleModel) else None
        if contact is None:
            return
        palette = colours()
        place: QRect = option.rect
        state: QStyle.StateFlag = option.state
        ground = QRectF(place).adjusted(0, 2, -4, -2)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if state & QStyle.StateFlag.State_Selected or state & QStyle.StateFlag.State_MouseOver:
            chosen = bool(state & QStyle.StateFlag.State_Selected)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(palette.accent_soft if chosen else palette.hover))
            painter.drawRoundedRect(ground, 10, 10)
        if state & QStyle.StateFlag.State_HasFocus and isinstance(option.widget, PeopleList) and option.widget.by_keys:
            painter.setPen(QPen(QColor(palette.accent), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(ground.adjusted(1, 1, -1, -1), 10, 10)
        mirrored = option.direction == Qt.LayoutDirection.RightToLeft
        self._paint_person(painter, ground, contact, mirrored)
        painter.restore()

    def _paint_person(self, painter: QPainter, ground: QRectF, contact: Contact, mirrored: bool) -> None:
        palette = colours()
        left = ground.right() - GRID_PX - AVATAR_PX if mirrored else ground.left() + GRID_PX
        circle = QRectF(left, ground.center().y() - AVATAR_PX / 2, AVATAR_PX, AVATAR_PX)
        paint_avatar(painter, circle, initials(contact.title))
        text_left = ground.left() + GRID_PX if mirrored else circle.right() + 12
        width = ground.width() - AVATAR_PX - 12 - 2 * GRID_PX
        side = Qt.AlignmentFlag.AlignRight if mirrored else Qt.AlignmentFlag.AlignLeft
        align = side | Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignAbsolute
        name_font = font(BODY_PX, QFont.Weight.DemiBold)
        painter.setFont(name_font)
        painter.setPen(QColor(palette.muted if contact.blocked else palette.text))
        name = QFontMetrics(name_font).elidedText(plain(contact.title), Qt.TextElideMode.ElideRight, int(width))
        painter.drawText(QRectF(text_left, ground.top() + 9, width, 22), align, name)
        small = font(SMALL_PX)
        dot_at = QPointF(text_left + width - 6 if mirrored else text_left + 6, ground.top() + 42)
        paint_presence(painter, dot_at, contact.online, contact.blocked)
        words = presence(contact)
        if contact.last_call is not None:
            words = f"{words} · {when(contact.last_call, self._now())}"
        painter.setFont(small)
        painter.setPen(QColor(palette.muted))
        line = QRectF(text_left if mirrored else text_left + 18, ground.top() + 32, width - 18, 20)
        shown = QFontMetrics(small).elidedText(words, Qt.TextElideMode.ElideRight, int(line.width()))
        painter.drawText(line, align, shown)


class PeopleList(QListView):
    """The contacts on the left. Enter on a row calls it."""

    picked = Signal(str)
    """An address was selected, or "" for none."""
    called = Signal(str)
    """Enter, or a double click, on an address."""

    def __init__(self, now: Now) -> None:
        super().__init__()
        self.setObjectName("people")
        self.setAccessibleName(self.tr("Contacts"))
        self.people = PeopleModel()
        self.setModel(self.people)
        self._delegate = PersonDelegate(now)
        self.setItemDelegate(self._delegate)
        self.setUniformItemSizes(True)
        self.setMouseTracking(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.selectionModel().currentChanged.connect(self._current_changed)
        self.doubleClicked.connect(self._call_row)
        self._kept = ""
        self.by_keys = False

    def set_contacts(self, contacts: tuple[Contact, ...]) -> None:
        """Show these and keep the selection."""
        self.people.set_contacts(contacts)
        self._restore()

    def set_needle(self, needle: str) -> None:
        """Filter, and keep the selection if it is still there."""
        self.people.set_needle(needle)
        self._restore()

    def select(self, address: str) -> None:
        """Make an address the current row, if it is shown."""
        index = self.people.index_of(address)
        if index.isValid():
            self.setCurrentIndex(index)

    def select_first(self) -> None:
        """Make the topmost row the current one."""
        if self.people.rowCount():
            self.setCurrentIndex(self.people.index(0))

    def current_address(self) -> str:
        """Who is selected, or ""."""
        contact = self.people.contact_at(self.currentIndex())
        return contact.address if contact else ""

    def focusInEvent(self, event: QFocusEvent) -> None:
        # The focus ring is for keyboard users.
        self.by_keys = event.reason() in KEYBOARD_REASONS
        super().focusInEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.current_address():
            self.called.emit(self.current_address())
        else:
            super().keyPressEvent(event)

    def _call_row(self, index: QModelIndex) -> None:
        contact = self.people.contact_at(index)
        if contact:
            self.called.emit(contact.address)

    def _restore(self) -> None:
        if self.current_address() != self._kept and self._kept:
            self.select(self._kept)

    def _current_changed(self, current: QModelIndex, _previous: QModelIndex) -> None:
        contact = self.people.contact_at(current)
        if contact is not None:
            self._kept = contact.address
            self.picked.emit(contact.address)
