"""Figures, times and names as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ipc.engine_state import Contact
from app.model.history import RecentCall
from app.ui.widgets.format import (
    age,
    breakable,
    clock,
    initials,
    kilobits,
    menu_text,
    milliseconds,
    outcome,
    outcome_icon,
    percent,
    plain,
    plain_lines,
    presence,
    safety_rows,
    short_address,
    talked,
    time_left,
    when,
)

BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@given(st.text(max_size=500), st.integers(2, 100))
def test_plain_is_one_short_harmless_line(text: str, limit: int) -> None:
    shown = plain(text, limit)
    assert len(shown) <= limit
    assert not BIDI & set(shown)
    assert all(sign.isprintable() or sign in "\u200c\u200d\u00a0\u3000" or sign.isspace() for sign in shown)
    assert len(shown.splitlines()) <= 1
    assert plain(shown, limit) == shown


@pytest.mark.parametrize("text", ["Zoë", "Tomáš Dvořák", "سمير", "می‌خواهم", "梅玲", "👩‍🚀", "O'Neil-Smith", "a & b"])
def test_plain_leaves_names_alone(text: str) -> None:
    assert plain(text) == text


def test_plain_takes_the_tricks_out() -> None:
    assert plain("\u202egnp.exe\u202c") == "gnp.exe"
    assert plain("a\r\n\tb\u2028c\x00d") == "a b cd"
    assert plain("x" * 100, 10) == "xxxxxxxxx…"


@given(st.text(max_size=3_000))
def test_labels_are_bounded(text: str) -> None:
    assert len(plain_lines(text)) <= 600
    assert not BIDI & set(plain_lines(text))


@given(st.text(alphabet="ab ", max_size=400))
def test_breakable_changes_only_where_a_line_may_end(text: str) -> None:
    shown = breakable(text)
    assert shown.replace("\u200b", "") == text
    assert max((len(piece) for word in shown.split(" ") for piece in word.split("\u200b")), default=0) <= 32


def test_menu_text_underlines_nothing() -> None:
    assert menu_text("R&D <b>") == "R&&D <b>"


@pytest.mark.parametrize(
    ("title", "letters"),
    [("bob", "B"), ("Mei-Ling Chen", "MC"), ("anna.maria_x", "AX"), ("", "?"), ("!!!", "?"), ("7 of 9", "79")],
)
def test_initials(title: str, letters: str) -> None:
    assert initials(title) == letters


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0:00"), (0, "0:00"), (7.9, "0:07"), (60, "1:00"), (723, "12:03"), (3_723, "1:02:03"), (36_000, "10:00:00")],
)
def test_clock(seconds: float, words: str) -> None:
    assert clock(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (42.4, "42 s"), (61, "1 min"), (754, "13 min"), (10_920, "3 h 2 min")]
)
def test_talked(seconds: float, words: str) -> None:
    assert talked(seconds) == words


def test_when_goes_from_near_to_far() -> None:
    now = 1_741_964_966.0
    assert when(now + 5, now) == "Just now"  # another clock may be ahead
    assert when(now - 59, now) == "Just now"
    assert when(now - 60, now) == "1 min ago"
    assert when(now - 3_599, now) == "59 min ago"
    assert when(now - 40 * 86_400, now) == "2 February 2025"
    assert "2025" not in when(now - 4 * 86_400, now)


def test_figures() -> None:
    assert [milliseconds(value) for value in (None, 0.0, 3.14, 9.96, 23.4)] == [
        "–",
        "0 ms",
        "3.1 ms",
        "10.0 ms",
        "23 ms",
    ]
    assert [percent(share) for share in (None, 0.0, 0.004, 1.0)] == ["–", "0%", "0.4%", "100.0%"]
    assert kilobits(31.7) == "32 kbit/s"


def test_safety_number_in_rows_of_four() -> None:
    number = " ".join(f"{group:05d}" for group in range(12))
    rows = safety_rows(number)
    assert [len(row) for row in rows] == [4, 4, 4]
    assert " ".join(group for row in rows for group in row) == number
    assert safety_rows("") == []


def test_short_address_has_no_pin() -> None:
    assert short_address("bob@relay.example:7850#0123456789abcdef0123") == "bob@relay.example:7850"


def test_presence_and_outcome() -> None:
    assert [presence(Contact("a@b", online=online)) for online in (True, False, None)] == [
        "Online",
        "Offline",
        "Not known",
    ]
    assert presence(Contact("a@b", online=True, blocked=True)) == "Blocked"
    missed = RecentCall("1", "a@b", outgoing=False, at=0, seconds=0, outcome="missed")
    taken = RecentCall("1", "a@b", outgoing=True, at=0, seconds=61, outcome="answered")
    assert (outcome(missed), outcome_icon(missed)) == ("Missed", "phone-missed")
    assert (outcome(taken), outcome_icon(taken)) == ("1 min", "phone-outgoing")


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (-5, "just now"),
        (59, "just now"),
        (60, "1 min ago"),
        (3_599, "59 min ago"),
        (7_300, "2 h ago"),
        (90_000, "1 day ago"),
        (200_000, "2 days ago"),
    ],
)
def test_ages(ago: float, text: str) -> None:
    assert age(1e6 - ago, 1e6) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (0.2, "1 s"), (6, "6 s"), (119, "119 s"), (119.5, "2 min"), (121, "2 min"), (265, "4 min")],
)
def test_time_left(seconds: float, text: str) -> None:
    assert time_left(seconds) == text
