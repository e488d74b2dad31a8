"""The driver with real sockets on loopback, through the relay's own sockets and legs."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import SystemRandom

import pytest

from relay.events import LegGrant
from relay.legs import LegTable
from relay.limits import Limiter, RelayLimits
from relay.media_port import DatagramHandler
from relay.sockets import DatagramSockets
from tests.natsim.call import frame_index, identity, rtp
from transport.io.runner import Runner
from transport.io.udp import UdpSocket
from transport.link.events import (
    Close,
    Command,
    LinkConfig,
    LinkEnded,
    MediaReceived,
    Open,
    PeerMessageReceived,
    PeerProven,
    SendMedia,
    SendPeerMessage,
)
from transport.link.link import Link
from transport.net.machine import TimerFired
from transport.path.relay_leg import LegAccess
from transport.wire.call_messages import Accept, Bye

CALL_ID = "00112233445566778899aabbccddeeff"
WAIT_S = 20.0


async def until(done: Callable[[], bool]) -> None:
    """Wait for something that the loop will bring about; fails loudly when it does not."""
    async with asyncio.timeout(WAIT_S):
        while not done():  # noqa: ASYNC110 - what is waited for sets no asyncio event
            await asyncio.sleep(0.005)


class Loopback:
    """The relay's media socket, and the two links of one call with their drivers."""

    def __init__(self) -> None:
        limits = RelayLimits()
        legs = LegTable(limits.leg_packets, b"secret")
        self.relay = DatagramSockets(DatagramHandler(legs, Limiter(limits)))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setblocking(False)
        udp.bind(("127.0.0.1", 0))
        self.relay.add_media(udp)
        self.address = udp.getsockname()
        grants = LegGrant("caller-leg", "secret-of-the-caller"), LegGrant("callee-leg", "secret-of-the-callee")
        self.grants = grants
        legs.create(CALL_ID, *grants, asyncio.get_running_loop().time())
        self.commands: tuple[list[Command], list[Command]] = ([], [])
        self.links = tuple(Link(self.config(index), SystemRandom()) for index in range(2))
        self.drivers = tuple(
            Runner(link, commands.append) for link, commands in zip(self.links, self.commands, strict=True)
        )

    def config(self, index: int) -> LinkConfig:
        grant = self.grants[index]
        mine, theirs = identity(1 + index), identity(2 - index)
        return LinkConfig(
            role="callee" if index else "caller",
            call_id=CALL_ID,
            identity=mine,
            peer_key=theirs.key,
            peer_certificate=theirs.certificate,
            leg=LegAccess(self.address, grant.username, grant.password),
        )

    def of(self, index: int, kind: type[Command]) -> list[Command]:
        return [command for command in self.commands[index] if isinstance(command, kind)]

    async def close(self) -> None:
        for driver in self.drivers:
            driver.close()
        self.relay.close()


def on_loopback(test: Callable[[Loopback], Awaitable[None]]) -> None:
    async def run() -> None:
        loopback = Loopback()
        try:
            await test(loopback)
        finally:
            await loopback.close()

    asyncio.run(run())


def test_a_call_over_real_sockets_from_open_to_goodbye() -> None:
    async def test(net: Loopback) -> None:
        caller, callee = net.drivers
        for driver in net.drivers:
            driver.submit(Open())
        await until(lambda: bool(net.of(0, PeerProven) and net.of(1, PeerProven)))
        callee.submit(SendPeerMessage(Accept()))
        await until(lambda: net.of(0, PeerMessageReceived) == [PeerMessageReceived(Accept())])
        for index in range(50):
            caller.submit(SendMedia(rtp(index)))
            callee.submit(SendMedia(rtp(index)))
            await asyncio.sleep(0.002)
        await until(lambda: min(len(net.of(side, MediaReceived)) for side in (0, 1)) == 50)
        for side in (0, 1):
            frames = [frame_index(c.data) for c in net.of(side, MediaReceived) if isinstance(c, MediaReceived)]
            assert frames == list(range(50))
        caller.submit(Close(Bye()))
        await until(lambda: bool(net.of(0, LinkEnded) and net.of(1, LinkEnded)))
        assert [net.commands[side][-1] for side in (0, 1)] == [
            LinkEnded("closed", ""),
            LinkEnded("peer-left", "hung-up"),
        ]
        assert caller.send_errors == callee.send_errors == 0

    on_loopback(test)


def test_the_timer_alone_keeps_the_path_alive_and_measures_the_round_trip() -> None:
    async def test(net: Loopback) -> None:
        for driver in net.drivers:
            driver.submit(Open())
        await until(lambda: bool(net.of(0, PeerProven) and net.of(1, PeerProven)))
        loop = asyncio.get_running_loop()
        link = net.links[0]
        await until(lambda: link.stats(loop.time()).rtt_ms is not None)
        before = net.relay.received
        # Nobody submits anything any more, and packets go on.
        await until(lambda: net.relay.received - before >= 20)

    on_loopback(test)


def test_a_driver_that_is_closed_leaves_nothing_and_does_nothing() -> None:
    async def test(net: Loopback) -> None:
        net.drivers[0].submit(Open())
        await asyncio.sleep(0.05)
        net.drivers[0].close()
        commands = len(net.commands[0])
        net.drivers[0].submit(Close(Bye()))
        net.drivers[0].submit(TimerFired())
        await asyncio.sleep(0.2)
        assert len(net.commands[0]) == commands
        net.drivers[0].close()

    on_loopback(test)


def test_what_a_command_causes_is_handled_after_it() -> None:
    async def test(net: Loopback) -> None:
        order: list[str] = []

        def on_command(command: Command) -> None:
            order.append(type(command).__name__)
            if isinstance(command, PeerProven):
                driver.submit(Close(Bye()))
                order.append("asked to close")

        driver = Runner(net.links[0], on_command)
        net.drivers[1].submit(Open())
        driver.submit(Open())
        try:
            await until(lambda: "LinkEnded" in order)
        finally:
            driver.close()
        assert order[order.index("PeerProven") + 1] == "asked to close"
        assert order[-1] == "LinkEnded"

    on_loopback(test)


def test_a_fault_of_whoever_listens_is_logged_and_the_link_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def test(net: Loopback) -> None:
        commands: list[Command] = []

        def on_command(command: Command) -> None:
            commands.append(command)
            raise ZeroDivisionError

        driver = Runner(net.links[0], on_command)
        net.drivers[1].submit(Open())
        driver.submit(Open())
        try:
            await until(lambda: any(isinstance(command, PeerProven) for command in commands))
        finally:
            driver.close()
        assert "ZeroDivisionError" in caplog.text

    on_loopback(test)


def test_a_socket_that_cannot_be_had_is_an_event() -> None:
    async def test(net: Loopback) -> None:
        config = replace(net.config(0), leg=LegAccess(("2001:db8::1", 9), "username", "password"))
        commands: list[Command] = []
        driver = Runner(Link(config, SystemRandom()), commands.append)
        driver.submit(Open())
        await asyncio.sleep(0.05)
        # Without IPv6 the socket fails, with it the packets have nowhere to go: neither is an exception.
        assert not any(isinstance(command, LinkEnded) for command in commands)
        driver.close()

    on_loopback(test)


def test_packets_are_read_in_batches_and_a_bad_destination_is_counted() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        got: list[tuple[tuple[str, int], bytes]] = []
        one = UdpSocket("127.0.0.1", ("127.0.0.1", 9), lambda source, data: got.append((source, data)), loop)
        other = UdpSocket("127.0.0.1", ("127.0.0.1", 9), lambda source, data: None, loop)
        try:
            for index in range(100):
                other.send(one.local, bytes([index]))
            await until(lambda: len(got) == 100)
            assert got == [(other.local, bytes([index])) for index in range(100)]
            # No route from a loopback-bound socket; on a system that has one, port 0 is refused.
            other.send(("127.0.0.1", 0), b"x")
            assert other.send_errors == 1
            # Nobody there: the bounce must not stop the socket.
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
                gone.bind(("127.0.0.1", 0))
                nowhere = gone.getsockname()
            one.send(nowhere, b"x")
            other.send(one.local, b"after")
            await until(lambda: len(got) == 101)
        finally:
            one.close()
            other.close()
            one.close()

    asyncio.run(test())


def test_the_local_address_is_the_one_that_leads_there() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        udp = UdpSocket("0.0.0.0", ("127.0.0.1", 9), lambda source, data: None, loop)
        try:
            assert udp.local[0] == "127.0.0.1" and udp.local[1] > 0
        finally:
            udp.close()

    asyncio.run(test())


def test_a_socket_closed_by_its_own_packet_reads_no_further() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        got: list[bytes] = []

        def receive(source: tuple[str, int], data: bytes) -> None:
            got.append(data)
            one.close()

        one = UdpSocket("127.0.0.1", ("127.0.0.1", 9), receive, loop)
        other = UdpSocket("127.0.0.1", ("127.0.0.1", 9), lambda source, data: None, loop)
        try:
            for index in range(5):
                other.send(one.local, bytes([index]))
            await until(lambda: bool(got))
            await asyncio.sleep(0.02)
            assert got == [b"\x00"]
        finally:
            other.close()

    asyncio.run(test())
