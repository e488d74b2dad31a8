"""Puts a palette, the font and one style sheet on the application.

The application's :class:`QPalette` carries the choice: :func:`colours` reads it back, so painted widgets need no
theme handed to them and repaint on the ``PaletteChange`` event that Qt sends anyway.
"""

import os
import sys
from dataclasses import asdict
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
    """The palette that the application wears now."""
    ground = QGuiApplication.palette().color(QPalette.ColorRole.Window)
    return DARK if ground.lightness() < 128 else LIGHT


def system_is_dark() -> bool:
    """Whether the desktop asks for dark windows."""
    return QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark


def reduced_motion(application: QApplication) -> bool:
    """Whether the desktop asks for no animation (Qt tells through the style)."""
    style = application.style()
    wanted = style.styleHint(QStyle.StyleHint.SH_Widget_Animate)
    return not wanted or style.styleHint(QStyle.StyleHint.SH_Widget_Animation_Duration) <= 0


def font(size_px: int, weight: QFont.Weight = QFont.Weight.Normal) -> QFont:
    """The application's family in one of the three sizes, with figures of one width."""
    chosen = QFont(QApplication.font())
    chosen.setPixelSize(size_px)
    chosen.setWeight(weight)
    return chosen


def choose_font(application: QApplication) -> None:
    """Body font for the whole application: the desktop's, or the nicest at hand where there is no desktop."""
    chosen = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont)
    if sys.platform.startswith("linux") and not os.environ.get("XDG_CURRENT_DESKTOP"):
        at_hand = set(QFontDatabase.families())
        family = next((name for name in FAMILIES_WITHOUT_DESKTOP if name in at_hand), None)
        if family is not None:
            chosen = QFont(family)
    chosen.setPixelSize(BODY_PX)
    chosen.setFeature(QFont.Tag("tnum"), 1)
    application.setFont(chosen)


def apply_theme(application: QApplication, theme: Theme) -> None:
    """Wear ``theme`` from now on; every open window follows."""
    hints = QGuiApplication.styleHints()
    if theme == "system":
        hints.unsetColorScheme()
    else:
        hints.setColorScheme(Qt.ColorScheme.Dark if theme == "dark" else Qt.ColorScheme.Light)
    dark = theme == "dark" or (theme == "system" and system_is_dark())
    wear(application, DARK if dark else LIGHT)


def wear(application: QApplication, worn: Colours) -> None:
    """Set palette and style sheet from ``worn``. Worn already: nothing is done (a new sheet costs 0.2 s)."""
    sheet = style_sheet(worn)
    if sheet == application.styleSheet() and colours() == worn:
        return
    palette = QPalette()
    roles = {
        QPalette.ColorRole.Window: worn.surface,
        QPalette.ColorRole.WindowText: worn.text,
        QPalette.ColorRole.Base: worn.sunken,
        QPalette.ColorRole.AlternateBase: worn.raised,
        QPalette.ColorRole.Text: worn.text,
        QPalette.ColorRole.Button: worn.raised,
        QPalette.ColorRole.ButtonText: worn.text,
        QPalette.ColorRole.Highlight: worn.accent,
        QPalette.ColorRole.HighlightedText: worn.on_accent,
        QPalette.ColorRole.PlaceholderText: worn.muted,
        QPalette.ColorRole.ToolTipBase: worn.raised,
        QPalette.ColorRole.ToolTipText: worn.text,
        QPalette.ColorRole.Link: worn.accent,
        QPalette.ColorRole.Accent: worn.accent,
    }
    for role, colour in roles.items():
        palette.setColor(role, QColor(colour))
    for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor(worn.muted))
    application.setPalette(palette)
    application.setStyleSheet(sheet)


def style_sheet(worn: Colours) -> str:
    """The one style sheet. Widgets choose among its looks by the dynamic properties ``kind`` and ``tone``."""
    return _SHEET.substitute(asdict(worn), corner=CORNER_PX, title=TITLE_PX, body=BODY_PX, small=SMALL_PX)


_SHEET = Template(
    """
QWidget { color: $text; }
QMainWindow, QDialog, QWidget[kind="window"] { background: $surface; }
QLabel { background: transparent; }
QLabel[scale="title"] { font-size: ${title}px; font-weight: 600; }
QLabel[scale="strong"] { font-size: ${body}px; font-weight: 600; }
QLabel[scale="small"] { font-size: ${small}px; }
QLabel[tone="muted"] { color: $muted; }
QLabel[tone="warn"] { color: $warn; }
QLabel[tone="relay"] { color: $relay; }
QLabel[tone="direct"] { color: $direct; }
QLabel[tone="accent"] { color: $accent; }

QFrame[kind="card"] { background: $raised; border: 1px solid $line; border-radius: 12px; }
QFrame[kind="alarm"] { background: $warn_soft; border: 1px solid $warn; border-radius: 12px; }
QFrame[kind="side"] { background: $raised; border: none; border-right: 1px solid $line; }
QFrame[kind="bar"] { background: $raised; border: none; border-bottom: 1px solid $line; }
QFrame[kind="rule"] { background: $line; border: none; max-height: 1px; min-height: 1px; }

QPushButton {
    background: $raised; border: 1px solid $outline; border-radius: ${corner}px;
    padding: 0 15px; min-height: 38px; font-weight: 500;
}
QPushButton:hover { background: $hover; }
QPushButton:pressed { background: $line; }
QPushButton:disabled { color: $muted; border-color: $line; background: transparent; }
QPushButton:focus { border: 2px solid $accent; padding: 0 14px; min-height: 36px; }
QPushButton[kind="primary"] { background: $accent; color: $on_accent; border: 2px solid $accent; padding: 0 16px;
    min-height: 36px; font-weight: 600; }
QPushButton[kind="primary"]:hover { background: $accent_hover; border-color: $accent_hover; }
QPushButton[kind="primary"]:focus { border: 2px solid $text; padding: 0 16px; }
QPushButton[kind="primary"]:disabled { background: $hover; border-color: $hover; color: $muted; }
QPushButton[kind="danger"] { background: $danger; color: $on_danger; border: 2px solid $danger; padding: 0 16px;
    min-height: 36px; font-weight: 600; }
QPushButton[kind="danger"]:hover { background: $danger_hover; border-color: $danger_hover; }
QPushButton[kind="danger"]:focus { border: 2px solid $text; padding: 0 16px; }
QPushButton[kind="quiet"] { background: transparent; border: 2px solid transparent; padding: 0 10px; min-height: 32px;
    text-align: left; }
QPushButton[kind="quiet"]:hover { background: $hover; }
QPushButton[kind="quiet"]:focus { border: 2px solid $accent; padding: 0 10px; min-height: 32px; }
QPushButton[kind="quiet"]:checked { background: $accent_soft; }
QPushButton[kind="icon"] { background: transparent; border: 2px solid transparent; padding: 0;
    min-height: 32px; min-width: 32px; }
QPushButton[kind="icon"]:hover { background: $hover; }
QPushButton[kind="icon"]:focus { border: 2px solid $accent; padding: 0; min-height: 32px; }
QPushButton[kind="section"] { background: transparent; border: 2px solid transparent; padding: 0 10px; text-align: left;
    min-height: 36px; }
QPushButton[kind="section"]:hover { background: $hover; }
QPushButton[kind="section"]:checked { background: $accent_soft; font-weight: 600; }
QPushButton[kind="section"]:focus { border: 2px solid $accent; padding: 0 10px; min-height: 36px; }
QPushButton[tall="yes"] { min-height: 44px; }
QPushButton[tall="yes"][kind="primary"], QPushButton[tall="yes"][kind="danger"] { min-height: 42px; }
QPushButton[tall="yes"]:focus { min-height: 42px; }
QPushButton[kind="choice"] { background: $raised; border: 1px solid $outline; border-radius: 12px; padding: 0; }
QPushButton[kind="choice"]:hover { background: $hover; }
QPushButton[kind="choice"]:checked { border: 2px solid $accent; background: $accent_soft; }
QPushButton[kind="choice"]:focus { border: 2px solid $text; padding: 0; }
QPushButton::menu-indicator { image: none; width: 0; }

QLineEdit, QComboBox {
    background: $sunken; border: 1px solid $outline; border-radius: ${corner}px; padding: 0 11px; min-height: 38px;
    selection-background-color: $accent; selection-color: $on_accent;
}
QLineEdit:focus, QComboBox:focus { border: 2px solid $accent; padding: 0 10px; min-height: 36px; }
QLineEdit:disabled, QComboBox:disabled { color: $muted; border-color: $line; }
QLineEdit[wrong="yes"] { border: 2px solid $warn; padding: 0 10px; min-height: 36px; }
QComboBox::drop-down { border: none; width: 32px; }
QComboBox::down-arrow { image: none; }
QComboBox QAbstractItemView { background: $raised; border: 1px solid $line; border-radius: 8px; padding: 4px;
    outline: none; selection-background-color: $accent_soft; selection-color: $text; }
QComboBox QAbstractItemView::item { min-height: 32px; padding: 0 8px; border-radius: 6px; }

QSlider { min-height: 28px; }
QSlider::groove:horizontal { height: 4px; border-radius: 2px; background: $outline; }
QSlider::sub-page:horizontal { height: 4px; border-radius: 2px; background: $accent; }
QSlider::handle:horizontal { width: 16px; height: 16px; margin: -8px 0; border-radius: 10px; background: $accent;
    border: 2px solid $raised; }
QSlider::handle:horizontal:focus { border: 2px solid $text; }

QListView { background: transparent; border: none; outline: none; }

QScrollArea, QScrollArea > QWidget > QWidget[kind="scrolled"] { background: transparent; border: none; }
QScrollBar:vertical { background: transparent; width: 10px; margin: 2px; }
QScrollBar::handle:vertical { background: $outline; border-radius: 3px; min-height: 32px; }
QScrollBar::add-line, QScrollBar::sub-line { height: 0; width: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 2px; }
QScrollBar::handle:horizontal { background: $outline; border-radius: 3px; min-width: 32px; }

QMenu { background: $raised; border: 1px solid $line; border-radius: 8px; padding: 6px; }
QMenu::item { padding: 8px 24px 8px 12px; border-radius: 6px; }
QMenu::item:selected { background: $accent_soft; }
QMenu::item:disabled { color: $muted; }
QMenu::separator { height: 1px; background: $line; margin: 6px 8px; }
QMenu::indicator { width: 16px; height: 16px; left: 4px; }
QToolTip { background: $raised; color: $text; border: 1px solid $line; padding: 4px 8px; }
"""
)


def restyle(widget: QWidget) -> None:
    """Apply the style sheet anew after a dynamic property changed."""
    widget.style().unpolish(widget)
    widget.style().polish(widget)
    widget.update()


def digits_font() -> QFont:
    """Body size, for numbers that are read aloud."""
    return font(BODY_PX, QFont.Weight.Medium)
