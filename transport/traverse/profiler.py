"""Asks for our NAT's profile by itself: for ``segue netcheck``, at the start of the program and after a network change.

One socket asks every server at once; where the answers show a NAT that maps endpoint-independently it then sends to
its own outside address, to see whether the NAT turns packets around (hairpin, RFC 4787 §6). During a call the punch's
own STUN questions serve (:mod:`transport.traverse.punch`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from transport.path.sockets import (
    CloseSocket,
    DatagramReceived,
    OpenSocket,
    SendDatagram,
    SocketFailed,
    SocketOpened,
)
from transport.traverse.budget import Budget, Purse
from transport.traverse.candidates import HostAddress
from transport.traverse.nat_profile import Mapping, NatProfile, classify
from transport.traverse.reflexive import ReflexiveQueries
from transport.wire import WireError, stun
from transport.wire.stun import TRANSACTION_ID_BYTES, Address, StunClass

MAX_SERVERS = 12
BUDGET = Budget(packets=MAX_SERVERS * 5 + 5, packets_per_second=100, sockets=1, seconds=5.0)
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
    """Close the socket and forget it."""


@dataclass(frozen=True, slots=True)
class ProfilerTimer:
    """The profiler's deadline has come."""


@dataclass(frozen=True, slots=True)
class ProfileMade:
    """All that can be known now."""

    profile: NatProfile


ProfilerEvent = StartProfiling | StopProfiling | SocketOpened | SocketFailed | DatagramReceived | ProfilerTimer
ProfilerCommand = OpenSocket | CloseSocket | SendDatagram | ProfileMade


class NatProfiler:
    """The machine. ``profile`` is the newest result, kept until the next one is made."""

    def __init__(self, new_socket: Callable[[], int], rng: Random) -> None:
        self._new_socket = new_socket
        self._rng = rng
        self._task = StartProfiling((), (), online=False)
        self._socket: int | None = None
        self._local: Address | None = None
        self._purse = Purse(BUDGET)
        self._queries: ReflexiveQueries | None = None
        self._made: NatProfile | None = None
        self._hairpin_due: list[float] = []
        self._hairpin_until: float | None = None
        self._hairpin_ids: set[bytes] = set()
        self._out: list[ProfilerCommand] = []
        self.profile: NatProfile | None = None

    def next_deadline(self) -> float | None:
        """When :class:`ProfilerTimer` is due."""
        asking = None if self._queries is None else self._queries.next_deadline()
        deadlines = (asking, *self._hairpin_due[:1], self._hairpin_until)
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
                if socket == self._socket and self._local is None:
                    self._local = local
                    self._queries = ReflexiveQueries(socket, self._servers(), self._purse, self._rng, now)
                    self._timer(now)
            case SocketFailed(socket, _):
                if socket == self._socket:
                    self._socket = None
                    self._finish(self._made or NatProfile(made_at=now))
            case DatagramReceived(socket, source, data):
                if socket == self._socket:
                    self._received(source, data, now)
            case ProfilerTimer():
                self._timer(now)
        out, self._out = self._out, []
        return out

    def _servers(self) -> list[Address]:
        return [server for server in self._task.stun if ":" not in server[0]][:MAX_SERVERS]

    def _start(self, task: StartProfiling, now: float) -> None:
        self._task = task
        self._purse = Purse(BUDGET)
        servers = self._servers()
        if not servers:
            self._finish(NatProfile(made_at=now))
            return
        self._socket = self._new_socket()
        self._out.append(OpenSocket(self._socket, "0.0.0.0", servers[0]))  # noqa: S104

    def _received(self, source: Address, data: bytes, now: float) -> None:
        if self._queries is not None and self._queries.received(source, data, now):
            self._judge(now)
        elif self._hairpin_until is not None and self._made is not None and self._is_own(data):
            self._finish(replace(self._made, hairpin=True))

    def _is_own(self, data: bytes) -> bool:
        try:
            message = stun.parse(data)
        except WireError:
            return False
        return message.kind is StunClass.REQUEST and message.transaction_id in self._hairpin_ids

    def _timer(self, now: float) -> None:
        if self._queries is not None:
            self._out += self._queries.timer(now)
            self._judge(now)
        while self._hairpin_due and self._hairpin_due[0] <= now:
            self._hairpin_due.pop(0)
            self._send_to_ourselves(now)
        if self._hairpin_until is not None and now >= self._hairpin_until and self._made is not None:
            self._finish(replace(self._made, hairpin=None if self._lossy() else False))

    def _send_to_ourselves(self, now: float) -> None:
        if self._socket is None or self._made is None or self._made.reflexive is None or not self._purse.pay_known(now):
            return
        transaction_id = self._rng.randbytes(TRANSACTION_ID_BYTES)
        self._hairpin_ids.add(transaction_id)
        request = stun.binding_request(transaction_id)
        self._out.append(SendDatagram(self._socket, self._made.reflexive, request))

    def _lossy(self) -> bool:
        """Whether packets were lost on the way to servers: then silence proves nothing."""
        seen = [] if self._queries is None else self._queries.observations
        return self._queries is None or len(seen) < self._queries.asked or not all(one.first_try for one in seen)

    def _judge(self, now: float) -> None:
        if self._queries is None or self._local is None or not self._queries.done or self._made is not None:
            return
        seen = self._queries.observations
        ips = [host.ip for host in self._task.hosts]
        silent = self._queries.asked - len(seen) if self._task.online else 0
        strange = self._queries.unbelievable
        self._made = classify(seen, self._local, ips, now, unanswered=silent, unbelievable=strange)
        if self._made.mapping is Mapping.ENDPOINT_INDEPENDENT:
            self._hairpin_due = [now + offset for offset in HAIRPIN_S]
            self._hairpin_until = self._hairpin_due[-1] + HAIRPIN_WAIT_S
            self._timer(now)
        else:
            self._finish(self._made)

    def _finish(self, profile: NatProfile) -> None:
        self.profile = profile
        self._out.append(ProfileMade(profile))
        self._close()

    def _close(self) -> None:
        if self._socket is not None:
            self._out.append(CloseSocket(self._socket))
        self._socket = self._local = self._queries = self._made = self._hairpin_until = None
        self._hairpin_due = []
        self._hairpin_ids = set()
