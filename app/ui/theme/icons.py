"""Icons of one set (Lucide, see svg/LICENSE), drawn in a colour of the palette at any scale."""

from functools import cache
from importlib import resources

from PySide6.QtCore import QByteArray, QPointF, QRectF, Qt
from PySide6.QtGui import QIcon, QPainter, QPixmap, QPixmapCache
from PySide6.QtSvg import QSvgRenderer

ICON_PX = 20
# A plain and a dense screen; Qt scales between them.
ICON_RATIOS = (1.0, 2.0)


@cache
def _source(name: str) -> str:
    return resources.files("app.ui.theme").joinpath(name).read_text(encoding="utf-8")


def _render(svg: str, size_px: int, ratio: float) -> QPixmap:
    picture = QPixmap(round(size_px * ratio), round(size_px * ratio))
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    QSvgRenderer(QByteArray(svg.encode())).render(painter, QRectF(0, 0, picture.width(), picture.height()))
    painter.end()
    picture.setDevicePixelRatio(ratio)
    return picture


def pixmap(name: str, colour: str, size_px: int = ICON_PX, ratio: float = 1.0) -> QPixmap:
    """The icon ``name`` in ``colour``, ``size_px`` wide on a screen with ``ratio`` device pixels to a pixel."""
    key = f"segue:{name}:{colour}:{size_px}:{ratio}"
    kept = QPixmap()
    if not QPixmapCache.find(key, kept):
        kept = _render(_source(f"svg/{name}.svg").replace("currentColor", colour), size_px, ratio)
        QPixmapCache.insert(key, kept)
    return kept


def icon(name: str, colour: str, size_px: int = ICON_PX, gap_px: int = 0) -> QIcon:
    """The icon ``name`` for a button, sharp on plain and on dense screens.

    ``gap_px`` pixels stay empty at its right, or where negative at its left.
    """
    made = QIcon()
    for ratio in ICON_RATIOS:
        drawn = pixmap(name, colour, size_px, ratio)
        if gap_px:
            wide = QPixmap(round((size_px + abs(gap_px)) * ratio), round(size_px * ratio))
            wide.setDevicePixelRatio(ratio)
            wide.fill(Qt.GlobalColor.transparent)
            painter = QPainter(wide)
            painter.drawPixmap(QPointF(max(-gap_px, 0), 0), drawn)
            painter.end()
            drawn = wide
        made.addPixmap(drawn)
    return made


def paint_icon(painter: QPainter, place: QRectF, name: str, colour: str) -> None:
    """Draw the icon ``name`` into ``place``."""
    ratio = painter.device().devicePixelRatioF()
    painter.drawPixmap(place.topLeft(), pixmap(name, colour, round(place.width()), ratio))


def logo_pixmap(size_px: int, ratio: float = 1.0) -> QPixmap:
    """Segue's logo."""
    return _render(_source("segue.svg"), size_px, ratio)


def logo() -> QIcon:
    """Segue's logo as the icon of windows and of the tray."""
    made = QIcon()
    for size_px in (16, 22, 24, 32, 48, 64, 128, 256):
        made.addPixmap(_render(_source("segue.svg"), size_px, 1.0))
    return made
