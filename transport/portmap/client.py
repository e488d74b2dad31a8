"""Port-mapping client: ask one gateway for one port, keep the lease, and give it back.

:class:`MappingClient` is what PCP, NAT-PMP and UPnP have in common: the state, the lease, refusals and expiry.
:class:`DatagramClient` adds what PCP and NAT-PMP share: a socket, one request at a time with retransmissions, renewal
at half the lease, a question about the gateway's epoch each minute, and deletion.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import ClassVar, Final, Generic, TypeVar

from transport.ice.candidates import is_believable_reflexive
from transport.net import sockets
from transport.net.port_mapping import MappingProtocol
from transport.portmap import lease as leases

# Giving a mapping back: RFC 6887 §15 has the ordinary schedule; nobody waits for that when a program ends.
RELEASE_EVERY_S, RELEASE_TRIES = 0.15, 3

AnswerT = TypeVar("AnswerT")
ClientCommand = sockets.OpenSocket | sockets.CloseSocket | sockets.SendDatagram


class State(Enum):
    """How a client stands with its gateway."""

    ASKING = "asking"
    READY = "ready to map"
    HELD = "lease held"
    REFUSED = "refused"
    SILENT = "no answer"
    RELEASING = "giving back"
    RELEASED = "given back"


class Trigger(Enum):
    """What moves it on."""

    ANSWERED = "external address known"
    GRANTED = "lease granted"
    EXPIRED = "lease expired"
    FORGOTTEN = "gateway has forgotten the mapping"
    DENIED = "refused"
    UNANSWERED = "not answered"
    RELEASE = "to be given back"
    RELEASED = "given back"


TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    (State.ASKING, Trigger.ANSWERED): State.READY,
    (State.REFUSED, Trigger.ANSWERED): State.READY,
    (State.SILENT, Trigger.ANSWERED): State.READY,
    # PCP asks for the mapping at once.
    (State.ASKING, Trigger.GRANTED): State.HELD,
    (State.READY, Trigger.GRANTED): State.HELD,
    (State.REFUSED, Trigger.GRANTED): State.HELD,
    (State.SILENT, Trigger.GRANTED): State.HELD,
    (State.HELD, Trigger.EXPIRED): State.ASKING,
    (State.HELD, Trigger.FORGOTTEN): State.READY,
    # A renewal that is refused changes nothing while the lease lasts. A refusal stays until there is another answer.
    (State.ASKING, Trigger.DENIED): State.REFUSED,
    (State.READY, Trigger.DENIED): State.REFUSED,
    (State.HELD, Trigger.DENIED): State.REFUSED,
    (State.SILENT, Trigger.DENIED): State.REFUSED,
    (State.ASKING, Trigger.UNANSWERED): State.SILENT,
    (State.READY, Trigger.UNANSWERED): State.SILENT,
    (State.HELD, Trigger.UNANSWERED): State.SILENT,
    (State.ASKING, Trigger.RELEASE): State.RELEASING,
    (State.READY, Trigger.RELEASE): State.RELEASING,
    (State.HELD, Trigger.RELEASE): State.RELEASING,
    (State.REFUSED, Trigger.RELEASE): State.RELEASING,
    (State.SILENT, Trigger.RELEASE): State.RELEASING,
    (State.ASKING, Trigger.RELEASED): State.RELEASED,
    (State.READY, Trigger.RELEASED): State.RELEASED,
    (State.REFUSED, Trigger.RELEASED): State.RELEASED,
    (State.SILENT, Trigger.RELEASED): State.RELEASED,
    (State.RELEASING, Trigger.RELEASED): State.RELEASED,
}


class MappingClient:
    """State and lease of a client. ``reason`` is a code (:class:`~transport.portmap.status.MappingStatus`) that says
    why there is no lease."""

    protocol: ClassVar[MappingProtocol]

    def __init__(self) -> None:
        self.state = State.ASKING
        self.reason = ""
        self.lease: leases.Lease | None = None
        self.has_answered = False
        self._due: float | None = None
        """When the request under way is sent again or given up; or, without one, when the next is due."""

    @property
    def is_leaving(self) -> bool:
        """Whether the mapping is being given back, or has been."""
        return self.state in (State.RELEASING, State.RELEASED)

    def _move(self, trigger: Trigger) -> bool:
        after = TRANSITIONS.get((self.state, trigger))
        if after is None:
            return False
        self.state = after
        return True

    def _hold(self, external: sockets.Address, lifetime_s: float, since: float, now: float) -> bool:
        """Take a lease that was granted; False when it is of no use."""
        usable_s = leases.usable_lifetime(lifetime_s)
        if usable_s is None:
            self._refuse("lease-too-short", now)
        elif external[1] < leases.FIRST_EXTERNAL_PORT or not is_believable_reflexive(external):
            self._refuse("no-external-address", now)
        else:
            self.lease, self.reason, self._due = leases.Lease(external, since, usable_s), "", None
            self._move(Trigger.GRANTED)
            return True
        return False

    def _refuse(self, reason: str, now: float, retry_s: float | None = None) -> None:
        """No lease, or no renewal, for now. A renewal is tried again sooner than what never was."""
        if retry_s is None:
            retry_s = leases.MAX_RETRY_S if self.lease is None else leases.MIN_RETRY_S
        self._due = now + min(max(retry_s, leases.MIN_RETRY_S), leases.MAX_RETRY_S)
        if self.lease is None:
            self._move(Trigger.DENIED)
            self.reason = reason

    def _lose(self, trigger: Trigger, reason: str) -> None:
        self.lease = None
        if self._move(trigger):
            self.reason = reason

    def _expire(self, now: float) -> bool:
        """Whether the lease has just ended."""
        if self.state is not State.HELD or self.lease is None or now < self.lease.expires_at:
            return False
        self._lose(Trigger.EXPIRED, "silent")
        return True

    def _end(self) -> None:
        self.lease = self._due = None
        self._move(Trigger.RELEASED)


@dataclass(frozen=True, slots=True)
class Retransmission:
    """Waits from ``first_wait_s``, doubled up to ``max_wait_s``; each differs by up to the share ``spread``."""

    first_wait_s: float
    max_wait_s: float
    tries: int
    spread: float = 0.0


class DatagramClient(MappingClient, Generic[AnswerT]):
    """Feed it the events of its socket and call :meth:`timer` at :meth:`next_deadline`."""

    def __init__(
        self, socket: int, server: sockets.Address, retransmission: Retransmission, epoch: leases.Epoch, rng: Random
    ) -> None:
        super().__init__()
        self.socket = socket
        self._server = server
        self._retransmission = retransmission
        self._epoch = epoch
        self._rng = rng
        self._is_open = False
        self._request: bytes | None = None
        """What waits for its answer."""
        self._is_mapping = False
        """Whether that is a request for the mapping."""
        self._tries = 0
        self._wait_s = 0.0
        self._watch_at: float | None = None
        self._mapped_at: float | None = None

    # -- what the protocols differ in

    @property
    def _host(self) -> str:
        return "0.0.0.0"  # noqa: S104

    @property
    def _may_stand(self) -> bool:
        """Whether the gateway may have a mapping of ours."""
        return self._mapped_at is not None

    @abstractmethod
    def _ask_first(self, now: float) -> list[ClientCommand]:
        """Begin, or begin again."""

    @abstractmethod
    def _map_request(self, *, delete: bool = False) -> bytes: ...

    @abstractmethod
    def _watch_request(self) -> bytes:
        """A request that only asks for the epoch."""

    @abstractmethod
    def _parse(self, data: bytes) -> AnswerT | None:
        """An answer that is about our mapping or about none."""

    @abstractmethod
    def _is_about_mapping(self, answer: AnswerT) -> bool: ...

    @abstractmethod
    def _on_answer(self, answer: AnswerT, now: float) -> list[ClientCommand]: ...

    # -- what they share

    @property
    def _is_idle(self) -> bool:
        return self._request is None and self._due is None

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        if not self._is_open or self.state is State.RELEASED:
            return None
        due = [self._due]
        if self.state is State.HELD and self.lease is not None:
            due.append(self.lease.expires_at)
            if self._is_idle:
                due += [self.lease.renew_at, self._watch_at]
        return min((at for at in due if at is not None), default=None)

    def begin(self) -> list[ClientCommand]:
        """Open the socket; the first request leaves when it is there."""
        return [sockets.OpenSocket(self.socket, self._host, self._server)]

    def opened(self, event: sockets.SocketOpened, now: float) -> list[ClientCommand]:
        """The socket is there."""
        if event.socket != self.socket or self._is_open or self.is_leaving:
            return []
        self._is_open = True
        return self._ask_first(now)

    def failed(self, event: sockets.SocketFailed, now: float) -> list[ClientCommand]:
        """The socket could not be opened, or is gone."""
        if event.socket == self.socket:
            self._is_open = False
            self._lose(Trigger.UNANSWERED, "no-socket")
        return []

    def received(self, event: sockets.DatagramReceived, now: float) -> list[ClientCommand]:
        """A packet came; only the server's answers count."""
        server = (self._server[0].partition("%")[0], self._server[1])
        if event.socket != self.socket or event.source != server or not self._is_open:
            return []
        answer = self._parse(event.data)
        if answer is None:
            return []
        self.has_answered = True
        if self.state is State.RELEASING:
            return self._over() if self._is_about_mapping(answer) else []
        return self._on_answer(answer, now)

    def check(self, now: float) -> list[ClientCommand]:
        """Ask whether the gateway still knows the lease."""
        if self.state is not State.HELD or not self._is_idle:
            return []
        self._watch_at = now + leases.WATCH_EVERY_S
        return self._send(self._watch_request(), now, is_mapping=False)

    def timer(self, now: float) -> list[ClientCommand]:
        """Do what is due; harmless when nothing is."""
        if not self._is_open or self.state is State.RELEASED:
            return []
        if self._expire(now) and self._is_idle:
            return self._ask_first(now)
        if self._due is not None and now >= self._due:
            return self._again(now)
        if self.lease is not None and self._is_idle:
            if now >= self.lease.renew_at:
                return self._ask_mapping(now)
            if self._watch_at is not None and now >= self._watch_at:
                return self.check(now)
        return []

    def release(self, now: float) -> list[ClientCommand]:
        """Give the mapping back, also one that was requested and never confirmed; ends in ``RELEASED``."""
        if self.is_leaving:
            return []
        if not self._is_open or not self._may_stand:
            return self._over()
        request = self._map_request(delete=True)
        if not self.has_answered:
            # Most probably nobody is there; one packet in case that somebody is, and nobody waits.
            return [sockets.SendDatagram(self.socket, self._server, request), *self._over()]
        self._move(Trigger.RELEASE)
        return self._send(request, now, is_mapping=True)

    def _ask_mapping(self, now: float) -> list[ClientCommand]:
        self._mapped_at = now
        return self._send(self._map_request(), now, is_mapping=True)

    def _is_too_soon(self, now: float) -> bool:
        """Nobody who could forge epochs makes us ask for the mapping more than so often."""
        return self._mapped_at is not None and now < self._mapped_at + leases.MIN_REMAP_S

    def _send(self, data: bytes, now: float, *, is_mapping: bool) -> list[ClientCommand]:
        self._request, self._is_mapping = data, is_mapping
        self._tries, self._wait_s = 0, self._retransmission.first_wait_s
        return self._again(now)

    def _again(self, now: float) -> list[ClientCommand]:
        """Send the request (again), or give up."""
        self._due = None
        if self._request is None:
            return self._ask_first(now)
        is_releasing = self.state is State.RELEASING
        if self._tries >= (RELEASE_TRIES if is_releasing else self._retransmission.tries):
            return self._over() if is_releasing else self._give_up(now)
        self._tries += 1
        if is_releasing:
            self._due = now + RELEASE_EVERY_S
        else:
            spread = self._retransmission.spread
            self._due = now + self._wait_s * (1 + (self._rng.uniform(-spread, spread) if spread else 0.0))
            self._wait_s = min(self._wait_s * 2, self._retransmission.max_wait_s)
        return [sockets.SendDatagram(self.socket, self._server, self._request)]

    def _give_up(self, now: float) -> list[ClientCommand]:
        """Renewals go on until the lease is over, and the search for a server for ever."""
        self._request = None
        if self.lease is None:
            self._lose(Trigger.UNANSWERED, "silent")
            self._due = now + leases.MAX_RETRY_S
        elif self._is_mapping:
            self._due = now + leases.MIN_RETRY_S
        return []

    def _answered(self) -> None:
        """The request under way has its answer."""
        self._request = self._due = None

    def _grant(self, external: sockets.Address, lifetime_s: float, now: float) -> None:
        self._request = None
        if self._hold(external, lifetime_s, now, now):
            self._watch_at = now + leases.WATCH_EVERY_S

    def _over(self) -> list[ClientCommand]:
        was_open, self._is_open, self._request = self._is_open, False, None
        # A lease that is held is given back by release() before.
        self._end()
        return [sockets.CloseSocket(self.socket)] if was_open else []
