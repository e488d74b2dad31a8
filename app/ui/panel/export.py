"""“Save trace”: a file for whoever wants to know why a call went as it did, without addresses and names by default."""

from pathlib import Path

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QFileDialog, QMenu, QWidget

from app.ipc.messages import SaveTrace, TraceSaved
from app.ui.commands import COPIED_SHOWN_MS, Send
from app.ui.widgets.buttons import Button
from app.ui.widgets.labels import Label
from app.ui.widgets.layout import row

FILE_NAME = "segue-trace.json"


class TraceSaver(QWidget):
    """A button with two choices, and a word when the file is there."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send
        self._call_id = ""
        self._dialog: QFileDialog | None = None
        self._saved = Label(size="small", tone="accent")
        self._saved.setObjectName("trace_saved")
        menu = QMenu(self)
        menu.setObjectName("trace_menu")
        self._add(menu, self.tr("Without addresses and names, to share…"), "trace_to_share", with_addresses=False)
        self._add(menu, self.tr("With addresses and names, for yourself…"), "trace_for_self", with_addresses=True)
        self.button = Button(self.tr("Save trace"), kind="quiet", picture="activity", name="save_trace")
        self.button.setMenu(menu)
        line = row(self._saved, self.button)
        line.setContentsMargins(0, 0, 0, 0)
        self.setLayout(line)

    def show_call(self, call_id: str) -> None:
        """The trace of this call is what will be saved."""
        self._call_id = call_id

    def saved(self, told: TraceSaved) -> None:
        """The engine has written it."""
        if told.call_id == self._call_id:
            self._saved.setText(self.tr("Saved"))
            QTimer.singleShot(COPIED_SHOWN_MS, self._saved, self._saved.clear)

    def _add(self, menu: QMenu, words: str, name: str, *, with_addresses: bool) -> None:
        action = menu.addAction(words)
        action.setObjectName(name)
        action.triggered.connect(lambda _checked=False: self._ask_place(with_addresses))

    def _ask_place(self, with_addresses: bool) -> None:
        call_id = self._call_id
        dialog = QFileDialog(self, self.tr("Save trace"), str(Path.home() / FILE_NAME), "JSON (*.json)")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("json")
        dialog.fileSelected.connect(lambda path: self._send(SaveTrace(call_id, path, with_addresses)))
        dialog.finished.connect(dialog.deleteLater)
        self._dialog = dialog
        # Not exec(), which would stop the loop that the engine is heard on.
        dialog.open()
