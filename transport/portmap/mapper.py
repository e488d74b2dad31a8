"""One UDP port of ours, mapped on the routers in front of us for as long as the program runs (DESIGN §5).

The default gateway is asked in PCP, NAT-PMP and UPnP at once. The first of them in this order that answers within a
quarter of a second maps the port; another one takes its place when it fails. Where the external address is a private
one, the next router outwards is asked for a mapping of that mapping. IPv6 needs a pinhole only, which is PCP's.
"""

import ipaddress
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from transport.ice.candidates import is_private
from transport.net.port_mapping import MappedPort, MappingProtocol
from transport.net.sockets import Address, CloseSocket, DatagramReceived, SocketFailed, SocketOpened
from transport.portmap import natpmp, pcp
from transport.portmap.igd_client import IgdClient, IgdCommand, IgdEvent, IgdTask
from transport.portmap.lease import LEASE_S, ClientCommand, Lease, Standing
from transport.portmap.natpmp_client import MAX_TRIES, NatPmpClient, NatPmpTask
from transport.portmap.pcp_client import PcpClient, PcpTask

# A router in the same house answers within this (RFC 6886 §3.1 has it as its first waiting time).
FIRST_ANSWER_S = 0.25
# By then the slowest of the three, UPnP with its search and its descriptions, has mostly answered; it may still later.
DECIDED_S = 3.0
# Giving a port back: three packets, or one answer. No program should take longer to end.
STOP_S = 0.5
# Registered ports outside the ranges that systems take ports from by themselves (RFC 6335 §6; Linux 32768–60999).
FIRST_PORT, LAST_PORT = 20_000, 32_000
# RFC 7723 §3: a carrier's PCP server, wherever it is.
PCP_ANYCAST = "192.0.0.9"
_SHARED = ipaddress.ip_network("100.64.0.0/10")
# Of a router outwards only the address can be guessed: a few questions, no more.
GUESS_TRIES = 3
# Announcements that are heeded: each costs a question, and routers repeat theirs.
MIN_HEARD_S = 1.0
# Numbers of UPnP's questions that each client has for itself.
_NUMBERS_PER_CLIENT = 1_000_000

_WORST_FIRST = (
    "permanent-lease-only",
    "not-authorized",
    "no-resources",
    "conflict",
    "lease-too-short",
    "no-external-address",
    "address-mismatch",
    "refused",
    "unsupported",
    "silent",
    "no-socket",
)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the next run needs to find its mapping again, or to delete it. ``nonce`` is a secret of ours: whoever has
    it may change the mapping (RFC 6887 §11.2)."""

    internal_port: int
    nonce: bytes = field(repr=False)
    external_port: int = 0
    protocol: str = ""
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class MapperConfig:
    """``port`` is our own, free at the moment; ``before`` what the last run remembered."""

    port: int
    before: Remembered | None = None
    lease_s: int = LEASE_S


@dataclass(frozen=True, slots=True)
class NetworkIs:
    """The default gateways now, and our addresses that lead there; "" where there are none. An IPv6 gateway that is
    link-local has its scope behind it (``fe80::1%eth0``)."""

    gateway: str = ""
    local_ip: str = ""
    gateway6: str = ""
    local_ip6: str = ""


@dataclass(frozen=True, slots=True)
class ReflexiveSeen:
    """A STUN server sees us at this IPv4 address."""

    ip: str


@dataclass(frozen=True, slots=True)
class CheckNow:
    """A call begins: look whether the routers still know of it."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A packet to all hosts came from this address, on the port where routers say that they have started anew, or
    have another address (RFC 6886 §3.2.1, RFC 6887 §14.1). Anybody can say so; it is a reason to ask."""

    ip: str


@dataclass(frozen=True, slots=True)
class StopMapping:
    """Give everything back; for good."""


@dataclass(frozen=True, slots=True)
class MapperTimer:
    """The deadline has come."""


MapperEvent = (
    NetworkIs
    | SocketOpened
    | SocketFailed
    | DatagramReceived
    | IgdEvent
    | ReflexiveSeen
    | CheckNow
    | Announced
    | StopMapping
    | MapperTimer
)


@dataclass(frozen=True, slots=True)
class PortsMapped:
    """All that stands now, the outermost first."""

    ports: tuple[MappedPort, ...]


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep this for the next run."""

    what: Remembered


@dataclass(frozen=True, slots=True)
class MappingStatus:
    """How it stands, as one row of a panel. ``reason`` is a code.

    Of "won": "" or, where calls need luck with a further NAT, "second-nat" (the external address is a private one) or
    "other-address" (servers see another), or "ipv6-only" (a pinhole, and no IPv4).

    Of "failed": "no-gateway", "silent", "unsupported", "refused", "not-authorized", "no-resources", "conflict",
    "permanent-lease-only", "lease-too-short", "no-external-address", "address-mismatch", "no-socket"."""

    outcome: Literal["waiting", "trying", "won", "failed"]
    reason: str = ""
    protocol: MappingProtocol | None = None


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """It stands otherwise."""

    status: MappingStatus


@dataclass(frozen=True, slots=True)
class MapperStopped:
    """Everything has been given back, as far as the routers answered. The last command."""


MapperCommand = ClientCommand | IgdCommand | PortsMapped | Remember | StatusChanged | MapperStopped


@dataclass(slots=True)
class _Hop:
    """One router. ``inside`` is the mapping of the router before it that this one is to map."""

    gateway: str
    clients: list[PcpClient | NatPmpClient]
    others_at: float | None
    igd: IgdClient | None = None
    inside: Lease | None = None
    is_ipv6: bool = False

    @property
    def all(self) -> list[PcpClient | NatPmpClient | IgdClient]:
        """Best first."""
        return [*self.clients, *(() if self.igd is None else (self.igd,))]

    @property
    def held(self) -> list[PcpClient | NatPmpClient | IgdClient]:
        """Those with a mapping, best first."""
        return [client for client in self.all if client.lease is not None]


class PortMapper:
    """The machine. ``rng`` must be a :class:`random.SystemRandom` outside simulations: the nonce is from it."""

    def __init__(self, config: MapperConfig, rng: Random) -> None:
        before = config.before
        self.port = config.port
        self.status = MappingStatus("waiting")
        self.ports: tuple[MappedPort, ...] = ()
        self._config = config
        self._rng = rng
        same = before is not None and before.internal_port == config.port
        self._nonce = before.nonce if before is not None and same else rng.randbytes(pcp.NONCE_BYTES)
        self._wish = before.external_port if before is not None and same and before.external_port else config.port
        self._stale = before if before is not None and before.protocol else None
        self._remembered: Remembered | None = before if same else None
        self._network = NetworkIs()
        self._hops: list[_Hop] = []
        self._sockets = 0
        self._igds = 0
        self._reflexive_ip: str | None = None
        self._began_at: float | None = None
        self._stop_until: float | None = None
        self._heard_at: float | None = None
        self._is_over = False
        self._out: list[MapperCommand] = []

    def next_deadline(self) -> float | None:
        """When :class:`MapperTimer` is due."""
        if self._is_over:
            return None
        if self._stop_until is not None:
            clients = [client.next_deadline() for hop in self._hops for client in hop.all]
            return min([self._stop_until, *(due for due in clients if due is not None)])
        deadlines = [client.next_deadline() for hop in self._hops for client in hop.all]
        waiting = [hop.others_at for hop in self._hops if any(one.standing is Standing.READY for one in hop.all)]
        decided = self._began_at + DECIDED_S if self._began_at is not None and self.status.outcome == "trying" else None
        return min((due for due in (*deadlines, *waiting, decided) if due is not None), default=None)

    def handle(self, event: MapperEvent, now: float) -> list[MapperCommand]:
        """Take one event; never raises. After :class:`MapperStopped` nothing has any effect."""
        if self._is_over:
            return []
        match event:
            case NetworkIs():
                self._network_is(event, now)
            case SocketOpened() | SocketFailed() | DatagramReceived():
                self._give(event, now)
            case ReflexiveSeen(ip):
                # A relay in our own network sees what nobody outside does.
                self._reflexive_ip = None if is_private(ip) else ip
            case CheckNow():
                self._check(self._hops, now)
            case Announced(ip):
                heard = [hop for hop in self._hops if hop.gateway.partition("%")[0] == ip]
                if heard and (self._heard_at is None or now >= self._heard_at + MIN_HEARD_S):
                    self._heard_at = now
                    self._check(heard, now)
            case StopMapping():
                self._stop(now)
            case MapperTimer():
                for hop in self._hops:
                    for client in hop.all:
                        self._out += client.timer(now)
            case _:
                for hop in self._hops:
                    if hop.igd is not None:
                        self._out += hop.igd.handle(event, now)
        self._go_on(now)
        out, self._out = self._out, []
        return out

    def _check(self, hops: list[_Hop], now: float) -> None:
        for hop in hops:
            for client in hop.all:
                self._out += client.check(now)

    # -- routers -------------------------------------------------------------------------------------------------

    def _network_is(self, network: NetworkIs, now: float) -> None:
        if self._stop_until is not None or network == self._network:
            return
        before, self._network = self._network, network
        if (before.gateway, before.local_ip) != (network.gateway, network.local_ip):
            # What the routers of another network know of us cannot be reached any more; it has its end.
            self._leave([hop for hop in self._hops if not hop.is_ipv6])
            self._reflexive_ip = None
            if network.gateway and network.local_ip:
                self._begin_first(now)
        if (before.gateway6, before.local_ip6) != (network.gateway6, network.local_ip6):
            self._leave([hop for hop in self._hops if hop.is_ipv6])
            if network.gateway6 and network.local_ip6:
                self._begin_ipv6(now)
        self._began_at = now if self._hops else None

    def _begin_first(self, now: float) -> None:
        network, lease_s = self._network, self._config.lease_s
        hop = self._hop(network.gateway, "", self.port, self._wish, now)
        self._igds += 1
        number = self._igds * _NUMBERS_PER_CLIENT
        task = IgdTask(network.gateway, network.local_ip, self.port, self._wish, lease_s, number)
        hop.igd = IgdClient(task, self._rng)
        self._out += hop.igd.begin(now)
        self._hops.insert(0, hop)

    def _begin_second(self, inside: Lease, now: float) -> None:
        """The router outwards, if it is where such routers mostly are."""
        ip = ipaddress.IPv4Address(inside.external[0])
        network = ipaddress.IPv4Network((ip, 24), strict=False)
        first, last = str(network[1]), str(network[-2])
        gateway = last if str(ip) == first else first
        hop = self._hop(gateway, inside.external[0], inside.external[1], inside.external[1], now, GUESS_TRIES)
        hop.inside = inside
        if ip in _SHARED:
            hop.clients.insert(1, self._pcp(PCP_ANYCAST, inside.external[0], inside.external[1], inside.external[1]))
            self._out += hop.clients[1].begin()
        self._hops.append(hop)

    def _begin_ipv6(self, now: float) -> None:
        network = self._network
        client = self._pcp(network.gateway6, network.local_ip6, self.port, self.port)
        self._out += client.begin()
        self._hops.append(_Hop(network.gateway6, [client], None, is_ipv6=True))

    def _hop(self, gateway: str, client_ip: str, port: int, wish: int, now: float, tries: int = MAX_TRIES) -> _Hop:
        first = self._pcp(gateway, client_ip, port, wish)
        task = NatPmpTask(self._socket(), (gateway, natpmp.SERVER_PORT), port, wish, self._config.lease_s, tries)
        hop = _Hop(gateway, [first, NatPmpClient(task)], now + FIRST_ANSWER_S)
        for client in hop.clients:
            self._out += client.begin()
        return hop

    def _pcp(self, gateway: str, client_ip: str, port: int, wish: int) -> PcpClient:
        server = (gateway, pcp.SERVER_PORT)
        task = PcpTask(self._socket(), server, client_ip, port, self._nonce, wish, self._config.lease_s)
        return PcpClient(task, self._rng)

    def _socket(self) -> int:
        self._sockets += 1
        return self._sockets

    def _leave(self, hops: list[_Hop]) -> None:
        for hop in hops:
            self._out += [CloseSocket(client.task.socket) for client in hop.clients]
            self._hops.remove(hop)

    def _give(self, event: SocketOpened | SocketFailed | DatagramReceived, now: float) -> None:
        for hop in self._hops:
            for client in hop.clients:
                if client.task.socket == event.socket:
                    match event:
                        case SocketOpened():
                            self._out += client.opened(event, now)
                        case SocketFailed():
                            self._out += client.failed(event, now)
                        case DatagramReceived():
                            self._out += client.received(event, now)

    # -- what follows from it ------------------------------------------------------------------------------------

    def _go_on(self, now: float) -> None:
        if self._stop_until is not None:
            self._go_on_stopping(now)
            return
        for hop in self._hops:
            self._let_others_map(hop, now)
        self._look_outwards(now)
        self._drop_stale(now)
        self._publish(now)

    def _let_others_map(self, hop: _Hop, now: float) -> None:
        """The first that is ready, when nobody better can be waited for any more."""
        if hop.others_at is not None and now >= hop.others_at:
            hop.others_at = None
        for client in hop.all:
            if client.lease is not None:
                return
            if client.standing is Standing.READY:
                self._out += client.map(now)
                return
            if hop.others_at is not None and client.standing is Standing.ASKING:
                return

    def _look_outwards(self, now: float) -> None:
        first = next((hop for hop in self._hops if hop.igd is not None), None)
        held = [] if first is None else first.held
        inside = held[0].lease if held else None
        second = next((hop for hop in self._hops if hop.inside is not None), None)
        if second is not None and (
            inside is None or second.inside is None or inside.external != second.inside.external
        ):
            self._leave([second])
            second = None
        if second is not None:
            second.inside = inside
        elif inside is not None and is_private(inside.external[0]):
            self._begin_second(inside, now)

    def _drop_stale(self, now: float) -> None:
        """What a run that crashed has left, in another protocol than the one that maps now or for another port."""
        stale = self._stale
        first = next((hop for hop in self._hops if hop.igd is not None), None)
        if stale is None or first is None or stale.gateway != first.gateway or not first.held:
            return
        client = next((client for client in first.all if client.protocol == stale.protocol), None)
        is_own_port = stale.internal_port == self.port
        holds = {held.lease.external[1] for held in first.held if held.lease is not None}
        if client is None or (is_own_port and (stale.external_port in holds or not isinstance(client, IgdClient))):
            # Found again, by this protocol or another. PCP and NAT-PMP delete whatever there is for the internal port.
            self._stale = None
        elif client.answered_at is not None:
            commands: list[MapperCommand] = []
            match client:
                case PcpClient():
                    commands += client.drop_stale(stale.internal_port, stale.nonce)
                case NatPmpClient():
                    commands += client.drop_stale(stale.internal_port)
                case IgdClient():
                    commands += client.drop_stale(stale.external_port, stale.internal_port, now)
            if commands:
                self._stale = None
                self._out += commands

    def _publish(self, now: float) -> None:
        ports = tuple(self._mapped_ports())
        self._remember()
        if [_without_time(port) for port in ports] != [_without_time(port) for port in self.ports]:
            self._out.append(PortsMapped(ports))
        self.ports = ports
        status = self._status(now)
        if status != self.status:
            self.status = status
            self._out.append(StatusChanged(status))

    def _remember(self) -> None:
        """Also before anything is mapped: a crash may come between the router's answer and our next thought."""
        first = next((hop for hop in self._hops if hop.igd is not None), None)
        if first is None:
            return
        record = Remembered(self.port, self._nonce, 0, "", first.gateway)
        if first.held:
            client = first.held[0]
            self._wish = client.lease.external[1] if client.lease is not None else self._wish
            record = Remembered(self.port, self._nonce, self._wish, client.protocol, first.gateway)
        elif self._remembered is not None and self._remembered.gateway == first.gateway:
            # What is known of an earlier mapping there is more than that nothing stands now.
            return
        if record != self._remembered:
            self._remembered = record
            # The first thing to happen, whatever else follows from the same event.
            self._out.insert(0, Remember(record))

    def _mapped_ports(self) -> list[MappedPort]:
        found: dict[Address, MappedPort] = {}
        # A second router's mapping leads to the first one's, so it comes after it here and lies before it outside.
        for hop in sorted(self._hops, key=lambda hop: hop.inside is None):
            for client in hop.held:
                if client.lease is not None:
                    until = client.lease.expires_at
                    until = until if hop.inside is None else min(until, hop.inside.expires_at)
                    external = client.lease.external
                    port = MappedPort(self.port, external, client.protocol, until, self._is_public(external[0]))
                    found.setdefault(external, port)
        return list(found.values())

    def _is_public(self, ip: str) -> bool:
        if is_private(ip):
            return False
        return ":" in ip or self._reflexive_ip in (None, ip)

    def _status(self, now: float) -> MappingStatus:
        four = [port for port in self.ports if ":" not in port.external[0]]
        best = next((port for port in four if port.is_public), None) or next(iter(four), None)
        if best is not None:
            reason = "" if best.is_public else "second-nat" if is_private(best.external[0]) else "other-address"
            return MappingStatus("won", reason, best.protocol)
        first = next((hop for hop in self._hops if hop.igd is not None), None)
        if first is None:
            if self.ports:
                return MappingStatus("won", "", self.ports[0].protocol)
            return MappingStatus("failed", "no-gateway")
        undecided = {Standing.ASKING, Standing.READY}
        is_early = self._began_at is not None and now < self._began_at + DECIDED_S
        if is_early and any(client.standing in undecided for client in first.all):
            return MappingStatus("trying")
        if self.ports:
            return MappingStatus("won", "ipv6-only", self.ports[0].protocol)
        reasons = [client.reason or "silent" for client in first.all]
        reason = min(reasons, key=lambda code: _WORST_FIRST.index(code) if code in _WORST_FIRST else len(_WORST_FIRST))
        return MappingStatus("failed", reason)

    # -- the end -------------------------------------------------------------------------------------------------

    def _stop(self, now: float) -> None:
        if self._stop_until is None:
            self._stop_until = now + STOP_S
            # The outermost first: its questions travel through the mapping of the inner one's router, not through it.
            for hop in reversed(self._hops):
                for client in hop.all:
                    self._out += client.release(now)

    def _go_on_stopping(self, now: float) -> None:
        clients = [client for hop in self._hops for client in hop.all]
        is_late = self._stop_until is not None and now >= self._stop_until
        if is_late or all(client.standing is Standing.OVER for client in clients):
            self._leave(list(self._hops))
            self._is_over = True
            self.ports = ()
            self._out.append(MapperStopped())


def _without_time(port: MappedPort) -> tuple[object, ...]:
    return port.internal_port, port.external, port.protocol, port.is_public


def free_port(rng: Random) -> int:
    """A port to try for the first time."""
    return rng.randint(FIRST_PORT, LAST_PORT)
