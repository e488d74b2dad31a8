"""Which packets were sent and received lately: for sending again, and for recognising copies (pure)."""

from collections import deque
from dataclasses import dataclass

from transport.wire.datagrams import RtpPosition

# Two seconds of a call with its echoes and acknowledgements; by then no copy comes any more (RFC 9000 §12.3 lets QUIC
# forget as well).
ARRIVALS_KEPT = 256
ARRIVALS_S = 2.0
# What a path may have swallowed before that showed. Where the peer alone can know, by two paths of a quarter of a
# second one way, 0.7 s pass until its report is here, and a few reports may be lost on the way.
SENT_S = 1.1
# 65 to 80 packets a second leave by the path in use: frames, echoes, answers, reports. More would not be believed: QUIC
# may take a packet for a duplicate that is too far behind the newest (RFC 9000 §12.3), and aioquic does at 128.
SENT_KEPT = 88


@dataclass(slots=True)
class Arrival:
    """One packet: when it came first, the RTP position if there was media in it, and the paths that it has come by."""

    first_at: float
    position: RtpPosition | None
    paths: set[int]


class Arrivals:
    """Encrypted packets that QUIC found authentic, byte for byte, and the paths that each has come by.

    The same bytes by another path are as authentic as they were the first time; by the same path they may be a
    replay, and count for nothing. Holds :data:`ARRIVALS_KEPT` packets of :data:`ARRIVALS_S`, the oldest go first.
    """

    __slots__ = ("_known", "_order")

    def __init__(self) -> None:
        self._known: dict[bytes, Arrival] = {}
        self._order: deque[bytes] = deque()

    def __len__(self) -> int:
        return len(self._known)

    def remember(self, data: bytes, path: int, position: RtpPosition | None, now: float) -> None:
        """QUIC found ``data``, which came by ``path``, authentic and new."""
        while self._order and (
            len(self._order) >= ARRIVALS_KEPT or now - self._known[self._order[0]].first_at > ARRIVALS_S
        ):
            del self._known[self._order.popleft()]
        known = self._known.get(data)
        if known is not None:
            known.position = position or known.position
        else:
            self._known[data] = Arrival(now, position, {path})
            self._order.append(data)

    def is_known(self, data: bytes) -> bool:
        """Whether these bytes have come before, by whatever path."""
        return data in self._known

    def copy(self, data: bytes, path: int) -> Arrival | None:
        """What ``data`` is a copy of, the first time that it comes by ``path``; None for all else."""
        arrival = self._known.get(data)
        if arrival is None or path in arrival.paths:
            return None
        arrival.paths.add(path)
        return arrival


class Sent:
    """The newest encrypted packets and the paths that each was sent on; at most :data:`SENT_KEPT`, the oldest go."""

    __slots__ = ("_packets",)

    def __init__(self) -> None:
        self._packets: deque[tuple[float, bytes, tuple[int, ...]]] = deque(maxlen=SENT_KEPT)

    def __len__(self) -> int:
        return len(self._packets)

    def remember(self, data: bytes, paths: tuple[int, ...], now: float) -> None:
        """``data`` has been sent on these paths."""
        self._packets.append((now, data, paths))

    def again(self, lost_on: int, onto: int, since: float, now: float) -> list[bytes]:
        """Packets sent on ``lost_on`` since then, oldest first, that ``onto`` has not carried; each is given once."""
        since = max(since, now - SENT_S)
        out: list[bytes] = []
        for index, (at, data, paths) in enumerate(self._packets):
            if at >= since and lost_on in paths and onto not in paths:
                out.append(data)
                self._packets[index] = (at, data, (*paths, onto))
        return out
