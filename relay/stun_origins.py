"""The relay's own UDP sockets as RFC 5780 sees them: from which other one an answer leaves when that is asked for.

Pure. Sockets are known by their numbers, as in :mod:`relay.legs`. An answer only ever leaves from a socket that the
relay has, to where the question came from.
"""

import ipaddress
from collections.abc import Sequence
from typing import TypeVar

from transport.net.sockets import Address
from transport.wire.stun import Change

AnyT = TypeVar("AnyT", str, int)


class Origins:
    """``endpoints``: the address and port that each socket is bound to, by its number."""

    def __init__(self, endpoints: Sequence[Address] = ()) -> None:
        self._endpoints = tuple(endpoints)
        self._numbers = {endpoint: number for number, endpoint in enumerate(self._endpoints)}

    def endpoint(self, number: int) -> Address | None:
        """What a socket is bound to; ``None`` where that says nothing to anybody, as it is the machine's every
        address."""
        own = self._endpoints[number] if number < len(self._endpoints) else None
        return None if own is None or ipaddress.ip_address(own[0]).is_unspecified else own

    def changed(self, number: int, change: Change) -> int | None:
        """The socket that answers a question at socket ``number`` with this change; ``None`` where there is none."""
        if number >= len(self._endpoints):
            return None
        host, port = self._endpoints[number]
        hosts = [known for known, same in self._endpoints if same == port and (":" in known) == (":" in host)]
        other_host = _next(host, hosts)
        other_port = _next(port, [known for same, known in self._endpoints if same == host])
        if (change.ip and other_host is None) or (change.port and other_port is None):
            return None
        target = (other_host if change.ip and other_host else host, other_port if change.port and other_port else port)
        return self._numbers.get(target)

    def other(self, number: int) -> Address | None:
        """What OTHER-ADDRESS says at a socket: with an address of its own where there is another one, and with the
        asked one where ports alone can be changed."""
        both = self.changed(number, Change(ip=True, port=True))
        of = self.changed(number, Change(ip=False, port=True)) if both is None else both
        return None if of is None else self._endpoints[of]


def _next(own: AnyT, known: list[AnyT]) -> AnyT | None:
    """The one after ``own``, in a circle."""
    different = list(dict.fromkeys(known))
    return different[(different.index(own) + 1) % len(different)] if len(different) > 1 else None
