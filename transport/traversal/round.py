"""One round of hole punching: fresh sockets, fresh STUN, candidates told, checks.

Unsynchronised (the first of a climb): checks start the moment that the peer's candidates are here. Synchronised:
they start on both sides at one instant (:mod:`transport.ice.start_sync`), after a packet with a low TTL has opened our
own NAT, since some NATs give the address that we announced away to a stranger's packet that comes first (DESIGN §6.7).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from transport.ice.candidates import (
    Candidate,
    CandidateKind,
    HostAddress,
    acceptable,
    host_candidates,
    is_private,
    mapped_candidates,
    prune,
    reflexive_candidates,
    to_wire,
    useful_hosts,
)
from transport.ice.checklist import SYNCHRONISED, TA_S, UNSYNCHRONISED, CheckCommand, CheckList, PairChosen, Schedule
from transport.ice.credentials import CheckKeys, Credentials, make_credentials
from transport.ice.pacing import Budget, HostLimits, PacketBudget
from transport.ice.start_sync import Synchroniser, SyncMessage
from transport.ice.stun_client import Observation, StunClient
from transport.net.port_mapping import MappedPort
from transport.net.sockets import (
    Address,
    CloseSocket,
    DatagramReceived,
    OpenSocket,
    SendDatagram,
    SocketFailed,
    SocketOpened,
)
from transport.traversal.events import SendToPeer
from transport.wire.call_messages import Candidates, WireProfile
from transport.wire.stun import IceRole

# From the first STUN answer on: the others were asked in the same instant, so they come with it or are lost.
SETTLE_S = 0.05
# Without any answer the interface addresses alone are told; 0.3 s is three questions.
GATHER_S = 0.4
# A round that has not started by then (both gathered, three trips over the relay made) never will.
SETUP_S = 2.0
CHECKS_S = 1.3
"""The last check leaves 0.7 s after the first; 0.6 s is the longest round trip that a call is any good with."""
INSIST_S = 2.0
# Most NATs keep a UDP mapping for 30 s or more (RFC 4787 REQ-5 asks for 120 s): twice within the shortest of them.
REFRESH_S = 15.0
MAX_TELLINGS = 4
# RFC 4787 REQ-2 wants one outside address for one host; where it is not so, three say enough.
MAX_REFLEXIVE = 3
# Who leads starts this much earlier, for NATs that mind who comes first.
LEAD_S = TA_S


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """What one round works with. ``relay_rtt_s``: to the peer over the relay, there and back, where known. ``door``
    is the number of one more IPv4 socket, for what of ``mapped`` leads to this machine."""

    number: int
    synchronised: bool
    leads: bool
    role: IceRole
    stun: tuple[Address, ...]
    hosts: tuple[HostAddress, ...]
    our_public: tuple[str, ...]
    budget: Budget
    opener_ttl: int | None
    relay_rtt_s: float | None
    allowance: HostLimits | None = None
    mapped: tuple[MappedPort, ...] = ()
    door: int | None = None


@dataclass(frozen=True, slots=True)
class RoundWon:
    """A pair is valid and nominated. Said again, for the same socket, when the controlling side chose another remote
    address in the end. ``is_door``: the peer came in by a mapped port of ours."""

    socket: int
    local: Address
    pair: PairChosen
    keys: CheckKeys
    is_door: bool = False


@dataclass(frozen=True, slots=True)
class RoundLost:
    """``reason``: "no-candidates", "no-sync", "no-answer", "no-sockets"."""

    reason: str


@dataclass(frozen=True, slots=True)
class RoundUnconfirmed:
    """Won, but the other side has not shown that it has won too."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """STUN has told what there is (``unanswered`` servers did not answer). Said again when more becomes known."""

    observations: tuple[Observation, ...]
    unanswered: int
    local: Address
    unbelievable: int


RoundCommand = OpenSocket | CloseSocket | SendDatagram | SendToPeer | RoundWon | RoundLost | RoundUnconfirmed | Gathered


class PunchRound:
    """One round, from opening its sockets to a chosen pair or to nothing."""

    def __init__(self, plan: RoundPlan, sockets: dict[int, int], rng: Random, *, may_tell: bool = True) -> None:
        """``sockets`` maps each socket number to use to its IP version. Nothing is told to the peer before
        ``may_tell``, or :meth:`permit`."""
        self.plan = plan
        self._rng = rng
        self._versions = dict(sockets)
        self._ports = plan.mapped
        self._peer_maps = False
        self._local: dict[int, Address] = {}
        self._waiting = set(sockets)
        self._credentials: Credentials = make_credentials(rng)
        self.purse = PacketBudget(plan.budget, allowance=plan.allowance)
        self.checks = CheckList(self._credentials, plan.role, self.purse, rng, plan.number + 1)
        self.sync = Synchroniser(plan.number, leads=plan.leads)
        self._queries: dict[int, StunClient] = {}
        self._told: tuple[Candidate, ...] | None = None
        self._told_at: float | None = None
        self._tellings = 0
        self._may_tell = may_tell
        self._gather_until: float | None = None
        self._refresh_at: float | None = None
        self._setup_until: float | None = None
        self._mapped: dict[int, list[Address]] = {}
        self._refreshed = False
        self._settling = False
        self._reported = (-1, False)
        self._peer: list[Candidates] = []
        self._start_at: float | None = None
        self._ends_at: float | None = None
        self._profile: WireProfile | None = None
        self._opened_own_nat = False
        self._hopeless = False
        self.started_at: float | None = None
        self.won = False
        self.over = False
        self._out: list[RoundCommand] = []

    @property
    def sockets(self) -> tuple[int, ...]:
        """Those that are ours to close."""
        return tuple(self._versions)

    @property
    def our_public(self) -> set[str]:
        """Our outside IP addresses, as far as servers have told them."""
        return {address[0] for known in self._mapped.values() for address in known} | set(self.plan.our_public)

    @property
    def has_mapped(self) -> bool:
        """Whether a port mapping of either side was there to be tried, which both sides know."""
        ours = any(one.kind is CandidateKind.MAPPED and not is_private(one.address[0]) for one in self._told or ())
        return ours or self._peer_maps

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        if self.over:
            return None
        deadlines = [
            self._gather_until if self._may_tell else None,
            self._refresh_at,
            self._setup_until,
            self._start_at,
            self._ends_at,
            self.checks.next_deadline(),
            *(queries.next_deadline() for queries in self._queries.values()),
        ]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def begin(self, now: float) -> list[RoundCommand]:
        """Open the sockets and, where we lead, say Connect."""
        if self.plan.synchronised:
            self._setup_until = now + SETUP_S
            self._say(self.sync.begin(now))
        for socket, version in self._versions.items():
            host = "0.0.0.0" if version == 4 else "::"  # noqa: S104
            # Behind an IPv6 firewall the mapped port is the same one inside and outside.
            self._out.append(
                OpenSocket(socket, host, self._toward(version), self._mapped_port(6) if version == 6 else 0)
            )
        self._open_door()
        if not self._versions:
            self._lose("no-sockets")
        return self._take()

    def permit(self, now: float) -> list[RoundCommand]:
        """From now on the peer may be told, and asked."""
        self._may_tell = True
        self._progress(now)
        return self._take()

    def map_ports(self, ports: tuple[MappedPort, ...], now: float) -> list[RoundCommand]:
        """The routers map other ports now: the peer is told, and a door is opened where there was none."""
        if not self.over and not self.won:
            self._ports = ports
            self._open_door()
            self._progress(now)
        return self._take()

    def tell_profile(self, profile: WireProfile) -> None:
        """What is told about our NAT with the candidates."""
        self._profile = profile

    def spare_reflexive(self) -> None:
        """The two NATs are known to be such that their server-reflexive IPv4 addresses lead nowhere: nothing is sent
        to the peer's, from now on."""
        self._hopeless = True
        self.checks.spare(CandidateKind.SERVER_REFLEXIVE, version=4)

    def opened(self, event: SocketOpened, now: float) -> list[RoundCommand]:
        """A socket of this round is there."""
        version = self._versions.get(event.socket)
        if version is not None and event.socket not in self._local and not self.over:
            self._waiting.discard(event.socket)
            if event.socket == self.plan.door and event.local[1] != self._mapped_port(4):
                # Somebody else has the port: then it leads to them.
                self._close([event.socket])
                self._progress(now)
                return self._take()
            self._local[event.socket] = event.local
            is_door = event.socket == self.plan.door
            servers = [server for server in self.plan.stun if _version(server) == version]
            if is_door:
                # A public one is where the router says; of another one the NAT outside it may make a public address.
                servers = [] if any(port.is_public for port in self._doors()) else servers[:1]
            self._queries[event.socket] = StunClient(event.socket, servers, self.purse, self._rng, now)
            self.checks.add_socket(event.socket, version, is_door=is_door)
            if not self.plan.synchronised and self.started_at is None:
                self._refresh_at = now + REFRESH_S
            if self._told is None and self._gather_until is None:
                self._gather_until = now + GATHER_S
            for message in self._peer:
                self._add_remote(message, now)
            self._ask(now)
            self._progress(now)
        return self._take()

    def failed(self, event: SocketFailed, now: float) -> list[RoundCommand]:
        """A socket of this round could not be opened, or has died."""
        if event.socket in self._versions and not self.over:
            del self._versions[event.socket]
            self._waiting.discard(event.socket)
            self._local.pop(event.socket, None)
            self._queries.pop(event.socket, None)
            self.checks.remove_socket(event.socket)
            if not self._local:
                # Nothing to tell; the next socket that opens gathers anew.
                self._gather_until = None
            if not self._versions and not self.won:
                self._lose("no-sockets")
            self._progress(now)
        return self._take()

    def received(self, event: DatagramReceived, now: float) -> list[RoundCommand]:
        """A STUN packet came on a socket of this round."""
        queries = self._queries.get(event.socket)
        if queries is not None and queries.received(event.source, event.data, now):
            self._note(event.socket, queries, now)
            self._progress(now)
        elif event.socket in self._local:
            self._run(self.checks.received(event.socket, event.source, event.data, now), now)
        return self._take()

    def said(self, message: Candidates | SyncMessage, now: float) -> list[RoundCommand]:
        """The peer said this, about this round."""
        if message.round != self.plan.number or self.over:
            return []
        if isinstance(message, Candidates):
            if len(self._peer) < MAX_TELLINGS and (not self._peer or message.ufrag == self._peer[0].ufrag):
                self._peer.append(message)
                self.checks.set_remote(Credentials(message.ufrag, message.password))
                self._add_remote(message, now)
        else:
            self._say(self.sync.heard(message, now))
        self._progress(now)
        return self._take()

    def timer(self, now: float) -> list[RoundCommand]:
        """Do what is due; harmless when nothing is."""
        if self.over:
            return []
        if self._refresh_at is not None and now >= self._refresh_at:
            self._refresh(now)
        self._ask(now)
        self._progress(now)
        self._run(self.checks.timer(now), now)
        if self._setup_until is not None and now >= self._setup_until:
            self._lose("no-sync" if self._peer else "no-candidates")
        elif self._ends_at is not None and now >= self._ends_at:
            self._end(now)
        return self._take()

    def stop(self) -> list[RoundCommand]:
        """Close what is ours and send nothing more."""
        if not self.over:
            self.over = True
            self.checks.stop()
            if not self.won:
                self._close(self._versions)
        return self._take()

    def _take(self) -> list[RoundCommand]:
        out, self._out = self._out, []
        return out

    def _say(self, messages: Iterable[Candidates | SyncMessage]) -> None:
        self._out += [SendToPeer(message) for message in messages]

    def _toward(self, version: int) -> Address:
        servers = [server for server in self.plan.stun if _version(server) == version]
        if servers:
            return servers[0]
        own = next(
            (host.ip for host in self.plan.hosts if host.version == version), "::1" if version == 6 else "127.0.0.1"
        )
        return own, 9  # discard (RFC 863): nothing is sent there

    def _ask(self, now: float) -> None:
        for socket, queries in self._queries.items():
            self._out += queries.timer(now)
            self._note(socket, queries, now)

    def _note(self, socket: int, queries: StunClient, now: float) -> None:
        """Report what has been observed when there is something new, and soon tell it."""
        seen = queries.observations
        if seen and self._gather_until is not None and not self._settling:
            self._settling = True
            self._gather_until = min(self._gather_until, now + SETTLE_S)
        known = self._mapped.setdefault(socket, [])
        for address in [one.mapped for one in seen if one.mapped not in known]:
            # What a later question shows has taken the place of what was there before.
            known.insert(0 if self._refreshed else len(known), address)
        if self._versions.get(socket) != 4 or socket == self.plan.door or not queries.asked or self._refreshed:
            return
        state = (len(seen), queries.done)
        if state != self._reported and (queries.done or seen):
            self._reported = state
            unanswered = queries.asked - len(seen) if queries.done else 0
            self._out.append(Gathered(tuple(seen), unanswered, self._local[socket], queries.unbelievable))

    def _progress(self, now: float) -> None:
        """Tell, synchronise and start as soon as each can be."""
        if self.over or self.won:
            return
        self._tell(now)
        if self._told is not None and self._peer and not self._waiting:
            if self.plan.synchronised:
                self._open_own_nat(now)
                self._say(self.sync.ready(now))
                if self._start_at is None and self.started_at is None and self.sync.starts_at is not None:
                    self._start_at = self.sync.starts_at + (0.0 if self.plan.leads else LEAD_S)
                    self._setup_until = None
            elif self.started_at is None and self._start_at is None:
                self._start_at = now
        if self._start_at is not None and now >= self._start_at:
            self._start(now)

    def _tell(self, now: float) -> None:
        if not self._may_tell or not self._local:
            return
        gathered = not self._waiting and all(queries.done for queries in self._queries.values())
        if self._told is None and not gathered and (self._gather_until is None or now < self._gather_until):
            return
        self._gather_until = None
        candidates = self._own_candidates()
        if candidates == self._told or self._tellings >= MAX_TELLINGS:
            return
        self._told = candidates
        self._told_at = self._told_at if self._told_at is not None else now
        self._tellings += 1
        own = self._credentials
        wire = to_wire(candidates)
        self._say([Candidates(self.plan.number, own.ufrag, own.password, wire, self._profile)])

    def _own_candidates(self) -> tuple[Candidate, ...]:
        found: list[Candidate] = []
        for socket, base in self._local.items():
            version = self._versions[socket]
            hosts = [host for host in useful_hosts(self.plan.hosts) if host.version == version]
            if socket == self.plan.door:
                found += mapped_candidates(self._doors(), base, (ip for ip in self.our_public if ":" not in ip))
            else:
                found += host_candidates(hosts, base[1], base)
            found += reflexive_candidates(self._mapped.get(socket, [])[:MAX_REFLEXIVE], base, hosts)
        return prune(found)

    def _refresh(self, now: float) -> None:
        """While the phone rings, or the peer's candidates are awaited: keep the mappings, and notice new ones."""
        self._refresh_at = now + REFRESH_S
        self._refreshed = True
        self.purse.refresh()
        for socket, version in self._versions.items():
            servers = [server for server in self.plan.stun if _version(server) == version][:1]
            if socket in self._local and socket != self.plan.door:
                self._queries[socket] = StunClient(socket, servers, self.purse, self._rng, now)

    def _add_remote(self, message: Candidates, now: float) -> None:
        accepted = acceptable(message.candidates, self.plan.hosts, self.our_public)
        if self._hopeless:
            accepted = [one for one in accepted if one.kind != "server-reflexive" or _version((one.ip, 0)) == 6]
        self._peer_maps |= any(one.kind == "mapped" and not is_private(one.ip) for one in accepted)
        remotes = [(CandidateKind(one.kind), (one.ip, one.port), one.priority) for one in accepted]
        self.checks.add_remote(remotes, self._schedule(now))

    def _schedule(self, now: float) -> Schedule:
        """When the checks of a pair that is known now are due."""
        offsets = SYNCHRONISED if self.plan.synchronised else UNSYNCHRONISED
        at_once = tuple(now + offset for offset in offsets)
        reached = self._peer_starts_at()
        if reached is None or reached < now + TA_S:
            return Schedule(at_once, at_once)
        then = tuple(reached + offset for offset in offsets)
        # The peer learns of us only then. A check that comes before it has sent can do harm (DESIGN §6.7): an opener
        # goes out in its stead, where one can.
        return Schedule(at_once, then if self.plan.opener_ttl is not None else (now, *then))

    def _peer_starts_at(self) -> float | None:
        """Unsynchronised: when the peer, as far as we know, has our candidates."""
        if self.plan.synchronised or self.plan.relay_rtt_s is None or self._told_at is None:
            return None
        return self._told_at + self.plan.relay_rtt_s / 2

    def _open_own_nat(self, now: float) -> None:
        if not self._opened_own_nat and self.plan.opener_ttl is not None:
            self._opened_own_nat = True
            self._run(self.checks.openers(self.plan.opener_ttl, now), now)

    def _start(self, now: float) -> None:
        self._start_at = self._setup_until = self._refresh_at = None
        self.started_at = now
        schedule = self._schedule(now)
        self.checks.schedule(schedule)
        last = schedule.far[-1] - (SYNCHRONISED if self.plan.synchronised else UNSYNCHRONISED)[-1]
        self._ends_at = min(last + CHECKS_S, now + self.plan.budget.seconds)
        if schedule.far[0] > now:
            self._open_own_nat(now)
        self._run(self.checks.run(now), now)

    def _run(self, commands: list[CheckCommand], now: float) -> None:
        for command in commands:
            if isinstance(command, SendDatagram):
                self._out.append(command)
            elif self.checks.keys is not None:
                if not self.won:
                    self.won = True
                    self._ends_at = now + INSIST_S
                    self._setup_until = self._start_at = self._refresh_at = self._gather_until = None
                    losers = [socket for socket in self._versions if socket != command.socket]
                    self._close(losers)
                    self._queries.clear()
                is_door = command.socket == self.plan.door
                local = self._local[command.socket]
                self._out.append(RoundWon(command.socket, local, command, self.checks.keys, is_door))

    def _end(self, now: float) -> None:
        """The time is over. What was won is no longer ours to close; authentic checks on it are answered still."""
        self._ends_at = None
        latest = now if self.started_at is None else self.started_at + self.plan.budget.seconds
        if self.won:
            self.checks.stop()
            if not self.checks.confirmed:
                self._out.append(RoundUnconfirmed())
        elif self.checks.heard_peer and now < latest:
            # The peer's checks come, so ours may still get through: it goes on sending when it has succeeded.
            self._ends_at = latest
        else:
            self._lose("no-answer")

    def _doors(self) -> list[MappedPort]:
        """What of the mapped ports is more than an IPv6 pinhole."""
        return [port for port in self._ports if _version(port.external) == 4]

    def _mapped_port(self, version: int) -> int:
        """Our own port that is mapped in this family; 0 if there is none."""
        return next((port.internal_port for port in self._ports if _version(port.external) == version), 0)

    def _open_door(self) -> None:
        door = self.plan.door
        if door is not None and door not in self._versions and self._mapped_port(4) and self._versions:
            self._versions[door] = 4
            self._waiting.add(door)
            self._out.append(OpenSocket(door, "0.0.0.0", self._toward(4), self._mapped_port(4)))  # noqa: S104

    def _close(self, sockets: Iterable[int]) -> None:
        for socket in tuple(sockets):
            if socket in self._versions:
                del self._versions[socket]
                self._queries.pop(socket, None)
                self.checks.remove_socket(socket)
                self._out.append(CloseSocket(socket))

    def _lose(self, reason: str) -> None:
        self.over = True
        self.checks.stop()
        self._close(self._versions)
        self._out.append(RoundLost(reason))


def _version(address: Address) -> int:
    return 6 if ":" in address[0] else 4
