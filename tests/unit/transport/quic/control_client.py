"""A client of a relay that says nothing by itself: :class:`RelayConnection` on a real socket, driven by hand."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from transport.io.relay_session import resolve
from transport.io.udp import UdpSocket
from transport.net.sockets import Address
from transport.quic.relay_channel_client import Failure, RelayConnection
from transport.wire.addresses import RelayAddress
from transport.wire.relay_messages import Challenge, ClientMessage, RelayMessage

TIMEOUT_S = 10.0


class ControlFailed(Exception):
    """The connection cannot be had, or is over."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


@contextlib.contextmanager
def fails(code: str, text: str | None = None) -> Iterator[pytest.ExceptionInfo[ControlFailed]]:
    """Whatever is in the block ends with this failure."""
    with pytest.raises(ControlFailed, match=text) as caught:
        yield caught
    assert caught.value.failure.code == code


class ControlClient:
    """One verified connection."""

    def __init__(self, connection: RelayConnection, remote: Address) -> None:
        self.connection = connection
        self._remote = remote
        self._loop = asyncio.get_running_loop()
        self._moved = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._udp = UdpSocket(
            "::" if ":" in remote[0] else "0.0.0.0", remote, self._received, self._loop, on_refused=self._refused
        )

    @property
    def challenge(self) -> Challenge:
        assert self.connection.challenge is not None
        return self.connection.challenge

    async def open(self) -> None:
        self.connection.connect(self._remote, self._loop.time())
        self._flush()
        while self.connection.challenge is None:
            await self._next()

    def send(self, message: ClientMessage) -> bool:
        sent = self.connection.send(message)
        self._flush()
        return sent

    async def receive(self) -> RelayMessage:
        while not self.connection.messages:
            await self._next()
        return self.connection.messages.popleft()

    def close(self, reason: str = "") -> None:
        self.connection.close(reason)
        self._flush()
        if self._timer is not None:
            self._timer.cancel()
        self._udp.close()

    async def _next(self) -> None:
        if self.connection.failure is not None:
            raise ControlFailed(self.connection.failure)
        self._moved.clear()
        async with asyncio.timeout(TIMEOUT_S):
            await self._moved.wait()

    def _received(self, source: Address, data: bytes) -> None:
        self.connection.channel.receive(data, self._remote, self._loop.time())
        self._flush()

    def _refused(self) -> None:
        if self.connection.failure is None:
            self.connection.failure = Failure("unreachable", "nothing listens there")
            self._moved.set()

    def _flush(self) -> None:
        channel = self.connection.channel
        for data, destination in channel.datagrams_to_send(self._loop.time()):
            self._udp.send((destination[0], destination[1]), data)
        if self._timer is not None:
            self._timer.cancel()
        due = channel.next_deadline()
        self._timer = None if due is None else self._loop.call_at(due, self._advance, due)
        self._moved.set()

    def _advance(self, due: float) -> None:
        self.connection.channel.advance(max(due, self._loop.time()))
        self._flush()


async def connect_control(
    address: RelayAddress, *, certificate: bytes | None = None, authorities: bytes | None = None
) -> ControlClient:
    """Connect, and read the certificate first if it is not known. Raises :class:`ControlFailed`."""
    if address.pin and certificate is None:
        reading = await _open(address, None, None)
        certificate = reading.challenge.certificate
        reading.close()
    return await _open(address, certificate, authorities)


async def _open(address: RelayAddress, certificate: bytes | None, authorities: bytes | None) -> ControlClient:
    [remote, *_] = await resolve(address.host, address.port)
    client = ControlClient(RelayConnection(address, certificate, authorities), remote)
    try:
        await client.open()
    except BaseException:
        client.close()
        raise
    return client
