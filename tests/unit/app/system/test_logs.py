"""app.system.logs: a record is one line, and nobody else writes records."""

import io
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.system.logs import CONTINUED, LineFormatter, use_handler
from tests.unit.app.system.test_output import STRANGERS

FORGED = "bye\n2026-11-27 22:50:00,000 relay.store ERROR \x1b]0;owned\x07forged"


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    root, quic = logging.getLogger(), logging.getLogger("quic")
    before = (root.handlers[:], root.level, quic.level)
    stream = io.StringIO()
    monkeypatch.setenv("SEGUE_LOG", "DEBUG")
    use_handler(logging.StreamHandler(stream), logging.ERROR)
    yield stream
    root.handlers[:], level, quic_level = before
    root.setLevel(level)
    quic.setLevel(quic_level)


def record(message: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord("name", logging.WARNING, "file", 1, message, values, None)


@given(st.text() | st.lists(st.sampled_from([FORGED, *STRANGERS])).map("x".join))
def test_any_record_is_one_printable_line(text: str) -> None:
    for line in (LineFormatter().format(record("closed: %s", text)), LineFormatter().format(record("%s", [text]))):
        assert line.isprintable()


@given(st.text() | st.lists(st.sampled_from([FORGED, *STRANGERS])).map("x".join))
def test_no_line_of_a_traceback_looks_like_a_record(text: str) -> None:
    item = record("failed: %s", text)
    try:
        raise ValueError(text)
    except ValueError as error:
        item.exc_info = (ValueError, error, error.__traceback__)
        item.stack_info = text
    first, *others = LineFormatter().format(item).split("\n")
    assert first.isprintable() and len(others) >= 3
    assert all(line.startswith(CONTINUED) and line.isprintable() for line in others)


def test_aioquic_tells_only_what_is_worth_a_warning(stream: io.StringIO) -> None:
    logger = logging.getLogger("quic")
    logger.info("Connection close received (code 0x0, reason %s)", FORGED)
    assert not stream.getvalue()
    logger.warning("[%s] %s", "connection", FORGED)
    [line, end] = stream.getvalue().split("\n")
    assert line.isprintable() and not end


def test_a_quieter_program_keeps_aioquic_quiet(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGUE_LOG")
    use_handler(logging.StreamHandler(stream), logging.ERROR)
    logging.getLogger("quic").warning("text")
    assert not stream.getvalue()


@pytest.mark.parametrize("name", ["relay.service", "transport.quic.call_connection", "asyncio", "async_upnp_client.x"])
def test_every_logger_is_held_to_it(name: str, stream: io.StringIO) -> None:
    logging.getLogger(name).error("%s", FORGED)
    assert stream.getvalue().count("\n") <= 1
