"""Which socket and which remote address belong to which direct path of a link (pure)."""

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass

from transport.net.sockets import Address
from transport.path.stats import PathVia


@dataclass(slots=True)
class DirectPath:
    """One of them: our socket and its address, where the peer is, and what found the path."""

    socket: int
    local: Address
    remote: Address
    via: PathVia
    before: Address | None = None
    """Where the peer was until it moved: what is under way from there still counts."""


class DirectPaths:
    """The direct paths of a link, by number."""

    __slots__ = ("_by_address", "_paths")

    def __init__(self) -> None:
        self._paths: dict[int, DirectPath] = {}
        self._by_address: dict[tuple[int, Address], int] = {}

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def sockets(self) -> frozenset[int]:
        """Their sockets."""
        return frozenset(direct.socket for direct in self._paths.values())

    def get(self, path: int) -> DirectPath | None:
        """The path of this number."""
        return self._paths.get(path)

    def path_of(self, socket: int, remote: Address) -> int | None:
        """The path that a packet from ``remote`` on this socket came by."""
        return self._by_address.get((socket, remote))

    def on_socket(self, socket: int) -> list[int]:
        """The paths of this socket."""
        return [path for path, direct in self._paths.items() if direct.socket == socket]

    def without_host(self, hosts: Collection[str]) -> list[int]:
        """The paths whose own address is none of the machine's any more."""
        return [path for path, direct in self._paths.items() if is_gone(direct.local, hosts)]

    def add(self, path: int, direct: DirectPath) -> None:
        """One more."""
        self._paths[path] = direct
        self._by_address[direct.socket, direct.remote] = path

    def move(self, path: int, remote: Address) -> None:
        """The peer has another address; what still comes from the one before counts, from earlier ones no longer."""
        direct = self._paths[path]
        if direct.before is not None:
            self._by_address.pop((direct.socket, direct.before), None)
        direct.before, direct.remote = direct.remote, remote
        self._by_address[direct.socket, remote] = path

    def forget(self, path: int) -> DirectPath | None:
        """Take it out, and give it back if it was there."""
        direct = self._paths.pop(path, None)
        if direct is not None:
            for remote in (direct.remote, direct.before):
                if remote is not None:
                    self._by_address.pop((direct.socket, remote), None)
        return direct


def is_gone(local: Address | None, hosts: Collection[str]) -> bool:
    """Whether a socket's address is none of the machine's any more; a wildcard is always there."""
    return local is not None and not ipaddress.ip_address(local[0]).is_unspecified and local[0] not in hosts
