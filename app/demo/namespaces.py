"""Two home networks with a router each, and the internet between them, for ``segue demo``: all inside this machine.

They are Linux network namespaces, and the routers do what home routers do: nftables' masquerade, and nothing comes in
that nobody inside has asked for. One child process holds them all; when it ends, and it does so when its standard
input closes, however the demo ends, the kernel takes back every namespace, interface and rule. It needs no root where
the system lets users have namespaces of their own.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

from app.account.local_relay import Child, LocalRelayError, end_child, first_line
from app.demo.networks import HOUSEHOLDS, RELAY_IPS, Household, Nat
from app.system.errors import cause_of

INTERNET = "net"
_READY = b"ready\n"
_TOOLS = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "nft": "nftables"}


class NoNamespacesError(Exception):
    """There can be no such networks here. The message is the reason, in half a sentence."""


class DemoNet:
    """The networks while they stand. Made by :meth:`build`, gone after :meth:`close`."""

    def __init__(self, holder: Child, *, is_own_user: bool) -> None:
        self._holder = holder
        self._is_own_user = is_own_user

    @classmethod
    async def build(cls, nat: Nat, folder: Path) -> "DemoNet":
        """Build them. ``folder`` marks the process that holds them. Raises :class:`NoNamespacesError`."""
        if not sys.platform.startswith("linux"):
            raise NoNamespacesError("only Linux has network namespaces")
        for tool, package in _TOOLS.items():
            if shutil.which(tool) is None:
                raise NoNamespacesError(f"there is no “{tool}” (package {package})")
        ways = [True, False] if os.geteuid() == 0 else [True]
        reasons = []
        for is_own_user in ways:
            net = cls(_hold(build_script(nat), folder, is_own_user=is_own_user), is_own_user=is_own_user)
            try:
                ready = await first_line(net._holder) == _READY
            except asyncio.CancelledError:
                await net.close()
                raise
            if ready:
                return net
            reasons.append(await net._why_it_ended())
        raise NoNamespacesError(reasons[0])

    def prefix(self, place: str) -> tuple[str, ...]:
        """What to put before a command so that it runs there: :data:`INTERNET`, or the name of a household."""
        user = ("--user", "--preserve-credentials") if self._is_own_user else ()
        enter = ("nsenter", "--target", str(self._holder.pid), *user, "--net", "--mount", f"--wd={os.getcwd()}")
        return (*enter, "ip", "netns", "exec", place)

    async def close(self) -> None:
        """End the holder. Programs that still run inside keep their network until they end, too."""
        await end_child(self._holder)
        if self._holder.stderr is not None:
            self._holder.stderr.close()

    async def _why_it_ended(self) -> str:
        output = b""
        if self._holder.stderr is not None:
            output = await asyncio.to_thread(self._holder.stderr.read)
        await self.close()
        lines = output.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "the system does not allow it")


def build_script(nat: Nat) -> str:
    """The shell commands that make the networks, for a shell in a fresh network and mount namespace."""
    options = {Nat.HOME: ("", ""), Nat.STRICT: ("", "fully-random"), Nat.BOTH_STRICT: ("fully-random",) * 2}[nat]
    return "\n".join(
        [
            # `ip netns` keeps its names in /run, which belongs to the machine: this shell gets a /run of its own.
            "mount -t tmpfs tmpfs /run",
            *_namespace(INTERNET, forwards=True),
            *(f"ip -n {INTERNET} addr add {ip}/32 dev lo" for ip in RELAY_IPS),
            *(_household(house, masquerade) for house, masquerade in zip(HOUSEHOLDS, options, strict=True)),
            # The kernel takes up to a second to see that a new link has a carrier, and drops what is sent before.
            f"for n in {' '.join([INTERNET, *(f'{house.name} router-{house.name}' for house in HOUSEHOLDS)])}; do",
            """until ! ip -n $n link show | grep -Eq "qdisc noop|NO-CARRIER|state DOWN"; do sleep 0.02; done; done""",
        ]
    )


def _namespace(name: str, *, forwards: bool) -> list[str]:
    forward = f"ip netns exec {name} sh -ec 'echo 1 > /proc/sys/net/ipv4/ip_forward'"
    return [f"ip netns add {name}", f"ip -n {name} link set lo up", *([forward] if forwards else [])]


def _household(house: Household, masquerade: str) -> str:
    name, router = house.name, f"router-{house.name}"
    networks = "\n".join([*_namespace(router, forwards=True), *_namespace(name, forwards=False)])
    return f"""{networks}
ip link add wan netns {router} type veth peer name to-{name} netns {INTERNET}
ip link add lan netns {router} type veth peer name eth0 netns {name}
ip -n {INTERNET} addr add {house.hop}/24 dev to-{name}
ip -n {router} addr add {house.outside}/24 dev wan
ip -n {router} addr add {house.router}/24 dev lan
ip -n {name} addr add {house.inside}/24 dev eth0
ip -n {INTERNET} link set to-{name} up
ip -n {router} link set wan up
ip -n {router} link set lan up
ip -n {name} link set eth0 up
ip -n {router} route add default via {house.hop}
ip -n {name} route add default via {house.router}
ip netns exec {router} nft '
    table ip nat {{ chain out {{
        type nat hook postrouting priority 100; oifname "wan" masquerade {masquerade};
    }}; }}
    table ip filter {{
        chain in {{ type filter hook input priority 0; iifname "wan" ct state new drop; }}
        chain through {{ type filter hook forward priority 0; iifname "wan" ct state new drop; }}
    }}'"""


def _hold(script: str, folder: Path, *, is_own_user: bool) -> Child:
    unshare = ("unshare", "-Urnm") if is_own_user else ("unshare", "-nm")
    try:
        return subprocess.Popen(  # noqa: S603 - a fixed script of our own
            [*unshare, "sh", "-ec", f"{script}\necho ready\nread -r _ || :", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Ctrl-C in a terminal is for the demo alone, which then takes everything down in order.
            start_new_session=True,
        )
    except OSError as error:
        raise LocalRelayError("process-not-started", cause=cause_of(error)) from error
