"""The steps to a direct path: one for each phase, with its state, an icon and the reason in a sentence.

Phases overlap: each step has its own progress and its own time left, which run on between two states of the engine.
"""

from typing import get_args

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ipc.engine_state import CallStatus, TraversalStep
from app.model.terms import PhaseName
from app.text.catalogue import plural, sentence
from app.text.traversal import PHASE_NAMES, step_text
from app.ui.theme.theme import GRID_PX, colours
from app.ui.widgets.format import time_left
from app.ui.widgets.labels import Icon, small, strong
from app.ui.widgets.layout import column, row

PHASES: tuple[PhaseName, ...] = get_args(PhaseName)
LOOKS = {
    "waiting": ("circle-dashed", "muted"),
    "trying": ("loader", "accent"),
    "won": ("circle-check", "direct"),
    "failed": ("circle-x", "warn"),
    "skipped": ("circle-minus", "muted"),
    "cancelled": ("circle-slash", "muted"),
}


def phase_name(name: PhaseName) -> str:
    """What a phase is called in the window."""
    return sentence(PHASE_NAMES[name])


def outcome_word(phase: TraversalStep) -> str:
    """The state of a phase."""
    if phase.outcome == "cancelled" and phase.reason not in ("", "not-needed"):
        return sentence("Stopped")
    if phase.name == "port_mapping" and phase.outcome == "won":
        return sentence("Port open")
    return {
        "waiting": sentence("Waiting"),
        "trying": sentence("Trying"),
        "won": sentence("Succeeded"),
        "failed": sentence("Failed"),
        "skipped": sentence("Skipped"),
        "cancelled": sentence("Not needed"),
    }[phase.outcome]


class Progress(QWidget):
    """A thin bar, 0 to 1; assistive technology reads it in percent."""

    def __init__(self, spoken: str) -> None:
        super().__init__()
        self._spoken = spoken
        self.share = 0.0
        self.setFixedHeight(4)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_share(self, share: float) -> None:
        """How far it is."""
        self.share = min(1.0, max(0.0, share))
        percent = round(self.share * 100)
        self.setAccessibleName(sentence("{name}: {percent}%", name=self._spoken, percent=percent))
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        whole = QRectF(self.rect())
        painter.setBrush(QColor(colours().line))
        painter.drawRoundedRect(whole, 2, 2)
        width = whole.width() * self.share
        left = whole.width() - width if self.layoutDirection() == Qt.LayoutDirection.RightToLeft else 0.0
        painter.setBrush(QColor(colours().accent))
        painter.drawRoundedRect(QRectF(left, 0, width, whole.height()), 2, 2)


class Step(QWidget):
    """One phase."""

    def __init__(self, name: PhaseName) -> None:
        super().__init__()
        self.setObjectName(f"step_{name}")
        self._name = name
        self._shown: tuple[TraversalStep, str] | None = None
        self._icon = Icon("circle-dashed", "muted")
        self._outcome = small(wrap=False)
        self._figures = small(name="step_figures", wrap=False)
        self._why = small()
        self._progress = Progress(phase_name(name))
        head = row(strong(phase_name(name)), self._outcome, None, self._figures)
        whole = row(self._icon, column(head, self._why, self._progress, spacing=3), spacing=12, stretch=1)
        whole.setAlignment(self._icon, Qt.AlignmentFlag.AlignTop)
        self.setLayout(whole)

    def show_phase(self, phase: TraversalStep, call: CallStatus, elapsed: float) -> None:
        """Show ``phase`` of ``call`` as it is ``elapsed`` seconds after the answer."""
        running = phase.outcome == "trying"
        why = step_text(phase, call)
        if (phase, why) == self._shown and not running:
            return
        self._figures.setText(" · ".join(_figures(phase, elapsed)))
        if running:
            self._progress.set_share(_share(phase, elapsed))
        if (phase, why) == self._shown:
            return
        self._shown = (phase, why)
        icon, tone = LOOKS[phase.outcome]
        self._icon.set_icon(icon, tone)
        self._outcome.setText(outcome_word(phase))
        self._outcome.set_tone(tone)
        self._why.setText(why)
        self._progress.setVisible(running)
        self.setAccessibleName(f"{phase_name(self._name)}: {outcome_word(phase)}")
        self.setAccessibleDescription(self._why.text())


def _share(phase: TraversalStep, elapsed: float) -> float:
    """Progress by what is counted, otherwise by time."""
    if phase.of or phase.until is None or phase.started is None or phase.until <= phase.started:
        return phase.progress
    return max(phase.progress, min(1.0, (elapsed - phase.started) / (phase.until - phase.started)))


def _figures(phase: TraversalStep, elapsed: float) -> list[str]:
    packets = plural(phase.packets, one="1 packet", other="{count:,} packets") if phase.packets else ""
    parts = []
    if phase.outcome == "trying":
        if phase.of > 1:
            parts.append(sentence("{tried:,} of {all:,} ports", tried=phase.tried, all=phase.of))
        elif phase.tried:
            parts.append(plural(phase.tried, one="1 port tried", other="{count:,} ports tried"))
        if phase.until is not None:
            parts.append(sentence("{time} left", time=time_left(phase.until - elapsed)))
        return parts or [packets]
    if phase.started is not None and phase.ended is not None:
        parts.append(sentence("{seconds:.1f} s", seconds=phase.ended - phase.started))
    if packets:
        parts.append(packets)
    if phase.sockets > 1:
        parts.append(sentence("{count} sockets", count=phase.sockets))
    return parts


class TraversalSteps(QWidget):
    """The steps that the engine reports, or a sentence where there are none."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("traversal_steps")
        self._steps = {name: Step(name) for name in PHASES}
        self._none = small(
            self.tr(
                "Segue is not looking for a direct path: the call has not been answered yet, or you chose to keep "
                "your calls on the relay."
            )
        )
        self.setLayout(column(self._none, *self._steps.values(), spacing=GRID_PX + 4))
        self.show_phases(None)

    def show_phases(self, call: CallStatus | None, elapsed: float = 0.0) -> None:
        """Show each phase of ``call``, ``elapsed`` seconds after the answer."""
        known = {phase.name: phase for phase in call.phases} if call is not None else {}
        self._none.setVisible(not known)
        for name, step in self._steps.items():
            step.setVisible(name in known)
            if call is not None and name in known:
                step.show_phase(known[name], call, elapsed)
