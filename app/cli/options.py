"""The parser of the command line: options as data, values checked as they are read, errors in two lines.

Nothing here imports what only running a command needs, so that help and wrong usage answer at once.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from app.model.exit_status import ExitStatus
from app.model.sanitize import printable
from transport.wire.addresses import PersonAddress, parse_person
from transport.wire.errors import WireError


@dataclass(frozen=True, slots=True)
class Option:
    """One option or argument: what :meth:`argparse.ArgumentParser.add_argument` takes."""

    names: tuple[str, ...]
    settings: Mapping[str, Any]

    @property
    def parameter(self) -> str:
        """The parameter that receives the value."""
        return str(self.settings.get("dest") or self.names[-1].lstrip("-").replace("-", "_"))


def argument(name: str, help_text: str, kind: Callable[[str], Any]) -> Option:
    """What a command must be given."""
    return Option((name.lower(),), {"metavar": name, "help": help_text, "type": kind})


def option(name: str, metavar: str, help_text: str, kind: Callable[[str], Any] = str, **settings: Any) -> Option:
    """An option with a value."""
    return Option((name,), {"metavar": metavar, "help": help_text, "type": kind, **settings})


def flag(name: str, help_text: str, **settings: Any) -> Option:
    """An option without a value."""
    return Option((name,), {"action": "store_true", "help": help_text, **settings})


def number(kind: type[int] | type[float], low: float, high: float = float("inf")) -> Callable[[str], float]:
    """A type for :func:`option`: a number from ``low`` to ``high``."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"“{text}” is not a number") from error
        if not low <= value <= high:  # nor is NaN
            limit = f"at least {low:g}" if high == float("inf") else f"from {low:g} to {high:g}"
            raise argparse.ArgumentTypeError(f"{text} is not {limit}")
        return value

    return parse


def person(text: str) -> PersonAddress:
    """A type for :func:`option`: NAME@HOST[:PORT][#PIN]."""
    try:
        return parse_person(text)
    except WireError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


class Parser(argparse.ArgumentParser):
    """Knows only full option names, answers to ``--help`` alone, and keeps errors short."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(add_help=False, allow_abbrev=False, **settings)
        self.add_argument("--help", action="help", help="Show this message and exit.")

    def add(self, options: tuple[Option, ...]) -> None:
        """Add ``options`` in their order."""
        for item in options:
            self.add_argument(*item.names, **item.settings)

    def error(self, message: str) -> NoReturn:
        """Wrong usage: say how it is used, where the help is, and what was wrong."""
        self.print_usage(sys.stderr)
        self.exit(ExitStatus.USAGE, f"Try “{self.prog} --help” for help.\n\nError: {printable(message)}.\n")


HOME = option("--home", "DIR", "Folder of name, key, contacts and settings.", Path)
ADDRESS = argument("ADDRESS", "NAME@HOST[:PORT][#PIN]", person)
