"""The folder of one person's data, and the lock that lets only one engine use it.

Without ``--home`` it is the system's place for program data (:mod:`platformdirs`); the secret key is then in the
system's keyring where there is one. A folder given with ``--home`` is self-contained: its key is a file in it
(:mod:`app.account.key_store`), so that it can be copied, thrown away and used many times over in tests.
"""

import contextlib
import errno
import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import platformdirs

from app.system.errors import AppError, cause_of
from transport.io.private_files import database_files, find_exposure, make_private_folder

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class HomeError(AppError):
    """The folder cannot be used."""


class AlreadyRunning(HomeError):
    """Another engine uses this folder."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where the files of one person are. ``chosen``: given with ``--home``, so it keeps its key inside."""

    folder: Path
    chosen: bool

    @property
    def database(self) -> Path:
        """Contacts, calls and settings: :mod:`app.store`."""
        return self.folder / "segue.db"

    @property
    def key(self) -> Path:
        """The secret key, where it is not in the keyring."""
        return self.folder / "identity.key"

    @property
    def certificate(self) -> Path:
        """The self-signed certificate of the key (DER); nothing secret."""
        return self.folder / "identity.crt"

    @property
    def lock(self) -> Path:
        """Locked while an engine runs. The file itself stays, empty."""
        return self.folder / "engine.lock"

    @property
    def logs(self) -> Path:
        """The folder of the log files."""
        return self.folder / "logs"

    @property
    def trial(self) -> Path:
        """The folder of the private relay of “just try it on this machine”."""
        return self.folder / "trial"

    @property
    def keyring_user(self) -> str:
        """This home's entry in the keyring. It follows from the path, so that it cannot get lost with a file."""
        return hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]


def find_home(chosen: Path | None = None) -> Home:
    """The home that is meant; touches nothing. A relative path counts from the current folder."""
    if chosen is None:
        return Home(platformdirs.user_data_path("segue", appauthor=False).resolve(), chosen=False)
    return Home(chosen.expanduser().resolve(), chosen=True)


def prepare(home: Home) -> None:
    """Make the folders where they are missing, for the owner alone. Raises :class:`HomeError`.

    An existing folder keeps its mode: somebody may have given their own on purpose, and the files that matter are
    closed each by itself. But what others could have put there is refused (:func:`check`).
    """
    try:
        make_private_folder(home.folder)
    except OSError as error:
        raise HomeError("home-unusable", path=str(home.folder), cause=cause_of(error)) from error
    check(home)
    try:
        make_private_folder(home.logs)
    except OSError as error:
        raise HomeError("home-unusable", path=str(home.folder), cause=cause_of(error)) from error


def check(home: Home) -> None:
    """Refuse a home that another user owns or can write to, and secret files in it that they do. Raises
    :class:`HomeError`."""
    files = (home.key.name, home.certificate.name, home.lock.name, home.logs.name, *database_files(home.database.name))
    try:
        exposure = find_exposure(home.folder, files)
    except OSError as error:
        raise HomeError("home-unusable", path=str(home.folder), cause=cause_of(error)) from error
    if exposure is not None and exposure.kind == "other-owner":
        raise HomeError("home-of-another", path=str(exposure.path))
    if exposure is not None:
        raise HomeError("home-open-to-all", path=str(exposure.path))


class HomeLock:
    """The right to be the one engine of a home. The system takes it back when the process dies, however it dies."""

    __slots__ = ("_descriptor", "_home")

    def __init__(self, home: Home) -> None:
        self._home = home
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, without waiting. Raises :class:`AlreadyRunning`, or :class:`HomeError`."""
        if self._descriptor is not None:
            raise AlreadyRunning("already-running", path=str(self._home.folder))
        try:
            descriptor = os.open(self._home.lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise HomeError("home-not-writable", path=str(self._home.folder), cause=cause_of(error)) from error
        try:
            _lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                raise AlreadyRunning("already-running", path=str(self._home.folder)) from error
            raise HomeError("home-not-lockable", path=str(self._home.folder), cause=cause_of(error)) from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._descriptor is None:
            return
        # Closing alone would do on POSIX; Windows frees the byte late without this.
        with contextlib.suppress(OSError):
            _unlock(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> "HomeLock":
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


if sys.platform == "win32":

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    # flock, not POSIX record locks: those vanish when any descriptor of the file is closed in the process.

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
