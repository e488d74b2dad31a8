"""One past call in a list."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from app.model.history import RecentCall
from app.text.catalogue import sentence
from app.ui.widgets.format import outcome, outcome_icon, plain, when
from app.ui.widgets.labels import ElidedLabel, Icon, small
from app.ui.widgets.layout import row, wrap

# Room for the longest text of each, so that all rows of a list have the same columns.
OUTCOME_PX = 88
DIRECT_PX = 44


def call_row(call: RecentCall, now: float, who: str = "", *controls: QWidget) -> QWidget:
    """One past call: direction, who (where the page does not say it), when, and how it went."""
    missed = call.outcome == "missed"
    moment = when(call.at, now)
    direct = small(sentence("Direct") if call.was_direct else "", tone="direct", wrap=False)
    direct.setMinimumWidth(DIRECT_PX)
    ended = small(outcome(call), tone="warn" if missed else "muted", wrap=False)
    ended.setMinimumWidth(OUTCOME_PX)
    ended.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    made = wrap(
        row(
            Icon(outcome_icon(call), "warn" if missed else "muted", 18),
            ElidedLabel(plain(who) if who else moment),
            *([small(moment, wrap=False)] if who else []),
            direct,
            ended,
            *controls,
            spacing=12,
            stretch=1,
        )
    )
    made.setMinimumHeight(36)
    return made
