"""One past call in a list."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.model.history import RecentCall
from app.ui.widgets.format import outcome, outcome_icon, plain, when
from app.ui.widgets.labels import ElidedLabel, Label, Picture
from app.ui.widgets.layout import holder, row


def call_row(call: RecentCall, now: float, who: str) -> QWidget:
    """One past call: direction, who (where the page does not say it), when, and how it went."""
    missed = call.outcome == "missed"
    words = ElidedLabel(plain(who) if who else when(call.at, now))
    made: QHBoxLayout = row(Picture(outcome_icon(call), "warn" if missed else "muted", 18), words, spacing=12)
    made.setStretch(1, 1)
    if who:
        made.addWidget(Label(when(call.at, now), size="small", tone="muted"))
    if call.was_direct:
        made.addWidget(Label(made.tr("Direct"), size="small", tone="direct"))
    ended = Label(outcome(call), size="small", tone="warn" if missed else "muted")
    ended.setMinimumWidth(88)
    ended.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    made.addWidget(ended)
    whole = holder(made)
    whole.setMinimumHeight(36)
    return whole
