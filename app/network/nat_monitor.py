"""What is known of our own NAT, network by network: measured when the program starts, when the network changes and
before a call when it is older than a minute. Nobody ever waits for it (DESIGN §4). How long a block NAT remembers
mappings takes two minutes more, and is measured once in each network.

:class:`KnownNats` decides and is pure; :class:`NatWatch` runs one measurement of each kind at a time for it.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_address
from random import Random

from transport.ice.candidates import HostAddress, useful_hosts
from transport.io.nat_measurement import measure_life, measure_profile
from transport.io.tasks import Tasks
from transport.nat.mapping_lifetime import SILENCES_S
from transport.nat.profile import Allocation, NatProfile, renewed
from transport.net.sockets import Address

_log = logging.getLogger(__name__)

# Home, work, a train and a phone, and as many to spare.
MAX_NETWORKS = 8
# When a network comes, its addresses and routes come one after the other.
SETTLE_S = 0.5
# The profiler itself ends within 4 s.
MEASURE_TIMEOUT_S = 6.0
# The longest silence, and questions that are lost before and after it.
LIFE_TIMEOUT_S = max(SILENCES_S) + 10.0

NetworkKey = tuple[HostAddress, ...]
"""The interface addresses that lead somewhere. Two networks may give us the same; then the outside address, which the
first answer shows, tells them apart (:func:`transport.nat.profile.renewed`)."""
Measure = Callable[[tuple[Address, ...], tuple[HostAddress, ...], Random], Awaitable[NatProfile]]
MeasureLife = Callable[[tuple[Address, ...], Random], Awaitable[float | None]]


def network_key(hosts: tuple[HostAddress, ...]) -> NetworkKey:
    """The same for the same addresses, in whatever order the system names them."""
    return tuple(sorted(useful_hosts(hosts), key=lambda host: (host.interface, host.ip)))


class KnownNats:
    """Profiles by network, the networks that were left longest ago forgotten first. Times as in the profiles."""

    def __init__(self, hosts: tuple[HostAddress, ...], now: float) -> None:
        self._profiles: OrderedDict[NetworkKey, NatProfile] = OrderedDict()
        self.key = network_key(hosts)
        self._since = now
        self._life_asked: tuple[NetworkKey, str] | None = None

    @property
    def profile(self) -> NatProfile | None:
        """Of the network that we are in."""
        return self._profiles.get(self.key)

    def is_due(self, now: float) -> bool:
        """Whether it should be measured."""
        return self.profile is None or not self.profile.fresh(now)

    def is_life_due(self) -> bool:
        """Whether it should be found out how long mappings live: only block × block needs it."""
        profile = self.profile
        if profile is None or profile.allocation is not Allocation.BLOCK or profile.reflexive is None:
            return False
        return profile.life_s is None and self._life_asked != (self.key, profile.reflexive[0])

    def ask_life(self) -> None:
        """It is being found out: not again in this network, whatever comes of it."""
        profile = self.profile
        if profile is not None and profile.reflexive is not None:
            self._life_asked = (self.key, profile.reflexive[0])

    def life_learnt(self, life_s: float | None) -> None:
        """By silence, of the NAT that was asked about."""
        profile = self.profile
        if life_s is None or profile is None or profile.reflexive is None:
            return
        if self._life_asked == (self.key, profile.reflexive[0]):
            self._profiles[self.key] = replace(profile, life_s=life_s)

    def moved(self, hosts: tuple[HostAddress, ...], now: float) -> bool:
        """We are in another network, or back in one; returns whether that is so."""
        key = network_key(hosts)
        if key == self.key:
            return False
        self.key, self._since = key, now
        self._life_asked = None
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
        life: MeasureLife = measure_life,
    ) -> None:
        self._hosts = hosts
        self._servers = servers
        self._changed = changed
        self._rng = rng
        self._measure = measure or _measure
        self._measure_life = life
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks("nat-watch")
        self._known = KnownNats(hosts, self._loop.time())
        self._measuring: asyncio.Task[None] | None = None
        self._silence: asyncio.Task[None] | None = None
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
            if self._silence is not None:
                self._silence.cancel()
                self._silence = None
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
            if self._silence is None and self._known.is_life_due():
                self._known.ask_life()
                self._silence = self._tasks.start(self._be_silent(stun), name="life")
        except TimeoutError:
            _log.debug("the NAT could not be measured in time")
        finally:
            if self._measuring is task:
                self._measuring = None

    async def _be_silent(self, stun: tuple[Address, ...]) -> None:
        task = asyncio.current_task()
        try:
            async with asyncio.timeout(LIFE_TIMEOUT_S):
                self._known.life_learnt(await self._measure_life(stun, self._rng))
            self._changed()
        except TimeoutError:
            _log.debug("how long mappings live could not be measured in time")
        finally:
            if self._silence is task:
                self._silence = None


async def _measure(stun: tuple[Address, ...], hosts: tuple[HostAddress, ...], rng: Random) -> NatProfile:
    # The session with the relay is UDP and stands: endpoints that keep silent are blocked.
    return await measure_profile(stun, hosts, rng, online=True)


def _is_on_this_machine(relay_ip: str, hosts: tuple[HostAddress, ...]) -> bool:
    return relay_ip in {host.ip for host in hosts} or not relay_ip or ip_address(relay_ip).is_loopback
