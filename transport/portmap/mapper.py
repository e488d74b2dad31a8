"""One UDP port of ours, mapped on the routers in front of us for as long as the program runs.

The default gateway is asked in PCP, NAT-PMP and UPnP at once. The first of them in this order that answers within a
quarter of a second maps the port; another one takes its place when it fails. Where the external address is a private
one, the next router outwards is asked for a mapping of that mapping. IPv6 needs a pinhole only, which is PCP's.
"""

import ipaddress
from dataclasses import dataclass
from random import Random

from transport.ice.candidates import is_private
from transport.net.machine import TimerFired
from transport.net.port_mapping import MappedPort
from transport.net.sockets import Address, CloseSocket, DatagramReceived, SocketFailed, SocketOpened
from transport.portmap import mapper_events as ev
from transport.portmap import natpmp, pcp
from transport.portmap.client import DatagramClient, State
from transport.portmap.igd_client import IgdClient, IgdTask
from transport.portmap.lease import Lease
from transport.portmap.natpmp_client import MAX_TRIES, NatPmpClient, NatPmpTask
from transport.portmap.pcp_client import PcpClient, PcpTask
from transport.portmap.status import MappingStatus, mapping_status

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
# Each announcement costs a question, and routers repeat theirs.
MIN_ANNOUNCEMENT_INTERVAL_S = 1.0
# Numbers of UPnP's questions that each client has for itself.
_NUMBERS_PER_CLIENT = 1_000_000

Client = PcpClient | NatPmpClient | IgdClient


@dataclass(slots=True)
class _Hop:
    """One router and the clients that ask it, best first. ``inner`` is the mapping of the router before it that this
    one is to map. Until ``preferred_until`` a better client that has not answered is waited for."""

    gateway: str
    clients: list[Client]
    preferred_until: float | None
    inner: Lease | None = None
    is_ipv6: bool = False

    @property
    def held(self) -> list[tuple[Client, Lease]]:
        """Clients with a lease, best first."""
        return [(client, client.lease) for client in self.clients if client.lease is not None]


class PortMapper:
    """The machine. ``rng`` must be a :class:`random.SystemRandom` outside simulations: the nonce is from it."""

    def __init__(self, config: ev.MapperConfig, rng: Random) -> None:
        before = config.before
        self.port = config.port
        self.status = MappingStatus("waiting")
        self.ports: tuple[MappedPort, ...] = ()
        self._config = config
        self._rng = rng
        same = before is not None and before.internal_port == config.port
        self._nonce = before.nonce if before is not None and same else rng.randbytes(pcp.NONCE_BYTES)
        self._suggested_port = before.external_port if before is not None and same else 0
        self._suggested_port = self._suggested_port or config.port
        self._stale = before if before is not None and before.protocol else None
        self._remembered: ev.Remembered | None = before if same else None
        self._network = ev.DefaultGateways()
        self._hops: list[_Hop] = []
        self._sockets = 0
        self._igds = 0
        self._reflexive_ip: str | None = None
        self._began_at: float | None = None
        self._stop_until: float | None = None
        self._announced_at: float | None = None
        self._is_over = False
        self._out: list[ev.MapperCommand] = []

    @property
    def _first(self) -> _Hop | None:
        """The default IPv4 gateway."""
        return next((hop for hop in self._hops if hop.inner is None and not hop.is_ipv6), None)

    def next_deadline(self) -> float | None:
        """When :class:`TimerFired` is due."""
        if self._is_over:
            return None
        due = [client.next_deadline() for hop in self._hops for client in hop.clients]
        if self._stop_until is not None:
            due.append(self._stop_until)
        else:
            is_ready = [any(client.state is State.READY for client in hop.clients) for hop in self._hops]
            due += [hop.preferred_until for hop, ready in zip(self._hops, is_ready, strict=True) if ready]
            if self._began_at is not None and self.status.outcome == "trying":
                due.append(self._began_at + DECIDED_S)
        return min((at for at in due if at is not None), default=None)

    def handle(self, event: ev.MapperEvent, now: float) -> list[ev.MapperCommand]:
        """Take one event; never raises. After :class:`MapperStopped` nothing has any effect."""
        if self._is_over:
            return []
        match event:
            case ev.DefaultGateways():
                self._on_gateways(event, now)
            case SocketOpened() | SocketFailed() | DatagramReceived():
                self._on_socket(event, now)
            case ev.ReflexiveSeen(ip):
                # A relay in our own network sees what nobody outside does.
                self._reflexive_ip = None if is_private(ip) else ip
            case ev.CheckMappings():
                self._check(self._hops, now)
            case ev.GatewayAnnounced(ip):
                announced = [hop for hop in self._hops if hop.gateway.partition("%")[0] == ip]
                is_new = self._announced_at is None or now >= self._announced_at + MIN_ANNOUNCEMENT_INTERVAL_S
                if announced and is_new:
                    self._announced_at = now
                    self._check(announced, now)
            case ev.StopMapping():
                self._stop(now)
            case TimerFired():
                for hop in self._hops:
                    for client in hop.clients:
                        self._out += client.timer(now)
            case _:
                for hop in self._hops:
                    for client in hop.clients:
                        if isinstance(client, IgdClient):
                            self._out += client.handle(event, now)
        self._go_on(now)
        out, self._out = self._out, []
        return out

    def _check(self, hops: list[_Hop], now: float) -> None:
        for hop in hops:
            for client in hop.clients:
                self._out += client.check(now)

    # -- routers -------------------------------------------------------------------------------------------------

    def _on_gateways(self, network: ev.DefaultGateways, now: float) -> None:
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
        hop = self._hop(network.gateway, "", self.port, self._suggested_port, now)
        self._igds += 1
        number = self._igds * _NUMBERS_PER_CLIENT
        task = IgdTask(network.gateway, network.local_ip, self.port, self._suggested_port, lease_s, number)
        igd = IgdClient(task, self._rng)
        hop.clients.append(igd)
        self._out += igd.begin(now)
        self._hops.insert(0, hop)

    def _begin_second(self, inner: Lease, now: float) -> None:
        """The router outwards, if it is where such routers mostly are."""
        external_ip, port = inner.external
        ip = ipaddress.IPv4Address(external_ip)
        network = ipaddress.IPv4Network((ip, 24), strict=False)
        first, last = str(network[1]), str(network[-2])
        hop = self._hop(last if external_ip == first else first, external_ip, port, port, now, GUESS_TRIES)
        hop.inner = inner
        if ip in _SHARED:
            anycast = self._pcp(PCP_ANYCAST, external_ip, port, port)
            hop.clients.insert(1, anycast)
            self._out += anycast.begin()
        self._hops.append(hop)

    def _begin_ipv6(self, now: float) -> None:
        network = self._network
        client = self._pcp(network.gateway6, network.local_ip6, self.port, self.port)
        self._out += client.begin()
        self._hops.append(_Hop(network.gateway6, [client], None, is_ipv6=True))

    def _hop(
        self, gateway: str, client_ip: str, port: int, suggested_port: int, now: float, tries: int = MAX_TRIES
    ) -> _Hop:
        first = self._pcp(gateway, client_ip, port, suggested_port)
        server = (gateway, natpmp.SERVER_PORT)
        task = NatPmpTask(self._socket(), server, port, suggested_port, self._config.lease_s, tries)
        second = NatPmpClient(task, self._rng)
        self._out += [*first.begin(), *second.begin()]
        return _Hop(gateway, [first, second], now + FIRST_ANSWER_S)

    def _pcp(self, gateway: str, client_ip: str, port: int, suggested_port: int) -> PcpClient:
        server = (gateway, pcp.SERVER_PORT)
        task = PcpTask(self._socket(), server, client_ip, port, self._nonce, suggested_port, self._config.lease_s)
        return PcpClient(task, self._rng)

    def _socket(self) -> int:
        self._sockets += 1
        return self._sockets

    def _leave(self, hops: list[_Hop]) -> None:
        for hop in hops:
            self._out += [CloseSocket(client.socket) for client in hop.clients if isinstance(client, DatagramClient)]
            self._hops.remove(hop)

    def _on_socket(self, event: SocketOpened | SocketFailed | DatagramReceived, now: float) -> None:
        for hop in self._hops:
            for client in hop.clients:
                if not isinstance(client, DatagramClient):
                    continue
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
            self._choose_client(hop, now)
        self._look_outwards(now)
        self._drop_stale(now)
        self._publish(now)

    def _choose_client(self, hop: _Hop, now: float) -> None:
        """Let the first that is ready map, when no better one is worth waiting for."""
        if hop.preferred_until is not None and now >= hop.preferred_until:
            hop.preferred_until = None
        for client in hop.clients:
            if client.lease is not None:
                return
            if client.state is State.READY:
                self._out += client.map(now)
                return
            if hop.preferred_until is not None and client.state is State.ASKING:
                return

    def _look_outwards(self, now: float) -> None:
        """Where the external address is a private one, the next router outwards is to map the mapping."""
        first = self._first
        inner = first.held[0][1] if first is not None and first.held else None
        second = next((hop for hop in self._hops if hop.inner is not None), None)
        if (
            second is not None
            and second.inner is not None
            and (inner is None or inner.external != second.inner.external)
        ):
            self._leave([second])
            second = None
        if second is not None:
            second.inner = inner
        elif inner is not None and is_private(inner.external[0]):
            self._begin_second(inner, now)

    def _drop_stale(self, now: float) -> None:
        """What a run that crashed has left, in another protocol than the one that maps now or for another port."""
        stale, first = self._stale, self._first
        if stale is None or first is None or stale.gateway != first.gateway or not first.held:
            return
        client = next((client for client in first.clients if client.protocol == stale.protocol), None)
        is_own_port = stale.internal_port == self.port
        holds = {lease.external[1] for _, lease in first.held}
        if client is None or (is_own_port and (stale.external_port in holds or not isinstance(client, IgdClient))):
            # Found again, by this protocol or another. PCP and NAT-PMP delete whatever there is for the internal port.
            self._stale = None
        elif client.has_answered:
            commands: list[ev.MapperCommand] = []
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
            self._out.append(ev.PortsMapped(ports))
        self.ports = ports
        status = self._status(now)
        if status != self.status:
            self.status = status
            self._out.append(ev.StatusChanged(status))

    def _remember(self) -> None:
        """Also before anything is mapped: a crash may come between the router's answer and our next thought."""
        first = self._first
        if first is None:
            return
        record = ev.Remembered(self.port, self._nonce, 0, "", first.gateway)
        if first.held:
            client, lease = first.held[0]
            self._suggested_port = lease.external[1]
            record = ev.Remembered(self.port, self._nonce, self._suggested_port, client.protocol, first.gateway)
        elif self._remembered is not None and self._remembered.gateway == first.gateway:
            # What is known of an earlier mapping there is more than that nothing stands now.
            return
        if record != self._remembered:
            self._remembered = record
            # The first thing to happen, whatever else follows from the same event.
            self._out.insert(0, ev.Remember(record))

    def _mapped_ports(self) -> list[MappedPort]:
        found: dict[Address, MappedPort] = {}
        # A second router's mapping leads to the first one's, so it comes after it here and lies before it outside.
        for hop in sorted(self._hops, key=lambda hop: hop.inner is None):
            for client, lease in hop.held:
                until = lease.expires_at if hop.inner is None else min(lease.expires_at, hop.inner.expires_at)
                is_public = self._is_public(lease.external[0])
                port = MappedPort(self.port, lease.external, client.protocol, until, is_public)
                found.setdefault(lease.external, port)
        return list(found.values())

    def _is_public(self, ip: str) -> bool:
        if is_private(ip):
            return False
        return ":" in ip or self._reflexive_ip in (None, ip)

    def _status(self, now: float) -> MappingStatus:
        is_early = self._began_at is not None and now < self._began_at + DECIDED_S
        first = self._first
        return mapping_status(self.ports, None if first is None else first.clients, is_early=is_early)

    # -- the end -------------------------------------------------------------------------------------------------

    def _stop(self, now: float) -> None:
        if self._stop_until is None:
            self._stop_until = now + STOP_S
            # The outermost first: its questions travel through the mapping of the inner one's router, not through it.
            for hop in reversed(self._hops):
                for client in hop.clients:
                    self._out += client.release(now)

    def _go_on_stopping(self, now: float) -> None:
        clients = [client for hop in self._hops for client in hop.clients]
        is_late = self._stop_until is not None and now >= self._stop_until
        if is_late or all(client.state is State.RELEASED for client in clients):
            self._leave(list(self._hops))
            self._is_over = True
            self.ports = ()
            self._out.append(ev.MapperStopped())


def _without_time(port: MappedPort) -> tuple[object, ...]:
    return port.internal_port, port.external, port.protocol, port.is_public


def free_port(rng: Random) -> int:
    """A port to try for the first time."""
    return rng.randint(FIRST_PORT, LAST_PORT)
