"""Things that a person should know once, at the top of the window until dismissed."""

from PySide6.QtWidgets import QFrame, QWidget

from app.ipc.engine_state import Notice
from app.ipc.messages import DismissNotice
from app.text.problems import notice_text
from app.ui.commands import Send
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import icon_button
from app.ui.widgets.format import plain
from app.ui.widgets.labels import Icon, small, strong
from app.ui.widgets.layout import clear, column, framed, row

# More would push the page out of view; the rest comes when these are dismissed.
SHOWN = 3
LOOKS = {"info": ("info", "accent"), "warning": ("triangle-alert", "warn"), "error": ("circle-alert", "warn")}


class NoticesArea(QWidget):
    """The notices, newest at the bottom."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self.setObjectName("notices")
        self._send = send
        self._shown: tuple[Notice, ...] = ()
        self._bars = column(spacing=0)
        self.setLayout(self._bars)
        self.hide()

    def show_notices(self, notices: tuple[Notice, ...]) -> None:
        """Show the first few of ``notices``."""
        if notices == self._shown:
            return
        self._shown = notices
        clear(self._bars)
        for notice in notices[:SHOWN]:
            self._bars.addWidget(self._bar(notice))
        if len(notices) > SHOWN:
            more = small(self.tr("%n more", "", len(notices) - SHOWN), wrap=False)
            more.setContentsMargins(16, 4, 16, 4)
            self._bars.addWidget(more)
        self.setVisible(bool(notices))

    def _bar(self, notice: Notice) -> QFrame:
        title, text = notice_text(notice.code, notice.values)
        title = plain(title, 120)
        close = icon_button("x", self.tr("Dismiss: {title}").format(title=title), name=f"notice_{notice.number}")
        close.setToolTip(self.tr("Dismiss"))
        close.clicked.connect(lambda _checked=False: self._send(DismissNotice(number=notice.number)))
        lines = column(strong(title, wrap=True), small(plain(text, 600)), spacing=2)
        parts = Icon(*LOOKS[notice.kind]), lines, close
        return framed("bar", row(*parts, spacing=12, stretch=1, margins=(2 * GRID_PX, 10, 12, 10)))
