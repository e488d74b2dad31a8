"""How much is logged, and a standard error that stays open while audio devices are looked for."""

import logging
import os
import sys

LEVEL_VARIABLE = "SEGUE_LOG"


def log_level(default: int) -> int:
    """The level that ``SEGUE_LOG`` names (DEBUG, INFO, WARNING, ERROR); ``default`` when it names none."""
    return logging.getLevelNamesMapping().get(os.environ.get(LEVEL_VARIABLE, "").upper(), default)


def keep_stderr() -> None:
    """Let ``sys.stderr`` write to a copy of descriptor 2, on Linux.

    sounddevice turns descriptor 2 to the null device, for the whole process, while PortAudio looks for devices, which
    can take seconds: ALSA and JACK complain there. Our own messages must not get lost meanwhile."""
    if not sys.platform.startswith("linux"):
        return
    try:
        descriptor = os.dup(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):
        return  # there is none, or somebody has put something else in its place
    sys.stderr = open(  # noqa: SIM115 - open until the program ends
        descriptor, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace"
    )
