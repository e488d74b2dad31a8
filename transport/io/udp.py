"""One non-blocking UDP socket on the event loop, read in batches.

It reads and sends through the loop's reader callback, because asyncio's datagram transports cost three times as
much (DESIGN §12). Needs a selector loop: on Windows the proactor loop has no readers.
"""

import asyncio
import ctypes
import socket
import sys
from collections.abc import Callable

from transport.net.sockets import Address
from transport.wire.demux import MAX_DATAGRAM_BYTES

# A second of a call both ways, at the kernel's price of some 2.3 kB for each small packet, four times over: an
# engine that is stopped for a moment loses nothing. Linux grants at most net.core.rmem_max (208 KiB by default),
# which still is over a second.
RECEIVE_BUFFER_BYTES = 1 << 20
# Sending waits for nothing but the network card: 0.2 s of frames, since later ones would be stale.
SEND_BUFFER_BYTES = 1 << 16
# Packets per wake-up: a burst after a stall is read in few turns, and timers still get theirs in between.
BATCH = 32

_SIO_UDP_CONNRESET = 0x9800000C
"""Windows: whether an ICMP "port unreachable" makes the next receive fail."""

Receive = Callable[[Address, bytes], None]


class UdpSocket:
    """Open until :meth:`close`. ``receive(source, data)`` is called for each packet, on the loop."""

    __slots__ = ("_loop", "_on_refused", "_receive", "_socket", "local", "receive_errors", "send_errors")

    def __init__(
        self,
        host: str,
        toward: Address,
        receive: Receive,
        loop: asyncio.AbstractEventLoop,
        port: int = 0,
        *,
        shared: bool = False,
        on_refused: Callable[[], None] | None = None,
    ) -> None:
        """Bind ``port`` of ``host`` if it is free, else any that is. ``local`` has the interface address that leads
        to ``toward`` where the host is a wildcard. ``shared``: others may have the same port, for multicast, which
        everybody gets. With ``on_refused`` the socket is connected to ``toward``: the kernel drops what others send,
        and ``on_refused`` is called when nothing listens there. Raises :class:`OSError`."""
        self._loop = loop
        self._receive = receive
        self._on_refused = on_refused
        self.send_errors = 0
        self.receive_errors = 0
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            _ignore_port_unreachable(self._socket)
            if shared:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if hasattr(socket, "SO_REUSEPORT"):
                    self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            try:
                self._socket.bind((host, port))
            except OSError:
                if not port:
                    raise
                self._socket.bind((host, 0))
            if on_refused is not None:
                self._socket.connect(toward)
            bound = self._socket.getsockname()[1]
            self.local: Address = (_interface_toward(toward, family) or host, bound)
            loop.add_reader(self._socket.fileno(), self._readable)
        except BaseException:
            self._socket.close()
            raise

    def send(self, destination: Address, data: bytes, ttl: int | None = None) -> None:
        """Send or lose: a packet that the system does not take at once is counted and forgotten. ``ttl`` (hop limit
        in IPv6) is for this one packet."""
        try:
            if self._on_refused is not None:
                self._socket.send(data)
            elif ttl is None:
                self._socket.sendto(data, destination)
            else:
                self._send_with_ttl(destination, data, ttl)
        except OSError as error:
            self.send_errors += 1
            self._note_refused(error)

    def _note_refused(self, error: OSError) -> None:
        if self._on_refused is not None and isinstance(error, ConnectionRefusedError):
            self._loop.call_soon(self._on_refused)

    def _send_with_ttl(self, destination: Address, data: bytes, ttl: int) -> None:
        is_v6 = self._socket.family == socket.AF_INET6
        option = (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) if is_v6 else (socket.IPPROTO_IP, socket.IP_TTL)
        usual = self._socket.getsockopt(*option)
        self._socket.setsockopt(*option, ttl)
        try:
            self._socket.sendto(data, destination)
        finally:
            self._socket.setsockopt(*option, usual)

    def close(self) -> None:
        """Stop reading and close; harmless the second time."""
        if self._socket.fileno() != -1:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _readable(self) -> None:
        for _ in range(BATCH):
            if self._socket.fileno() == -1:
                # Closed by what the last packet caused.
                return
            try:
                data, source = self._socket.recvfrom(MAX_DATAGRAM_BYTES + 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                # An earlier packet bounced, or was too long for Windows: it says nothing about the next one.
                self.receive_errors += 1
                self._note_refused(error)
                continue
            self._receive((source[0].partition("%")[0], source[1]), data)


def _interface_toward(toward: Address, family: int) -> str | None:
    """The address that packets to ``toward`` leave from, as routed now. Nothing is sent to find out."""
    with socket.socket(family, socket.SOCK_DGRAM) as scout:
        try:
            scout.connect(toward)
        except OSError:
            return None
        return str(scout.getsockname()[0]).partition("%")[0]


def _ignore_port_unreachable(udp: socket.socket) -> None:
    """Windows: do not let one vanished peer stop the socket (Python's own ioctl does not know this code)."""
    if sys.platform == "win32":
        off, returned = ctypes.c_ulong(0), ctypes.c_ulong(0)
        ctypes.windll.ws2_32.WSAIoctl(
            ctypes.c_size_t(udp.fileno()),
            ctypes.c_ulong(_SIO_UDP_CONNRESET),
            ctypes.byref(off),
            ctypes.sizeof(off),
            None,
            0,
            ctypes.byref(returned),
            None,
            None,
        )
