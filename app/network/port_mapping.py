"""The mapped port: when one is wanted, and what is remembered of it.

It is asked for from the first connection to a relay on, unless the person has switched it off or hides behind the
relay. A relay on this machine itself is no reason: whoever talks to themselves needs nothing from the router.
"""

import asyncio
import random
from collections.abc import Callable
from ipaddress import ip_address

import msgspec

from app.store.documents import Documents, OwnPort
from transport.io.gateways import network_now
from transport.io.port_mapper_io import Looks, PortMapDriver
from transport.io.tasks import Tasks
from transport.net.port_mapping import MappedPort
from transport.portmap.mapper_events import Remembered
from transport.portmap.status import MappingStatus

OnChange = Callable[[tuple[MappedPort, ...], MappingStatus], None]


class PortMapping:
    """Starts and ends the mapping as it is wanted or not. ``changed`` is called on the loop; ``look`` is for tests."""

    def __init__(self, documents: Documents, changed: OnChange, rng: random.Random, look: Looks = network_now) -> None:
        self._documents = documents
        self._changed = changed
        self._rng = rng
        self._look = look
        self._tasks = Tasks("port-mapping")
        self._driver: PortMapDriver | None = None
        self._ending: asyncio.Task[None] | None = None
        self._relay_ip = ""
        self._reflexive_ip = ""
        self._is_allowed = False
        self._closing = False

    @property
    def ports(self) -> tuple[MappedPort, ...]:
        """What is mapped now."""
        return () if self._driver is None else self._driver.ports

    @property
    def status(self) -> MappingStatus | None:
        """How it stands; ``None`` where it is not wanted."""
        return None if self._driver is None else self._driver.status

    def allow(self, allowed: bool) -> None:
        """What the settings say."""
        self._is_allowed = allowed
        self._consider()

    def relay_reached(self, host_ip: str) -> None:
        """A relay is connected, at this address."""
        self._relay_ip = host_ip
        self._consider()

    def network_changed(self) -> None:
        """Our interfaces have other addresses: perhaps another router."""
        self._reflexive_ip = ""
        if self._driver is not None:
            self._driver.network_changed()

    def reflexive_seen(self, ip: str) -> None:
        """A STUN server sees us at this address."""
        if ip != self._reflexive_ip:
            self._reflexive_ip = ip
            if self._driver is not None:
                self._driver.reflexive_seen(ip)

    def call_begins(self) -> None:
        """Look whether the mapping still stands, so that a router that has started anew is noticed in time."""
        if self._driver is not None:
            self._driver.call_begins()

    async def close(self) -> None:
        """Give the port back."""
        self._closing = True
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.close()
        if self._ending is not None:
            await self._ending
        await self._tasks.close()

    def _consider(self) -> None:
        wanted = self._is_allowed and bool(self._relay_ip) and not ip_address(self._relay_ip).is_loopback
        if self._closing or wanted is (self._driver is not None):
            return
        if self._driver is not None:
            driver, self._driver = self._driver, None
            self._ending = self._tasks.start(driver.close(), name="give-back")
            self._changed((), MappingStatus("waiting"))
        elif self._ending is None or self._ending.done():
            self._begin()
        else:
            # Off and on again: what is being given back must not be what is asked for next.
            self._ending.add_done_callback(lambda _: self._consider())

    def _begin(self) -> None:
        own = self._documents.own_port
        before = None
        if own.port:
            before = Remembered(own.port, own.nonce, own.external_port, own.protocol, own.gateway)
        self._driver = PortMapDriver(
            before,
            self._rng,
            on_ports=lambda ports: self._report(),
            on_status=lambda status: self._report(),
            on_remember=self._remember,
            look=self._look,
        )
        self._driver.start()
        if self._reflexive_ip:
            self._driver.reflexive_seen(self._reflexive_ip)

    def _report(self) -> None:
        if self._driver is not None:
            self._changed(self._driver.ports, self._driver.status)

    def _remember(self, what: Remembered) -> None:
        own = OwnPort(what.internal_port, what.nonce, what.external_port, what.protocol, what.gateway)
        if msgspec.structs.astuple(own) != msgspec.structs.astuple(self._documents.own_port):
            self._documents.change_own_port(own)
