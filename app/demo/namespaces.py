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
            output = await asyncio.get_running_loop().run_in_executor(None, self._holder.stderr.read)
        await self.close()
        lines = output.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "the system does not allow it")


def build_script(nat: Nat) -> str:
    """The shell commands that make the networks, for a shell in a fresh network and mount namespace."""
    options = {Nat.HOME: ("", ""), Nat.STRICT: ("", "fully-random"), Nat.BOTH_STRICT: ("fully-random",) * 2}[nat]
    lines = [
        # `ip netns` keeps its names in /run, which belongs to the machine: this shell gets a /run of its own.
        "mount -t tmpfs tmpfs /run",
        *_namespace(INTERNET, forwards=True),
        *(f"ip -n {INTERNET} addr add {ip}/32 dev lo" for ip in RELAY_IPS),
    ]
    for house, masquerade in zip(HOUSEHOLDS, options, strict=True):
        lines += _household(house, masquerade)
    # The kernel takes up to a second to see that a new link has a carrier, and drops what is sent before.
    names = " ".join([INTERNET, *(name for house in HOUSEHOLDS for name in (house.name, _router(house)))])
    down = '"qdisc noop|NO-CARRIER|state DOWN"'
    lines.append(f"for n in {names}; do until ! ip -n $n link show | grep -Eq {down}; do sleep 0.02; done; done")
    return "\n".join(lines)


def _router(house: Household) -> str:
    return f"router-{house.name}"


def _namespace(name: str, *, forwards: bool) -> list[str]:
    lines = [f"ip netns add {name}", f"ip -n {name} link set lo up"]
    if forwards:
        lines.append(f"ip netns exec {name} sh -ec 'echo 1 > /proc/sys/net/ipv4/ip_forward'")
    return lines


def _household(house: Household, masquerade: str) -> list[str]:
    router = _router(house)
    rules = f"""
        table ip nat {{ chain out {{
            type nat hook postrouting priority 100; oifname "wan" masquerade {masquerade};
        }}; }}
        table ip filter {{
            chain in {{ type filter hook input priority 0; iifname "wan" ct state new drop; }}
            chain through {{ type filter hook forward priority 0; iifname "wan" ct state new drop; }}
        }}"""
    return [
        *_namespace(router, forwards=True),
        *_namespace(house.name, forwards=False),
        f"ip link add wan netns {router} type veth peer name to-{house.name} netns {INTERNET}",
        f"ip link add lan netns {router} type veth peer name eth0 netns {house.name}",
        f"ip -n {INTERNET} addr add {house.hop}/24 dev to-{house.name}",
        f"ip -n {router} addr add {house.outside}/24 dev wan",
        f"ip -n {router} addr add {house.router}/24 dev lan",
        f"ip -n {house.name} addr add {house.inside}/24 dev eth0",
        *(
            f"ip -n {place} link set {link} up"
            for place, link in (
                (INTERNET, f"to-{house.name}"),
                (router, "wan"),
                (router, "lan"),
                (house.name, "eth0"),
            )
        ),
        f"ip -n {router} route add default via {house.hop}",
        f"ip -n {house.name} route add default via {house.router}",
        f"ip netns exec {router} nft '{rules}'",
    ]


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
