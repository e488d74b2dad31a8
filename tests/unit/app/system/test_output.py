"""app.system.output: a line is a line, whatever is in it."""

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli.options import ADDRESS, HOME, Parser
from app.system.output import complain, say, say_json

# What terminals obey, what ends a line, and what turns or hides the text beside it.
STRANGERS = [
    "\x1b]0;owned\x07",
    "\x1b]52;c;ZXZpbA==\x1b\\",
    "\x9b2J",
    "\x1b[31m",
    "\x90q\x9c",
    "over\rwritten",
    "\b\b\b\b",
    "line\nready 192.0.2.1:7850",
    "\x85next",
    "\u2028line\u2029paragraph",
    "\u202egpj.exe",
    "\u2066isolate\u2069",
    "\u200bnothing\ufeff",
    "\x00",
    "\x7f",
    "\ud800",
    "\U000e0041",
]


def printed(text: str, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding, newline="\n"))
        say(text)
        sys.stdout.flush()
        return raw.getvalue().decode(encoding)


@given(st.text() | st.lists(st.sampled_from(STRANGERS)).map("x".join), st.sampled_from(["utf-8", "ascii", "cp1252"]))
def test_any_text_is_one_printable_line(text: str, encoding: str) -> None:
    line = printed(text, encoding)
    assert line.endswith("\n") and line[:-1].isprintable()
    if text.isprintable() and encoding == "utf-8":
        assert line[:-1] == text


@given(st.text())
def test_json_stays_json(text: str) -> None:
    value = {text: [text]}
    assert json.loads(printed(json.dumps(value, ensure_ascii=False))) == value


@pytest.mark.parametrize("text", STRANGERS)
def test_standard_error_and_json_are_held_to_it_too(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    complain(text)
    say_json({"detail": text}, indent=2)
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1 and shown.err[:-1].isprintable()
    assert json.loads(shown.out) == {"detail": text}
    assert all(line.isprintable() for line in shown.out.split("\n"))


@pytest.mark.parametrize("text", STRANGERS)
def test_a_refused_argument_is_shown_harmless(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="segue", usage="segue ADDRESS")
    parser.add((ADDRESS, HOME))
    with pytest.raises(SystemExit):
        parser.parse_args([f"x{text}x@relay.example"])
    usage, *_, error, end = capsys.readouterr().err.split("\n")
    assert usage.startswith("usage: ") and error.startswith("Error: ") and error.isprintable() and not end


def test_without_a_console_nothing_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    say("text")
    complain("text")
