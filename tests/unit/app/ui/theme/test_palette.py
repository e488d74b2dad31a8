"""Contrast of every colour on every ground that it is drawn on."""

import dataclasses

import pytest

from app.ui.theme.palette import DARK, LIGHT, Colours, contrast, luminance

TEXTS = ("text", "muted", "accent", "relay", "direct", "warn")
GROUNDS = ("surface", "raised", "sunken", "hover", "accent_soft", "warn_soft")
PAIRS = [(text, ground) for text in TEXTS for ground in GROUNDS] + [
    ("on_accent", "accent"),
    ("on_accent", "accent_hover"),
    ("on_danger", "danger"),
    ("on_danger", "danger_hover"),
    ("on_fill", "relay_fill"),
    ("on_fill", "direct_fill"),
]
FILLS = [
    (fill, ground) for fill in ("relay_fill", "direct_fill", "outline") for ground in ("surface", "raised", "sunken")
]


@pytest.mark.parametrize("worn", [DARK, LIGHT], ids=["dark", "light"])
@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_text_can_be_read(worn: Colours, text: str, ground: str) -> None:
    assert contrast(getattr(worn, text), getattr(worn, ground)) >= 4.5


@pytest.mark.parametrize("worn", [DARK, LIGHT], ids=["dark", "light"])
@pytest.mark.parametrize(("fill", "ground"), FILLS)
def test_graphics_stand_out(worn: Colours, fill: str, ground: str) -> None:
    assert contrast(getattr(worn, fill), getattr(worn, ground)) >= 3.0


def test_the_formula_is_the_standard_one() -> None:
    # WCAG's own examples: black on white is 21:1, a colour on itself 1:1, and #767676 on white just passes.
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#123456", "#123456") == pytest.approx(1.0)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert luminance("#ffffff") == pytest.approx(1.0)


def test_every_role_is_a_colour() -> None:
    for worn in (DARK, LIGHT):
        for field in dataclasses.fields(worn):
            value = getattr(worn, field.name)
            assert len(value) == 7 and value[0] == "#" and int(value[1:], 16) >= 0
