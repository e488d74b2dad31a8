"""STUN servers on loopback that see what a NAT would have made of a packet's source."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from transport.io.udp import UdpSocket
from transport.net.sockets import Address
from transport.wire import stun

See = Callable[[int, Address], Address]
"""(number of the endpoint, true source) -> the source that this endpoint sees."""


@contextlib.asynccontextmanager
async def stun_places(hosts: Sequence[str], see: See) -> AsyncIterator[tuple[Address, ...]]:
    """An endpoint at each of ``hosts``, with ports of the system's choice."""
    loop = asyncio.get_running_loop()
    open_here: list[UdpSocket] = []

    def serve(number: int, host: str) -> None:
        def answer(source: Address, data: bytes) -> None:
            open_here[number].send(source, stun.binding_success(stun.parse(data), see(number, source)))

        open_here.append(UdpSocket(host, (host, 9), answer, loop))

    try:
        for number, host in enumerate(hosts):
            serve(number, host)
        yield tuple((host, udp.local[1]) for host, udp in zip(hosts, open_here, strict=True))
    finally:
        for udp in open_here:
            udp.close()
