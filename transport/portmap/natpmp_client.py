"""Asks one gateway for one port by NAT-PMP (RFC 6886 §3), keeps it, and gives it back."""

from dataclasses import dataclass

from transport.ice.candidates import is_believable_reflexive
from transport.net.port_mapping import MappingProtocol
from transport.net.sockets import (
    Address,
    CloseSocket,
    DatagramReceived,
    OpenSocket,
    SendDatagram,
    SocketFailed,
    SocketOpened,
)
from transport.portmap import natpmp
from transport.portmap.lease import (
    FIRST_EXTERNAL_PORT,
    LEASE_S,
    MAX_RETRY_S,
    MIN_REMAP_S,
    MIN_RETRY_S,
    WATCH_EVERY_S,
    ClientCommand,
    Epoch,
    Lease,
    Standing,
    usable_lifetime,
)
from transport.wire.errors import WireError

# RFC 6886 §3.1: 250 ms, doubling, nine times.
FIRST_WAIT_S, MAX_TRIES = 0.25, 9
RELEASE_EVERY_S, RELEASE_TRIES = 0.15, 3
_EPOCH_PART = 1 / 8

_REASONS = {
    natpmp.Result.UNSUPPORTED_VERSION: "unsupported",
    natpmp.Result.NOT_AUTHORIZED: "not-authorized",
    natpmp.Result.NETWORK_FAILURE: "no-external-address",
    natpmp.Result.OUT_OF_RESOURCES: "no-resources",
    natpmp.Result.UNSUPPORTED_OPCODE: "unsupported",
}


@dataclass(frozen=True, slots=True)
class NatPmpTask:
    """``wish`` is the external port that is best. ``tries``: how often a question is asked."""

    socket: int
    server: Address
    internal_port: int
    wish: int
    lease_s: int = LEASE_S
    tries: int = MAX_TRIES


class NatPmpClient:
    """The machine: first the external address, then, when it is told to :meth:`map`, the mapping."""

    protocol: MappingProtocol = "nat-pmp"

    def __init__(self, task: NatPmpTask) -> None:
        self.task = task
        self.standing = Standing.ASKING
        self.reason = ""
        self.lease: Lease | None = None
        self.external_ip: str | None = None
        self.answered_at: float | None = None
        self._is_open = False
        self._wants_mapping = False
        self._epoch = Epoch(_EPOCH_PART)
        self._asked: bytes | None = None
        self._is_mapping = False
        """Whether what waits for an answer is a request for a mapping."""
        self._tries = 0
        self._wait_s = FIRST_WAIT_S
        self._due: float | None = None
        self._watch_at: float | None = None
        self._mapped_at: float | None = None
        self._has_forgotten = False
        self._releasing = False

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        if not self._is_open or self.standing is Standing.OVER:
            return None
        lease = () if self.lease is None or self._releasing else (self.lease.expires_at,)
        renewal = (self.lease.renew_at,) if self.lease is not None and self._is_idle else ()
        watch = self._watch_at if self.lease is not None and self._is_idle else None
        return min((due for due in (self._due, watch, *lease, *renewal) if due is not None), default=None)

    @property
    def _is_idle(self) -> bool:
        """Nothing waits for an answer, or for its time."""
        return self._asked is None and self._due is None

    def begin(self) -> list[ClientCommand]:
        """Open the socket; the question leaves when it is there."""
        return [OpenSocket(self.task.socket, "0.0.0.0", self.task.server)]  # noqa: S104

    def map(self, now: float) -> list[ClientCommand]:
        """A mapping is wanted from now on."""
        if self._wants_mapping:
            return []
        self._wants_mapping = True
        return self._ask_mapping(now) if self.standing is Standing.READY and self._asked is None else []

    def opened(self, event: SocketOpened, now: float) -> list[ClientCommand]:
        """The socket is there."""
        if event.socket != self.task.socket or self._is_open or self.standing is Standing.OVER:
            return []
        self._is_open = True
        return self._ask_address(now)

    def failed(self, event: SocketFailed, now: float) -> list[ClientCommand]:
        """The socket is not there, or no more."""
        if event.socket == self.task.socket:
            self._is_open = False
            self.standing, self.reason = Standing.SILENT, "no-socket"
        return []

    def received(self, event: DatagramReceived, now: float) -> list[ClientCommand]:
        """A packet came. Only what the gateway says counts."""
        if event.socket != self.task.socket or event.source != self.task.server or not self._is_open:
            return []
        try:
            answer = natpmp.parse(event.data)
        except WireError:
            return []
        if isinstance(answer, natpmp.Mapped) and answer.internal_port != self.task.internal_port:
            return []
        if self.answered_at is None:
            self.answered_at = now
        if self._releasing:
            is_about_mapping = isinstance(answer, natpmp.Mapped | natpmp.Refused)
            return self._over() if is_about_mapping else []
        # Also what it had forgotten when it was too soon to ask again.
        has_forgotten = self._epoch.lost(answer.epoch_s, now) or self._has_forgotten
        match answer:
            case natpmp.PublicAddress(_, ip):
                return self._address(ip, has_forgotten, now)
            case natpmp.Mapped() if self._is_mapping and self._asked is not None:
                self._granted(answer, now)
            case natpmp.Refused(_, result, is_mapping) if self._asked is not None and is_mapping is self._is_mapping:
                known = result in natpmp.Result.__members__.values()
                reason = _REASONS.get(natpmp.Result(result), "refused") if known else "refused"
                if has_forgotten:
                    self.lease = None
                self._refuse(reason, now)
        return []

    def check(self, now: float) -> list[ClientCommand]:
        """Is the lease still known there? Asked before it matters."""
        if self.lease is None or not self._is_idle or self._releasing or not self._is_open:
            return []
        self._watch_at = now + WATCH_EVERY_S
        return self._ask_address(now)

    def drop_stale(self, internal_port: int) -> list[ClientCommand]:
        """Delete a mapping that an earlier run has left."""
        if not self._is_open or self._releasing:
            return []
        data = natpmp.map_request(internal_port, 0, 0)
        return [SendDatagram(self.task.socket, self.task.server, data)]

    def timer(self, now: float) -> list[ClientCommand]:
        """Do what is due; harmless when nothing is."""
        if not self._is_open or self.standing is Standing.OVER:
            return []
        if self.lease is not None and now >= self.lease.expires_at and not self._releasing:
            self.lease = None
            self.standing, self.reason = Standing.ASKING, "silent"
            if self._is_idle:
                return self._ask_address(now)
        if self._due is not None and now >= self._due:
            return self._again(now)
        if self.lease is not None and self._is_idle:
            if now >= self.lease.renew_at:
                return self._ask_mapping(now)
            if self._watch_at is not None and now >= self._watch_at:
                return self.check(now)
        return []

    def release(self, now: float) -> list[ClientCommand]:
        """Give the mapping back, also one that was asked for and never confirmed; :attr:`standing` ends as OVER."""
        if self._releasing or self.standing is Standing.OVER:
            return []
        if not self._is_open or (self.lease is None and self._mapped_at is None):
            return self._over()
        self._releasing = True
        self._asked, self._is_mapping = natpmp.map_request(self.task.internal_port, 0, 0), True
        self._tries = 0
        return self._again(now)

    def _ask_address(self, now: float) -> list[ClientCommand]:
        self._is_mapping = False
        return self._send(natpmp.public_address_request(), now)

    def _ask_mapping(self, now: float) -> list[ClientCommand]:
        self._is_mapping, self._mapped_at = True, now
        wish = self.task.wish if self.lease is None else self.lease.external[1]
        return self._send(natpmp.map_request(self.task.internal_port, wish, self.task.lease_s), now)

    def _send(self, data: bytes, now: float) -> list[ClientCommand]:
        self._asked, self._tries, self._wait_s = data, 0, FIRST_WAIT_S
        return self._again(now)

    def _again(self, now: float) -> list[ClientCommand]:
        """Send what waits for an answer (again), or give up."""
        self._due = None
        if self._asked is None:
            return self._ask_address(now)
        if self._tries >= (RELEASE_TRIES if self._releasing else self.task.tries):
            if self._releasing:
                return self._over()
            if self.lease is None:
                self.standing, self.reason = Standing.SILENT, "silent"
                self._due = now + MAX_RETRY_S
            elif self._is_mapping:
                self._due = now + MIN_RETRY_S
            self._asked = None
            return []
        self._tries += 1
        self._due = now + (RELEASE_EVERY_S if self._releasing else self._wait_s)
        self._wait_s *= 2
        return [SendDatagram(self.task.socket, self.task.server, self._asked)]

    def _address(self, ip: str, has_forgotten: bool, now: float) -> list[ClientCommand]:
        if not self._is_mapping:
            self._asked, self._due = None, None
        if not is_believable_reflexive((ip, self.task.internal_port)):
            self.lease = None
            self._refuse("no-external-address", now)
            return []
        self.external_ip = ip
        if self.lease is not None:
            if self.lease.external[0] != ip:
                self.lease = Lease((ip, self.lease.external[1]), self.lease.since, self.lease.lifetime_s)
            if not has_forgotten:
                return []
            if self._mapped_at is not None and now < self._mapped_at + MIN_REMAP_S:
                self._has_forgotten = True
                self._watch_at = self._mapped_at + MIN_REMAP_S
                return []
        elif not self._is_mapping or self._asked is None:
            self.standing, self.reason = Standing.READY, ""
        if self._asked is not None:
            return []
        return self._ask_mapping(now) if self._wants_mapping else []

    def _granted(self, answer: natpmp.Mapped, now: float) -> None:
        lifetime_s = usable_lifetime(answer.lifetime_s)
        if lifetime_s is None:
            self._refuse("lease-too-short", now)
        elif answer.external_port < FIRST_EXTERNAL_PORT or self.external_ip is None:
            self._refuse("no-external-address", now)
        else:
            self._asked, self._due, self._has_forgotten = None, None, False
            self.lease = Lease((self.external_ip, answer.external_port), now, lifetime_s)
            self.standing, self.reason = Standing.HELD, ""
            self._watch_at = now + WATCH_EVERY_S

    def _refuse(self, reason: str, now: float) -> None:
        """NAT-PMP does not say for how long; a renewal is tried again sooner than what never was."""
        self._asked = None
        self._due = now + (MIN_RETRY_S if self.lease is not None else MAX_RETRY_S)
        if self.lease is None:
            self.standing, self.reason = Standing.REFUSED, reason

    def _over(self) -> list[ClientCommand]:
        was_open, self._is_open = self._is_open, False
        self.standing, self.lease, self._due, self._asked = Standing.OVER, None, None, None
        return [CloseSocket(self.task.socket)] if was_open else []
