"""Push buttons, with icons that follow the palette."""

from collections.abc import Callable

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtWidgets import QPushButton

from app.ui.theme.icons import icon
from app.ui.theme.theme import colours

BUTTON_ICON_PX = 18


# Style sheets know no distance between icon and words; the icon's picture carries it.
ICON_GAP_PX = 6


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
