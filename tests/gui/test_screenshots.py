"""Pictures of every page and state, in both themes, at 100 % and 200 %, into tests/artifacts/screenshots/.

Each scale needs a process of its own. Drawn is what Qt draws; that nothing is cut off, and that every control can be
reached, is checked in test_keyboard. Here: all are there, of the right size, none empty, no two states alike.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtGui import QImage

from app.ui.main_window import SIZE_PX
from app.ui.theme.palette import DARK, LIGHT
from tests.gui.pictures import README, THEMES, is_incoming
from tests.gui.scenes import SCENES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "artifacts" / "screenshots"
README_FOLDER = ROOT / "docs" / "images"
README_SCALE = 1.5
MAX_README_BYTES = 300 * 1024
# A page of one colour with a line of text has about this many colours from smoothing alone.
LEAST_COLOURS = 24
WAIT_S = 240


def drawn(scale: float, *arguments: str) -> None:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "QT_SCALE_FACTOR": str(scale)}
    subprocess.run(
        [sys.executable, "-m", "tests.gui.pictures", *arguments],
        cwd=ROOT,
        env=environment,
        check=True,
        timeout=WAIT_S,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def colours_in(image: QImage) -> set[int]:
    small = image.scaled(270, 180)
    return {small.pixel(x, y) for x in range(small.width()) for y in range(small.height())}


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("scale", [1, 2])
def test_every_page_in_both_themes(scale: int) -> None:
    folder = FOLDER / f"{scale}00"
    for old in folder.glob("*.png"):
        old.unlink()
    drawn(scale, str(folder))
    wanted = {f"{scene.name}-{theme}.png" for scene in SCENES for theme in THEMES}
    wanted |= {f"{scene.name}-window-{theme}.png" for scene in SCENES if is_incoming(scene) for theme in THEMES}
    assert {file.name for file in folder.glob("*.png")} == wanted
    seen: dict[str, str] = {}
    for name in sorted(wanted):
        image = QImage(str(folder / name))
        if "-window-" not in name:
            assert (image.width(), image.height()) == (SIZE_PX[0] * scale, SIZE_PX[1] * scale), name
        palette = DARK if name.endswith("-dark.png") else LIGHT
        found = colours_in(image)
        assert len(found) >= LEAST_COLOURS, name
        assert int("ff" + palette.surface[1:], 16) in found, f"{name} does not wear its theme"
        digest = hashlib.sha256(bytes(image.constBits())).hexdigest()
        assert digest not in seen, f"{name} looks like {seen.get(digest)}"
        seen[digest] = name


@pytest.mark.slow
@pytest.mark.process
def test_the_pictures_of_the_readme_can_be_drawn_and_are_there(tmp_path: Path) -> None:
    """To renew them: ``QT_SCALE_FACTOR=1.5 python -m tests.gui.pictures --readme docs/images``."""
    drawn(README_SCALE, "--readme", str(tmp_path))
    for name in README:
        fresh, kept = QImage(str(tmp_path / f"{name}.png")), QImage(str(README_FOLDER / f"{name}.png"))
        assert not kept.isNull() and kept.size() == fresh.size(), name
        assert (README_FOLDER / f"{name}.png").stat().st_size <= MAX_README_BYTES
