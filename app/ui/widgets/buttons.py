"""Push buttons, with icons that follow the palette."""

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtWidgets import QPushButton

from app.ui.theme import icons
from app.ui.theme.theme import colours

BUTTON_ICON_PX = 18
# Style sheets cannot set the distance between icon and text; the icon's picture carries it.
ICON_GAP_PX = 6
# The role of an icon by the kind of its button; on other kinds it has that of the text.
TONES = {"primary": "on_accent", "danger": "on_danger", "quiet": "muted", "icon": "muted", "section": "muted"}


class Button(QPushButton):
    """A push button of one kind of the style sheet, with an icon that follows the palette.

    Buttons take the focus from the keyboard only: a click with the mouse leaves no ring behind.
    """

    def __init__(
        self,
        text: str = "",
        *,
        kind: str = "plain",
        icon: str = "",
        name: str = "",
        tall: bool = False,
        clicked: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(text)
        self._icon = icon
        self._tone = ""
        self.setProperty("kind", kind)
        if tall:
            self.setProperty("tall", "yes")
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAutoDefault(False)
        self.setObjectName(name)
        if clicked is not None:
            # "clicked" carries a bool that no slot here wants.
            self.clicked.connect(lambda _checked=False: clicked())
        self._tint()

    def set_icon(self, icon: str, tone: str = "") -> None:
        """Another icon, and where ``tone`` is given another role of the palette for it."""
        if (icon, tone) != (self._icon, self._tone):
            self._icon, self._tone = icon, tone
            self._tint()

    def setText(self, text: str) -> None:
        """Show ``text``, and keep the icon at a distance from it."""
        super().setText(text)
        self._tint()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.EnabledChange):
            self._tint()

    def _tint(self) -> None:
        if not self._icon:
            return
        tone = self._tone or TONES.get(self.property("kind"), "text")
        colour = getattr(colours(), tone if self.isEnabled() else "muted")
        mirrored = self.layoutDirection() == Qt.LayoutDirection.RightToLeft
        gap = 0 if not self.text() else -ICON_GAP_PX if mirrored else ICON_GAP_PX
        self.setIcon(icons.icon(self._icon, colour, BUTTON_ICON_PX, gap))
        self.setIconSize(QSize(BUTTON_ICON_PX + abs(gap), BUTTON_ICON_PX))


primary = partial(Button, kind="primary")
"""The main action, at most one on a page."""
danger = partial(Button, kind="danger")
quiet = partial(Button, kind="quiet")
"""Without a frame until the mouse is over it."""


def icon_button(icon: str, spoken: str, *, name: str, clicked: Callable[[], None] | None = None) -> Button:
    """A button that is only an icon; ``spoken`` is its tooltip and accessible name."""
    made = Button(kind="icon", icon=icon, name=name, clicked=clicked)
    made.setToolTip(spoken)
    made.setAccessibleName(spoken)
    made.setFixedSize(36, 36)
    return made
