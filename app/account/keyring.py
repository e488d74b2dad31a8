"""Calls to the system's keyring, each with a time limit: a keyring may ask the user for a password, or hang.

The calls run one after another in one owned thread. A call that does not come back in time is the last one for good:
the thread is a daemon, so that a question nobody answers cannot keep the program from ending.
"""

import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import keyring
import keyring.backend
import keyring.errors
from keyring.backends.chainer import ChainerBackend

SERVICE = "segue"
# A local keyring answers in milliseconds; a person who is asked to unlock it needs time to find the password.
LIMIT_S = 30.0
# For the thread to end by itself after the last answer.
_JOIN_S = 1.0
# keyring's own line between "works" and "recommended": below it are plaintext files and worse.
_RECOMMENDED_PRIORITY = 1.0
# Third-party backends that keep secrets in files of their own; our file with mode 0600 is at least honest about it.
_FILE_BACKENDS = "keyrings.alt"

ResultT = TypeVar("ResultT")
Backend = keyring.backend.KeyringBackend


class KeyringUnusable(Exception):
    """There is no keyring that can be used, or it refuses. The message is a cause of :mod:`app.text.problems`."""


class KeyringSilent(Exception):
    """The keyring did not answer in time. The message is a cause of :mod:`app.text.problems`."""


def usable_backend(found: Backend) -> Backend | None:
    """The first backend that keeps a secret safe: not the failing, the forgetting or the plaintext ones."""
    candidates = list(found.backends) if isinstance(found, ChainerBackend) else [found]
    for candidate in candidates:
        module = type(candidate).__module__
        if module.startswith(_FILE_BACKENDS) or "plaintext" in type(candidate).__name__.lower():
            continue
        if candidate.priority >= _RECOMMENDED_PRIORITY:
            return candidate
    return None


@dataclass(slots=True)
class _Job:
    """One call for the thread. Its outcome may hold the secret and is never shown."""

    call: Callable[[Backend], str | None] = field(repr=False)
    done: threading.Event = field(default_factory=threading.Event)
    result: str | None = field(default=None, repr=False)
    error: str = ""


class KeyringClient:
    """The keyring behind a time limit. Close it when the key has been loaded."""

    __slots__ = ("_find", "_jobs", "_limit_s", "_silent", "_thread")

    def __init__(self, find: Callable[[], Backend] = keyring.get_keyring, limit_s: float = LIMIT_S) -> None:
        self._find = find
        self._limit_s = limit_s
        self._silent = False
        # At most one call is under way and one end mark waits behind it.
        self._jobs: queue.Queue[_Job | None] = queue.Queue(maxsize=2)
        self._thread: threading.Thread | None = None

    def get(self, user: str) -> str | None:
        """The secret text of ``user``, or ``None``. Raises :class:`KeyringUnusable`, :class:`KeyringSilent`."""
        return self._run(lambda backend: backend.get_password(SERVICE, user))

    def set(self, user: str, text: str) -> None:
        """Keep ``text`` for ``user``. Raises :class:`KeyringUnusable`, :class:`KeyringSilent`."""

        def call(backend: Backend) -> None:
            backend.set_password(SERVICE, user, text)

        self._run(call)

    def close(self) -> bool:
        """End the thread. False when a call still hangs in it; then it ends with the process."""
        if self._thread is None:
            return True
        with contextlib.suppress(queue.Full):
            self._jobs.put_nowait(None)
        self._thread.join(_JOIN_S if not self._silent else 0.0)
        return not self._thread.is_alive()

    def _run(self, call: Callable[[Backend], str | None]) -> str | None:
        if self._silent:
            raise KeyringSilent("keyring-silent")
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="keyring", daemon=True)
            self._thread.start()
        job = _Job(call)
        self._jobs.put_nowait(job)
        if not job.done.wait(self._limit_s):
            self._silent = True
            raise KeyringSilent("keyring-silent")
        if job.error:
            raise KeyringUnusable(job.error)
        return job.result

    def _work(self) -> None:
        backend: Backend | None = None
        while (job := self._jobs.get()) is not None:
            try:
                # Looking for a backend may already talk to the desktop, so it belongs behind the limit too.
                backend = backend or usable_backend(self._find())
                if backend is None:
                    job.error = "keyring-none"
                else:
                    job.result = job.call(backend)
            except keyring.errors.KeyringLocked:
                job.error = "keyring-locked"
            except Exception as error:  # backends raise whatever their desktop raises; only the kind is reported,
                job.error = type(error).__name__  # since a message might quote the secret
            job.done.set()
