"""A real miniupnpd on one of the laboratory's masquerades: PCP, NAT-PMP and UPnP as home routers have them."""

import contextlib
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.natsim.scenario import Scenario, pair
from tests.natsim.wire import WireSpec
from tests.netlab.lab import Box, KernelWorld
from tests.netlab.namespaces import TIMEOUT_S
from tests.processes import Running, program
from transport.io.upnp_client import SSDP_PORT
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
"""
# The laboratory's IPv6 firewall, which the daemon's own chain comes before.
CLOSED = 'policy drop; jump miniupnpd; iifname "lan" accept; ct state established,related accept;'

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

    def __init__(self, world: KernelWorld, name: str, public_ip: str, folder: Path) -> None:
        """``name`` is the router's namespace, whose interfaces are "lan" and "wan"."""
        self.world = world
        self.name = name
        self.public_ip = public_ip
        self.config = folder / f"miniupnpd-{name}.conf"
        self.leases = folder / f"miniupnpd-{name}.leases"
        self._is_built = False

    @classmethod
    def of(cls, world: KernelWorld, box: Box, folder: Path) -> "Miniupnpd":
        """On one of the masquerades."""
        return cls(world, box.name, box.outside[0], folder)

    def build(self) -> None:
        """What the daemon finds when it starts."""
        self.nft(RULES)
        self.world.held.output(self.name, "ip", "route", "add", "239.0.0.0/8", "dev", "lan")

    def nft(self, rules: str) -> str:
        return self.world.held.output(self.name, "nft", rules)

    @contextlib.contextmanager
    def running(self, *extra: str) -> Iterator[Running]:
        """Serve within the block. ``extra`` are lines of its configuration, in place of the usual ones."""
        if not self._is_built:
            self._is_built = True
            self.build()
        lines = (
            "ext_ifname=wan",
            # Addresses for documentation are no public ones to it.
            f"ext_ip={self.public_ip}",
            "listening_ip=lan",
            "port=5000",
            "enable_natpmp=yes",
            "enable_upnp=yes",
            "min_lifetime=5",
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
        with program(*self.world.held.prefix(self.name), *command) as running:
            self._wait_until_it_serves(running)
            yield running

    def _wait_until_it_serves(self, running: Running) -> None:
        """It says so with its number in front of each line; the kernel's list of open ports is easier to read."""
        end = time.monotonic() + TIMEOUT_S
        ssdp = f":{SSDP_PORT:04X} "
        while ssdp not in self.world.held.output(self.name, "cat", "/proc/net/udp"):
            assert time.monotonic() < end and running.process.poll() is None, list(running._unread.queue)
            time.sleep(0.02)

    def deaf_to_pcp(self) -> None:
        """The router speaks NAT-PMP alone, as older ones do: version 2 in the first byte never reaches the daemon."""
        drop = f"type filter hook input priority 0; udp dport {SERVER_PORT} @th,64,8 2 drop;"
        rules = f"table inet deaf {{ chain in {{ {drop} }}; }}"
        self.nft(rules)

    def forget(self) -> None:
        """What a router that starts anew has lost: rules and connections."""
        for chain in ("miniupnpd", "prerouting_miniupnpd", "postrouting_miniupnpd"):
            self.nft(f"flush chain inet filter {chain}")
        self.leases.unlink(missing_ok=True)
        self.world.held.module(self.name, "tests.netlab.conntrack")

    def forwards(self) -> list[str]:
        """The rules that send packets from outside on to a host."""
        listing = self.nft("list chain inet filter prerouting_miniupnpd").splitlines()
        return [line.strip() for line in listing if "dnat" in line]


class PinholeRouter(Miniupnpd):
    """The same daemon on the IPv6 firewall of a side, where PCP opens pinholes. It wants to have IPv4 as well."""

    def __init__(self, world: KernelWorld, side: int, folder: Path) -> None:
        super().__init__(world, f"six{side}", PUBLIC, folder)

    def build(self) -> None:
        held = self.world.held
        self.nft("flush ruleset")
        self.nft(RULES.replace("policy accept; jump miniupnpd;", CLOSED))
        held.output(self.name, "ip", "addr", "add", "10.66.0.1/24", "dev", "lan")
        held.output(self.name, "ip", "addr", "add", f"{PUBLIC}/32", "dev", "wan")
        held.output(self.name, "ip", "route", "add", "239.0.0.0/8", "dev", "lan")

    def pinholes(self) -> list[str]:
        """The rules that let packets from outside in."""
        listing = self.nft("list chain inet filter miniupnpd").splitlines()
        return [line.strip() for line in listing if "accept" in line]
