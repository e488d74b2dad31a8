"""The sockets of one call's traversal: one table ``socket -> owner`` (pure).

What arrives goes straight to its owner; what an owner opens, sends and closes is a command of the agent at once. A
socket that was handed over to the path manager keeps its owner, which goes on answering the peer's checks there, until
the path is closed.
"""

from collections.abc import Callable
from typing import Protocol

from transport.net import sockets as net
from transport.traversal.events import AgentCommand


class SocketOwner(Protocol):
    """A round: its STUN clients and its check list share its sockets."""

    def opened(self, event: net.SocketOpened, now: float) -> None:
        """A socket that it asked for is there."""

    def failed(self, event: net.SocketFailed, now: float) -> None:
        """A socket of its own could not be opened, or has died."""

    def received(self, event: net.DatagramReceived, now: float) -> None:
        """A STUN packet came on one of its sockets."""


class SocketTable:
    """``commands`` is the list that the agent's commands are collected in, in order."""

    __slots__ = ("_commands", "_handed_over", "_new_socket", "_owners")

    def __init__(self, new_socket: Callable[[], int], commands: list[AgentCommand]) -> None:
        self._new_socket = new_socket
        self._commands = commands
        self._owners: dict[int, SocketOwner] = {}
        self._handed_over: set[int] = set()

    def owner(self, socket: int) -> SocketOwner | None:
        """Whose it is; none where it is nobody's (any more)."""
        return self._owners.get(socket)

    def open(self, owner: SocketOwner, toward: net.Address, *, version: int = 4, port: int = 0) -> int:
        """Ask for one more, of IP ``version``; returns its number."""
        socket = self._new_socket()
        self._owners[socket] = owner
        self._commands.append(net.OpenSocket(socket, "::" if version == 6 else "0.0.0.0", toward, port))  # noqa: S104
        return socket

    def send(self, datagram: net.SendDatagram) -> None:
        """Nothing where the socket is gone: a path that was found may have been closed."""
        if datagram.socket in self._owners:
            self._commands.append(datagram)

    def close(self, socket: int) -> None:
        """Nothing where it was handed over: it is closed with its path."""
        if socket in self._owners and socket not in self._handed_over:
            del self._owners[socket]
            self._commands.append(net.CloseSocket(socket))

    def hand_over(self, socket: int) -> bool:
        """To the path manager; false where it is gone."""
        if socket not in self._owners:
            return False
        self._handed_over.add(socket)
        return True

    def forget(self, socket: int) -> None:
        """It has failed, or its path was closed."""
        self._owners.pop(socket, None)
        self._handed_over.discard(socket)
