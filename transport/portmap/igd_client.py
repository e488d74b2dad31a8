"""Asks a UPnP Internet Gateway Device for one port (WANIPConnection:1 §2.4), keeps it, and gives it back.

Discovery and SOAP are the driver's (``transport.io.upnp``): this machine says what to ask next and judges the answers.
One question is out at a time, and each has a number, so that a late answer to an earlier one moves nothing.
"""

from dataclasses import dataclass
from random import Random
from typing import ClassVar

from transport.ice.candidates import is_believable_reflexive
from transport.net.port_mapping import MappingProtocol
from transport.portmap import igd
from transport.portmap.client import MappingClient, State, Trigger
from transport.portmap.lease import (
    FIRST_EXTERNAL_PORT,
    LEASE_S,
    MAX_RETRY_S,
    MIN_RETRY_S,
    WATCH_EVERY_S,
    Lease,
)

RELEASE_S = 0.5
# External ports that are tried when others hold the first ones.
MAX_PORTS = 4
LAST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class IgdTask:
    """``client_ip`` is our address toward ``gateway``, ``suggested_port`` the external port that is best. Questions are
    numbered from ``first_number`` on."""

    gateway: str
    client_ip: str
    internal_port: int
    suggested_port: int
    lease_s: int = LEASE_S
    first_number: int = 0


class IgdClient(MappingClient):
    """The machine: search, external address, then, after :meth:`map`, the mapping and a look at it."""

    protocol: ClassVar[MappingProtocol] = "upnp"

    def __init__(self, task: IgdTask, rng: Random) -> None:
        super().__init__()
        self.task = task
        self._rng = rng
        self._number = task.first_number
        self._asked: igd.IgdCommand | None = None
        """The question that waits for its answer."""
        self._external_ip: str | None = None
        self._wants_mapping = False
        self._port = task.suggested_port
        self._added_at: float | None = None
        self._tried_ports = 0
        self._stale: tuple[int, int] | None = None
        """External and internal port of an entry of ours that is to go."""

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        expiry = self.lease.expires_at if self.state is State.HELD and self.lease is not None else None
        return min((due for due in (self._due, expiry) if due is not None), default=None)

    def begin(self, now: float) -> list[igd.IgdCommand]:
        """Search."""
        return self._search(now)

    def map(self, now: float) -> list[igd.IgdCommand]:
        """A mapping is wanted from now on."""
        if self._wants_mapping:
            return []
        self._wants_mapping = True
        return self._add(now) if self.state is State.READY and self._asked is None else []

    def check(self, now: float) -> list[igd.IgdCommand]:
        """Ask whether the gateway still knows the lease."""
        if self.state is not State.HELD or self._asked is not None:
            return []
        return self._ask(igd.IgdAskAddress(self._next()), igd.ASK_S, now)

    def drop_stale(self, external_port: int, internal_port: int, now: float) -> list[igd.IgdCommand]:
        """Delete an entry that an earlier run has left, if it still is ours. Only while nothing else is asked."""
        if self._asked is not None or self.state not in (State.READY, State.HELD):
            return []
        self._stale = external_port, internal_port
        return self._ask(igd.IgdLookUp(self._next(), external_port), igd.ASK_S, now)

    def handle(self, event: igd.IgdEvent, now: float) -> list[igd.IgdCommand]:
        """Take an answer; never raises."""
        asked = self._asked
        if asked is None or event.number != asked.number:
            return []
        self._asked = self._due = None
        self.has_answered |= not isinstance(event, igd.IgdFailed)
        if self.state is State.RELEASING:
            self._end()
            return []
        if self._stale is not None and isinstance(asked, igd.IgdLookUp | igd.IgdDelete):
            return self._dropped(event, now)
        if isinstance(event, igd.IgdFailed):
            return self._failed(asked, event.code, now)
        match asked, event:
            case igd.IgdSearch(), igd.IgdFound():
                return self._ask(igd.IgdAskAddress(self._next()), igd.ASK_S, now)
            case igd.IgdAskAddress(), igd.IgdAddress(_, ip):
                return self._address(ip, now)
            case igd.IgdAdd(), igd.IgdDone():
                self._added_at = now
                return self._ask(igd.IgdLookUp(self._next(), self._port), igd.ASK_S, now)
            case igd.IgdLookUp(), igd.IgdEntry():
                return self._seen(event, now)
            case igd.IgdDelete(), igd.IgdDone():
                # Of a mapping that would have stood for ever.
                self._refuse(self.reason, now)
            case _:
                return self._failed(asked, 0, now)
        return []

    def timer(self, now: float) -> list[igd.IgdCommand]:
        """Do what is due; harmless when nothing is."""
        if self._expire(now) and self._asked is None:
            self._due = now
        if self._due is None or now < self._due:
            return []
        self._due = None
        if self._asked is not None:
            return self.handle(igd.IgdFailed(self._asked.number, 0), now)
        if self.lease is None:
            return self._search(now)
        if now >= self.lease.renew_at:
            return self._add(now)
        return self.check(now)

    def release(self, now: float) -> list[igd.IgdCommand]:
        """Give the mapping back, also one that was requested and never confirmed; ends in ``RELEASED``."""
        if self.is_leaving:
            return []
        if self.lease is None and not isinstance(self._asked, igd.IgdAdd | igd.IgdLookUp | igd.IgdDelete):
            self._asked = None
            self._end()
            return []
        self._move(Trigger.RELEASE)
        return self._ask(igd.IgdDelete(self._next(), self._port), RELEASE_S, now)

    def _dropped(self, event: igd.IgdEvent, now: float) -> list[igd.IgdCommand]:
        stale, self._stale = self._stale, None
        ours = None if stale is None else (self.task.client_ip, stale[1])
        if (
            stale is not None
            and isinstance(event, igd.IgdEntry)
            and (event.internal_client, event.internal_port) == ours
        ):
            self._stale = stale
            return self._ask(igd.IgdDelete(self._next(), stale[0]), igd.ASK_S, now)
        if self.lease is not None:
            self._rest(now)
            return []
        return self._add(now) if self._wants_mapping else []

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _ask(self, command: igd.IgdCommand, timeout_s: float, now: float) -> list[igd.IgdCommand]:
        self._asked, self._due = command, now + timeout_s
        return [command]

    def _search(self, now: float) -> list[igd.IgdCommand]:
        self._tried_ports = 0
        return self._ask(igd.IgdSearch(self._next(), self.task.client_ip, self.task.gateway), igd.SEARCH_S, now)

    def _add(self, now: float) -> list[igd.IgdCommand]:
        self._tried_ports += 1
        task = self.task
        add = igd.IgdAdd(self._next(), self._port, task.internal_port, task.client_ip, task.lease_s)
        return self._ask(add, igd.ASK_S, now)

    def _address(self, ip: str, now: float) -> list[igd.IgdCommand]:
        if ":" in ip or not is_believable_reflexive((ip, self._port)):
            self.lease = None
            self._refuse("no-external-address", now)
            return []
        self._external_ip = ip
        if self.lease is not None:
            if self.lease.external[0] != ip:
                self.lease = Lease((ip, self._port), self.lease.since, self.lease.lifetime_s)
            self._added_at = None
            return self._ask(igd.IgdLookUp(self._next(), self._port), igd.ASK_S, now)
        self._move(Trigger.ANSWERED)
        self.reason = ""
        return self._add(now) if self._wants_mapping else []

    def _seen(self, entry: igd.IgdEntry, now: float) -> list[igd.IgdCommand]:
        """The entry that was just added, or one that was looked up to see whether it still stands."""
        if (entry.internal_client, entry.internal_port) != (self.task.client_ip, self.task.internal_port):
            self._lose(Trigger.FORGOTTEN, "")
            return self._other_port("conflict", now)
        if entry.lease_s <= 0:
            # It took the lease and keeps the mapping for ever: that is not to be left on anybody's router.
            self.lease = None
            self._refuse("permanent-lease-only", now)
            return self._ask(igd.IgdDelete(self._next(), self._port), igd.ASK_S, now)
        if self._added_at is not None:
            self._take_lease(min(entry.lease_s, self.task.lease_s), self._added_at, now)
        else:
            self._rest(now)
        return []

    def _take_lease(self, lease_s: int, since: float, now: float) -> None:
        if self._hold((self._external_ip or "0.0.0.0", self._port), lease_s, since, now):  # noqa: S104
            self._tried_ports = 0
            self._rest(now)

    def _rest(self, now: float) -> None:
        if self.lease is not None:
            self._due = max(now, min(now + WATCH_EVERY_S, self.lease.renew_at))

    def _failed(self, asked: igd.IgdCommand, code: int, now: float) -> list[igd.IgdCommand]:
        match asked:
            case igd.IgdLookUp() if code == igd.NO_SUCH_ENTRY:
                # It has forgotten, or had never taken it, against its own answer.
                was_just_added = self._added_at is not None
                if not was_just_added:
                    self._lose(Trigger.FORGOTTEN, "")
                    return self._add(now)
                self.lease = None
                self._refuse("refused", now)
                return []
            case igd.IgdLookUp() if code and self._added_at is not None:
                # Not every router answers this; it had accepted the lease.
                self._take_lease(self.task.lease_s, self._added_at, now)
                return []
            case igd.IgdLookUp() | igd.IgdAskAddress() if self.lease is not None:
                # The same location may no longer be right. The lease is kept until it is known to be gone.
                if code == 0:
                    return self._search(now)
                self._rest(now)
                return []
            case igd.IgdSearch() if self.lease is not None:
                self._due = now + MIN_RETRY_S
                return []
            case igd.IgdAdd():
                return self._not_added(code, now)
            case igd.IgdDelete():
                self._refuse(self.reason, now)
                return []
        if isinstance(asked, igd.IgdSearch):
            self._lose(Trigger.UNANSWERED, "silent")
            self._due = now + MAX_RETRY_S
        else:
            self._refuse("refused" if code else "silent", now)
        return []

    def _not_added(self, code: int, now: float) -> list[igd.IgdCommand]:
        if code in (igd.CONFLICT_IN_MAPPING_ENTRY, igd.CONFLICT_WITH_OTHER_MECHANISMS):
            self._lose(Trigger.FORGOTTEN, "")
            return self._other_port("conflict", now)
        if code == igd.SAME_PORT_VALUES_REQUIRED and self._port != self.task.internal_port:
            self._port = self.task.internal_port
            return self._add(now)
        if code == igd.ONLY_PERMANENT_LEASES_SUPPORTED:
            reason = "permanent-lease-only"
        elif code in igd.NOT_AUTHORIZED:
            reason = "not-authorized"
        elif code == igd.NO_PORT_MAPS_AVAILABLE:
            reason = "no-resources"
        else:
            reason = "refused" if code else "silent"
        self._refuse(reason, now)
        return []

    def _other_port(self, reason: str, now: float) -> list[igd.IgdCommand]:
        if self._tried_ports >= MAX_PORTS:
            self._refuse(reason, now)
            return []
        if self._tried_ports == 1 and self._port != self.task.internal_port:
            self._port = self.task.internal_port
        else:
            self._port = self._rng.randint(FIRST_EXTERNAL_PORT, LAST_PORT)
        return self._add(now)
