"""The icons that are shipped are those that are used, with the licence of their set."""

import re
from pathlib import Path

import app.ui
from app.ui.theme.icons import icon_names

FOLDER = Path(app.ui.__file__).parent


def test_every_icon_is_used_and_every_used_icon_is_there() -> None:
    sources = {file: file.read_text(encoding="utf-8") for file in FOLDER.rglob("*.py")}
    words = {word for text in sources.values() for word in re.findall(r'"([a-z0-9]+(?:-[a-z0-9]+)*)"', text)}
    names = set(icon_names())
    assert names <= words
    # What is handed over as a picture must exist.
    handed = set()
    for text in sources.values():
        handed |= set(re.findall(r'picture="([a-z0-9-]+)"', text))
        handed |= set(re.findall(r'(?:Picture|set_picture|icon_button|icon|paint_icon)\(\s*"([a-z0-9-]+)"', text))
    assert handed and handed <= names


def test_the_licence_lies_beside_them() -> None:
    text = (FOLDER / "theme" / "svg" / "LICENSE").read_text(encoding="utf-8")
    assert "ISC License" in text and "Lucide" in text


def test_icons_take_their_colour_from_the_palette() -> None:
    for name in icon_names():
        svg = (FOLDER / "theme" / "svg" / f"{name}.svg").read_text(encoding="utf-8")
        assert 'stroke="currentColor"' in svg and "script" not in svg and "href" not in svg
