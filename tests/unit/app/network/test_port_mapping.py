"""When the router is asked for a port, and when not; what is remembered of it."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

import pytest

from app.network import port_mapping
from app.network.port_mapping import PortMapping
from app.store.documents import Documents, OwnPort
from transport.net.port_mapping import MappedPort
from transport.portmap.mapper_events import DefaultGateways, Remembered
from transport.portmap.status import MappingStatus

MAPPED = MappedPort(25_000, ("198.51.100.1", 25_000), "pcp", 9.0, True)
AWAY = "192.0.2.1"


class Driver:
    """In the place of the one that opens sockets."""

    made: ClassVar[list["Driver"]] = []

    def __init__(self, before: Remembered | None, rng: random.Random, **options: Any) -> None:
        self.before = before
        self.options = options
        self.ports: tuple[MappedPort, ...] = ()
        self.status = MappingStatus("waiting")
        self.calls: list[str] = []
        self.closing = asyncio.Event()
        Driver.made.append(self)

    def start(self) -> None:
        self.calls.append("start")

    def network_changed(self) -> None:
        self.calls.append("network")

    def call_begins(self) -> None:
        self.calls.append("call")

    def reflexive_seen(self, ip: str) -> None:
        self.calls.append(f"seen {ip}")

    async def close(self) -> None:
        self.calls.append("close")
        await self.closing.wait()

    def maps(self) -> None:
        self.ports, self.status = (MAPPED,), MappingStatus("won", "", "pcp")
        self.options["on_ports"](self.ports)
        self.options["on_status"](self.status)


@pytest.fixture(autouse=True)
def drivers(monkeypatch: pytest.MonkeyPatch) -> list[Driver]:
    Driver.made = []
    monkeypatch.setattr(port_mapping, "PortMapDriver", Driver)
    return Driver.made


def with_mapping(test: Callable[[PortMapping, list[Any], Documents], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        reported: list[Any] = []
        documents = Documents(lambda names: None)

        async def nowhere() -> DefaultGateways:
            return DefaultGateways()

        mapping = PortMapping(documents, lambda *what: reported.append(what), random.Random(1), nowhere)
        await test(mapping, reported, documents)
        for driver in Driver.made:
            driver.closing.set()
        await mapping.close()

    asyncio.run(run())


def test_nobody_is_asked_without_a_relay_that_is_somewhere_else(drivers: list[Driver]) -> None:
    async def test(mapping: PortMapping, reported: list[Any], documents: Documents) -> None:
        mapping.allow(True)
        assert drivers == [] and mapping.status is None
        for here in ("127.0.0.1", "127.8.0.1", "::1"):
            mapping.relay_reached(here)
        assert drivers == [], "who talks to this machine alone needs no router"
        mapping.relay_reached(AWAY)
        assert [driver.calls for driver in drivers] == [["start"]]
        mapping.relay_reached(AWAY)
        assert len(drivers) == 1

    with_mapping(test)


def test_nobody_is_asked_who_hides_or_has_switched_it_off(drivers: list[Driver]) -> None:
    async def test(mapping: PortMapping, reported: list[Any], documents: Documents) -> None:
        mapping.allow(False)
        mapping.relay_reached(AWAY)
        assert drivers == []

    with_mapping(test)


def test_switched_off_in_mid_run_it_is_given_back_and_reported(drivers: list[Driver]) -> None:
    async def test(mapping: PortMapping, reported: list[Any], documents: Documents) -> None:
        mapping.allow(True)
        mapping.relay_reached(AWAY)
        drivers[0].maps()
        assert reported[-1] == ((MAPPED,), MappingStatus("won", "", "pcp")) and mapping.ports == (MAPPED,)
        mapping.allow(False)
        await asyncio.sleep(0)
        assert drivers[0].calls[-1] == "close" and reported[-1][0] == () and mapping.status is None
        mapping.allow(True)
        assert len(drivers) == 1, "what is being given back is waited for"
        drivers[0].closing.set()
        for _ in range(4):
            await asyncio.sleep(0)
        assert len(drivers) == 2 and drivers[1].calls == ["start"]

    with_mapping(test)


def test_what_happens_is_passed_on(drivers: list[Driver]) -> None:
    async def test(mapping: PortMapping, reported: list[Any], documents: Documents) -> None:
        mapping.reflexive_seen("198.51.100.1")
        mapping.call_begins()
        mapping.allow(True)
        mapping.relay_reached(AWAY)
        assert drivers[0].calls == ["start", "seen 198.51.100.1"]
        mapping.reflexive_seen("198.51.100.1")
        mapping.network_changed()
        mapping.reflexive_seen("198.51.100.1")
        mapping.call_begins()
        assert drivers[0].calls[2:] == ["network", "seen 198.51.100.1", "call"]

    with_mapping(test)


def test_it_is_remembered_and_the_nonce_stands_in_no_repr(drivers: list[Driver]) -> None:
    async def test(mapping: PortMapping, reported: list[Any], documents: Documents) -> None:
        mapping.allow(True)
        mapping.relay_reached(AWAY)
        assert drivers[0].before is None
        drivers[0].options["on_remember"](Remembered(25_000, b"n" * 12, 25_001, "pcp", "192.168.1.1"))
        assert documents.own_port == OwnPort(25_000, b"n" * 12, 25_001, "pcp", "192.168.1.1")
        assert "nnn" not in repr(documents.own_port)

    with_mapping(test)


def test_a_document_survives_and_a_broken_one_is_none() -> None:
    documents = Documents(lambda names: None)
    own = OwnPort(25_000, bytes(range(12)), 25_001, "upnp", "192.168.1.1")
    documents.change_own_port(own)
    _, (name, stored) = documents.statement(Documents.OWN_PORT)
    again = Documents(lambda names: None)
    again.load([(name, stored)], set())
    assert again.own_port == own and again.bad_fields == ()
    for broken in (b"", b"[]", b'{"port": 70000}', b'{"port": 25000, "nonce": "AAAA"}', b'{"port": "x"}'):
        again = Documents(lambda names: None)
        again.load([(Documents.OWN_PORT, broken)], set())
        assert again.own_port == OwnPort() and again.bad_fields == ()
