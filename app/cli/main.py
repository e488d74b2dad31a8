"""The command line (DESIGN §10): a contract that scripts rely on.

Exit status: 0 the call was answered and ended normally (or the command did what it was asked); 2 wrong usage; 3 not
reachable; 4 declined or busy; 5 failed. Nobody is shown a traceback: what can go wrong has words.

Help needs none of the product, so the module of a command is imported when the command runs; nothing else in Segue
imports by name (``tests/arch/test_command_line.py``).
"""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.cli.options import ADDRESS, HOME, Option, Parser, flag, number, option
from app.demo.networks import Nat
from app.model.exit_status import ExitStatus
from app.system.core_dumps import disable_core_dumps
from app.system.errors import AppError
from app.system.logs import keep_stderr, use_handler
from app.system.output import complain
from transport.wire.addresses import DEFAULT_PORT
from transport.wire.errors import WireError

WINDOW_LIBRARIES = ("PySide6", "qasync")
_PORT = number(int, 0, 65535)
_WITH_PARENT = flag("--with-parent", argparse.SUPPRESS)
_CALL = (
    HOME,
    option("--play", "WAV", "WAV (48 kHz, mono, 16 bit) in place of the microphone.", Path),
    option("--record", "WAV", "WAV to write in place of the speaker.", Path),
    option("--report", "FILE", "Write the call's report (JSON) here.", Path),
    option("--trace", "FILE", "Write the call's trace (JSON) here, without addresses and names.", Path),
    flag("--trace-addresses", "Leave addresses and names in the trace."),
    flag("--always-relay", "Hide this machine's IP address from the peer."),
    _WITH_PARENT,
)


@dataclass(frozen=True, slots=True)
class Command:
    """``runs`` is ``module:function``; the function takes the options by name and returns the exit status."""

    runs: str
    help: str
    options: tuple[Option, ...]
    hidden: bool = False


COMMANDS: Final[Mapping[str, Command]] = {
    "window": Command(
        "app.ui.run:run_window",
        "The window.",
        (HOME, flag("--try-here", "Start a private relay and Echo on this machine if nothing is set up.")),
    ),
    "register": Command(
        "app.cli.one_shot:register", "Claim NAME@HOST[:PORT][#PIN] for this installation's key.", (ADDRESS, HOME)
    ),
    "listen": Command(
        "app.cli.headless:listen",
        "Wait for calls and answer them.",
        (
            option("--answer-after", "S", "Let it ring this many seconds.", number(float, 0, 60), default=0.0),
            flag("--once", "End after the first call."),
            *_CALL,
        ),
    ),
    "call": Command(
        "app.cli.headless:call",
        "Call NAME@HOST[:PORT][#PIN].",
        (
            ADDRESS,
            option("--for", "S", "Hang up after so many seconds of conversation.", number(float, 0), dest="for_s"),
            *_CALL,
        ),
    ),
    "echo": Command(
        "app.cli.headless:echo", "Answer every call and send the caller's voice back.", (HOME, _WITH_PARENT)
    ),
    "netcheck": Command(
        "app.cli.one_shot:netcheck",
        "Look at this machine's network and its way to the relay.",
        (HOME, flag("--json", "For programs.", dest="as_json")),
    ),
    "demo": Command(
        "app.demo.run:run",
        "A relay, two people and two NATs on this machine, a call between them shown live, then its report. No "
        "devices. Exit status 0: the call was answered, went direct and lost nothing.",
        (
            option(
                "--nat",
                "|".join(Nat),
                "home: two home routers; strict: Bob's takes a random port for each destination; both-strict: both do; "
                "none: no routers, all on loopback. [default: %(default)s]",
                choices=[nat.value for nat in Nat],
                default=Nat.HOME.value,
            ),
        ),
    ),
    "relay": Command(
        "app.cli.relay:run",
        "Run a relay.",
        (
            option("--bind", "IP", "IP address to listen on; repeatable.", dest="binds", action="append", default=[]),
            option("--port", "N", "Control port; 0 picks one. [default: %(default)s]", _PORT, default=DEFAULT_PORT),
            option(
                "--stun-port", "N", "STUN port; repeatable; two by default.", _PORT, dest="stun_ports", action="append"
            ),
            option("--data", "DIR", "Folder of the directory and the relay's key.", Path),
            flag("--json", "Print the ready line as JSON.", dest="as_json"),
            option("--host", "HOST", "Public host name, for the ready line.", dest="public_host", default=""),
            option("--metrics-port", "N", "Prometheus metrics on loopback.", _PORT),
            option(
                "--drain",
                "S",
                "Seconds for running calls at stop. [default: 60]",
                number(float, 0, 3600),
                dest="drain_s",
            ),
            _WITH_PARENT,
        ),
    ),
    "engine": Command("app.engine.process:run_engine_process", "The process behind the window.", (HOME,), hidden=True),
}


def parse(arguments: Sequence[str] | None = None) -> tuple[str, dict[str, object]]:
    """The command that ``arguments`` (by default the program's own) name, and its options. Exits on wrong usage."""
    parser = Parser(
        prog="segue",
        usage="%(prog)s [OPTIONS] [COMMAND] ...",
        description="Voice calls that start on a relay at once. Without a command: the window.",
    )
    parser.add((HOME,))
    parser.set_defaults(command="window", try_here=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for name, command in COMMANDS.items():
        usage = " ".join(["%(prog)s", "[OPTIONS]", *(["ADDRESS"] if ADDRESS in command.options else [])])
        shown: dict[str, Any] = {} if command.hidden else {"help": command.help}
        child = commands.add_parser(name, prog=f"segue {name}", usage=usage, description=command.help, **shown)
        child.add(command.options)
        child.set_defaults(command=name)
    given = vars(parser.parse_args(arguments))
    name = given["command"]
    return name, {item.parameter: given[item.parameter] for item in COMMANDS[name].options}


def run(name: str, options: Mapping[str, object]) -> int:
    """Carry out a command; returns the exit status."""
    module, _, function = COMMANDS[name].runs.partition(":")
    try:
        carry_out = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        # The command line itself runs where Qt is not installed.
        if (error.name or "").partition(".")[0] not in WINDOW_LIBRARIES:
            raise
        complain("The window needs PySide6, which is not installed; “segue --help” lists the rest.")
        return ExitStatus.FAILED
    return int(carry_out(**options))


def main() -> None:
    """Entry point of the ``segue`` program."""
    disable_core_dumps()
    keep_stderr()
    use_handler(logging.StreamHandler(), logging.ERROR)
    try:
        try:
            sys.exit(run(*parse()))
        finally:
            sys.stdout.flush()
    except AppError as error:
        complain(importlib.import_module("app.text.problems").problem_text(error.code, error.values))
    except WireError as error:  # an address in the local data that no version of Segue would write
        complain(f"{error}.")
    except BrokenPipeError:
        # Whoever read our output has gone (`segue demo | head`). What is still buffered goes nowhere, in silence.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(ExitStatus.FAILED)
