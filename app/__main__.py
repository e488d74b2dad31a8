"""``segue`` and ``python -m app``: the command line, loaded so that Ctrl-C is quiet from the first moment on."""

import signal
import sys

# What a shell makes of a program that SIGINT has ended.
_INTERRUPTED = 128 + signal.SIGINT

try:
    from app.cli.main import main as run_command_line
except KeyboardInterrupt:
    sys.exit(_INTERRUPTED)


def main() -> None:
    """Entry point of the ``segue`` program."""
    try:
        run_command_line()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
