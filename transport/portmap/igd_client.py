"""Asks a UPnP Internet Gateway Device for one port (WANIPConnection:1 §2.4), keeps it, and gives it back.

Discovery and SOAP are the driver's (``transport.io.upnp``): this machine says what to ask next and judges the answers.
One question is out at a time, and each has a number, so that a late answer to an earlier one moves nothing.
"""

from dataclasses import dataclass
from random import Random

from transport.ice.candidates import is_believable_reflexive
from transport.net.port_mapping import MappingProtocol
from transport.portmap.lease import (
    FIRST_EXTERNAL_PORT,
    LEASE_S,
    MAX_RETRY_S,
    MIN_RETRY_S,
    WATCH_EVERY_S,
    Lease,
    Standing,
    usable_lifetime,
)

# Search, description and a service's description each are a round trip in the LAN, and some routers take a second.
SEARCH_S = 6.0
ASK_S = 3.0
RELEASE_S = 0.5
# External ports that are tried when others hold the first ones.
MAX_PORTS = 4
LAST_PORT = 65_535

# WANIPConnection:2 §2.5 and UPnP Device Architecture 1.1 §3.2.5.
NOT_AUTHORIZED = (401, 606)
NO_SUCH_ENTRY = 714
CONFLICT_IN_MAPPING_ENTRY = 718
SAME_PORT_VALUES_REQUIRED = 724
ONLY_PERMANENT_LEASES_SUPPORTED = 725
NO_PORT_MAPS_AVAILABLE = 728
CONFLICT_WITH_OTHER_MECHANISMS = 729


@dataclass(frozen=True, slots=True)
class IgdSearch:
    """Find the gateway ``gateway`` by SSDP, from our address ``local_ip``; forget what was found before."""

    number: int
    local_ip: str
    gateway: str


@dataclass(frozen=True, slots=True)
class IgdAskAddress:
    """GetExternalIPAddress."""

    number: int


@dataclass(frozen=True, slots=True)
class IgdAdd:
    """AddPortMapping for UDP, for ``lease_s``, which never is 0: that would be for ever."""

    number: int
    external_port: int
    internal_port: int
    internal_client: str
    lease_s: int


@dataclass(frozen=True, slots=True)
class IgdLookUp:
    """GetSpecificPortMappingEntry."""

    number: int
    external_port: int


@dataclass(frozen=True, slots=True)
class IgdDelete:
    """DeletePortMapping."""

    number: int
    external_port: int


IgdCommand = IgdSearch | IgdAskAddress | IgdAdd | IgdLookUp | IgdDelete


@dataclass(frozen=True, slots=True)
class IgdFound:
    """A gateway with a WAN connection has answered."""

    number: int


@dataclass(frozen=True, slots=True)
class IgdAddress:
    """Its external address, as it says."""

    number: int
    ip: str


@dataclass(frozen=True, slots=True)
class IgdDone:
    """:class:`IgdAdd` or :class:`IgdDelete` succeeded, as it says."""

    number: int


@dataclass(frozen=True, slots=True)
class IgdEntry:
    """An entry of its table; ``lease_s`` 0 is for ever."""

    number: int
    internal_client: str
    internal_port: int
    lease_s: int


@dataclass(frozen=True, slots=True)
class IgdFailed:
    """``code`` is UPnP's error code; 0 where there was no answer, or none that makes sense."""

    number: int
    code: int


IgdEvent = IgdFound | IgdAddress | IgdDone | IgdEntry | IgdFailed


@dataclass(frozen=True, slots=True)
class IgdTask:
    """``client_ip`` is our address toward ``gateway``, ``wish`` the external port that is best. Questions are numbered
    from ``first_number`` on."""

    gateway: str
    client_ip: str
    internal_port: int
    wish: int
    lease_s: int = LEASE_S
    first_number: int = 0


class IgdClient:
    """The machine: search, external address, then, when it is told to :meth:`map`, the mapping and a look at it."""

    protocol: MappingProtocol = "upnp"

    def __init__(self, task: IgdTask, rng: Random) -> None:
        self.task = task
        self.standing = Standing.ASKING
        self.reason = ""
        self.lease: Lease | None = None
        self.external_ip: str | None = None
        self.answered_at: float | None = None
        self._rng = rng
        self._number = task.first_number
        self._out: IgdCommand | None = None
        """The question that waits for its answer."""
        self._wants_mapping = False
        self._port = task.wish
        self._added_at: float | None = None
        self._tried = 0
        self._due: float | None = None
        """The question's time is over; or, without one, when the next is due."""
        self._releasing = False
        self._stale: tuple[int, int] | None = None
        """External and internal port of an entry of ours that is to go."""

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        if self.standing is Standing.OVER:
            return None
        expiry = None if self.lease is None or self._releasing else self.lease.expires_at
        return min((due for due in (self._due, expiry) if due is not None), default=None)

    def begin(self, now: float) -> list[IgdCommand]:
        """Search."""
        return self._search(now)

    def map(self, now: float) -> list[IgdCommand]:
        """A mapping is wanted from now on."""
        if self._wants_mapping:
            return []
        self._wants_mapping = True
        return self._add(now) if self.standing is Standing.READY and self._out is None else []

    def check(self, now: float) -> list[IgdCommand]:
        """Is the lease still known there? Asked before it matters."""
        if self.lease is None or self._out is not None or self._releasing:
            return []
        return self._ask(IgdAskAddress(self._next()), ASK_S, now)

    def drop_stale(self, external_port: int, internal_port: int, now: float) -> list[IgdCommand]:
        """Delete an entry that an earlier run has left, if it still is ours. Only while nothing else is asked."""
        if self._out is not None or self._releasing or self.standing not in (Standing.READY, Standing.HELD):
            return []
        self._stale = external_port, internal_port
        return self._ask(IgdLookUp(self._next(), external_port), ASK_S, now)

    def handle(self, event: IgdEvent, now: float) -> list[IgdCommand]:
        """Take an answer; never raises."""
        out = self._out
        if out is None or event.number != out.number or self.standing is Standing.OVER:
            return []
        self._out = self._due = None
        if self.answered_at is None and not isinstance(event, IgdFailed):
            self.answered_at = now
        if self._releasing:
            return self._over()
        if self._stale is not None and isinstance(out, IgdLookUp | IgdDelete):
            return self._dropped(event, now)
        if isinstance(event, IgdFailed):
            return self._failed(out, event.code, now)
        match out, event:
            case IgdSearch(), IgdFound():
                return self._ask(IgdAskAddress(self._next()), ASK_S, now)
            case IgdAskAddress(), IgdAddress(_, ip):
                return self._address(ip, now)
            case IgdAdd(), IgdDone():
                self._added_at = now
                return self._ask(IgdLookUp(self._next(), self._port), ASK_S, now)
            case IgdLookUp(), IgdEntry():
                return self._seen(event, now)
            case IgdDelete(), IgdDone():
                # Of a mapping that would have stood for ever.
                self._refuse(self.reason, now)
            case _:
                return self._failed(out, 0, now)
        return []

    def timer(self, now: float) -> list[IgdCommand]:
        """Do what is due; harmless when nothing is."""
        if self.standing is Standing.OVER:
            return []
        if self.lease is not None and now >= self.lease.expires_at and not self._releasing:
            self.lease = None
            self.standing, self.reason = Standing.ASKING, "silent"
            if self._out is None:
                self._due = now
        if self._due is None or now < self._due:
            return []
        self._due = None
        if self._releasing:
            return self._over()
        if self._out is not None:
            return self.handle(IgdFailed(self._out.number, 0), now)
        if self.lease is None:
            return self._search(now)
        if now >= self.lease.renew_at:
            return self._add(now)
        return self.check(now)

    def release(self, now: float) -> list[IgdCommand]:
        """Give the mapping back, also one that was asked for and never confirmed; :attr:`standing` ends as OVER."""
        if self._releasing or self.standing is Standing.OVER:
            return []
        if self.lease is None and not isinstance(self._out, IgdAdd | IgdLookUp | IgdDelete):
            return self._over()
        self._releasing = True
        return self._ask(IgdDelete(self._next(), self._port), RELEASE_S, now)

    def _dropped(self, event: IgdEvent, now: float) -> list[IgdCommand]:
        stale, self._stale = self._stale, None
        ours = None if stale is None else (self.task.client_ip, stale[1])
        if stale is not None and isinstance(event, IgdEntry) and (event.internal_client, event.internal_port) == ours:
            self._stale = stale
            return self._ask(IgdDelete(self._next(), stale[0]), ASK_S, now)
        if self.lease is not None:
            self._rest(now)
            return []
        return self._add(now) if self._wants_mapping else []

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _ask(self, command: IgdCommand, patience_s: float, now: float) -> list[IgdCommand]:
        self._out, self._due = command, now + patience_s
        return [command]

    def _search(self, now: float) -> list[IgdCommand]:
        self._tried = 0
        return self._ask(IgdSearch(self._next(), self.task.client_ip, self.task.gateway), SEARCH_S, now)

    def _add(self, now: float) -> list[IgdCommand]:
        self._tried += 1
        task = self.task
        asked = IgdAdd(self._next(), self._port, task.internal_port, task.client_ip, task.lease_s)
        return self._ask(asked, ASK_S, now)

    def _address(self, ip: str, now: float) -> list[IgdCommand]:
        if ":" in ip or not is_believable_reflexive((ip, self._port)):
            self.lease = None
            self._refuse("no-external-address", now)
            return []
        self.external_ip = ip
        if self.lease is not None:
            if self.lease.external[0] != ip:
                self.lease = Lease((ip, self._port), self.lease.since, self.lease.lifetime_s)
            self._added_at = None
            return self._ask(IgdLookUp(self._next(), self._port), ASK_S, now)
        self.standing, self.reason = Standing.READY, ""
        return self._add(now) if self._wants_mapping else []

    def _seen(self, entry: IgdEntry, now: float) -> list[IgdCommand]:
        """The entry that was just added, or one that was looked up to see whether it still stands."""
        if (entry.internal_client, entry.internal_port) != (self.task.client_ip, self.task.internal_port):
            self.lease = None
            return self._other_port("conflict", now)
        if entry.lease_s <= 0:
            # It took the lease and keeps the mapping for ever: that is not to be left on anybody's router.
            self.lease = None
            self.standing, self.reason = Standing.REFUSED, "permanent-lease-only"
            return self._ask(IgdDelete(self._next(), self._port), ASK_S, now)
        if self._added_at is not None:
            self._hold(min(entry.lease_s, self.task.lease_s), self._added_at, now)
        else:
            self._rest(now)
        return []

    def _hold(self, lease_s: int, since: float, now: float) -> None:
        lifetime_s = usable_lifetime(lease_s)
        if lifetime_s is None or self.external_ip is None:
            self._refuse("lease-too-short", now)
            return
        self.lease = Lease((self.external_ip, self._port), since, lifetime_s)
        self.standing, self.reason, self._tried = Standing.HELD, "", 0
        self._rest(now)

    def _rest(self, now: float) -> None:
        if self.lease is not None:
            self._due = max(now, min(now + WATCH_EVERY_S, self.lease.renew_at))

    def _failed(self, out: IgdCommand, code: int, now: float) -> list[IgdCommand]:
        match out:
            case IgdLookUp() if code == NO_SUCH_ENTRY:
                # It has forgotten, or what it said when it was added was not true.
                lied = self._added_at is not None
                self.lease = None
                if lied:
                    self._refuse("refused", now)
                    return []
                return self._add(now)
            case IgdLookUp() if code and self._added_at is not None:
                # Not every router can be asked; it said that it had taken it, for so long.
                self._hold(self.task.lease_s, self._added_at, now)
                return []
            case IgdLookUp() | IgdAskAddress() if self.lease is not None:
                # The same location may no longer be right. The lease is kept until it is known to be gone.
                return self._search(now) if code == 0 else self._rested(now)
            case IgdSearch() if self.lease is not None:
                self._due = now + MIN_RETRY_S
                return []
            case IgdAdd():
                return self._not_added(code, now)
            case IgdDelete():
                self._refuse(self.reason, now)
                return []
        if isinstance(out, IgdSearch):
            self.standing, self.reason, self._due = Standing.SILENT, "silent", now + MAX_RETRY_S
        else:
            self._refuse("refused" if code else "silent", now)
        return []

    def _rested(self, now: float) -> list[IgdCommand]:
        self._rest(now)
        return []

    def _not_added(self, code: int, now: float) -> list[IgdCommand]:
        if code in (CONFLICT_IN_MAPPING_ENTRY, CONFLICT_WITH_OTHER_MECHANISMS):
            self.lease = None
            return self._other_port("conflict", now)
        if code == SAME_PORT_VALUES_REQUIRED and self._port != self.task.internal_port:
            self._port = self.task.internal_port
            return self._add(now)
        if code == ONLY_PERMANENT_LEASES_SUPPORTED:
            reason = "permanent-lease-only"
        elif code in NOT_AUTHORIZED:
            reason = "not-authorized"
        elif code == NO_PORT_MAPS_AVAILABLE:
            reason = "no-resources"
        else:
            reason = "refused" if code else "silent"
        self._refuse(reason, now)
        return []

    def _other_port(self, reason: str, now: float) -> list[IgdCommand]:
        if self._tried >= MAX_PORTS:
            self._refuse(reason, now)
            return []
        if self._tried == 1 and self._port != self.task.internal_port:
            self._port = self.task.internal_port
        else:
            self._port = self._rng.randint(FIRST_EXTERNAL_PORT, LAST_PORT)
        return self._add(now)

    def _refuse(self, reason: str, now: float) -> None:
        """A renewal that fails is tried again while the lease lasts."""
        if self.lease is None:
            self.standing, self.reason, self._due = Standing.REFUSED, reason, now + MAX_RETRY_S
        else:
            self._due = now + MIN_RETRY_S

    def _over(self) -> list[IgdCommand]:
        self.standing, self.lease, self._due, self._out = Standing.OVER, None, None, None
        return []
