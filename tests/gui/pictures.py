"""Draws every scene: ``python -m tests.gui.pictures FOLDER [SCENE...]``; ``--readme`` draws the README's two.

The scale is Qt's own: QT_SCALE_FACTOR=2 makes the pictures of a dense screen, which a process can only choose once.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEvent
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QProxyStyle, QStyle, QWidget

from app.ui.application import make_application
from app.ui.main_window import MainWindow
from tests.gui.recording_bridge import RecordingBridge
from tests.gui.scenes import PREPARE, SCENES, VERSIONS, Scene
from tests.gui.states import NOW, themed

THEMES = ("light", "dark")
# Scene, theme and height of the README's pictures: tall enough for the whole panel.
README = {"home-light": ("home", "light", 680), "call-dark": ("call-panel-direct", "dark", 936)}


def is_incoming(scene: Scene) -> bool:
    """Whether the small window of an incoming call comes up too."""
    return scene.state.call is not None and scene.state.call.phase == "incoming"


def draw(
    application: QApplication, scene: Scene, theme: str, folder: Path, height_px: int = 0, *, packed: bool = False
) -> list[Path]:
    """Draw one scene in one theme, in a window of the usual height or ``height_px``. Returns the files."""
    window = MainWindow(RecordingBridge(), VERSIONS, now=lambda: NOW)
    if height_px:
        window.resize(window.width(), height_px)
    window.show()
    state = themed(scene.state, theme)
    window.show_state(state)
    if scene.prepare:
        PREPARE[scene.prepare](window, state)
    written = [_save(application, window, folder / f"{scene.name}-{theme}.png", packed)]
    if is_incoming(scene):
        file = folder / f"{scene.name}-window-{theme}.png"
        written.append(_save(application, window.incoming, file, packed))
    window.tray.hide()
    for made in (window.incoming, window):
        made.hide()
        made.deleteLater()
    application.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    return written


class StillStyle(QProxyStyle):
    """Asks for no motion, so that a picture is the same each time."""

    def styleHint(self, hint: QStyle.StyleHint, *more: object) -> int:
        if hint in (QStyle.StyleHint.SH_Widget_Animate, QStyle.StyleHint.SH_Widget_Animation_Duration):
            return 0
        return super().styleHint(hint, *more)  # type: ignore[arg-type]


def _save(application: QApplication, widget: QWidget, file: Path, packed: bool) -> Path:
    for _ in range(3):
        application.processEvents()
    # Without transparency. Packed as well as PNG can is quality 0 for Qt, and takes several times as long as 80.
    quality = 0 if packed else 80
    if not widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888).save(str(file), "PNG", quality):
        raise OSError(f"could not write {file}")
    return file


def draw_readme(folder: Path) -> None:
    """Draw the pictures of the README at the scale that QT_SCALE_FACTOR asks for."""
    folder.mkdir(parents=True, exist_ok=True)
    application = still_application()
    for name, (scene_name, theme, height) in README.items():
        scene = next(one for one in SCENES if one.name == scene_name)
        (file,) = draw(application, scene, theme, folder, height, packed=True)
        file.rename(folder / f"{name}.png")


def still_application() -> QApplication:
    """Segue's application, without motion."""
    application = make_application(["segue"])
    application.setStyle(StillStyle("Fusion"))
    return application


def main(folder: Path, names: list[str]) -> None:
    """Draw all scenes, or those named."""
    folder.mkdir(parents=True, exist_ok=True)
    application = still_application()
    for scene in SCENES:
        if not names or scene.name in names:
            for theme in THEMES:
                for file in draw(application, scene, theme, folder):
                    print(file.name)


if __name__ == "__main__":
    if sys.argv[1] == "--readme":
        draw_readme(Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]), sys.argv[2:])
