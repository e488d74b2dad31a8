"""Puts a palette, the font and one style sheet on the application.

The application's :class:`QPalette` carries the choice: :func:`colours` reads it back, so painted widgets need no
theme handed to them and repaint on the ``PaletteChange`` event that Qt sends anyway.
"""

import os
import sys
from dataclasses import asdict
from functools import cache
from importlib import resources
from string import Template
from typing import Literal

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication, QStyle, QWidget

from app.ui.theme.palette import DARK, LIGHT, Colours

TITLE_PX = 20
BODY_PX = 14
SMALL_PX = 12
GRID_PX = 8
CORNER_PX = 10

# A desktop sets its own font. Without one, fontconfig offers whatever sorts first; these look better, best first.
FAMILIES_WITHOUT_DESKTOP = ("Inter", "Cantarell", "Noto Sans", "Ubuntu", "Open Sans", "DejaVu Sans")

Theme = Literal["system", "light", "dark"]


def colours() -> Colours:
    """The palette in use."""
    ground = QGuiApplication.palette().color(QPalette.ColorRole.Window)
    return DARK if ground.lightness() < 128 else LIGHT


def reduced_motion() -> bool:
    """Whether the desktop asks for no animation (Qt tells through the style)."""
    application = QApplication.instance()
    if not isinstance(application, QApplication):
        return True
    hint, style = QStyle.StyleHint, application.style()
    return not style.styleHint(hint.SH_Widget_Animate) or style.styleHint(hint.SH_Widget_Animation_Duration) <= 0


def font(size_px: int, weight: QFont.Weight = QFont.Weight.Normal) -> QFont:
    """The application's family in one of the three sizes, with figures of one width."""
    chosen = QFont(QApplication.font())
    chosen.setPixelSize(size_px)
    chosen.setWeight(weight)
    return chosen


def choose_font(application: QApplication) -> None:
    """Set the body font: the desktop's, or the best installed one where there is no desktop."""
    chosen = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont)
    if sys.platform.startswith("linux") and not os.environ.get("XDG_CURRENT_DESKTOP"):
        at_hand = set(QFontDatabase.families())
        family = next((name for name in FAMILIES_WITHOUT_DESKTOP if name in at_hand), None)
        if family is not None:
            chosen = QFont(family)
    chosen.setPixelSize(BODY_PX)
    chosen.setFeature(QFont.Tag("tnum"), 1)
    application.setFont(chosen)


def apply_theme(theme: Theme) -> None:
    """Use ``theme`` from now on; every open window follows."""
    hints = QGuiApplication.styleHints()
    if theme == "system":
        hints.unsetColorScheme()
        dark = hints.colorScheme() == Qt.ColorScheme.Dark
    else:
        dark = theme == "dark"
        hints.setColorScheme(Qt.ColorScheme.Dark if dark else Qt.ColorScheme.Light)
    apply_style(DARK if dark else LIGHT)


def apply_style(palette: Colours) -> None:
    """Set Qt's palette and the style sheet. Nothing is done if they are set already (a new sheet costs 0.2 s)."""
    application = QApplication.instance()
    if not isinstance(application, QApplication):
        return
    sheet = style_sheet(palette)
    if sheet == application.styleSheet() and colours() == palette:
        return
    role = QPalette.ColorRole
    qt_palette = QPalette()
    for target, colour in {
        role.Window: palette.surface,
        role.WindowText: palette.text,
        role.Base: palette.sunken,
        role.AlternateBase: palette.raised,
        role.Text: palette.text,
        role.Button: palette.raised,
        role.ButtonText: palette.text,
        role.Highlight: palette.accent,
        role.HighlightedText: palette.on_accent,
        role.PlaceholderText: palette.muted,
        role.ToolTipBase: palette.raised,
        role.ToolTipText: palette.text,
        role.Link: palette.accent,
        role.Accent: palette.accent,
    }.items():
        qt_palette.setColor(target, QColor(colour))
    for target in (role.WindowText, role.Text, role.ButtonText):
        qt_palette.setColor(QPalette.ColorGroup.Disabled, target, QColor(palette.muted))
    application.setPalette(qt_palette)
    application.setStyleSheet(sheet)


@cache
def style_sheet(palette: Colours) -> str:
    """The one style sheet. Widgets choose among its looks by the dynamic properties ``kind`` and ``tone``."""
    sheet = Template(resources.files("app.ui.theme").joinpath("window.qss").read_text(encoding="utf-8"))
    return sheet.substitute(asdict(palette), corner=CORNER_PX, title=TITLE_PX, body=BODY_PX, small=SMALL_PX)


def restyle(widget: QWidget) -> None:
    """Apply the style sheet again after a dynamic property changed."""
    widget.style().unpolish(widget)
    widget.style().polish(widget)
    widget.update()
