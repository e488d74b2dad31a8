"""Asks for our NAT's profile by itself: for ``segue netcheck``, at the start of the program and after a network change.

A first socket finds out whom the NAT lets in, before any other has spoken to the servers (some NATs filter by inside
host). When it has asked, a second one asks every server at once, and then sends to its own outside address, to see
whether the NAT turns packets around (hairpin, RFC 4787 §6). During a call hole punching's own STUN requests serve
(:mod:`transport.traversal.hole_punch`), and what only this finds out is kept (:func:`transport.nat.profile.renewed`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from transport.ice.candidates import HostAddress
from transport.ice.pacing import Budget, PacketBudget
from transport.ice.stun_client import MAX_TRANSMISSIONS, StunClient
from transport.nat.classification import allocation_of_sockets, classify
from transport.nat.filtering import MAX_PACKETS as FILTER_PACKETS
from transport.nat.filtering import FilteringProbe
from transport.nat.profile import MAX_EVIDENCE, Allocation, Mapping, NatProfile
from transport.net.machine import TimerFired
from transport.net.sockets import (
    Address,
    CloseSocket,
    DatagramReceived,
    OpenSocket,
    SendDatagram,
    SocketFailed,
    SocketOpened,
)
from transport.wire import WireError, stun
from transport.wire.stun import TRANSACTION_ID_BYTES, StunClass

MAX_SERVERS = 12
# Where one socket does not tell how ports are chosen. With address-dependent mapping it shows two ports at most: eight
# of four sockets tell blocks, too; otherwise cross traffic among six of them may hide a counter.
MORE_SOCKETS = 3
MORE_SERVERS = 6
# A lost answer or a foreign flow more leaves the question open in one of ten looks at a busy counter, and an open
# question means the relay for the whole call.
MORE_TIMES = 3
BUDGET = Budget(
    packets=(MAX_SERVERS + MORE_SERVERS * MORE_SOCKETS * MORE_TIMES) * MAX_TRANSMISSIONS + FILTER_PACKETS + 5,
    packets_per_second=100,
    sockets=2 + MORE_SOCKETS,
    seconds=6.0,
)
# Packets overtake each other by less on the way to a NAT: what is asked this much later comes there later.
SPREAD_S = 0.04
# When packets to ourselves leave: the NAT is the first hop, and three of them are not lost on a network whose other
# packets all arrived at once.
HAIRPIN_S = (0.0, 0.1, 0.3)
HAIRPIN_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class StartProfiling:
    """Ask now; a profiling that is under way begins anew. ``hosts``: our interface addresses. ``online``: the network
    and the relay are known to work otherwise, so that silence means blocked UDP."""

    stun: tuple[Address, ...]
    hosts: tuple[HostAddress, ...]
    online: bool


@dataclass(frozen=True, slots=True)
class StopProfiling:
    """Close the sockets and forget them."""


@dataclass(frozen=True, slots=True)
class ProfileMade:
    """All that can be known now."""

    profile: NatProfile


ProfilerEvent = StartProfiling | StopProfiling | SocketOpened | SocketFailed | DatagramReceived | TimerFired
ProfilerCommand = OpenSocket | CloseSocket | SendDatagram | ProfileMade


class NatProfiler:
    """The machine. ``profile`` is the newest result, kept until the next one is made."""

    def __init__(self, new_socket: Callable[[], int], rng: Random) -> None:
        self._new_socket = new_socket
        self._rng = rng
        self._task = StartProfiling((), (), online=False)
        self._is_running = False
        self._filter_socket: int | None = None
        self._filter: FilteringProbe | None = None
        self._socket: int | None = None
        self._local: Address | None = None
        self._budget = PacketBudget(BUDGET)
        self._began = 0.0
        self._client: StunClient | None = None
        self._made: NatProfile | None = None
        self._hairpin_due: list[float] = []
        self._hairpin_until: float | None = None
        self._hairpin_ids: set[bytes] = set()
        self._hairpin: bool | None = None
        self._more: dict[int, tuple[int, StunClient] | None] = {}
        """Further sockets: their inside ports and STUN clients, once they are open."""
        self._more_times = 0
        self._out: list[ProfilerCommand] = []
        self.profile: NatProfile | None = None

    def next_deadline(self) -> float | None:
        """When :class:`TimerFired` is due."""
        asking = None if self._client is None else self._client.next_deadline()
        filtering = None if self._filter is None else self._filter.next_deadline()
        more = (each[1].next_deadline() for each in self._more.values() if each is not None)
        deadlines = (asking, filtering, *more, *self._hairpin_due[:1], self._hairpin_until)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def handle(self, event: ProfilerEvent, now: float) -> list[ProfilerCommand]:
        """Take one event; never raises."""
        match event:
            case StartProfiling():
                self._close()
                self._start(event, now)
            case StopProfiling():
                self._close()
            case SocketOpened(socket, local):
                self._opened(socket, local, now)
            case SocketFailed(socket, _):
                self._failed(socket, now)
            case DatagramReceived(socket, source, data):
                if socket == self._filter_socket and self._filter is not None:
                    self._filter.received(source, data, now)
                    self._progress(now)
                elif socket == self._socket:
                    self._received(source, data, now)
                elif (each := self._more.get(socket)) is not None:
                    each[1].received(source, data, now)
                    self._progress(now)
            case TimerFired():
                self._timer(now)
        out, self._out = self._out, []
        return out

    def _servers(self) -> list[Address]:
        return [server for server in self._task.stun if ":" not in server[0]][:MAX_SERVERS]

    def _start(self, task: StartProfiling, now: float) -> None:
        self._task = task
        self._budget = PacketBudget(BUDGET)
        servers = self._servers()
        if not servers:
            self._finish(NatProfile(made_at=now))
            return
        self._is_running = True
        self._filter_socket = self._open()

    def _open(self) -> int:
        socket = self._new_socket()
        self._out.append(OpenSocket(socket, "0.0.0.0", self._servers()[0]))  # noqa: S104
        return socket

    def _opened(self, socket: int, local: Address, now: float) -> None:
        if socket == self._filter_socket and self._filter is None:
            self._filter = FilteringProbe(socket, self._servers()[0], self._budget, self._rng, now)
        elif socket == self._socket and self._local is None:
            self._local = local
            self._began = now
            self._client = self._asking(socket, self._servers(), now)
        elif socket in self._more:
            servers = self._servers()[:MORE_SERVERS]
            if self._made is not None and self._made.mapping is Mapping.ADDRESS_DEPENDENT:
                servers = list({server[0]: server for server in reversed(servers)}.values())[:2]
            self._more[socket] = local[1], self._asking(socket, servers, now)
        self._timer(now)

    def _asking(self, socket: int, servers: list[Address], now: float) -> StunClient:
        return StunClient(socket, servers, self._budget, self._rng, now, spread_s=SPREAD_S, began=self._began)

    def _failed(self, socket: int, now: float) -> None:
        if socket == self._filter_socket:
            self._filter_socket = self._filter = None
            self._progress(now)
        elif socket == self._socket:
            self._socket = None
            self._finish(self._made or NatProfile(made_at=now))
        elif socket in self._more:
            del self._more[socket]
            self._progress(now)

    def _received(self, source: Address, data: bytes, now: float) -> None:
        if self._filter is not None:
            self._filter.control_received(source, data)
        if self._client is None or self._client.received(source, data, now):
            pass
        elif self._hairpin_until is not None and self._is_own(data):
            self._hairpin = True
            self._hairpin_due, self._hairpin_until = [], None
        self._progress(now)

    def _is_own(self, data: bytes) -> bool:
        try:
            message = stun.parse(data)
        except WireError:
            return False
        return message.kind is StunClass.REQUEST and message.transaction_id in self._hairpin_ids

    def _timer(self, now: float) -> None:
        for asking in (self._filter, self._client, *(each[1] for each in self._more.values() if each is not None)):
            if asking is not None:
                self._out += asking.timer(now)
        self._progress(now)
        while self._hairpin_due and self._hairpin_due[0] <= now:
            self._hairpin_due.pop(0)
            self._send_to_ourselves(now)
        if self._hairpin_until is not None and now >= self._hairpin_until:
            self._hairpin_until = None
            self._hairpin = None if self._lossy() else False
            self._progress(now)

    def _send_to_ourselves(self, now: float) -> None:
        if self._socket is None or self._made is None or self._made.reflexive is None:
            return
        if not self._budget.consume_for_server(now):
            return
        transaction_id = self._rng.randbytes(TRANSACTION_ID_BYTES)
        self._hairpin_ids.add(transaction_id)
        request = stun.binding_request(transaction_id)
        self._out.append(SendDatagram(self._socket, self._made.reflexive, request))

    def _lossy(self) -> bool:
        """Whether silence proves nothing: packets were lost on the way to servers, or the NAT may have sent ours from
        another port than the one that has a right to be answered."""
        seen = [] if self._client is None else self._client.observations
        maps_alike = self._made is not None and self._made.mapping is Mapping.ENDPOINT_INDEPENDENT
        lost = self._client is None or len(seen) < self._client.asked or not all(one.first_try for one in seen)
        return lost or not maps_alike

    def _progress(self, now: float) -> None:
        """Whatever comes next, as soon as it may."""
        if not self._is_running:
            return
        if self._socket is None:
            if self._filter_socket is None or (self._filter is not None and self._filter.all_sent):
                self._socket = self._open()
            return
        if self._filter is not None and self._filter.done and self._filter_socket is not None:
            self._out.append(CloseSocket(self._filter_socket))
            self._filter_socket = None
        self._judge(now)
        is_controlled = self._filter is None or self._filter.controlled
        is_testing = self._filter_socket is not None or self._hairpin_until is not None or not is_controlled
        is_asking = not all(each is not None and each[1].done for each in self._more.values())
        if self._made is not None and not is_testing and not is_asking:
            made = self._with_more(self._made)
            if self._more and made.allocation is Allocation.UNKNOWN and self._more_times < MORE_TIMES:
                self._ask_more()
            else:
                self._finish(self._with_tests(made))

    def _ask_more(self) -> None:
        """Further sockets in the place of those that did not tell how ports are chosen."""
        self._out += [CloseSocket(socket) for socket in self._more]
        self._more_times += 1
        self._more = {self._open(): None for _ in range(MORE_SOCKETS)}

    def _with_more(self, made: NatProfile) -> NatProfile:
        """What further sockets have shown of the allocation, if all of them have."""
        more = [each for each in self._more.values() if each is not None]
        if self._client is None or self._local is None or len(more) < MORE_SOCKETS:
            return made
        if any(len(each.observations) < each.asked for each in (self._client, *(asking for _, asking in more))):
            return made
        own = (self._local[1], self._client.observations)
        seen = (own, *((port, asking.observations) for port, asking in more))
        return made.with_allocation(allocation_of_sockets(seen, made.mapping))

    def _with_tests(self, made: NatProfile) -> NatProfile:
        if made.suspicious or made.reflexive is None or self._client is None or self._filter is None:
            return replace(made, hairpin=self._hairpin)
        seen = self._filter.verdict({one.server for one in self._client.observations})
        evidence = (*made.evidence[: MAX_EVIDENCE - len(seen.evidence)], *seen.evidence)
        return replace(made, hairpin=self._hairpin, filtering=seen.filtering, evidence=evidence)

    def _judge(self, now: float) -> None:
        if self._client is None or self._local is None or not self._client.done or self._made is not None:
            return
        seen = self._client.observations
        ips = [host.ip for host in self._task.hosts]
        silent = self._client.asked - len(seen) if self._task.online else 0
        unbelievable = self._client.unbelievable
        self._made = classify(seen, self._local, ips, now, unanswered=silent, unbelievable=unbelievable)
        if self._filter is not None and self._socket is not None and self._made.reflexive is not None:
            self._filter.control(self._socket, self._made.mapping, now)
            self._out += self._filter.timer(now)
        if self._made.reflexive is not None and self._made.mapping in (Mapping.ENDPOINT_INDEPENDENT, Mapping.UNKNOWN):
            self._hairpin_due = [now + offset for offset in HAIRPIN_S]
            self._hairpin_until = self._hairpin_due[-1] + HAIRPIN_WAIT_S
            self._timer(now)
        elif self._made.symmetric and self._made.allocation is Allocation.UNKNOWN:
            self._ask_more()

    def _finish(self, profile: NatProfile) -> None:
        self.profile = profile
        self._out.append(ProfileMade(profile))
        self._close()

    def _close(self) -> None:
        sockets = (self._filter_socket, self._socket, *self._more)
        self._out += [CloseSocket(socket) for socket in sockets if socket is not None]
        self._more, self._more_times = {}, 0
        self._is_running = False
        self._filter_socket = self._filter = None
        self._socket = self._local = self._client = self._made = self._hairpin_until = self._hairpin = None
        self._hairpin_due = []
        self._hairpin_ids = set()
