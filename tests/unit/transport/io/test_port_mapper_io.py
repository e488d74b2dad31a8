"""The port mapper on real sockets: a NAT-PMP server on loopback, no UPnP, no routing table."""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Iterator

import pytest

from transport.io import port_mapper_io
from transport.io.port_mapper_io import PortMapDriver, own_port
from transport.io.udp import UdpSocket
from transport.net.port_mapping import MappedPort
from transport.portmap import igd
from transport.portmap.mapper import FIRST_PORT, LAST_PORT
from transport.portmap.mapper_events import DefaultGateways, Remembered
from transport.portmap.natpmp import SERVER_PORT
from transport.portmap.status import MappingStatus

GATEWAY = "127.0.7.1"
PUBLIC = (198, 51, 100, 1)


class NoUpnp:
    """In the place of the one that searches the network."""

    async def answer(self, command: igd.IgdCommand) -> igd.IgdEvent:
        return igd.IgdFailed(command.number, 0)

    async def close(self) -> None:
        return None


class Server:
    """NAT-PMP as RFC 6886 has it, on the gateway's address; PCP is an unsupported version to it."""

    def __init__(self) -> None:
        self.table: dict[int, int] = {}
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((GATEWAY, SERVER_PORT))
        self.udp.setblocking(False)
        asyncio.get_running_loop().add_reader(self.udp, self.read)

    def read(self) -> None:
        data, source = self.udp.recvfrom(100)
        if data[0] == 2:
            self.udp.sendto(struct.pack("!BBHI", 0, 128, 1, 7), source)
        elif len(data) == 2:
            self.udp.sendto(struct.pack("!BBHI4B", 0, 128, 0, 7, *PUBLIC), source)
        else:
            internal, external, lease_s = struct.unpack_from("!HHI", data, 4)
            if lease_s:
                self.table[internal] = external
            else:
                self.table.pop(internal, None)
            self.udp.sendto(struct.pack("!BBHIHHI", 0, 129, 0, 7, internal, external, lease_s), source)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.udp)
        self.udp.close()


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(port_mapper_io, "UpnpGateway", NoUpnp)
    yield


def test_it_maps_remembers_and_gives_back() -> None:
    async def run() -> None:
        server = Server()
        reported: list[tuple[MappedPort, ...]] = []
        statuses: list[MappingStatus] = []
        kept: list[Remembered] = []
        done = asyncio.Event()

        def ports(now: tuple[MappedPort, ...]) -> None:
            reported.append(now)
            done.set()

        async def look() -> DefaultGateways:
            return DefaultGateways(GATEWAY, "127.0.0.1")

        driver = PortMapDriver(
            *(None, random.Random(1)), on_ports=ports, on_status=statuses.append, on_remember=kept.append, look=look
        )
        driver.start()
        async with asyncio.timeout(10):
            await done.wait()
        (mapped,) = driver.ports
        assert (mapped.external[0], mapped.protocol) == ("198.51.100.1", "nat-pmp")
        assert server.table == {mapped.internal_port: mapped.external[1]}
        assert kept[-1].internal_port == mapped.internal_port and statuses[-1].outcome == "won"
        driver.call_begins()
        driver.reflexive_seen("198.51.100.99")
        assert driver.status.reason == "other-address"
        await driver.close()
        assert server.table == {} and driver.ports == ()
        await driver.close()
        driver.network_changed()
        server.close()

    asyncio.run(run())


def test_a_silent_gateway_and_a_broken_listener_hold_nobody_up() -> None:
    async def run() -> None:
        def broken(what: object) -> None:
            raise RuntimeError("a fault elsewhere")

        async def look() -> DefaultGateways:
            return DefaultGateways("127.0.7.9", "127.0.0.1")

        driver = PortMapDriver(
            *(None, random.Random(1)), on_ports=broken, on_status=broken, on_remember=broken, look=look
        )
        driver.start()
        await asyncio.sleep(0.05)
        closing = asyncio.ensure_future(driver.close())
        for _ in range(50):
            await asyncio.sleep(0)
        assert closing.done(), "nobody has answered, so nobody is waited for"
        await closing

    asyncio.run(run())


def test_the_remembered_port_is_taken_again_if_it_is_free() -> None:
    rng = random.Random(3)
    fresh = own_port(None, rng)
    assert FIRST_PORT <= fresh <= LAST_PORT
    before = Remembered(fresh, b"n" * 12)
    assert own_port(before, rng) == fresh
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as taken:
        taken.bind(("0.0.0.0", fresh))
        other = own_port(before, rng)
        assert other != fresh and FIRST_PORT <= other <= LAST_PORT


def test_a_socket_has_the_port_that_it_is_given_or_another_one() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        wished = own_port(None, random.Random())
        first = UdpSocket("127.0.0.1", ("127.0.0.1", 9), lambda source, data: None, loop, wished)
        second = UdpSocket("127.0.0.1", ("127.0.0.1", 9), lambda source, data: None, loop, wished)
        assert first.local[1] == wished and second.local[1] not in (0, wished)
        first.close()
        second.close()
        with pytest.raises(OSError):
            UdpSocket("192.0.2.250", ("127.0.0.1", 9), lambda source, data: None, loop, wished)

    asyncio.run(run())
