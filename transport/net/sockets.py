"""What a machine orders of UDP sockets, and what it learns about them. Socket numbers are the machine's choice."""

from dataclasses import dataclass

Address = tuple[str, int]
"""IP address and port."""


@dataclass(frozen=True, slots=True)
class OpenSocket:
    """Open a UDP socket on ``host`` (mostly a wildcard address, whose family is the socket's): on ``port`` if that is
    free, and otherwise, or for 0, on any that is.

    ``toward`` is whom it is for, so that :class:`SocketOpened` can name the interface address that leads there.
    """

    socket: int
    host: str
    toward: Address
    port: int = 0


@dataclass(frozen=True, slots=True)
class CloseSocket:
    """Close it; nothing more is sent on it."""

    socket: int


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """Send a UDP payload. ``ttl`` (hop limit in IPv6) is that of this one packet; None is the system's own."""

    socket: int
    destination: Address
    data: bytes
    ttl: int | None = None


@dataclass(frozen=True, slots=True)
class SocketOpened:
    """:class:`OpenSocket` was carried out."""

    socket: int
    local: Address


@dataclass(frozen=True, slots=True)
class SocketFailed:
    """:class:`OpenSocket` could not be carried out, or the socket died."""

    socket: int
    reason: str


@dataclass(frozen=True, slots=True)
class DatagramReceived:
    """A UDP payload; ``source`` is (IP address, port)."""

    socket: int
    source: Address
    data: bytes
