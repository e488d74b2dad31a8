"""The local socket between an engine and its windows: a Unix socket, or loopback TCP where there is none (Windows).

The engine writes where it listens, and a secret, into a file that only the user can read. Whoever connects proves to
have read that file (HMAC-SHA256 of a fresh nonce) before anything else is read.
"""

import asyncio
import contextlib
import hmac
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from app.system.errors import AppError, cause_of

INFO_FILE = "engine.json"
SOCKET_FILE = "engine.sock"
SECRET_BYTES = 32
# sun_path holds 104 bytes on macOS and 108 on Linux; a longer folder gets its socket elsewhere.
MAX_SOCKET_PATH_BYTES = 100

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class LocalSocketError(AppError):
    """There is no engine to talk to, or the place where it listens cannot be used."""


class EngineInfo(msgspec.Struct, frozen=True):
    """Where an engine listens. ``path`` is a Unix socket; ``port`` a TCP port on 127.0.0.1 where there are none."""

    pid: int
    secret: bytes
    path: str = ""
    port: int = 0

    def __repr__(self) -> str:
        return f"EngineInfo(pid={self.pid}, path={self.path!r}, port={self.port})"


def proof(secret: bytes, nonce: bytes) -> bytes:
    """What shows that the secret file could be read: HMAC-SHA256, 32 bytes."""
    return hmac.digest(secret, b"segue-engine/1\n" + nonce, "sha256")


def proof_is_right(secret: bytes, nonce: bytes, offered: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(proof(secret, nonce), offered)


def read_info(home: Path) -> EngineInfo:
    """Where the engine of this folder listens. Raises :class:`LocalSocketError` when there is none."""
    try:
        return msgspec.json.decode((home / INFO_FILE).read_bytes(), type=EngineInfo)
    except (OSError, msgspec.MsgspecError) as error:
        raise LocalSocketError("engine-missing") from error


class LocalListener:
    """The engine's side. ``close`` removes what ``open`` made."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._server: asyncio.Server | None = None
        self._extra_folder: str | None = None
        self._info: EngineInfo | None = None
        self.secret = os.urandom(SECRET_BYTES)

    async def open(self, handler: Handler) -> None:
        """Listen and write the info file. Raises :class:`LocalSocketError`."""
        try:
            if sys.platform == "win32":
                self._server = await asyncio.start_server(handler, "127.0.0.1", 0)
                port = self._server.sockets[0].getsockname()[1]
                self._write_info(EngineInfo(os.getpid(), self.secret, port=port))
            else:
                path = self._socket_path()
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
                # Before it listens: whoever gets through to this engine finds its secret, and not that of one before.
                self._write_info(EngineInfo(os.getpid(), self.secret, path=str(path)))
                self._server = await asyncio.start_unix_server(handler, path)
                path.chmod(0o600)
        except OSError as error:
            self._remove_info()
            raise LocalSocketError("engine-not-listening", path=str(self._home), cause=cause_of(error)) from error

    async def close(self) -> None:
        """Stop listening; open connections are the handler's to end."""
        if self._server is not None:
            self._server.close()
        self._remove_info()
        if self._info is not None and self._info.path:
            with contextlib.suppress(OSError):
                os.unlink(self._info.path)
        if self._extra_folder is not None:
            shutil.rmtree(self._extra_folder, ignore_errors=True)

    def _socket_path(self) -> Path:
        path = self._home / SOCKET_FILE
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
            return path
        self._extra_folder = tempfile.mkdtemp(prefix="segue-")
        return Path(self._extra_folder) / SOCKET_FILE

    def _remove_info(self) -> None:
        with contextlib.suppress(LocalSocketError, OSError):
            if self._info is not None and read_info(self._home).pid == os.getpid():
                (self._home / INFO_FILE).unlink()

    def _write_info(self, info: EngineInfo) -> None:
        temporary = self._home / f"{INFO_FILE}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(info))
        temporary.replace(self._home / INFO_FILE)
        self._info = info


async def connect(info: EngineInfo) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to a listening engine. Raises :class:`LocalSocketError`."""
    try:
        if info.path:
            return await asyncio.open_unix_connection(info.path)
        return await asyncio.open_connection("127.0.0.1", info.port)
    except OSError as error:
        raise LocalSocketError("engine-silent") from error
