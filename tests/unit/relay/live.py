"""A real relay in this process, and clients that speak to it without any of the engine's parts."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from relay.config import Ready, RelayConfig
from relay.limits import RelayLimits
from relay.server import Relay
from tests.unit.relay.people import authenticate, person, register
from tests.unit.transport.quic.control_client import ControlClient, connect_control
from transport.quic.relay_channel_server import bind_udp
from transport.wire import stun
from transport.wire.relay_messages import LegCredentials, Registered, RelayMessage, Welcome

WAIT_S = 10.0
BUFFER_BYTES = 2_048


@contextlib.asynccontextmanager
async def running(folder: Path, **options: object) -> AsyncIterator[tuple[Relay, Ready]]:
    """A relay on 127.0.0.1 with ports of the system's choice."""
    settings: dict[str, object] = {"binds": ("127.0.0.1",), "port": 0, "limits": RelayLimits(), **options}
    relay = Relay(RelayConfig(folder, **settings))  # type: ignore[arg-type]
    ready = await relay.start()
    try:
        yield relay, ready
    finally:
        await relay.close()


class Guest:
    """A logged-in session, driven by hand."""

    def __init__(self, connection: ControlClient) -> None:
        self.connection = connection
        self.challenge = connection.challenge

    async def receive(self) -> RelayMessage:
        async with asyncio.timeout(WAIT_S):
            return await self.connection.receive()


async def log_in(ready: Ready, number: int, name: str = "", claim: str = "") -> Guest:
    """Log in as a person, and claim a name if asked to."""
    guest = Guest(await connect_control(ready.address))
    guest.connection.send(authenticate(guest.challenge, person(number), name, "home"))
    assert isinstance(await guest.receive(), Welcome)
    if claim:
        guest.connection.send(register(guest.challenge, person(number), claim))
        assert isinstance(await guest.receive(), Registered)
    return guest


class Udp:
    """A plain UDP client socket."""

    def __init__(self) -> None:
        self._socket = bind_udp("127.0.0.1", 0)
        self.address: tuple[str, int] = self._socket.getsockname()

    def send(self, data: bytes, port: int) -> None:
        self._socket.sendto(data, ("127.0.0.1", port))

    async def receive(self, wait_s: float = WAIT_S) -> bytes:
        async with asyncio.timeout(wait_s):
            return await asyncio.get_running_loop().sock_recv(self._socket, BUFFER_BYTES)

    def pending(self) -> bytes | None:
        """What has arrived already."""
        try:
            return self._socket.recv(BUFFER_BYTES)
        except BlockingIOError:
            return None

    def blocking(self) -> socket.socket:
        """The socket itself, for a loop that waits in the kernel."""
        self._socket.setblocking(True)
        return self._socket

    async def bind(self, leg: LegCredentials, password: str = "") -> stun.StunMessage:
        """Bind a leg to this socket; the answer."""
        self.send(stun.binding_request(os.urandom(12), leg.username, password or leg.password), leg.port)
        return stun.parse(await self.receive())

    async def ask(self, port: int) -> stun.StunMessage:
        """A plain question."""
        self.send(stun.binding_request(os.urandom(12)), port)
        return stun.parse(await self.receive())

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> "Udp":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        return int(udp.getsockname()[1])
