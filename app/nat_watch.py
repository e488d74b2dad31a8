"""What is known of our own NAT, network by network: measured when the program starts, when the network changes and
before a call when it is older than a minute. Nobody ever waits for it (DESIGN §4).

:class:`KnownNats` decides and is pure; :class:`NatWatch` runs one :func:`measure_profile` at a time for it.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from random import Random

from transport.io.profile_driver import measure_profile
from transport.io.tasks import Tasks
from transport.traverse.candidates import HostAddress, useful_hosts
from transport.traverse.nat_profile import NatProfile, renewed
from transport.wire.stun import Address

_log = logging.getLogger(__name__)

# Home, work, a train and a phone, and as many to spare.
MAX_NETWORKS = 8
# When a network comes, its addresses and routes come one after the other.
SETTLE_S = 0.5
# The profiler itself ends within 4 s.
MEASURE_TIMEOUT_S = 6.0

NetworkKey = tuple[HostAddress, ...]
"""The interface addresses that lead somewhere. Two networks may give us the same; then the outside address, which the
first answer shows, tells them apart (:func:`transport.traverse.nat_profile.renewed`)."""
Measure = Callable[[tuple[Address, ...], tuple[HostAddress, ...], Random], Awaitable[NatProfile]]


def network_key(hosts: tuple[HostAddress, ...]) -> NetworkKey:
    """The same for the same addresses, in whatever order the system names them."""
    return tuple(sorted(useful_hosts(hosts), key=lambda host: (host.interface, host.ip)))


class KnownNats:
    """Profiles by network, the networks that were left longest ago forgotten first. Times as in the profiles."""

    def __init__(self, hosts: tuple[HostAddress, ...], now: float) -> None:
        self._profiles: OrderedDict[NetworkKey, NatProfile] = OrderedDict()
        self.key = network_key(hosts)
        self._since = now

    @property
    def profile(self) -> NatProfile | None:
        """Of the network that we are in."""
        return self._profiles.get(self.key)

    def is_due(self, now: float) -> bool:
        """Whether it should be measured."""
        return self.profile is None or not self.profile.fresh(now)

    def moved(self, hosts: tuple[HostAddress, ...], now: float) -> bool:
        """We are in another network, or back in one; returns whether that is so."""
        key = network_key(hosts)
        if key == self.key:
            return False
        self.key, self._since = key, now
        if key in self._profiles:
            self._profiles.move_to_end(key)
        return True

    def learnt(self, profile: NatProfile | None, now: float) -> None:
        """By measuring, or in a call. What was made before we came into this network is about another one."""
        if profile is None or profile.made_at < self._since:
            return
        self._profiles[self.key] = renewed(self.profile, profile, now)
        self._profiles.move_to_end(self.key)
        while len(self._profiles) > MAX_NETWORKS:
            self._profiles.popitem(last=False)


class NatWatch:
    """Runs the measuring on the loop. ``changed`` is called when there is something new to show; ``servers`` names the
    relay's STUN endpoints and the relay's address, or nothing while there is no session."""

    def __init__(
        self,
        hosts: tuple[HostAddress, ...],
        servers: Callable[[], tuple[tuple[Address, ...], str]],
        changed: Callable[[], None],
        rng: Random,
        measure: Measure | None = None,
    ) -> None:
        self._hosts = hosts
        self._servers = servers
        self._changed = changed
        self._rng = rng
        self._measure = measure or _measure
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks("nat-watch")
        self._known = KnownNats(hosts, self._loop.time())
        self._measuring: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def profile(self) -> NatProfile | None:
        """What is known now."""
        return self._known.profile

    async def close(self) -> None:
        """Stop measuring, for good."""
        self._closed = True
        await self._tasks.close()

    def network_changed(self, hosts: tuple[HostAddress, ...]) -> None:
        """The interfaces have other addresses."""
        self._hosts = hosts
        if self._known.moved(hosts, self._loop.time()):
            if self._measuring is not None:
                self._measuring.cancel()
                self._measuring = None
            self.renew(SETTLE_S)
            self._changed()

    def renew(self, after_s: float = 0.0) -> None:
        """There is a session with the relay, or a call begins: measure, if what is known is older than a minute."""
        if self._measuring is None and not self._closed and self._known.is_due(self._loop.time()):
            self._measuring = self._tasks.start(self._run(after_s), name="measure")

    def learnt(self, profile: NatProfile | None) -> None:
        """A call has found this out."""
        self._known.learnt(profile, self._loop.time())
        self._changed()

    async def _run(self, after_s: float) -> None:
        task = asyncio.current_task()
        try:
            await asyncio.sleep(after_s)
            stun, relay_ip = self._servers()
            if not stun or _is_on_this_machine(relay_ip, self._hosts):
                # A relay behind the same NAT as we, or none, has nothing to say about it.
                return
            async with asyncio.timeout(MEASURE_TIMEOUT_S):
                self.learnt(await self._measure(stun, self._hosts, self._rng))
        except TimeoutError:
            _log.debug("the NAT could not be measured in time")
        finally:
            if self._measuring is task:
                self._measuring = None


async def _measure(stun: tuple[Address, ...], hosts: tuple[HostAddress, ...], rng: Random) -> NatProfile:
    # The session with the relay is UDP and stands: endpoints that keep silent are blocked.
    return await measure_profile(stun, hosts, rng, online=True)


def _is_on_this_machine(relay_ip: str, hosts: tuple[HostAddress, ...]) -> bool:
    return relay_ip in {host.ip for host in hosts} or not relay_ip or ip_address(relay_ip).is_loopback
