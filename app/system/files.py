"""Writing files so that a reader, or the next start after a power cut, sees the old content or the new, never half."""

import contextlib
import datetime
import os
import secrets
import sys
from pathlib import Path

OWNER_ONLY = 0o600


def write_atomically(path: Path, data: bytes, mode: int = OWNER_ONLY) -> None:
    """Replace ``path`` by a new file with ``data``, safely on disk on return. Raises :class:`OSError`.

    Until the last step the old file is untouched, and a failure leaves nothing behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename within ``folder`` survive a power cut. Windows needs no such step and has none."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def aside_name(path: Path, word: str, unix_time: float) -> Path:
    """A free name beside ``path`` that tells why and when it was set aside: ``segue.db.damaged-20261122-013424``."""
    stamp = datetime.datetime.fromtimestamp(unix_time, datetime.UTC).strftime("%Y%m%d-%H%M%S")
    candidate = path.with_name(f"{path.name}.{word}-{stamp}")
    number = 1
    while os.path.lexists(candidate):
        number += 1
        candidate = path.with_name(f"{path.name}.{word}-{stamp}-{number}")
    return candidate


def set_aside(path: Path, word: str, unix_time: float) -> Path:
    """Rename ``path`` to its :func:`aside_name`, overwriting nothing. Raises :class:`OSError`."""
    target = aside_name(path, word, unix_time)
    os.rename(path, target)
    return target
