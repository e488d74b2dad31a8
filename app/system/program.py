"""How this program starts itself again."""

import sys


def own_program() -> list[str]:
    """The command of another process of this program, to which arguments are added."""
    return [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "app"]
