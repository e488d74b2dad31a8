"""The error root of this package, and what is told when something was put right without asking."""

import errno
from dataclasses import dataclass
from typing import Literal

FindingKind = Literal["info", "warning", "error"]


class AppError(Exception):
    """Something that a person has to know. The message is in their words: no trace, no secret."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something was wrong and the program went on; the engine shows it once, as a notice."""

    kind: FindingKind
    title: str
    text: str


def explain(error: OSError) -> str:
    """Why the system refused, as the end of a sentence: “… : the disk is full”."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return "the disk is full"
    if error.errno == errno.EROFS:
        return "it is on a disk that cannot be written"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "the system does not allow it"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "there is a file where a folder should be"
    if error.errno == errno.EISDIR:
        return "there is a folder where a file should be"
    if error.errno == errno.ENOENT:
        return "there is no such folder"
    return (error.strerror or "the system gave no reason").lower()
