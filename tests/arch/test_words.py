"""Words of a private language, which the terms of the field have replaced, stay out of the tree."""

import re
from pathlib import Path

import pytest

from tests.arch.source import ROOT
from tests.arch.test_tree import tracked

# Each with a bar in it, so that this file does not hold what it looks for. In brackets: the endings.
RETIRED = """
    do|or(s) lad|der(s) cli|mb(s,ed,er,ers,ing) ru|ng(s) car|riage(s) pur|se(s) allow|ance(s) kno|ck(s,ed,ing)
    ins|ist(s,ed) to|ld sa|id hea|rd out|look(s) man|ner(s) gla|nce(s) pap|ers member|ship key|place atten|dant(s)
    mach|ine_turn mach|ineturn ha|rd_round(s) ha|rd_phase(s) ha|rdround(s) ha|rdphase(s) stran|gers_per_s pat|ience
    pro|mise(s) par|ked rem|ark(s) reflex|ive_queries reflex|ivequeries li|fe_test li|fetest re|lay_watch re|laywatch
    sea|led_arrived sea|ledarrived say|_to_peer say|topeer peer|_misses peer|misses te|ll_silent te|llsilent
    al|l_silent al|lsilent  st|op_page st|oppage prob|lem_page prob|lempage fail|ure_bar fail|urebar
    ow|n_stderr
"""
PHRASES = "ha|rd side(s) ea|sy side(s)"
GENERATED = {"docs/results.md"}
# A key of a message between two programs: it keeps its name on the wire.
ON_THE_WIRE = {("transport/wire/call_messages.py", "stran" + "gers_per_s")}


def pattern() -> re.Pattern[str]:
    words = [*RETIRED.split(), *re.split(r"(?<=\)) ", PHRASES)]
    parts = []
    for word in words:
        stem, _, endings = word.replace("|", "").partition("(")
        parts.append(stem + (f"(?:{'|'.join(endings.rstrip(')').split(','))})?" if endings else ""))
    alone = rf"(?<![A-Za-z])(?:{'|'.join(parts)})(?![a-z])"
    # In names of classes: a capital before, and no small letter after.
    inside = "|".join(part[0].upper() + part[1:] for part in parts if " " not in part)
    return re.compile(rf"(?i:{alone})|(?<=[a-z])(?:{inside})(?![a-z])")


def checked() -> list[Path]:
    return [file for file in tracked() if file.relative_to(ROOT).as_posix() not in GENERATED]


def test_no_retired_word_comes_back() -> None:
    found = []
    for file in checked():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # pictures and sounds
        for number, line in enumerate(text.split("\n"), 1):
            name = file.relative_to(ROOT).as_posix()
            words = [match[0] for match in pattern().finditer(line)]
            found += [f"{name}:{number}: {word}" for word in words if (name, word) not in ON_THE_WIRE]
    assert not found


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("the do" + "ors", True),
        ("class PortDo" + "or:", True),
        ("self._kno" + "ck()", True),
        ("_to" + "ld_notices", True),
        ("an ea" + "sy side", True),
        ("indoors", False),
        ("a pursuer", False),
        ("the outcome", False),
        ("Mannerism", False),
    ],
)
def test_words_are_found_as_words(text: str, is_found: bool) -> None:
    assert bool(pattern().search(text)) is is_found
