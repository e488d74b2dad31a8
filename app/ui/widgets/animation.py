"""Movements: each explains something, takes at most 200 ms, and is left out where the desktop asks for none."""

from collections.abc import Callable

from PySide6.QtCore import QEasingCurve, QObject, QTimer, QVariantAnimation
from PySide6.QtWidgets import QGraphicsOpacityEffect, QWidget

from app.ui.theme.theme import reduced_motion

MOVE_MS = 200
# From one ring to the next.
RING_EVERY_MS = 1_200


class Appear(QObject):
    """Lets a widget fade in when it has something new to say."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self._effect = QGraphicsOpacityEffect(widget)
        self._effect.setOpacity(1.0)
        self._effect.setEnabled(False)
        widget.setGraphicsEffect(self._effect)
        self._fade = QVariantAnimation(self)
        self._fade.setStartValue(0.1)
        self._fade.setEndValue(1.0)
        self._fade.setDuration(MOVE_MS)
        self._fade.valueChanged.connect(lambda share: self._effect.setOpacity(float(share)))
        # Drawing through an effect costs a copy each time, so it is on only while it moves.
        self._fade.finished.connect(lambda: self._effect.setEnabled(False))

    def begin(self) -> None:
        """Fade in now."""
        if not reduced_motion():
            self._effect.setEnabled(True)
            self._fade.start()


class Pulse(QObject):
    """Widens a halo with each ring. ``show`` takes 0 (none) to 1 (widest).

    Where the desktop asks for no motion the halo stands still at half its width.
    """

    def __init__(self, show: Callable[[float], None], parent: QObject) -> None:
        super().__init__(parent)
        self._show = show
        self._on = False
        self._grow = QVariantAnimation(self)
        self._grow.setStartValue(0.3)
        self._grow.setEndValue(1.0)
        self._grow.setDuration(MOVE_MS)
        self._grow.setEasingCurve(QEasingCurve.Type.OutCubic)
        self._grow.valueChanged.connect(lambda share: self._show(float(share)))
        self._rings = QTimer(self, interval=RING_EVERY_MS)
        self._rings.timeout.connect(self._grow.start)

    def set_on(self, on: bool) -> None:
        """Start or stop ringing."""
        if on == self._on:
            return
        self._on = on
        if not on:
            self._rings.stop()
            self._grow.stop()
            self._show(0.0)
            return
        if reduced_motion():
            self._show(0.5)
        else:
            self._grow.start()
            self._rings.start()
