"""Folders and files that nobody else can plant, exchange or read, by owner and mode, as sshd looks at them (POSIX).

Whoever may write to a folder can exchange every file in it; whoever owns one may write to it whenever they like. So a
folder of ours, and what is secret in it, belongs to us or to root and is written by nobody else. The folders above it
may be shared (``/tmp``) where the sticky bit keeps each user to their own.
"""

import contextlib
import os
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FOLDER_MODE = 0o700
FILE_MODE = 0o600
_OTHERS = 0o077
# A database of SQLite has these beside it; they get the mode that it has when they are made.
SQLITE_SUFFIXES = ("", "-wal", "-shm", "-journal")
_ROOT = 0


@dataclass(frozen=True, slots=True)
class Exposure:
    """``path`` belongs to another user, or others can write to it."""

    path: Path
    kind: Literal["other-owner", "writable"]


def make_private_folder(folder: Path) -> None:
    """Make ``folder``, and what is missing above it, for the owner alone; existing ones keep their mode.

    Raises :class:`OSError`."""
    for missing in reversed((folder, *folder.parents)):
        missing.mkdir(mode=FOLDER_MODE, exist_ok=True)


def find_exposure(folder: Path, names: Iterable[str]) -> Exposure | None:
    """The first of ``folder``, the files in it that ``names`` name and the folders above it that others could have
    changed; files that are missing are none. Raises :class:`OSError`."""
    if sys.platform == "win32":
        return None
    folder = folder.resolve()
    own = {os.geteuid(), _ROOT}
    found = _exposure(folder, own, may_be_shared=False)
    # Root has another number in a user namespace; the root folder is always root's.
    above = own | {os.stat("/").st_uid}
    for parent in folder.parents:
        found = found or _exposure(parent, above, may_be_shared=True)
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            found = found or _exposure(folder / name, own, may_be_shared=False)
    return found


def _exposure(path: Path, owners: set[int], *, may_be_shared: bool) -> Exposure | None:
    status = path.stat()
    if status.st_uid not in owners:
        return Exposure(path, "other-owner")
    if may_be_shared:
        # A group of one's own is usual on folders above; one that anybody may write to is not.
        is_open = status.st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH
    else:
        is_open = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) != 0
    return Exposure(path, "writable") if is_open else None


def make_private_database(path: Path) -> None:
    """Make an SQLite database where there is none, and close one to others, before it is opened: SQLite keeps to the
    umask. Raises :class:`OSError`."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
    close_to_others(path.parent, database_files(path.name))


def close_to_others(folder: Path, names: Iterable[str]) -> list[Path]:
    """Take the rights of all but the owner from those of the files that there are; returns those that had been open."""
    closed: list[Path] = []
    if sys.platform == "win32":
        return closed
    for name in names:
        with contextlib.suppress(OSError):  # missing, root's, or on a disk that cannot be written
            mode = stat.S_IMODE((folder / name).stat().st_mode)
            if mode & _OTHERS:
                (folder / name).chmod(mode & ~_OTHERS)
                closed.append(folder / name)
    return closed


def database_files(name: str) -> tuple[str, ...]:
    """The names of an SQLite database and of what may be beside it."""
    return tuple(name + suffix for suffix in SQLITE_SUFFIXES)
