"""The icons that are shipped are those that are used, with the licence of their set."""

import re
from pathlib import Path

import app.ui

FOLDER = Path(app.ui.__file__).parent
NAMES = {file.stem for file in (FOLDER / "theme" / "svg").glob("*.svg")}


def test_every_icon_is_used_and_every_used_icon_is_there() -> None:
    sources = {file: file.read_text(encoding="utf-8") for file in FOLDER.rglob("*.py")}
    words = {word for text in sources.values() for word in re.findall(r'"([a-z0-9]+(?:-[a-z0-9]+)*)"', text)}
    assert NAMES and words >= NAMES
    # What is named as an icon must exist.
    handed = set()
    for text in sources.values():
        handed |= set(re.findall(r'icon="([a-z0-9-]+)"', text))
        handed |= set(re.findall(r'(?:Icon|set_icon|icon_button|icon|paint_icon)\(\s*"([a-z0-9-]+)"', text))
    assert handed and handed <= NAMES


def test_the_licence_lies_beside_them() -> None:
    text = (FOLDER / "theme" / "svg" / "LICENSE").read_text(encoding="utf-8")
    assert "ISC License" in text and "Lucide" in text


def test_icons_take_their_colour_from_the_palette() -> None:
    for name in NAMES:
        svg = (FOLDER / "theme" / "svg" / f"{name}.svg").read_text(encoding="utf-8")
        assert 'stroke="currentColor"' in svg and "script" not in svg and "href" not in svg
