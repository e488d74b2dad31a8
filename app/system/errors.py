"""The error root of this package, and what is shown when something was put right without asking.

Both carry a code and values; :mod:`app.text.problems` has the sentences. ``cause`` among the values is a code as well.
"""

import errno
import json
from dataclasses import dataclass, field
from typing import Literal

FindingKind = Literal["info", "warning", "error"]

_CAUSES = {
    errno.ENOSPC: "disk-full",
    getattr(errno, "EDQUOT", errno.ENOSPC): "disk-full",
    errno.EROFS: "disk-read-only",
    errno.EACCES: "not-permitted",
    errno.EPERM: "not-permitted",
    errno.ENOTDIR: "file-in-the-way",
    errno.EEXIST: "file-in-the-way",
    errno.EISDIR: "folder-in-the-way",
    errno.ENOENT: "no-folder",
}


class AppError(Exception):
    """Something that a person has to know, without a secret."""

    def __init__(self, code: str, **values: str | int) -> None:
        super().__init__(code, values)
        self.code = code
        self.values = values

    def __str__(self) -> str:
        return json.dumps([self.code, self.values], ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something was wrong and the program went on; the engine shows it once, as a notice."""

    kind: FindingKind
    code: str
    values: dict[str, str | int] = field(default_factory=dict)


def cause_of(error: OSError) -> str:
    """Why the system refused: a code, or what it says where there is none for it."""
    return _CAUSES.get(error.errno or 0) or (error.strerror or "no reason").lower()
