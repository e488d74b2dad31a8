"""The addresses of this machine's interfaces, and a watch on them.

Looking is cheap (a system call, under a millisecond for a handful of interfaces) and the same on every system, where
the notices of the operating systems are not; so the watch looks, every two seconds.
"""

import asyncio
from collections.abc import Callable

import ifaddr

from transport.ice.candidates import HostAddress
from transport.io.tasks import Tasks

# A person who changes networks waits longer than this for the new one; failover does not wait for the watch at all.
LOOK_EVERY_S = 2.0


def host_addresses() -> tuple[HostAddress, ...]:
    """What every interface has now, in the system's order; the choice among them is the traversal's."""
    found = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            found.append(HostAddress(text.partition("%")[0], ip.network_prefix, adapter.nice_name))
    return tuple(found)


class NetworkWatch:
    """Calls ``changed(addresses)`` on the loop when they are not what they were. ``look`` is for tests."""

    def __init__(
        self,
        changed: Callable[[tuple[HostAddress, ...]], None],
        look: Callable[[], tuple[HostAddress, ...]] = host_addresses,
    ) -> None:
        self._changed = changed
        self._look = look
        self._tasks = Tasks("network-watch")
        self.hosts = look()

    def start(self) -> None:
        """Begin to watch."""
        self._tasks.start(self._watch(), name="watch")

    async def close(self) -> None:
        """Stop."""
        await self._tasks.close()

    def look_now(self) -> None:
        """Something suggests a change: do not wait for the next look."""
        hosts = self._look()
        if set(hosts) != set(self.hosts):
            self.hosts = hosts
            self._changed(hosts)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look_now()
