"""app.model.sanitize: what comes from outside is one line, and nothing in it is invisible or turns its neighbours."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.model.sanitize import one_line

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
ZERO_WIDTH = (
    "\u00ad\u034f\u115f\u1160\u180e\u200b\u2060\u2061\u2062\u2063\u2064\u206a\u206f\u3164\ufeff\uffa0\ufe00\U000e0041"
)
NAMES = [
    "Zoë",
    "Tomáš Dvořák",
    "سمير",
    "می‌خواهم",
    "क्‍ष",
    "梅玲",
    "👩‍🚀",
    "❤️",
    "👨‍❤️‍👨",
    "O'Neil-Smith",
    "a & b",
    "<b>x</b>",
]
tricky = st.text(
    st.one_of(st.characters(), st.sampled_from(BIDI + ZERO_WIDTH + "\u200c\u200d\ufe0f\n\t क्ष👩🚀B")), max_size=60
)


@given(tricky, st.integers(1, 80))
def test_any_text_is_one_harmless_line_and_stays_it(text: str, max_chars: int) -> None:
    line = one_line(text, max_chars)
    assert len(line) <= max_chars
    assert len(line.splitlines()) <= 1
    assert line == line.strip()
    assert not set(line) & set(BIDI + ZERO_WIDTH)
    assert not [sign for sign in line if unicodedata.category(sign) == "Cf" and sign not in "\u200c\u200d"]
    assert one_line(line, max_chars) == line


@given(st.text("abcdefghij XYZ.-", max_size=30), st.data())
def test_no_invisible_character_makes_two_names_of_one(name: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(name)))
    hidden = data.draw(st.text(BIDI + ZERO_WIDTH + "\u200c\u200d\ufe0f", max_size=4))
    assert one_line(name[:place] + hidden + name[place:], 40) == one_line(name, 40)


@pytest.mark.parametrize("text", NAMES)
def test_names_and_emoji_stay_as_they_are(text: str) -> None:
    assert one_line(text, 60) == text


def test_tricks_are_taken_out() -> None:
    assert one_line("\u202egnp.exe\u202c", 60) == "gnp.exe"
    assert one_line("a\r\n\tb\u2028c\x00d", 60) == "a b cd"
    assert one_line("\ud800lone", 60) == "lone"
    assert one_line("Bo\u200db\u200f", 60) == "Bob"
