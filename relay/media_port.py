"""One datagram at the media port, or at a STUN port: what it is, and what is sent because of it. Pure.

On a media port the first byte tells QUIC (forwarded, :mod:`relay.legs`) from STUN (RFC 7983, RFC 9443). A Binding
request with a username binds a leg; one without is a plain question "what is my address?" and is answered to
anyone. Strangers share the limit of their network. Whoever is logged in from an address, or proves a leg's password,
has a limit of their own, since anybody can use up the other one in a neighbour's name.

Anyone can ask in another's name. So what RFC 5780 adds, answers from another address or port (CHANGE-REQUEST) and the
two addresses that say where from (RESPONSE-ORIGIN, OTHER-ADDRESS), is for questions that are at least as long as their
answer; a plain answer has 40 bytes (IPv6: 52) and the shortest question 20.
"""

from collections import Counter
from collections.abc import Callable
from typing import Literal

from relay.legs import Datagram, LegTable, Outgoing, Source, endpoint
from relay.limits import Limiter, address_subject, network_subject
from relay.stun_origins import Origins
from transport.wire import stun
from transport.wire.demux import QUIC_FIRST_BYTE, PacketKind, packet_kind
from transport.wire.errors import WireError

StunOutcome = Literal["answered", "limited", "malformed", "unchangeable"]


class DatagramHandler:
    """Media and STUN ports alike; the leg table is shared, and STUN-only ports do not reach it. ``origins`` are all
    of the relay's sockets that a handler is used for; ``is_validated`` tells of an address (as
    :func:`relay.limits.address_subject` has it) whether somebody is logged in from there."""

    def __init__(
        self,
        legs: LegTable,
        limiter: Limiter,
        origins: Origins | None = None,
        is_validated: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._is_validated = is_validated
        self._origins = origins or Origins()
        self._legs = legs
        self._limiter = limiter
        self.stun: Counter[StunOutcome] = Counter()

    def media(self, data: Datagram, source: Source, now: float) -> list[Outgoing]:
        """A datagram at the media port."""
        if data and data[0] >= QUIC_FIRST_BYTE:
            target = self._legs.forward(data, source, now)
            return [(target, data)] if target is not None else []
        return self._stun(data, source, now, binds=True)

    def question(self, data: Datagram, source: Source, now: float) -> list[Outgoing]:
        """A datagram at a port that serves STUN alone."""
        return self._stun(data, source, now, binds=False)

    def _stun(self, data: Datagram, source: Source, now: float, *, binds: bool) -> list[Outgoing]:
        document = bytes(data[: stun.MAX_STUN_BYTES + 1])
        if packet_kind(document) is not PacketKind.STUN:
            self.stun["malformed"] += 1
            return []
        try:
            request = stun.parse(document)
        except WireError:
            self.stun["malformed"] += 1
            return []
        if request.kind is not stun.StunClass.REQUEST:
            # An answer to nothing: replying to answers would make two servers talk for ever.
            self.stun["malformed"] += 1
            return []
        with_username = binds and request.username is not None
        if with_username:
            bound = self._legs.bind(request, source, now)
            if bound is not None:
                return bound
        # Anyone can make us answer what follows, from any address that is not theirs, so it is rationed.
        if self._is_over_limit(request, source, now):
            self.stun["limited"] += 1
            return []
        if with_username:
            # RFC 8489 §9.1.3; not authenticated itself, since there is no password that both sides know.
            return [(source, stun.binding_error(request, stun.UNAUTHENTICATED, "Unauthenticated"))]
        answer = self._answer(request, len(document), source)
        self.stun["answered" if answer else "unchangeable"] += 1
        return answer

    def _is_over_limit(self, request: stun.StunMessage, source: Source, now: float) -> bool:
        """Whoever has used up their own limit is still one of their network."""
        host = source[1][0]
        if self._legs.is_authentic(request) and not self._limiter.take("stun-leg", request.username or "", now):
            return False
        address = address_subject(host)
        if self._is_validated(address) and not self._limiter.take("stun-session", address, now):
            return False
        return self._limiter.take("stun", network_subject(host), now) > 0.0

    def _answer(self, request: stun.StunMessage, size: int, source: Source) -> list[Outgoing]:
        """RFC 5780 §6.1. A change that cannot be made is not answered: any answer would be taken for one."""
        asked = leaving = source[0]
        if request.change is not None and (request.change.ip or request.change.port):
            changed = self._origins.changed(asked, request.change)
            if changed is None:
                return []
            leaving = changed
        target = (leaving, source[1])
        mapped = endpoint(source)
        other = self._origins.other(asked)
        full = stun.binding_success(request, mapped, origin=self._origins.endpoint(leaving), other=other)
        if len(full) <= size:
            return [(target, full)]
        plain = stun.binding_success(request, mapped)
        return [(target, plain)] if leaving == asked or len(plain) <= size else []
