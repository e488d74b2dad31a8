"""app.text: every sentence is whole and can be translated, with named places and its own form for one."""

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.text import accounts, calls, catalogue, devices, netcheck, networks, problems, traversal
from app.text.catalogue import UserMessage, joined, plural, sentence

MODULES = (accounts, calls, devices, netcheck, networks, problems, traversal)
JARGON = re.compile(r"\b(NAT(?!-PMP)|QUIC|APDM|EIM|TLS|RTT|symmetric|hairpin|handshake|exception|session)\b")


def strings(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case UserMessage(what, status, action):
            yield from (what, status, action)
        case dict():
            for inner in value.values():
                yield from strings(inner)
        case tuple():
            for inner in value:
                yield from strings(inner)


def templates() -> list[str]:
    """Every template of the catalogues: the constants in capitals without an underscore before them."""
    found = {
        text
        for module in MODULES
        for name, value in vars(module).items()
        if name.isupper() and not name.startswith("_")
        for text in strings(value)
        if text
    }
    return sorted(found)


@pytest.mark.parametrize("template", templates())
def test_a_template_is_plain_and_names_its_places(template: str) -> None:
    places = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    assert all(name.isidentifier() for name in places), "by name, since another language has another order"
    assert template == template.strip() and "  " not in template
    assert not JARGON.search(template), template


def test_there_are_many_of_them() -> None:
    assert len(templates()) > 250


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_no_sentence_is_put_together_in_the_code(module: object) -> None:
    """Words for people stand in templates only: an f-string of the modules holds no word of its own."""
    tree = ast.parse(Path(module.__file__).read_text())  # type: ignore[attr-defined]
    wrong = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
        if isinstance(part, ast.Constant) and re.search(r"[A-Za-z]{2}", str(part.value))
    ]
    assert not wrong


def test_a_window_translates_every_sentence() -> None:
    asked: list[tuple[str, int | None]] = []

    def german(template: str, count: int | None) -> str:
        asked.append((template, count))
        return {"{count:,} ports": "{count} Ports" if count != 1 else "ein Port", "Direct": "Direkt"}.get(
            template, template
        )

    try:
        catalogue.use_translator(german)
        assert sentence("Direct") == "Direkt"
        assert plural(1, one="{count} port", other="{count:,} ports") == "ein Port"
        assert plural(2_000, one="{count} port", other="{count:,} ports") == "2000 Ports"
    finally:
        catalogue.use_translator(lambda template, count: template)
    assert asked[1] == ("{count:,} ports", 1)
    assert plural(1, one="{count} port", other="{count:,} ports") == "1 port"
    assert plural(2_000, one="{count} port", other="{count:,} ports") == "2,000 ports"


def test_a_value_is_never_a_template() -> None:
    assert sentence("“{part}” is not a port.", part="{count}") == "“{count}” is not a port."
    assert joined("One.", "", "Two.") == "One. Two."
