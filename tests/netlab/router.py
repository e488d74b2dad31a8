"""A NAT for real packets, in a process of its own: ``tests.natsim.nat.Nat`` behind a TUN interface.

    python -m tests.netlab.router TUN OPTIONS     (OPTIONS: JSON of :class:`Options`)

The kernel routes what comes from inside and from outside into the TUN interface and what comes out of it onward. Only
UDP over IPv4 passes. Commands come on stdin and each is answered on stdout, one JSON object a line (:data:`Command`);
the end of stdin is the end of the router.
"""

import fcntl
import gc
import heapq
import ipaddress
import json
import os
import random
import select
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from tests.natsim.nat import Nat, NatKind
from tests.natsim.wire import Wire, WireSpec
from tests.netlab import packets

# linux/if_tun.h
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
PACKET_BYTES = 65_535
# A second of ten calls; more would be a loop, and its packets are dropped and counted.
MAX_WAITING_PACKETS = 2_000


class Options(msgspec.Struct, frozen=True):
    """``inside`` is the prefix of the network behind this NAT."""

    kind: NatKind
    addresses: tuple[str, ...]
    inside: str
    seed: int
    up: WireSpec = field(default_factory=lambda: WireSpec(delay_ms=0))
    down: WireSpec = field(default_factory=lambda: WireSpec(delay_ms=0))


class Command(msgspec.Struct, frozen=True):
    """``swap`` needs ``kind``, ``wires`` one or both wires. ``cut``, ``heal`` and ``wires`` are about the way to and
    from ``remotes`` alone where there are any: that is how a direct path fares otherwise than the relay's."""

    do: Literal["flush", "swap", "cut", "heal", "wires", "stats"]
    kind: NatKind | None = None
    up: WireSpec | None = None
    down: WireSpec | None = None
    remotes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Way:
    """The wires outside the NAT, both directions."""

    up: Wire
    down: Wire

    def set_cut(self, is_cut: bool) -> None:
        self.up.cut = self.down.cut = is_cut


@dataclass(slots=True, order=True)
class _Waiting:
    due_s: float
    order: int
    packet: packets.UdpPacket = field(compare=False)
    comes_in: bool = field(compare=False)


class Router:
    """Translates, delays and loses. Time is an argument."""

    def __init__(self, options: Options) -> None:
        self._addresses = options.addresses
        self._rng = random.Random(options.seed)
        self._inside = ipaddress.IPv4Network(options.inside)
        self._nat = Nat(options.kind, options.addresses, self._rng)
        self._options = options
        self._usual = self._way()
        self._ways: dict[str, _Way] = {}
        """Of the remotes that have one of their own."""
        self._waiting: list[_Waiting] = []
        self._order = 0
        self.counts: Counter[str] = Counter()

    def packet(self, raw: bytes, now: float) -> list[bytes]:
        """A packet from the kernel; returns what is to be sent at once."""
        packet = packets.parse(raw)
        if packet is None:
            self.counts["not-udp"] += 1
            return []
        if ipaddress.IPv4Address(packet.source[0]) not in self._inside:
            self._keep(packet, self._ways.get(packet.source[0], self._usual).down, now, comes_in=True)
            return self.due(now)
        translated = self._nat.from_inside(packet.source, packet.destination, now)
        if translated is None:
            return []
        onward = replace(packet, source=translated.source, destination=translated.destination)
        if translated.inward:
            return [self._sent(onward)]
        self._keep(onward, self._ways.get(onward.destination[0], self._usual).up, now, comes_in=False)
        return self.due(now)

    def due(self, now: float) -> list[bytes]:
        """What has crossed its wire by now. A packet that comes in meets the NAT only then."""
        ready: list[bytes] = []
        while self._waiting and self._waiting[0].due_s <= now:
            waiting = heapq.heappop(self._waiting)
            packet = waiting.packet
            if waiting.comes_in:
                translated = self._nat.from_outside(packet.source, packet.destination, now)
                if translated is None:
                    continue
                packet = replace(packet, source=translated.source, destination=translated.destination)
            ready.append(self._sent(packet))
        return ready

    def next_deadline(self) -> float | None:
        """When the next packet has crossed its wire."""
        return self._waiting[0].due_s if self._waiting else None

    def command(self, command: Command) -> dict[str, Any]:
        """Carry out a command; returns the answer."""
        match command.do:
            case "flush":
                self._nat.flush()
            case "swap" if command.kind is not None:
                self._nat = Nat(command.kind, self._addresses, self._rng)
            case "cut" | "heal":
                for way in self._meant(command.remotes):
                    way.set_cut(command.do == "cut")
            case "wires":
                for way in self._meant(command.remotes):
                    way.up = command.up.wire() if command.up is not None else way.up
                    way.down = command.down.wire() if command.down is not None else way.down
            case "stats":
                return {
                    **self.counts,
                    **{str(why): count for why, count in self._nat.drops.items()},
                    "mappings": len(self._nat),
                }
            case _:
                return {"error": f"{command.do} lacks something"}
        return {}

    def _way(self) -> _Way:
        return _Way(self._options.up.wire(), self._options.down.wire())

    def _meant(self, remotes: tuple[str, ...]) -> list[_Way]:
        """The ways that a command is about; without remotes it is all there are."""
        if not remotes:
            return [self._usual, *self._ways.values()]
        return [self._ways.setdefault(remote, self._way()) for remote in remotes]

    def _keep(self, packet: packets.UdpPacket, wire: Wire, now: float, *, comes_in: bool) -> None:
        arrivals = wire.arrivals(now, self._rng)
        if not arrivals:
            self.counts["lost"] += 1
        for when in arrivals:
            if len(self._waiting) >= MAX_WAITING_PACKETS:
                self.counts["queue-full"] += 1
                return
            self._order += 1
            heapq.heappush(self._waiting, _Waiting(when, self._order, packet, comes_in))

    def _sent(self, packet: packets.UdpPacket) -> bytes:
        self.counts["sent"] += 1
        # The kernel forwards twice, into the TUN interface and out of it, but this is one router.
        return packets.build(replace(packet, ttl=packet.ttl + 1))


def run(tun: int, router: Router) -> None:
    """Serve until stdin ends."""
    pending = b""
    while True:
        due = router.next_deadline()
        wait = None if due is None else max(0.0, due - time.monotonic())
        ready, _, _ = select.select([tun, sys.stdin.fileno()], [], [], wait)
        out = router.due(time.monotonic())
        if tun in ready:
            out += router.packet(os.read(tun, PACKET_BYTES), time.monotonic())
        for raw in out:
            os.write(tun, raw)
        if sys.stdin.fileno() in ready:
            read = os.read(sys.stdin.fileno(), PACKET_BYTES)
            if not read:
                return
            *lines, pending = (pending + read).split(b"\n")
            for line in lines:
                say(router.command(msgspec.json.decode(line, type=Command)))


def say(answer: dict[str, Any]) -> None:
    """One line of JSON to whoever commands."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def attach(name: str) -> int:
    """A descriptor of the TUN interface, which exists already."""
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


def main() -> None:
    """The command line."""
    name, options = sys.argv[1:]
    router = Router(msgspec.json.decode(options.encode(), type=Options))
    tun = attach(name)
    # A pause of the collector would be jitter that no scenario ordered.
    gc.freeze()
    gc.disable()
    say({"ready": name})
    try:
        run(tun, router)
    finally:
        os.close(tun)


if __name__ == "__main__":
    main()
