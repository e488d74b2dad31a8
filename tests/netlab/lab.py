"""A scenario in kernel namespaces: the same sides, NATs, wires and addresses as ``tests.natsim.scenario.build`` makes.

``mid`` is the internet with the relay's addresses, ``h0`` and ``h1`` are the hosts. Every NAT is a namespace: Linux'
own masquerade where the scenario names one of the ``linux`` kinds, :mod:`tests.netlab.router` otherwise. A masquerade
has no wires, so an open router stands outside it where the scenario wants them.
"""

import contextlib
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec

from tests.natsim.kinds import KINDS
from tests.natsim.nat import NatKind
from tests.natsim.scenario import IPV6_PREFIXES, RELAY_IPV6, Fault, Scenario, host_ip, ipv6_ip, outside_ip
from tests.natsim.wire import WireSpec
from tests.netlab.namespaces import Namespaces, Talker, namespaces

MID = "mid"
TRANSIT_IP = "198.19.0.1"
"""The internet's end of every access (RFC 2544 range)."""
NO_WIRE = WireSpec(delay_ms=0.0)
MASQUERADES = {KINDS["linux"]: "", KINDS["linux-open-input"]: "", KINDS["linux-random"]: "fully-random"}
ROUTER_TABLE = 100


class NotInKernelError(ValueError):
    """A scenario has something that this laboratory lacks; the text says what."""


@dataclass(frozen=True, slots=True)
class Box:
    """One NAT. ``outside`` are the addresses that its realm finds it by, ``gateway`` the namespace of that realm."""

    name: str
    kind: NatKind
    outside: tuple[str, ...]
    inside: ipaddress.IPv4Interface
    """Its own address within, with the prefix of the network there."""
    gateway: str
    up: WireSpec = NO_WIRE
    down: WireSpec = NO_WIRE

    @property
    def masquerade(self) -> str | None:
        """Options of nftables' masquerade, or ``None`` for the router in Python."""
        return MASQUERADES.get(self.kind)

    @property
    def keeps_addresses(self) -> bool:
        return self.kind.allocation == "none"


def realm_of(member: str) -> ipaddress.IPv4Interface:
    """The gateway and prefix of the network that a host or an inner NAT is on: /16 at carriers, /24 elsewhere."""
    length = 16 if member.startswith("100.") else 24
    network = ipaddress.IPv4Network((member, length), strict=False)
    return ipaddress.IPv4Interface((network.broadcast_address - 1, length))


def boxes_of(scenario: Scenario) -> list[list[Box]]:
    """The NATs of each side from the host outwards; shared ones are the same objects in both lists."""
    if any(side.ipv6 not in (None, KINDS["firewall"], KINDS["open"]) for side in scenario.sides):
        raise NotInKernelError(f"{scenario.name}: IPv6 goes through the kernel's own firewall, or through none")
    shared: list[Box] = []
    own_count, gateway = len(scenario.sides[0].nats), MID
    for number in reversed(range(len(scenario.shared))):
        inner = outside_ip(scenario, 0, own_count + number - 1) if own_count + number else host_ip(scenario, 0)
        box = _box(scenario, 0, own_count + number, f"shared{number}", inner, gateway)
        gateway = box.name
        shared.insert(0, box)
    if shared and not own_count:
        shared[-1] = replace(shared[-1], up=scenario.sides[0].up, down=scenario.sides[0].down)
    return [[*_own_boxes(scenario, side, gateway), *shared] for side in (0, 1)]


def _own_boxes(scenario: Scenario, side: int, gateway: str) -> list[Box]:
    spec, boxes = scenario.sides[side], list[Box]()
    for number in reversed(range(len(spec.nats))):
        inner = outside_ip(scenario, side, number - 1) if number else host_ip(scenario, side)
        box = _box(scenario, side, number, f"nat{side}{number}", inner, gateway)
        if number == len(spec.nats) - 1:
            if box.masquerade is not None and (spec.up, spec.down) != (NO_WIRE, NO_WIRE) and gateway == MID:
                wires = Box(
                    f"wire{side}", KINDS["open"], box.outside, realm_of(box.outside[0]), gateway, spec.up, spec.down
                )
                boxes.insert(0, wires)
                box = replace(box, gateway=wires.name)
            else:
                box = replace(box, up=spec.up, down=spec.down)
        gateway = box.name
        boxes.insert(0, box)
    return boxes


def _box(scenario: Scenario, side: int, number: int, name: str, inner: str, gateway: str) -> Box:
    kind = scenario.stack(side)[number]
    outside = (inner,) if kind.allocation == "none" else (outside_ip(scenario, side, number),)
    return Box(name, kind, outside, realm_of(inner), gateway)


class KernelWorld:
    """The built laboratory. Use through :func:`kernel_world`."""

    def __init__(self, held: Namespaces, scenario: Scenario, seed: int) -> None:
        self.held = held
        self.scenario = scenario
        self.stacks = boxes_of(scenario)
        self.routers: dict[str, Talker] = {}
        self._links = 0
        self._script: list[str] = []
        distinct = {box.name: box for stack in self.stacks for box in reversed(stack)}
        self._build_middle()
        for box in distinct.values():
            self._build_box(box)
        for side in (0, 1):
            self._build_host(side)
            if scenario.sides[side].ipv6 is not None:
                self._build_ipv6(side)
        held.script("\n".join(self._script))
        for number, box in enumerate(distinct.values()):
            self._start(box, seed + number)
        ipv6 = [_six(side) for side in (0, 1) if scenario.sides[side].ipv6 is not None]
        self._wait_for_links([MID, *distinct, *ipv6, self.host(0), self.host(1)])

    @property
    def relay_ips(self) -> tuple[str, ...]:
        """All addresses of the middle that servers may have."""
        ipv4 = self.scenario.relay.addresses
        return (*ipv4, *RELAY_IPV6) if any(side.ipv6 is not None for side in self.scenario.sides) else ipv4

    def host(self, side: int) -> str:
        """The namespace of a side's host."""
        return f"h{side}"

    def nat(self, side: int, number: int) -> Box:
        """A NAT as scenarios count them."""
        own = [box for box in self.stacks[side] if not box.name.startswith("wire")]
        return own[number]

    def carry_out(self, fault: Fault) -> None:
        """Do it to the NAT now."""
        box = self.nat(fault.side, fault.nat)
        router = self.routers.get(box.name)
        if router is not None:
            router.ask({"do": fault.what, **({"kind": msgspec.to_builtins(fault.to)} if fault.to is not None else {})})
        elif fault.what == "flush":
            self.held.module(box.name, "tests.netlab.conntrack")
        elif fault.what == "cut":
            rules = "table inet cut { chain through { type filter hook forward priority -300; policy drop; }; }"
            self.held.output(box.name, "nft", rules)
        elif fault.what == "heal":
            self.held.output(box.name, "nft", "delete table inet cut")
        else:
            raise NotInKernelError("a masquerade cannot be swapped for another NAT")

    def direct_way(self, up: WireSpec | None = None, down: WireSpec | None = None, *, cut: bool | None = None) -> None:
        """Other wires between side 0's outermost NAT and the other side's (``up``: from side 0), or cut or healed
        ones: the relay is reached as before."""
        remotes = self.stacks[1][-1].outside
        if up is not None or down is not None:
            self._ask_outermost(0, "wires", remotes, up, down)
        if cut is not None:
            self._ask_outermost(0, "cut" if cut else "heal", remotes)

    def relay_way(self, extra_ms: float) -> None:
        """The relay is so much further one way, from one person to the other, than the direct path."""
        for side, spec in enumerate(self.scenario.sides):
            up, down = (replace(wire, delay_ms=wire.delay_ms + extra_ms / 2) for wire in (spec.up, spec.down))
            self._ask_outermost(side, "wires", self.scenario.relay.addresses, up, down)

    def _ask_outermost(
        self, side: int, what: str, remotes: tuple[str, ...], up: WireSpec | None = None, down: WireSpec | None = None
    ) -> None:
        router = self.routers.get(self.stacks[side][-1].name)
        if router is None:
            raise NotInKernelError("a masquerade without wires knows one way only")
        wires = {name: msgspec.to_builtins(wire) for name, wire in (("up", up), ("down", down)) if wire is not None}
        router.ask({"do": what, "remotes": remotes, **wires})

    # -- building

    def _do(self, *lines: str) -> None:
        self._script += lines

    def _add(self, name: str, *sysctls: str) -> None:
        # Duplicate address detection would keep IPv6 silent for a second, and there are no duplicates here.
        usual = (
            "net.ipv4.conf.all.rp_filter=0",
            "net.ipv4.conf.default.rp_filter=0",
            "net.ipv6.conf.default.accept_dad=0",
        )
        settings = " ".join((*usual, *sysctls))
        self._do(f"ip netns add {name}", f"ip -n {name} link set lo up", f"ip netns exec {name} sysctl -eqw {settings}")

    def _build_middle(self) -> None:
        self._add(MID, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self._do(*(f"ip -n {MID} addr add {ip} dev lo" for ip in self.relay_ips))

    def _link(self, name: str, interface: str, gateway: str, *, is_isolated: bool = False) -> str:
        """Connect a namespace to its realm; returns the name of the realm's end."""
        self._links += 1
        there = f"link{self._links}"
        self._do(
            f"ip link add {interface} netns {name} type veth peer name {there} netns {gateway}",
            f"ip -n {name} link set {interface} up",
        )
        if gateway != MID:
            self._do(f"ip -n {gateway} link set {there} master lan")
            if is_isolated:
                self._do(f"ip -n {gateway} link set {there} type bridge_slave isolated on")
        self._do(f"ip -n {gateway} link set {there} up")
        return there

    def _build_box(self, box: Box) -> None:
        name = box.name
        self._add(name, "net.ipv4.ip_forward=1")
        self._do(
            # Without a link-local life of its own the bridge forwards at once.
            f"ip -n {name} link add lan type bridge forward_delay 0",
            f"ip -n {name} addr add {box.inside} dev lan",
            f"ip -n {name} link set lan up",
        )
        there = self._link(name, "wan", box.gateway)
        if box.gateway == MID:
            self._do(f"ip -n {MID} addr add {TRANSIT_IP}/32 dev {there}")
            self._do(*(f"ip -n {MID} route add {ip}/32 dev {there}" for ip in box.outside))
            hop = TRANSIT_IP
        else:
            hop = str(realm_of(box.outside[0]).ip)
        if box.masquerade is not None:
            length = 32 if box.gateway == MID else realm_of(box.outside[0]).network.prefixlen
            self._do(f"ip -n {name} addr add {box.outside[0]}/{length} dev wan")
        else:
            # The addresses are the router's, not the kernel's: it answers ARP for them and gives their packets away.
            self._do(
                # It would wait for up to 0.8 s, as polite proxies do.
                f"ip netns exec {name} sysctl -qw net.ipv4.neigh.wan.proxy_delay=0",
                *(f"ip -n {name} neigh add proxy {ip} dev wan" for ip in box.outside),
                f"ip -n {name} tuntap add tun0 mode tun",
                f"ip -n {name} link set tun0 up",
                f"ip -n {name} route add default dev tun0 table {ROUTER_TABLE}",
                f"ip -n {name} rule add iif lan lookup {ROUTER_TABLE}",
                f"ip -n {name} rule add iif wan lookup {ROUTER_TABLE}",
            )
        self._do(f"ip -n {name} route add default via {hop} dev wan onlink")

    def _build_host(self, side: int) -> None:
        name, ip = self.host(side), host_ip(self.scenario, side)
        gateway = self.stacks[side][0]
        self._add(name)
        self._link(name, "eth0", gateway.name, is_isolated=self.scenario.sides[side].isolated)
        self._do(
            f"ip -n {name} addr add {ip}/{gateway.inside.network.prefixlen} dev eth0",
            f"ip -n {name} route add default via {gateway.inside.ip}",
        )

    def _build_ipv6(self, side: int) -> None:
        """A second interface of the host, behind a router with the kernel's own stateful firewall; it has no wires."""
        name, host, prefix, transit = _six(side), self.host(side), IPV6_PREFIXES[side], f"2001:db8:ff{side}"
        self._add(name, "net.ipv6.conf.all.forwarding=1")
        self._do(
            f"ip link add eth1 netns {host} type veth peer name lan netns {name}",
            f"ip link add wan netns {name} type veth peer name six{side} netns {MID}",
            f"ip -n {host} addr add {ipv6_ip(side)}/64 dev eth1",
            f"ip -n {name} addr add {prefix}::1/64 dev lan",
            f"ip -n {name} addr add {transit}::2/64 dev wan",
            f"ip -n {MID} addr add {transit}::1/64 dev six{side}",
            *(f"ip -n {at} link set {link} up" for at, link in ((host, "eth1"), (name, "lan"), (name, "wan"))),
            f"ip -n {MID} link set six{side} up",
            f"ip -n {host} route add default via {prefix}::1 dev eth1",
            f"ip -n {name} route add default via {transit}::1 dev wan",
            f"ip -n {MID} route add {prefix}::/64 via {transit}::2",
        )
        if self.scenario.sides[side].ipv6 == KINDS["firewall"]:
            rules = (
                "table ip6 filter { chain through { type filter hook forward priority filter; policy drop; "
                'iifname "lan" accept; ct state established,related accept; }; }'
            )
            self._do(f'ip netns exec {name} nft "{rules}"')

    def _wait_for_links(self, names: list[str]) -> None:
        """The kernel takes up to a second to notice that a new link has a carrier, and drops what is sent before."""
        down = '"qdisc noop|NO-CARRIER|state DOWN"'
        wait = f"until ! ip -n $name link show | grep -Eq {down}; do sleep 0.02; done"
        self.held.script(f"for name in {' '.join(names)}; do {wait}; done")

    def _start(self, box: Box, seed: int) -> None:
        if box.masquerade is None:
            options = {
                "kind": msgspec.to_builtins(box.kind),
                "addresses": [] if box.keeps_addresses else list(box.outside),
                "inside": str(box.inside.network),
                "seed": seed,
                "up": msgspec.to_builtins(box.up),
                "down": msgspec.to_builtins(box.down),
            }
            arguments = ("tun0", msgspec.json.encode(options).decode())
            self.routers[box.name] = self.held.start(box.name, "tests.netlab.router", *arguments)
            return
        rules = f"""
            table ip nat {{ chain out {{
                type nat hook postrouting priority srcnat; oifname "wan" masquerade {box.masquerade}
            }}; }}"""
        if not box.kind.accepts_input:
            # A packet that is dropped here leaves no trace in the connection table.
            rules += """
            table inet filter { chain in {
                type filter hook input priority filter; iifname "wan" ct state new drop
            }; }"""
        self.held.output(box.name, "nft", rules)


def _six(side: int) -> str:
    return f"six{side}"


@contextlib.contextmanager
def kernel_world(scenario: Scenario, seed: int = 1) -> Iterator[KernelWorld]:
    """Build a scenario; everything of it ends with the block."""
    with namespaces() as held:
        yield KernelWorld(held, scenario, seed)
