"""Runs the :class:`~transport.portmap.mapper.PortMapper` on an asyncio loop: sockets, UPnP, the routing table, a timer.

It decides nothing.
"""

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable

from transport.io.gateways import network_now
from transport.io.runner import Runner
from transport.io.tasks import Tasks
from transport.io.udp import UdpSocket
from transport.io.upnp import UpnpGateway
from transport.net import sockets
from transport.net.port_mapping import MappedPort
from transport.portmap import igd
from transport.portmap import mapper_events as ev
from transport.portmap.lease import LEASE_S
from transport.portmap.mapper import STOP_S, PortMapper, free_port
from transport.portmap.natpmp import ANNOUNCEMENT_PORT
from transport.portmap.status import MappingStatus

_log = logging.getLogger(__name__)

# After an address comes its route: DHCP, and IPv6 router advertisements, take a moment.
LOOK_AGAIN_S = (0.0, 1.0, 4.0)
MAX_PORT_TRIES = 20
_ALL_HOSTS: sockets.Address = ("224.0.0.1", ANNOUNCEMENT_PORT)
Looks = Callable[[], Awaitable[ev.DefaultGateways]]


class PortMapDriver:
    """``await close()`` gives everything back. The callbacks run on the loop: the ports that are mapped now, how it
    stands, and what is to be remembered for the next start. ``look`` is for tests."""

    def __init__(
        self,
        before: ev.Remembered | None,
        rng: random.Random,
        *,
        on_ports: Callable[[tuple[MappedPort, ...]], None],
        on_status: Callable[[MappingStatus], None],
        on_remember: Callable[[ev.Remembered], None],
        lease_s: int = LEASE_S,
        look: Looks = network_now,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._look = look
        self._on_ports = on_ports
        self._on_status = on_status
        self._on_remember = on_remember
        self._tasks = Tasks("port-mapping")
        self._upnp = UpnpGateway()
        self._machine = PortMapper(ev.MapperConfig(own_port(before, rng), before, lease_s), rng)
        self._runner = Runner(self._machine, self._carry_out)
        self._looking: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()
        self._announcements: UdpSocket | None = None
        self._closing = False

    @property
    def ports(self) -> tuple[MappedPort, ...]:
        """What is mapped now."""
        return self._machine.ports

    @property
    def status(self) -> MappingStatus:
        """How it stands."""
        return self._machine.status

    def start(self) -> None:
        """Begin."""
        self._listen()
        self.network_changed()

    def network_changed(self) -> None:
        """Look at the routes again, now and a little later."""
        if self._closing:
            return
        if self._looking is not None:
            self._looking.cancel()
        self._looking = self._tasks.start(self._look_on(), name="look")

    def call_begins(self) -> None:
        """Are the mappings still there?"""
        self._runner.submit(ev.CheckMappings())

    def reflexive_seen(self, ip: str) -> None:
        """A STUN server sees us at this address."""
        if ":" not in ip:
            self._runner.submit(ev.ReflexiveSeen(ip))

    async def close(self) -> None:
        """Give the mappings back, for half a second at the most; then nothing of this runs any more."""
        if self._closing:
            return
        if self._looking is not None:
            self._looking.cancel()
        self._runner.submit(ev.StopMapping())
        self._closing = True
        try:
            async with asyncio.timeout(2 * STOP_S):
                await self._stopped.wait()
        except TimeoutError:
            _log.debug("the port mappings were not given back in time")
        self._runner.close()
        if self._announcements is not None:
            self._announcements.close()
        await self._tasks.close()
        await self._upnp.close()

    def _listen(self) -> None:
        """To routers that start anew. Every host is in the group that they speak to (RFC 1112 §4)."""

        def receive(source: sockets.Address, data: bytes) -> None:
            self._runner.submit(ev.GatewayAnnounced(source[0]))

        try:
            udp = UdpSocket("0.0.0.0", _ALL_HOSTS, receive, self._loop, ANNOUNCEMENT_PORT, shared=True)  # noqa: S104
        except OSError as error:
            _log.debug("announcements of routers cannot be received: %s", error)
            return
        self._announcements = udp

    async def _look_on(self) -> None:
        began = self._loop.time()
        for after_s in LOOK_AGAIN_S:
            await asyncio.sleep(max(0.0, began + after_s - self._loop.time()))
            self._runner.submit(await self._look())

    def _carry_out(self, command: ev.MapperCommand) -> None:
        match command:
            case ev.PortsMapped(ports):
                self._on_ports(ports)
            case ev.StatusChanged(status):
                self._on_status(status)
            case ev.Remember(what):
                self._on_remember(what)
            case ev.MapperStopped():
                self._stopped.set()
            case igd.IgdSearch() | igd.IgdAskAddress() | igd.IgdAdd() | igd.IgdLookUp() | igd.IgdDelete():
                # The machine asks one question at a time; a new one means that it has given up the one before.
                if self._asking is not None and self._asking is not asyncio.current_task():
                    self._asking.cancel()
                self._asking = self._tasks.start(self._ask(command), name="upnp")

    async def _ask(self, command: igd.IgdCommand) -> None:
        self._runner.submit(await self._upnp.answer(command))


def own_port(before: ev.Remembered | None, rng: random.Random) -> int:
    """The remembered port if nobody has taken it meanwhile, or another one that is free now."""
    wished = before.internal_port if before is not None else free_port(rng)
    for _ in range(MAX_PORT_TRIES):
        if _is_free(wished):
            break
        wished = free_port(rng)
    return wished


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104
        except OSError:
            return False
    return True
