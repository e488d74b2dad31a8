"""The ladder to a direct path: a rung for each phase, with its state in a word, an icon and one sentence why.

Phases overlap: each rung has its own progress and its own time left, which go on between two words of the engine.
"""

from typing import get_args

from PySide6.QtCore import QCoreApplication, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ipc.messages import TraversalStep
from app.model.terms import PhaseName
from app.ui.theme.theme import GRID_PX, colours
from app.ui.widgets.format import time_left
from app.ui.widgets.labels import Label, Picture
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

translate = QCoreApplication.translate


def phase_name(name: PhaseName) -> str:
    """What a phase is called on the surface."""
    return {
        "port_mapping": translate("ladder", "Port mapping"),
        "punch": translate("ladder", "Punch"),
        "prediction": translate("ladder", "Prediction"),
        "birthday": translate("ladder", "Birthday"),
        "blocks": translate("ladder", "Carrier blocks"),
    }[name]


def phase_task(name: PhaseName) -> str:
    """What a phase does, for the time when there is nothing else to tell."""
    return {
        "port_mapping": translate("ladder", "Asks your router to open a door."),
        "punch": translate("ladder", "Both sides send at once, so that both routers let the answers in."),
        "prediction": translate("ladder", "Guesses the next door of a router that counts up."),
        "birthday": translate("ladder", "Tries many doors of a router that picks them at random."),
        "blocks": translate("ladder", "Searches the few doors that two carriers give each of you."),
    }[name]


def outcome_word(phase: TraversalStep) -> str:
    """The state of a phase."""
    if phase.outcome == "cancelled" and phase.reason not in ("", "not-needed"):
        return translate("ladder", "Stopped")
    if phase.name == "port_mapping" and phase.outcome == "won":
        return translate("ladder", "Open")
    return {
        "waiting": translate("ladder", "Waiting"),
        "trying": translate("ladder", "Trying"),
        "won": translate("ladder", "Won"),
        "failed": translate("ladder", "Failed"),
        "skipped": translate("ladder", "Skipped"),
        "cancelled": translate("ladder", "Not needed"),
    }[phase.outcome]


class Progress(QWidget):
    """A thin bar, 0 to 1; assistive technology reads it in percent."""

    def __init__(self, spoken: str) -> None:
        super().__init__()
        self._spoken = spoken
        self._share = 0.0
        self.setFixedHeight(4)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def share(self) -> float:
        """What is shown."""
        return self._share

    def set_share(self, share: float) -> None:
        """How far it is."""
        self._share = min(1.0, max(0.0, share))
        self.setAccessibleName(translate("ladder", "{0}: {1} %").format(self._spoken, round(self._share * 100)))
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        whole = QRectF(self.rect())
        painter.setBrush(QColor(colours().line))
        painter.drawRoundedRect(whole, 2, 2)
        width = whole.width() * self._share
        left = whole.width() - width if self.layoutDirection() == Qt.LayoutDirection.RightToLeft else 0.0
        painter.setBrush(QColor(colours().accent))
        painter.drawRoundedRect(QRectF(left, 0, width, whole.height()), 2, 2)


class Step(QWidget):
    """One phase."""

    def __init__(self, name: PhaseName) -> None:
        super().__init__()
        self.setObjectName(f"rung_{name}")
        self._name = name
        self._shown: TraversalStep | None = None
        self._picture = Picture("circle-dashed", "muted")
        self._word = Label(size="small", tone="muted")
        self._figures = Label(size="small", tone="muted")
        self._figures.setObjectName("rung_figures")
        self._why = Label(size="small", tone="muted", wrap=True)
        self._progress = Progress(phase_name(name))
        head = row(Label(phase_name(name), size="strong"), self._word, None, self._figures)
        words = column(head, self._why, self._progress, spacing=3)
        whole = row(self._picture, words, spacing=12)
        whole.setStretch(1, 1)
        whole.setAlignment(self._picture, Qt.AlignmentFlag.AlignTop)
        self.setLayout(whole)

    def show_phase(self, phase: TraversalStep, elapsed: float) -> None:
        """Show ``phase`` as it is ``elapsed`` seconds after the answer."""
        running = phase.outcome == "trying"
        if phase == self._shown and not running:
            return
        self._figures.setText(_figures(phase, elapsed))
        if running:
            self._progress.set_share(_share(phase, elapsed))
        if phase == self._shown:
            return
        self._shown = phase
        picture, tone = LOOKS[phase.outcome]
        self._picture.set_picture(picture, tone)
        self._word.setText(outcome_word(phase))
        self._word.set_tone(tone)
        self._why.setText(phase.why or phase_task(self._name))
        self._progress.setVisible(running)
        self.setAccessibleName(f"{phase_name(self._name)}: {outcome_word(phase)}")
        self.setAccessibleDescription(self._why.text())


def _share(phase: TraversalStep, elapsed: float) -> float:
    """What is counted tells how far it is; otherwise time does."""
    if phase.of or phase.until is None or phase.started is None or phase.until <= phase.started:
        return phase.progress
    return max(phase.progress, min(1.0, (elapsed - phase.started) / (phase.until - phase.started)))


def _figures(phase: TraversalStep, elapsed: float) -> str:
    parts = []
    if phase.outcome == "trying":
        if phase.of > 1:
            parts.append(translate("ladder", "{0} of {1}").format(f"{phase.tried:,}", f"{phase.of:,}"))
        elif phase.tried:
            parts.append(translate("ladder", "{0} tried").format(f"{phase.tried:,}"))
        if phase.until is not None:
            parts.append(translate("ladder", "{0} left").format(time_left(phase.until - elapsed)))
        if not parts and phase.packets:
            parts.append(translate("ladder", "{0} packets").format(f"{phase.packets:,}"))
        return " · ".join(parts)
    if phase.started is not None and phase.ended is not None:
        parts.append(translate("ladder", "{0} s").format(f"{phase.ended - phase.started:.1f}"))
    if phase.packets:
        parts.append(translate("ladder", "{0} packets").format(f"{phase.packets:,}"))
    if phase.sockets > 1:
        parts.append(translate("ladder", "{0} sockets").format(phase.sockets))
    return " · ".join(parts)


class TraversalSteps(QWidget):
    """The rungs that the engine tells of, or words where there are none."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("ladder")
        self._rungs = {name: Step(name) for name in PHASES}
        self._none = Label(
            self.tr(
                "No direct path is being looked for: the call is not answered yet, or you have chosen to keep "
                "your calls on the relay."
            ),
            size="small",
            tone="muted",
            wrap=True,
        )
        whole = column(self._none, *self._rungs.values(), spacing=GRID_PX + 4)
        self.setLayout(whole)
        self.show_phases(())

    def show_phases(self, phases: tuple[TraversalStep, ...], elapsed: float = 0.0) -> None:
        """Show each phase that the engine tells of, ``elapsed`` seconds after the answer."""
        told = {phase.name: phase for phase in phases}
        self._none.setVisible(not told)
        for name, rung in self._rungs.items():
            rung.setVisible(name in told)
            if name in told:
                rung.show_phase(told[name], elapsed)
