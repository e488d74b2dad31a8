"""Asks one gateway for one port by PCP (RFC 6887 §8.1, §11), keeps it, and gives it back."""

from dataclasses import dataclass
from random import Random

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
from transport.portmap import pcp
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

# RFC 6887 §8.1.1: IRT, MRT, RAND. NAT-PMP, asked beside it, makes up for a first packet that is lost.
FIRST_WAIT_S, MAX_WAIT_S, SPREAD = 3.0, 1_024.0, 0.1
# 3 + 6 + 12 + 24 s; then only every MAX_RETRY_S, since most gateways that are silent do not know the protocol.
MAX_TRIES = 4
# RFC 6887 §15 has the ordinary schedule for deletions too; nobody waits for that when a program ends.
RELEASE_EVERY_S, RELEASE_TRIES = 0.15, 3
_EPOCH_PART = 1 / 16

_REASONS = {
    pcp.Result.NOT_AUTHORIZED: "not-authorized",
    pcp.Result.UNSUPP_OPCODE: "unsupported",
    pcp.Result.UNSUPP_PROTOCOL: "unsupported",
    pcp.Result.NETWORK_FAILURE: "no-external-address",
    pcp.Result.NO_RESOURCES: "no-resources",
    pcp.Result.USER_EX_QUOTA: "no-resources",
    pcp.Result.CANNOT_PROVIDE_EXTERNAL: "conflict",
    pcp.Result.ADDRESS_MISMATCH: "address-mismatch",
}


@dataclass(frozen=True, slots=True)
class PcpTask:
    """``client_ip`` is our address as the server sees it, "" for that of the interface that leads there; an IPv6 one
    is bound, since a packet from another address would ask for that one. ``wish`` is the external port that is best,
    or 0; ``server`` may have a scope (``fe80::1%eth0``)."""

    socket: int
    server: Address
    client_ip: str
    internal_port: int
    nonce: bytes
    wish: int = 0
    lease_s: int = LEASE_S


class PcpClient:
    """The machine. It has no second way to be told things: sockets, packets and :meth:`timer`."""

    protocol: MappingProtocol = "pcp"

    def __init__(self, task: PcpTask, rng: Random) -> None:
        self.task = task
        self.standing = Standing.ASKING
        self.reason = ""
        self.lease: Lease | None = None
        self.answered_at: float | None = None
        self._rng = rng
        self._client_ip = task.client_ip
        self._is_open = False
        self._epoch = Epoch(_EPOCH_PART)
        self._asked: bytes | None = None
        """The request that is waiting for its answer."""
        self._is_announce = False
        self._tries = 0
        self._wait_s = FIRST_WAIT_S
        self._due: float | None = None
        self._watch_at: float | None = None
        self._mapped_at: float | None = None
        self._releasing = False

    @property
    def external_ip(self) -> str | None:
        """The gateway's, as far as it has told."""
        return None if self.lease is None else self.lease.external[0]

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
        """Open the socket; the request leaves when it is there."""
        server = self.task.server
        host = self.task.client_ip if ":" in server[0] else "0.0.0.0"  # noqa: S104
        return [OpenSocket(self.task.socket, host, server)]

    def map(self, now: float) -> list[ClientCommand]:
        """Nothing: the first request of this protocol is the one for a mapping."""
        return []

    def opened(self, event: SocketOpened, now: float) -> list[ClientCommand]:
        """The socket is there."""
        if event.socket != self.task.socket or self._is_open or self.standing is Standing.OVER:
            return []
        self._is_open = True
        self._client_ip = self.task.client_ip or event.local[0]
        return self._ask_mapping(now)

    def failed(self, event: SocketFailed, now: float) -> list[ClientCommand]:
        """The socket is not there, or no more."""
        if event.socket == self.task.socket:
            self._is_open = False
            self.standing, self.reason = Standing.SILENT, "no-socket"
        return []

    def received(self, event: DatagramReceived, now: float) -> list[ClientCommand]:
        """A packet came. Only what the server says, and about our nonce, counts."""
        server = (self.task.server[0].partition("%")[0], self.task.server[1])
        if event.socket != self.task.socket or event.source != server or not self._is_open:
            return []
        try:
            answer = pcp.parse(event.data)
        except WireError:
            return []
        if isinstance(answer, pcp.Mapped | pcp.Refused) and answer.nonce not in (b"", self.task.nonce):
            return []
        if isinstance(answer, pcp.Mapped) and answer.internal_port != self.task.internal_port:
            return []
        if self.answered_at is None:
            self.answered_at = now
        if self._releasing:
            return self._over() if isinstance(answer, pcp.Mapped | pcp.Refused) else []
        match answer:
            case pcp.Mapped():
                self._epoch.lost(answer.epoch_s, now)
                self._granted(answer, now)
            case pcp.Announced(epoch_s):
                return self._announced(epoch_s, now)
            case pcp.Refused():
                return self._refused(answer, now)
            case pcp.OtherVersion() if self.lease is None:
                self._refuse("unsupported", MAX_RETRY_S, now)
        return []

    def check(self, now: float) -> list[ClientCommand]:
        """Is the lease still known there? Asked before it matters."""
        if self.lease is None or not self._is_idle or self._releasing or not self._is_open:
            return []
        self._is_announce = True
        self._watch_at = now + WATCH_EVERY_S
        return self._send(pcp.announce_request(self._client_ip), now)

    def drop_stale(self, internal_port: int, nonce: bytes) -> list[ClientCommand]:
        """Delete a mapping that an earlier run has left."""
        if not self._is_open or self._releasing or self._client_ip == "":
            return []
        wish = (pcp.unspecified(self._client_ip), 0)
        data = pcp.map_request(self._client_ip, nonce, internal_port, wish, 0)
        return [SendDatagram(self.task.socket, self.task.server, data)]

    def timer(self, now: float) -> list[ClientCommand]:
        """Do what is due; harmless when nothing is."""
        if not self._is_open or self.standing is Standing.OVER:
            return []
        if self.lease is not None and now >= self.lease.expires_at and not self._releasing:
            self.lease = None
            self.standing, self.reason = Standing.ASKING, "silent"
            if self._is_idle:
                return self._ask_mapping(now)
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
        if not self._is_open or (self.standing is Standing.REFUSED and self.lease is None):
            return self._over()
        if self.answered_at is None:
            # Most probably nobody is there; one packet in case that somebody is, and nobody waits.
            return [SendDatagram(self.task.socket, self.task.server, self._request(0)), *self._over()]
        self._releasing = True
        self._asked, self._is_announce = self._request(0), False
        self._tries = 0
        return self._again(now)

    def _request(self, lease_s: int) -> bytes:
        wish = (pcp.unspecified(self._client_ip), self.task.wish)
        if ":" in self._client_ip:
            # A pinhole: the address stays as it is.
            wish = (self._client_ip, self.task.internal_port)
        elif self.lease is not None:
            wish = self.lease.external
        return pcp.map_request(self._client_ip, self.task.nonce, self.task.internal_port, wish, lease_s)

    def _ask_mapping(self, now: float) -> list[ClientCommand]:
        self._is_announce = False
        self._mapped_at = now
        return self._send(self._request(self.task.lease_s), now)

    def _send(self, data: bytes, now: float) -> list[ClientCommand]:
        self._asked, self._tries, self._wait_s = data, 0, FIRST_WAIT_S
        return self._again(now)

    def _again(self, now: float) -> list[ClientCommand]:
        """Send what waits for an answer (again), or give up."""
        self._due = None
        if self._asked is None:
            # A refusal has had its time.
            return self._ask_mapping(now)
        if self._tries >= (RELEASE_TRIES if self._releasing else MAX_TRIES):
            if self._releasing:
                return self._over()
            if not self._is_announce:
                if self.lease is None and self.standing is not Standing.REFUSED:
                    self.standing, self.reason = Standing.SILENT, "silent"
                # Renewals go on until the lease is over, and the looking for a server for ever.
                self._due = now + (MIN_RETRY_S if self.lease is not None else MAX_RETRY_S)
            self._asked = None
            return []
        self._tries += 1
        if self._releasing:
            self._due = now + RELEASE_EVERY_S
        else:
            self._due = now + self._wait_s * (1 + self._rng.uniform(-SPREAD, SPREAD))
            self._wait_s = min(self._wait_s * 2, MAX_WAIT_S)
        return [SendDatagram(self.task.socket, self.task.server, self._asked)]

    def _granted(self, answer: pcp.Mapped, now: float) -> None:
        if self.lease is not None and (self._is_announce or self._asked is None):
            # A copy of an answer that has come already.
            return
        lifetime_s = usable_lifetime(answer.lifetime_s)
        external = answer.external
        if lifetime_s is None:
            self._refuse("lease-too-short", MAX_RETRY_S, now)
        elif external[1] < FIRST_EXTERNAL_PORT or not is_believable_reflexive(external):
            self._refuse("no-external-address", MAX_RETRY_S, now)
        else:
            self._asked, self._due = None, None
            self.lease = Lease(external, now, lifetime_s)
            self.standing, self.reason = Standing.HELD, ""
            self._watch_at = now + WATCH_EVERY_S

    def _announced(self, epoch_s: int, now: float) -> list[ClientCommand]:
        if self._is_announce:
            self._asked, self._due = None, None
        return self._remap(now) if self._epoch.lost(epoch_s, now) else []

    def _remap(self, now: float) -> list[ClientCommand]:
        """The server has forgotten; nobody who could forge that makes us send more than so often."""
        if self._mapped_at is not None and now < self._mapped_at + MIN_REMAP_S:
            # What is due while nothing waits for an answer is a request for the mapping.
            self._due = self._mapped_at + MIN_REMAP_S
            return []
        return self._ask_mapping(now)

    def _refused(self, answer: pcp.Refused, now: float) -> list[ClientCommand]:
        has_forgotten = self._epoch.lost(answer.epoch_s, now)
        if self._is_announce:
            # It does not know ANNOUNCE, but has said its epoch.
            self._asked, self._due = None, None
            return self._remap(now) if has_forgotten else []
        if self._asked is None:
            return []
        if has_forgotten:
            self.lease = None
        known = answer.result in pcp.Result.__members__.values()
        reason = _REASONS.get(pcp.Result(answer.result), "refused") if known else "refused"
        self._refuse(reason, answer.retry_s, now)
        return []

    def _refuse(self, reason: str, retry_s: float, now: float) -> None:
        self._asked = None
        self._due = now + min(max(retry_s, MIN_RETRY_S), MAX_RETRY_S)
        if self.lease is None:
            self.standing, self.reason = Standing.REFUSED, reason

    def _over(self) -> list[ClientCommand]:
        was_open, self._is_open = self._is_open, False
        self.standing, self.lease, self._due, self._asked = Standing.OVER, None, None, None
        return [CloseSocket(self.task.socket)] if was_open else []
