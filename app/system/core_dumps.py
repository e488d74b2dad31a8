"""No core dumps: they would leave the secret key and the voice of a call on the disk."""

import contextlib
import sys

if sys.platform != "win32":
    import resource


def disable_core_dumps() -> None:
    """For this process and its children, for good (POSIX).

    A handler that the kernel feeds (systemd-coredump, apport) keeps to the limit as well. PR_SET_DUMPABLE would do more
    and is left alone: sound servers and portals look into a client's ``/proc`` and turn one away that hides it."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
