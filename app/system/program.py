"""How this program starts itself again."""

import sys


def own_program() -> list[str]:
    """The command of another process of this program, to which arguments are added.

    ``-P``: without it Python looks for modules in the current folder first, so that a folder with a ``typing.py`` or
    an ``app`` in it would have its code run.
    """
    return [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-P", "-m", "app"]
