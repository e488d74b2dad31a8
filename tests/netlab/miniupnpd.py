"""A real miniupnpd on one of the laboratory's masquerades: PCP, NAT-PMP and UPnP as home routers have them."""

import contextlib
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.natsim.scenario import Scenario, pair
from tests.natsim.wire import WireSpec
from tests.netlab.lab import Box, KernelWorld
from tests.netlab.namespaces import PATIENCE_S
from tests.processes import Running, program
from transport.io.upnp import SSDP_PORT
from transport.portmap.pcp import SERVER_PORT

BINARY = Path("/usr/sbin/miniupnpd")
# What Debian's nft_init.sh makes: a table with a jump to the chains that miniupnpd fills. The laboratory's router
# forwards anyway, and its masquerade is a table of its own.
RULES = """
table inet filter {
    chain forward { type filter hook forward priority 0; policy accept; jump miniupnpd; }
    chain miniupnpd { }
    chain prerouting { type nat hook prerouting priority -100; policy accept; jump prerouting_miniupnpd; }
    chain postrouting { type nat hook postrouting priority 90; policy accept; jump postrouting_miniupnpd; }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
}
table ip6 pinholes { }
"""


# Some address that it does not take for one of the documentation's; it exists in the namespaces alone.
PUBLIC = "11.1.0.1"


def behind_a_mapping_router(one: str = "linux-random", other: str = "open", delay_ms: float = 0.0) -> Scenario:
    """Side 0 is the one whose router :class:`Miniupnpd` can be started on."""
    scenario = pair(one, other, WireSpec(delay_ms=delay_ms))
    mapped, plain = scenario.sides
    return replace(scenario, sides=(replace(mapped, public_ip=PUBLIC), plain))


def why_not() -> str:
    """Why there is no such router here; empty when there can be one."""
    return "" if BINARY.exists() else "port mapping needs a router: the package miniupnpd-nftables is not installed"


class Miniupnpd:
    """The router's daemon. What it has mapped is what the kernel's rules say."""

    def __init__(self, world: KernelWorld, box: Box, folder: Path) -> None:
        self.world = world
        self.box = box
        self.config = folder / f"miniupnpd-{box.name}.conf"
        self.leases = folder / f"miniupnpd-{box.name}.leases"
        self._rules_are_there = False

    @contextlib.contextmanager
    def running(self, *extra: str) -> Iterator[Running]:
        """Serve within the block. ``extra`` are lines of its configuration, in place of the usual ones."""
        if not self._rules_are_there:
            self._rules_are_there = True
            self.world.held.output(self.box.name, "nft", RULES)
            self.world.held.output(self.box.name, "ip", "route", "add", "239.0.0.0/8", "dev", "lan")
        lines = (
            "ext_ifname=wan",
            # Addresses for documentation are no public ones to it.
            f"ext_ip={self.box.outside[0]}",
            "listening_ip=lan",
            "port=5000",
            "enable_natpmp=yes",
            "enable_upnp=yes",
            "min_lifetime=10",
            "max_lifetime=86400",
            "secure_mode=yes",
            # The age of its table is the daemon's, not the machine's.
            "system_uptime=no",
            "ipv6_disable=yes",
            f"lease_file={self.leases}",
            f"uuid={uuid.uuid4()}",
            "clean_ruleset_interval=600",
            "upnp_table_name=filter",
            "upnp_nat_table_name=filter",
            "upnp_forward_chain=miniupnpd",
            "upnp_nat_chain=prerouting_miniupnpd",
            "upnp_nat_postrouting_chain=postrouting_miniupnpd",
        )
        settings = dict(line.partition("=")[::2] for line in (*lines, *extra))
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        self.config.write_text(f"{text}allow 1024-65535 0.0.0.0/0 1024-65535\n")
        pid = self.config.with_suffix(".pid")
        command = [str(BINARY), "-d", "-f", str(self.config), "-P", str(pid)]
        with program(*self.world.held.prefix(self.box.name), *command) as running:
            self._wait_until_it_serves(running)
            yield running

    def _wait_until_it_serves(self, running: Running) -> None:
        """It says so with its number in front of each line; the kernel's list of open ports is easier to read."""
        end = time.monotonic() + PATIENCE_S
        ssdp = f":{SSDP_PORT:04X} "
        while ssdp not in self.world.held.output(self.box.name, "cat", "/proc/net/udp"):
            assert time.monotonic() < end and running.process.poll() is None, list(running._unread.queue)
            time.sleep(0.02)

    def deaf_to_pcp(self) -> None:
        """The router speaks NAT-PMP alone, as older ones do: version 2 in the first byte never reaches the daemon."""
        drop = f"type filter hook input priority 0; udp dport {SERVER_PORT} @th,64,8 2 drop;"
        rules = f"table inet deaf {{ chain in {{ {drop} }}; }}"
        self.world.held.output(self.box.name, "nft", rules)

    def forget(self) -> None:
        """What a router that starts anew has lost: rules and connections."""
        for chain in ("miniupnpd", "prerouting_miniupnpd", "postrouting_miniupnpd"):
            self.world.held.output(self.box.name, "nft", f"flush chain inet filter {chain}")
        self.leases.unlink(missing_ok=True)
        self.world.held.module(self.box.name, "tests.netlab.conntrack")

    def forwards(self) -> list[str]:
        """The rules that send packets from outside on to a host."""
        done = subprocess.run(
            [*self.world.held.prefix(self.box.name), "nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd"],
            capture_output=True,
            text=True,
            check=True,
        )
        return [line.strip() for line in done.stdout.splitlines() if "dnat" in line]
