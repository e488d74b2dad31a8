"""What can be exported of a call: its report to the clipboard, and its trace to a file."""

from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QMenu, QWidget

from app.ipc.messages import GetReport, Report, SaveTrace, TraceSaved
from app.ui.commands import Send
from app.ui.widgets.buttons import Button, quiet
from app.ui.widgets.labels import Confirmation
from app.ui.widgets.layout import copy_text, row

FILE_NAME = "segue-trace.json"


class ReportCopier(QWidget):
    """A button that asks the engine for the report of a call and puts it on the clipboard."""

    def __init__(self, send: Send, *, kind: str, name: str) -> None:
        super().__init__()
        self._send = send
        self._call_id = ""
        self._asked_for = ""
        self._copied = Confirmation()
        self._button = Button(self.tr("Copy report"), kind=kind, icon="copy", name=name, clicked=self._ask)
        self.setLayout(row(self._copied, self._button))

    def show_call(self, call_id: str) -> None:
        """The report of this call is what will be copied; "" if there is none."""
        self._call_id = call_id
        self._button.setEnabled(bool(call_id))

    def take_report(self, report: Report) -> None:
        """The engine's answer, to this button or to another."""
        if report.call_id == self._asked_for:
            self._asked_for = ""
            copy_text(report.json)
            self._copied.confirm(self.tr("Copied"))

    def _ask(self) -> None:
        self._asked_for = self._call_id
        self._send(GetReport(call_id=self._call_id))


class TraceSaver(QWidget):
    """A button with two choices: without addresses and names, to share, or with them."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send
        self._call_id = ""
        self._dialog: QFileDialog | None = None
        self._saved = Confirmation("trace_saved")
        menu = QMenu(self)
        menu.setObjectName("trace_menu")
        self._add(menu, self.tr("Without addresses and names, to share…"), "trace_to_share", with_addresses=False)
        self._add(menu, self.tr("With addresses and names, for yourself…"), "trace_for_self", with_addresses=True)
        self.button = quiet(self.tr("Save trace"), icon="activity", name="save_trace")
        self.button.setMenu(menu)
        self.setLayout(row(self._saved, self.button))

    def show_call(self, call_id: str) -> None:
        """The trace of this call is what will be saved."""
        self._call_id = call_id

    def saved(self, trace: TraceSaved) -> None:
        """The engine has written it."""
        if trace.call_id == self._call_id:
            self._saved.confirm(self.tr("Saved"))

    def _add(self, menu: QMenu, text: str, name: str, *, with_addresses: bool) -> None:
        action = menu.addAction(text)
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
        # Not exec(), which would stop the event loop, and with it the connection to the engine.
        dialog.open()
