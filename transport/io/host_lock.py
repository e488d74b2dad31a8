"""The lock of the one traversal with probe rounds of a host, between all of its processes.

A port of the loopback address is held for as long as the lock is held: it is there on every system, the system frees it
however the process ends, and on Linux each network namespace has its own, as it has its own NAT.
"""

import errno
import socket
import sys

# A private port (RFC 6335 §6), and above those that Linux hands out by itself (32,768-60,999).
LOCK_PORT = 61_470
_NO_IPV4 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class HostLock:
    """A :class:`transport.ice.pacing.ExclusiveLock` that all processes of this host share. Nothing is ever sent."""

    __slots__ = ("_held", "_port")

    def __init__(self, port: int = LOCK_PORT) -> None:
        self._port = port
        self._held: socket.socket | None = None

    def acquire(self) -> bool:
        """Whether it is ours now. A machine without IPv4 has no NAT to spare: there everybody may. Whatever else is in
        the way, a limit on sockets also, is in the way of such a traversal."""
        if self._held is not None:
            return True
        held: socket.socket | None = None
        try:
            held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            if sys.platform == "win32":
                held.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            held.bind(("127.0.0.1", self._port))
        except OSError as error:
            if held is not None:
                held.close()
            return error.errno in _NO_IPV4
        self._held = held
        return True

    def release(self) -> None:
        """Give it back; harmless when it is not ours."""
        if self._held is not None:
            self._held.close()
            self._held = None
