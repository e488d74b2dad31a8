"""Patterns match whole strings: what is accepted as a name is that name, and nothing that looks like it."""

import ast
import re
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from tests.arch.source import sources
from transport.wire import call_messages, relay_messages
from transport.wire.addresses import is_name, parse_name
from transport.wire.errors import WireError


def patterns_of(kind: object, seen: set[object]) -> Iterator[str]:
    """Of every text inside a message type, however deep."""
    if isinstance(kind, inspect.StrType) and kind.pattern is not None:
        yield kind.pattern
    if isinstance(kind, inspect.StructType):
        if kind.cls in seen:
            return
        seen.add(kind.cls)
        for field in kind.fields:
            yield from patterns_of(field.type, seen)
    for name in ("types", "item_types"):
        for part in getattr(kind, name, ()):
            yield from patterns_of(part, seen)
    if hasattr(kind, "item_type"):
        yield from patterns_of(kind.item_type, seen)


def wire_patterns() -> list[str]:
    structs = [
        thing
        for module in (relay_messages, call_messages)
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, msgspec.Struct) and thing.__module__ == module.__name__
    ]
    return sorted({pattern for struct in structs for pattern in patterns_of(inspect.type_info(struct), set())})


def test_there_are_patterns() -> None:
    assert len(wire_patterns()) >= 4


@pytest.mark.parametrize("pattern", wire_patterns())
@given(data=st.data())
def test_a_line_end_makes_another_string(pattern: str, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(pattern).filter(lambda text: re.search(pattern, text)))
    for more in ("\n", "\r\n", " ", "\x00", "\u200b"):
        assert not re.search(pattern, text + more) and not re.search(pattern, more + text)


@given(st.text(alphabet="ab0._-\n\r \x00AZé\u200b\u0430", max_size=40))
def test_an_accepted_name_is_its_parsed_form(text: str) -> None:
    if is_name(text):
        assert parse_name(text) == text
    sent = {"type": "Registered", "request": 1, "name": text}
    try:
        message = relay_messages.decode_relay_message(msgspec.msgpack.encode(sent))
    except WireError:
        assert not is_name(text)
    else:
        assert isinstance(message, relay_messages.Registered) and is_name(message.name)


def test_no_pattern_of_the_product_ends_with_a_dollar() -> None:
    """Python's ``$`` also matches before a line end; ``\\Z`` does not."""
    wrong = [
        f"{source.path}:{node.lineno}"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"^\^.*\$\)?$", node.value)
    ]
    assert not wrong
