"""A standard error of one's own, so that what a person has to know is not lost while PortAudio starts.

sounddevice turns descriptor 2 to the null device for as long as PortAudio looks at the devices, up to seconds, to hide
what ALSA and JACK complain about. It does so for the whole process.
"""

import os
import sys


def keep_stderr() -> None:
    """Let ``sys.stderr`` write to a copy of descriptor 2. Elsewhere than on Linux nobody complains there."""
    if not sys.platform.startswith("linux"):
        return
    try:
        descriptor = os.dup(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):
        return  # there is none, or somebody has put something else in its place
    sys.stderr = open(  # noqa: SIM115 - open until the program ends
        descriptor, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace"
    )
