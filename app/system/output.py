"""What a command prints, line by line: results on standard output, problems on standard error.

The one place that prints (``tests/arch/test_output.py``): whatever a stranger has put into a line, it stays one line
and is no command to the terminal.
"""

import json
import sys
from typing import TextIO

from app.model.sanitize import printable


def say(text: str) -> None:
    """A line on standard output, at once."""
    _print_line(text, sys.stdout)


def complain(text: str) -> None:
    """A line on standard error."""
    _print_line(text, sys.stderr)


def say_json(value: object, indent: int | None = None) -> None:
    """A value for programs, on standard output; on one line unless there is an ``indent``."""
    for line in json.dumps(value, indent=indent).splitlines():
        say(line)


def _print_line(text: str, stream: TextIO | None) -> None:
    if stream is None:  # a window without a console, on Windows
        return
    encoding = stream.encoding or "utf-8"  # a terminal that lacks a letter is shown its number
    print(printable(text).encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
