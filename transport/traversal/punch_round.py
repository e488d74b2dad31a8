"""One round of hole punching: what is gathered, when candidates are sent, and when checks start (pure).

Unsynchronised (the first of an attempt): checks start the moment that the peer's candidates are here. Synchronised:
they start on both sides at one instant (:mod:`transport.ice.start_sync`), after a packet with a low TTL has opened our
own NAT, since some NATs give the address that we announced away to a foreign packet that comes first (DESIGN §6.7).
"""

from collections.abc import Sequence

from transport.ice.candidates import (
    CandidateKind,
    acceptable,
    host_candidates,
    is_private,
    mapped_candidates,
    prune,
    reflexive_candidates,
    to_wire,
    useful_hosts,
)
from transport.ice.checklist import SYNCHRONISED_S, TA_S, UNSYNCHRONISED_S
from transport.ice.pacing import Budget, PacketBudget
from transport.ice.pairs import PairChosen, Schedule
from transport.net.port_mapping import MappedPort
from transport.net.sockets import Address
from transport.path.stats import PathVia
from transport.traversal.context import ROUNDS_PER_ATTEMPT
from transport.traversal.round import Gathered, Round, RoundPlan, State, Trigger
from transport.wire.call_messages import Candidates, WireCandidate

# Per round: 32 candidates with seven checks each are 224; nobody honest has so many that answer.
BUDGET = Budget(packets=200, packets_per_second=100, sockets=2, seconds=2.0)
# From the first STUN answer on: the others were asked in the same instant, so they come with it or are lost.
SETTLE_S = 0.05
# Without any answer the interface addresses alone are sent; 0.3 s is three requests.
GATHER_S = 0.4
# A round that has not started by then (both gathered, three trips over the relay made) never will.
SETUP_S = 2.0
CHECKS_S = 1.3
"""The last check leaves 0.7 s after the first; 0.6 s is the longest round trip that a call is any good with."""
# Most NATs keep a UDP mapping for 30 s or more (RFC 4787 REQ-5 asks for 120 s): twice within the shortest of them.
REFRESH_S = 15.0
# RFC 4787 REQ-2 wants one outside address for one host; where it is not so, three say enough.
MAX_REFLEXIVE = 3
# Who leads starts this much earlier, for NATs that mind who comes first.
LEAD_S = TA_S


class PunchRound(Round):
    """``stun`` are the servers to ask. ``opener_ttl``: of the packet that opens our own NAT, where one can be sent.
    Nothing is sent to the peer before ``may_send``, or :meth:`permit`."""

    def __init__(
        self,
        plan: RoundPlan,
        *,
        leads: bool,
        stun: Sequence[Address],
        opener_ttl: int | None = None,
        may_send: bool = True,
    ) -> None:
        super().__init__(plan, PacketBudget(plan.budget, limits=plan.context.limits), leads=leads)
        self.synchronised = plan.number % ROUNDS_PER_ATTEMPT > 0
        self._servers = stun
        self._hosts = plan.context.hosts
        self._opener_ttl = opener_ttl
        self._may_send = may_send
        self._versions: dict[int, int] = {}
        self._mapped_socket: int | None = None
        self._peer_maps = False
        self._skips_reflexive = False
        self._seen: dict[int, list[Address]] = {}
        """Our addresses as servers see them, by socket."""
        self._is_refreshed = False
        self._reported = (-1, False)
        self._gather_until: float | None = None
        self._refresh_at: float | None = None
        self._start_at: float | None = None

    @property
    def our_public(self) -> set[str]:
        """Our outside IP addresses, as far as servers have shown them."""
        return {address[0] for seen in self._seen.values() for address in seen} | set(self.context.public_ips)

    @property
    def has_mapped(self) -> bool:
        """Whether a port mapping of either side was there to be tried, which both sides know."""
        ours = any(one.kind == "mapped" and not is_private(one.ip) for one in self._sent or ())
        return ours or self._peer_maps

    def permit(self, now: float) -> None:
        """From now on the peer may be sent our candidates, and checks."""
        self._may_send = True
        self._go_on(now)

    def ports_mapped(self, now: float) -> None:
        """Routers map other ports now: the peer learns of them, and a socket is opened where there was none."""
        if self.is_searching:
            self._open_mapped_port()
            self._go_on(now)

    def skip_reflexive(self) -> None:
        """The two NATs are known to be such that their server-reflexive IPv4 addresses lead nowhere: nothing is sent
        to the peer's, from now on."""
        self._skips_reflexive = True
        self.checks.remove_kind(CandidateKind.SERVER_REFLEXIVE, version=4)

    def timer(self, now: float) -> None:
        """Do what is due; harmless when nothing is."""
        if self.is_searching and self._refresh_at is not None and now >= self._refresh_at:
            self._refresh(now)
        super().timer(now)

    # -- gathering

    def _begin(self, now: float) -> None:
        if self.synchronised:
            self.ends_at = now + SETUP_S
            self._send(*self.sync.begin(now))
        for version in (6, 4):
            if any(host.version == version for host in self._hosts) or self._servers_of(version):
                # Behind an IPv6 firewall the mapped port is the same one inside and outside.
                port = self._mapped_port(6) if version == 6 else 0
                self._versions[self._open(self._toward(version), version, port)] = version
        self._open_mapped_port()
        if not self.local:
            self._lose("no-sockets")

    def _socket_opened(self, socket: int, now: float) -> None:
        version, local = self._versions[socket], self.local[socket]
        is_mapped = socket == self._mapped_socket
        if is_mapped and local is not None and local[1] != self._mapped_port(4):
            # Somebody else has the port: then it leads to them.
            self._close([socket])
            return
        servers = self._servers_of(version)
        if is_mapped:
            # A public one is where the router says; of another one the NAT outside it may make a public address.
            servers = [] if any(port.is_public for port in self._mapped_ports()) else servers[:1]
        self._ask(socket, servers, now)
        self.checks.add_socket(socket, version, is_mapped_port=is_mapped)
        if not self.synchronised and self.started_at is None:
            self._refresh_at = now + REFRESH_S
        if self._sent is None and self._gather_until is None:
            self._gather_until = now + GATHER_S
        for message in self.peer:
            self._add_remote(message, now)
        self._ask_servers(now)

    def _socket_failed(self, socket: int, now: float) -> None:
        if all(local is None for local in self.local.values()):
            # Nothing to send; the next socket that opens gathers anew.
            self._gather_until = None

    def _observe(self, socket: int, now: float) -> None:
        """Report what has been observed when there is something new, and soon send it."""
        client = self.stun[socket][0]
        seen, local = client.observations, self.local[socket]
        if seen and self._gather_until is not None:
            self._gather_until = min(self._gather_until, now + SETTLE_S)
        known = self._seen.setdefault(socket, [])
        for address in [one.mapped for one in seen if one.mapped not in known]:
            # What a later request shows has taken the place of what was there before.
            known.insert(0 if self._is_refreshed else len(known), address)
        if self._versions[socket] != 4 or socket == self._mapped_socket or not client.asked or self._is_refreshed:
            return
        progress = (len(seen), client.done)
        if local is not None and progress != self._reported and (client.done or seen):
            self._reported = progress
            unanswered = client.asked - len(seen) if client.done else 0
            self._results.append(Gathered(tuple(seen), unanswered, local, client.unbelievable))

    def _refresh(self, now: float) -> None:
        """While the phone rings, or the peer's candidates are awaited: keep the mappings, and notice new ones."""
        self._refresh_at = now + REFRESH_S
        self._is_refreshed = True
        self.budget.restart()
        for socket, local in self.local.items():
            if local is not None and socket != self._mapped_socket:
                self.stun.pop(socket, None)
                self._ask(socket, self._servers_of(self._versions[socket])[:1], now)

    def _servers_of(self, version: int) -> list[Address]:
        return [server for server in self._servers if _version(server) == version]

    def _toward(self, version: int) -> Address:
        own = next((host.ip for host in self._hosts if host.version == version), "::1" if version == 6 else "127.0.0.1")
        # The port is discard's (RFC 863): nothing is sent there.
        return next(iter(self._servers_of(version)), (own, 9))

    def _mapped_ports(self) -> list[MappedPort]:
        """What of the mapped ports is more than an IPv6 pinhole."""
        return [port for port in self.context.mapped if _version(port.external) == 4]

    def _mapped_port(self, version: int) -> int:
        """Our own port that is mapped in this family; 0 if there is none."""
        ports = (port.internal_port for port in self.context.mapped if _version(port.external) == version)
        return next(ports, 0)

    def _open_mapped_port(self) -> None:
        port = self._mapped_port(4)
        if port and 4 in self._versions.values() and self.local and self._mapped_socket not in self.local:
            self._mapped_socket = self._open(self._toward(4), 4, port)
            self._versions[self._mapped_socket] = 4

    def _via(self, pair: PairChosen) -> PathVia:
        if pair.kind is CandidateKind.MAPPED or pair.socket == self._mapped_socket:
            return "port_mapping"
        return "host" if pair.kind is CandidateKind.HOST or is_private(pair.remote[0]) else "punch"

    # -- exchanging candidates, and starting

    def _advance(self, now: float) -> None:
        """Send, synchronise and start as soon as each can be."""
        self._send_own(now)
        if self.peer and None not in self.local.values() and self._move(Trigger.BOTH_KNOWN):
            if self.synchronised:
                self._open_own_nat(now)
            else:
                self._start_at = now
        if self.state is State.SYNCING and self.synchronised:
            self._send(*self.sync.ready(now))
            if self._start_at is None and self.sync.starts_at is not None:
                self._start_at = self.sync.starts_at + (0.0 if self.leads else LEAD_S)
                self.ends_at = None
        if self.state is State.SYNCING and self._start_at is not None and now >= self._start_at:
            self._start(now)

    def _due(self) -> Sequence[float | None]:
        start_at = self._start_at if self.state is State.SYNCING else None
        return (self._gather_until if self._may_send else None, self._refresh_at, start_at)

    def _send_own(self, now: float) -> None:
        if not self._may_send or all(local is None for local in self.local.values()):
            return
        if self._sent is None:
            clients = (client for clients in self.stun.values() for client in clients)
            is_gathered = None not in self.local.values() and all(client.done for client in clients)
            if not is_gathered and (self._gather_until is None or now < self._gather_until):
                return
        self._gather_until = None
        self._send_candidates(self._own_candidates(), now)

    def _own_candidates(self) -> list[WireCandidate]:
        found = []
        for socket, base in self.local.items():
            if base is None:
                continue
            hosts = [host for host in useful_hosts(self._hosts) if host.version == self._versions[socket]]
            if socket == self._mapped_socket:
                found += mapped_candidates(self._mapped_ports(), base, (ip for ip in self.our_public if ":" not in ip))
            else:
                found += host_candidates(hosts, base[1], base)
            found += reflexive_candidates(self._seen.get(socket, [])[:MAX_REFLEXIVE], base, hosts)
        return to_wire(prune(found))

    def _peer_candidates(self, message: Candidates, now: float) -> None:
        self._add_remote(message, now)

    def _add_remote(self, message: Candidates, now: float) -> None:
        accepted = acceptable(message.candidates, self._hosts, self.our_public)
        if self._skips_reflexive:
            accepted = [one for one in accepted if one.kind != "server-reflexive" or ":" in one.ip]
        self._peer_maps |= any(one.kind == "mapped" and not is_private(one.ip) for one in accepted)
        remotes = [(CandidateKind(one.kind), (one.ip, one.port), one.priority) for one in accepted]
        self.checks.add_remote(remotes, self._schedule(now))

    def _schedule(self, now: float) -> Schedule:
        """When the checks of a pair that is known now are due."""
        offsets = SYNCHRONISED_S if self.synchronised else UNSYNCHRONISED_S
        at_once = tuple(now + offset for offset in offsets)
        reached = self._peer_starts_at()
        if reached is None or reached < now + TA_S:
            return Schedule(at_once, at_once)
        then = tuple(reached + offset for offset in offsets)
        # The peer learns of us only then. A check that comes before it has sent can do harm (DESIGN §6.7): an opener
        # goes out in its stead, where one can.
        return Schedule(at_once, then if self._opener_ttl is not None else (now, *then))

    def _peer_starts_at(self) -> float | None:
        """Unsynchronised: when the peer, as far as we know, has our candidates."""
        if self.synchronised or self.context.relay_rtt_s is None or self._sent_at is None:
            return None
        return self._sent_at + self.context.relay_rtt_s / 2

    def _open_own_nat(self, now: float) -> None:
        if self._opener_ttl is not None:
            self._carry_out(self.checks.openers(self._opener_ttl, now), now)

    def _start(self, now: float) -> None:
        self._refresh_at = None
        schedule = self._schedule(now)
        self.checks.schedule(schedule)
        last = schedule.far[-1] - (SYNCHRONISED_S if self.synchronised else UNSYNCHRONISED_S)[-1]
        self.ends_at = min(last + CHECKS_S, now + self._seconds)
        if not self.synchronised and schedule.far[0] > now:
            self._open_own_nat(now)
        self._start_checks(now)

    def _time_over(self, now: float) -> None:
        if self.started_at is None:
            self._lose("no-sync" if self.peer else "no-candidates")
        elif self.checks.peer_seen and now < self.started_at + self._seconds:
            # The peer's checks come, so ours may still get through: it goes on sending when it has succeeded.
            self.ends_at = self.started_at + self._seconds
        else:
            self._lose("no-answer")


def _version(address: Address) -> int:
    return 6 if ":" in address[0] else 4
