"""Gateways between networks, and STUN servers: what stands between two hosts of the virtual network."""

import random
from collections.abc import Callable

from relay.legs import LegTable
from relay.limits import Limiter, RelayLimits
from relay.media_port import DatagramHandler
from relay.stun_origins import Origins
from tests.natsim.nat import Nat, NatKind
from tests.natsim.network import Address, Host, Network, Packet
from tests.natsim.wire import Wire
from transport.net.token_bucket import Rate

_NO_LIMIT = Rate(1e9, 1e9)
Lie = Callable[[Address], Address]


class NatGateway:
    """A NAT, or a firewall, between the network ``inside`` and the network ``outside``.

    ``up`` and ``down`` are its wires on the outside; inside it stands at the hosts' own wires, at no distance.
    """

    def __init__(self, nat: Nat, inside: Network, outside: Network, up: Wire | None = None, down: Wire | None = None):
        self.nat = nat
        self.inside = inside
        self.outside = outside
        self.up = up or Wire(delay=0)
        self.down = down or Wire(delay=0)
        self._shown: set[str] = set()
        inside.gateway = self
        self._show(nat.addresses)

    def route(self, ip: str) -> None:
        """A host inside keeps its address, as behind a firewall: the outside finds it through this gateway."""
        self._show((ip,))

    def replace(self, nat: Nat) -> None:
        """Another NAT in its place, in mid-call: other tables and, maybe, other addresses."""
        for ip in set(self.nat.addresses) - set(nat.addresses):
            self.outside.detach(ip)
            self._shown.discard(ip)
        self.nat = nat
        self._show(nat.addresses)

    def cut(self, is_cut: bool = True) -> None:
        """Cut the link to the outside, both ways, or heal it."""
        self.up.cut = self.down.cut = is_cut

    def from_inside(self, packet: Packet) -> None:
        """A packet that leaves the inside. A router that uses up the last hop has not translated it (RFC 1812)."""
        if packet.ttl <= 1:
            self.inside.lost["ttl"] += 1
            return
        if self.nat.kind.allocation == "none" and packet.source[0] not in self._shown:
            self.route(packet.source[0])
        translated = self.nat.from_inside(packet.source, packet.destination, self.outside.clock.now)
        if translated is None:
            return
        onward = Packet(translated.source, translated.destination, packet.data, packet.ttl - 1)
        if translated.inward:
            self.inside.inject(onward)
        else:
            self.outside.send(onward)

    def deliver(self, packet: Packet) -> None:
        """A packet from the outside to one of the NAT's addresses."""
        if packet.ttl <= 1:
            self.outside.lost["ttl"] += 1
            return
        translated = self.nat.from_outside(packet.source, packet.destination, self.outside.clock.now)
        if translated is not None:
            self.inside.inject(Packet(translated.source, translated.destination, packet.data, packet.ttl - 1))

    def _show(self, ips: tuple[str, ...]) -> None:
        for ip in ips:
            self._shown.add(ip)
            self.outside.attach(ip, self)


def behind(
    outside: Network,
    kind: NatKind,
    addresses: tuple[str, ...],
    rng: random.Random,
    up: Wire | None = None,
    down: Wire | None = None,
) -> NatGateway:
    """A new network behind a new NAT of ``outside``; it is ``.inside``."""
    inside = Network(outside.clock, outside.rng)
    return NatGateway(Nat(kind, addresses, rng), inside, outside, up, down)


class StunServer:
    """Answers Binding requests on every one of the host's addresses and each of ``ports``, as a relay does: with the
    relay's own code, RFC 5780 included, and without its limits, as nobody attacks it.

    ``lie`` changes the address that it tells, as captive portals and broken ALGs do. ``asked`` counts requests.
    """

    def __init__(self, host: Host, ports: tuple[int, ...]) -> None:
        self.host = host
        self.lie: Lie | None = None
        self.asked = 0
        self._bound: tuple[Address, ...] = tuple((ip, port) for port in ports for ip in host.addresses)
        self.serve(self._bound)
        for number, endpoint in enumerate(self._bound):
            host.open(self._answering(number), endpoint[1], endpoint[0])

    def serve(self, endpoints: tuple[Address, ...]) -> None:
        """Be a relay that has these of them alone."""
        self.endpoints = endpoints
        elsewhere = ("0.0.0.0", 0)
        limits = RelayLimits(stun=_NO_LIMIT)
        origins = Origins([endpoint if endpoint in endpoints else elsewhere for endpoint in self._bound])
        self._handler = DatagramHandler(LegTable(limits.leg_packets, b"secret"), Limiter(limits), origins)

    def _answering(self, number: int) -> Callable[[bytes, Address], None]:
        def received(data: bytes, source: Address) -> None:
            claimed = source if self.lie is None else self.lie(source)
            for (leaving, _), answer in self._handler.question(data, (number, claimed), self.host.network.clock.now):
                self.asked += 1
                ip, port = self._bound[leaving]
                self.host.send(port, source, bytes(answer), ip=ip)

        return received
