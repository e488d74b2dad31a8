"""Things that a person should know once, at the top of the window until dismissed."""

from PySide6.QtWidgets import QFrame, QWidget

from app.ipc.messages import DismissNotice, Notice
from app.ui.commands import Send
from app.ui.theme.theme import GRID_PX
from app.ui.widgets.buttons import icon_button
from app.ui.widgets.format import plain
from app.ui.widgets.labels import Label, Picture
from app.ui.widgets.layout import clear, column, row

# More would push the page out of sight; the rest comes when these have been read.
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
            more = Label(self.tr("{0} more").format(len(notices) - SHOWN), size="small", tone="muted")
            more.setContentsMargins(16, 4, 16, 4)
            self._bars.addWidget(more)
        self.setVisible(bool(notices))

    def _bar(self, notice: Notice) -> QFrame:
        picture, tone = LOOKS[notice.kind]
        title = Label(plain(notice.title, 120), size="strong", wrap=True)
        words = Label(plain(notice.text, 600), size="small", tone="muted", wrap=True)
        close = icon_button("x", self.tr("Dismiss: {0}").format(plain(notice.title)), name=f"notice_{notice.number}")
        close.setToolTip(self.tr("Dismiss"))
        close.clicked.connect(lambda _checked=False: self._send(DismissNotice(number=notice.number)))
        frame = QFrame()
        frame.setProperty("kind", "bar")
        line = row(Picture(picture, tone), column(title, words, spacing=2), close, spacing=12)
        line.setStretch(1, 1)
        line.setContentsMargins(2 * GRID_PX, 10, 12, 10)
        frame.setLayout(line)
        return frame
