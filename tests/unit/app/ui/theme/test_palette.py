"""Contrast of every colour on every ground that it is drawn on."""

import dataclasses

import pytest

from app.ui.theme.palette import DARK, LIGHT, Colours

# WCAG 2.2: a linear channel below this is on the straight part of the sRGB curve.
SRGB_KNEE = 0.04045
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


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb``, 0 to 1 (WCAG 2.2)."""
    channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (value / 12.92 if value <= SRGB_KNEE else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("palette", [DARK, LIGHT], ids=["dark", "light"])
@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_text_can_be_read(palette: Colours, text: str, ground: str) -> None:
    assert contrast(getattr(palette, text), getattr(palette, ground)) >= 4.5


@pytest.mark.parametrize("palette", [DARK, LIGHT], ids=["dark", "light"])
@pytest.mark.parametrize(("fill", "ground"), FILLS)
def test_graphics_stand_out(palette: Colours, fill: str, ground: str) -> None:
    assert contrast(getattr(palette, fill), getattr(palette, ground)) >= 3.0


def test_the_formula_is_the_standard_one() -> None:
    # WCAG's own examples: black on white is 21:1, a colour on itself 1:1, and #767676 on white just passes.
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#123456", "#123456") == pytest.approx(1.0)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert luminance("#ffffff") == pytest.approx(1.0)


def test_every_role_is_a_colour() -> None:
    for palette in (DARK, LIGHT):
        for field in dataclasses.fields(palette):
            value = getattr(palette, field.name)
            assert len(value) == 7 and value[0] == "#" and int(value[1:], 16) >= 0
