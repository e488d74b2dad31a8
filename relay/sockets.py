"""The relay's UDP sockets for media and STUN, read in batches straight from the event loop.

asyncio's datagram transports cost a third of the packets that a plain loop forwards (DESIGN D2), so these sockets
are read by the loop's reader callback: up to a batch at a time, into one buffer that is never copied on the way.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable

from relay.legs import Datagram, Outgoing, Source
from relay.media_port import DatagramHandler
from transport.wire.demux import MAX_DATAGRAM_BYTES

# Datagrams per wake-up and socket: enough to pay for the wake-up, few enough that control messages do not wait for
# more than about a millisecond.
BATCH = 64
# One more byte than is allowed, so that what is too long shows.
_BUFFER_BYTES = MAX_DATAGRAM_BYTES + 1

Handler = Callable[[Datagram, Source, float], list[Outgoing]]


class DatagramSockets:
    """Owns the sockets that it is given. Windows' proactor loop has no readers: see ``relay_loop_factory``."""

    def __init__(self, handler: DatagramHandler) -> None:
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self.received = 0
        self.send_failures: Counter[str] = Counter()

    def add_media(self, udp: socket.socket) -> None:
        """Serve legs and STUN on a bound, non-blocking socket."""
        self._add(udp, self._handler.media)

    def add_stun(self, udp: socket.socket) -> None:
        """Serve STUN alone on a bound, non-blocking socket."""
        self._add(udp, self._handler.question)

    def close(self) -> None:
        """Stop reading and close every socket."""
        for udp in self._sockets:
            self._loop.remove_reader(udp.fileno())
            udp.close()
        self._sockets.clear()

    def _add(self, udp: socket.socket, handle: Handler) -> None:
        number = len(self._sockets)
        self._sockets.append(udp)
        self._loop.add_reader(udp.fileno(), self._readable, number, udp, handle)

    def _readable(self, number: int, udp: socket.socket, handle: Handler) -> None:
        now = self._loop.time()
        receive, buffer, view, sockets = udp.recvfrom_into, self._buffer, self._view, self._sockets
        for _ in range(BATCH):
            try:
                size, address = receive(buffer)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                # An earlier answer bounced (Windows reports that here); it says nothing about the next packet.
                continue
            self.received += 1
            for (out, target), data in handle(view[:size], (number, address), now):
                try:
                    sockets[out].sendto(data, target)
                except BlockingIOError:
                    # The network card is behind; a packet of a call is worth nothing later.
                    self.send_failures["full"] += 1
                except OSError as error:
                    self.send_failures[error.__class__.__name__] += 1
