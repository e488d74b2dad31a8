"""The little that moves: each movement explains something, takes at most 200 ms, and respects the desktop's wish."""

from collections.abc import Callable

from PySide6.QtCore import QEasingCurve, QObject, QTimer, QVariantAnimation
from PySide6.QtWidgets import QApplication

from app.ui.theme import reduced_motion

MOVE_MS = 200
# Between two rings of a ringing picture.
RING_EVERY_MS = 1_200


class Pulse(QObject):
    """Widens a halo once a ring while it rings. ``show`` takes 0 (none) to 1 (widest).

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
        application = QApplication.instance()
        if isinstance(application, QApplication) and reduced_motion(application):
            self._show(0.5)
        else:
            self._grow.start()
            self._rings.start()

    def stop(self) -> None:
        """Stop ringing."""
        self.set_on(False)
