"""What a command prints, line by line: results on standard output, problems on standard error."""

import sys


def say(text: str) -> None:
    """A line on standard output, at once."""
    print(text, flush=True)  # noqa: T201 - the one place


def complain(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the one place
