"""Where the secret key lives: in the system's keyring, or in a file that only the user can read.

A home given with ``--home`` always uses the file, so that it is self-contained; so does the default home while the
environment says ``SEGUE_KEY_PLACE=file``. Otherwise a key file that exists is used, then the keyring, and where there
is no keyring a new file. When the key is in the keyring the file says just that, so that a locked keyring can never
turn the user into somebody else.

The caller holds the home's lock (:class:`app.system.data_dir.HomeLock`): two programs must not make two keys.
"""

import hashlib
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.account.keyring import KeyringClient, KeyringSilent, KeyringUnusable
from app.model.terms import Values
from app.system import files
from app.system.data_dir import Home
from app.system.errors import AppError, Finding, cause_of
from transport.identity.errors import IdentityError
from transport.identity.keys import SECRET_BYTES, Identity, load_identity, new_identity

PLACE_VARIABLE = "SEGUE_KEY_PLACE"
_MAGIC = "segue-key/1"
_IN_KEYRING = f"{_MAGIC}:keyring\n"
# Enough to see every slip of a disk or an editor; it is no protection against anybody, and needs to be none.
_CHECK_HEX = 16
# The text is 100 bytes; whatever is longer is no key of ours and is not read into memory.
_MAX_KEY_FILE_BYTES = 1_000
_MAX_CERTIFICATE_BYTES = 2_048
_SERIAL_BITS = 158


class KeyStoreError(AppError):
    """The key cannot be had, and making a new one would be wrong."""


class KeyUnreadable(KeyStoreError):
    """The key file is there and the system does not let us read it."""


class KeyringLocked(KeyStoreError):
    """The key is in the keyring, and the keyring does not give it."""


class KeyNotSaved(KeyStoreError):
    """A new key could not be written down; it is not used, since it would be gone at the next start."""


class _Damaged(Exception):
    """The stored text is not a key."""


@dataclass(frozen=True, slots=True)
class KeyLoaded:
    """The identity, where its secret is kept, and what the person should see."""

    identity: Identity
    place: Literal["keyring", "file"]
    findings: tuple[Finding, ...]


def file_only(home: Home, environment: Mapping[str, str]) -> bool:
    """Whether the key of this home must be in the file."""
    return home.chosen or environment.get(PLACE_VARIABLE) == "file"


def load_or_create(home: Home, keyring: KeyringClient | None, clock: Callable[[], float]) -> KeyLoaded:
    """The identity of ``home``, made at the first start.

    Without ``keyring`` the key is in the file (see :func:`file_only`); the caller closes it. ``clock``
    gives Unix seconds, for the names of what is set aside. Raises :class:`KeyStoreError`.
    """
    return _KeyLoader(home, keyring, clock).load()


def load_identity_of(
    home: Home, environment: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.time
) -> KeyLoaded:
    """:func:`load_or_create` with this computer's keyring, where it may be used. Raises :class:`KeyStoreError`.

    Blocks while the keyring asks its user something, for at most :data:`app.account.keyring.LIMIT_S` a call.
    """
    if file_only(home, environment):
        return load_or_create(home, None, clock)
    keyring = KeyringClient()
    try:
        return load_or_create(home, keyring, clock)
    finally:
        keyring.close()


class _KeyLoader:
    """One run of :func:`load_or_create`."""

    __slots__ = ("_clock", "_findings", "_home", "_in_keyring", "_keyring", "_loss")

    def __init__(self, home: Home, keyring: KeyringClient | None, clock: Callable[[], float]) -> None:
        self._home = home
        self._keyring = keyring
        self._clock = clock
        self._findings: list[Finding] = []
        self._in_keyring = False
        """The file says that the key is in the keyring."""
        self._loss: Finding | None = None
        """About an older key that cannot be used any more; shown when there is a new one."""

    def load(self) -> KeyLoaded:
        secret = self._from_file()
        place: Literal["keyring", "file"] = "file"
        if secret is None:
            secret = self._from_keyring()
            place = "keyring"
        if secret is None:
            self._forget_certificate()
            secret = secrets.token_bytes(SECRET_BYTES)
            place = self._store(secret)
            if self._loss is not None:
                self._findings.append(self._loss)
        elif place == "keyring" and not self._in_keyring:
            self._mark_keyring()
        return KeyLoaded(self._with_certificate(secret), place, tuple(self._findings))

    # -- the file --------------------------------------------------------------------------------------------------

    def _from_file(self) -> bytes | None:
        path = self._home.key
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(_MAX_KEY_FILE_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KeyUnreadable("key-unreadable", path=str(path), cause=cause_of(error)) from error
        if text.strip() == _IN_KEYRING.strip().encode():
            self._in_keyring = True
            return None
        if sys.platform != "win32" and stat.S_IMODE(mode) & 0o077:
            self._restrict_to_owner(path)
        try:
            return _decode(text)
        except _Damaged:
            self._set_damaged_aside(path)
            return None

    def _restrict_to_owner(self, path: Path) -> None:
        try:
            path.chmod(files.OWNER_ONLY)
            self._findings.append(Finding("warning", "key-was-open", {"path": str(path)}))
        except OSError as error:
            self._findings.append(Finding("warning", "key-is-open", {"path": str(path), "cause": cause_of(error)}))

    def _set_damaged_aside(self, path: Path) -> None:
        try:
            kept = files.set_aside(path, "damaged", self._clock())
        except OSError as error:
            raise KeyUnreadable("key-damaged-in-place", path=str(path), cause=cause_of(error)) from error
        self._loss = Finding("error", "key-file-damaged", {"kept": str(kept), "path": str(path)})

    # -- the keyring -----------------------------------------------------------------------------------------------

    def _from_keyring(self) -> bytes | None:
        if self._keyring is None:
            if self._in_keyring:
                raise KeyringLocked("key-in-keyring-only", path=str(self._home.folder), variable=PLACE_VARIABLE)
            return None
        try:
            text = self._keyring.get(self._home.keyring_user)
        except (KeyringSilent, KeyringUnusable) as error:
            if not self._in_keyring:
                return None
            raise KeyringLocked("keyring-locked", cause=str(error)) from error
        if text is None:
            if self._in_keyring:
                self._loss = Finding("error", "key-gone-from-keyring")
            return None
        try:
            return _decode(text.encode("utf-8", "replace"))
        except _Damaged:
            self._loss = Finding("error", "key-damaged-in-keyring")
            self._keyring = None  # what is damaged is not overwritten: the new key goes to the file
            return None

    # -- a new key -------------------------------------------------------------------------------------------------

    def _store(self, secret: bytes) -> Literal["keyring", "file"]:
        text = _encode(secret)
        if self._keyring is not None:
            try:
                self._keyring.set(self._home.keyring_user, text)
                if self._keyring.get(self._home.keyring_user) == text:
                    self._mark_keyring()
                    return "keyring"
            except (KeyringSilent, KeyringUnusable):
                pass  # the file below serves as well; a half-done entry holds the same secret
        self._write_key_file(text)
        return "file"

    def _mark_keyring(self) -> None:
        self._write_key_file(_IN_KEYRING)

    def _write_key_file(self, text: str) -> None:
        try:
            files.write_atomically(self._home.key, text.encode())
        except OSError as error:
            raise KeyNotSaved("key-not-saved", path=str(self._home.key), cause=cause_of(error)) from error

    # -- the certificate -------------------------------------------------------------------------------------------

    def _with_certificate(self, secret: bytes) -> Identity:
        try:
            with self._home.certificate.open("rb") as file:
                return load_identity(secret, file.read(_MAX_CERTIFICATE_BYTES))
        except (OSError, IdentityError):
            pass  # the key is what counts; any certificate of it will do, so it is made anew
        identity = new_identity(secret, secrets.randbits(_SERIAL_BITS) + 1)
        try:
            files.write_atomically(self._home.certificate, identity.certificate)
        except OSError as error:
            values: Values = {"path": str(self._home.certificate), "cause": cause_of(error)}
            self._findings.append(Finding("warning", "certificate-not-written", values))
        return identity

    def _forget_certificate(self) -> None:
        """There is no key any more, so an old certificate is a leftover; it is kept, and the loss is reported."""
        if not self._home.certificate.exists():
            return
        try:
            kept = files.set_aside(self._home.certificate, "old", self._clock())
        except OSError as error:
            folder = str(self._home.folder)
            raise KeyNotSaved("key-folder-not-writable", path=folder, cause=cause_of(error)) from error
        if self._loss is None:
            self._loss = Finding("error", "key-gone", {"kept": str(kept)})


def _check(secret_hex: str) -> str:
    return hashlib.sha256(f"{_MAGIC}:{secret_hex}".encode()).hexdigest()[:_CHECK_HEX]


def _encode(secret: bytes) -> str:
    return f"{_MAGIC}:{secret.hex()}:{_check(secret.hex())}\n"


def _decode(text: bytes) -> bytes:
    parts = text.decode("ascii", "replace").strip().split(":")
    if len(parts) != 3 or parts[0] != _MAGIC or parts[2] != _check(parts[1]):
        raise _Damaged
    try:
        secret = bytes.fromhex(parts[1])
    except ValueError:
        raise _Damaged from None
    if len(secret) != SECRET_BYTES:
        raise _Damaged
    return secret
