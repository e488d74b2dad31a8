"""``segue`` and ``python -m app``: the command line, loaded so that Ctrl-C is quiet from the first moment on."""

import importlib
import signal
import sys

# What a shell makes of a program that SIGINT has ended.
_INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Entry point of the ``segue`` program."""
    try:
        # Loading takes a second, in which an interrupt would end in a traceback.
        importlib.import_module("app.cli.main").main()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
