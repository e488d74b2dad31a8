"""How long a NAT remembers a mapping that nobody uses (RFC 4787 §4.3), from below its own idle timer.

Sockets that stay silent, each for another time, ask a server twice: a port that is another one the second time was
forgotten. The shortest silence in which that happened is an upper bound, which is all that block × block needs
(:mod:`transport.traversal.block_search`). It takes two minutes of hardly a packet, so it runs in the background.

The servers answer, so what is seen is the life of a mapping that has been answered. Where a NAT gives others less
(Linux: 30 s), the bound is true of those as well, and more flows could be made than it allows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from transport.ice.pacing import Budget, PacketBudget
from transport.ice.stun_client import MAX_TRANSMISSIONS, Observation, StunClient
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

# Just above the time-outs that are found in the field, so that the bound is a close one: 20 s, 30 s (Linux, not
# answered), 60 s, and the two minutes that RFC 4787 REQ-5 demands.
SILENCES_S = (21.0, 31.0, 61.0, 121.0)
BUDGET = Budget(
    packets=2 * len(SILENCES_S) * MAX_TRANSMISSIONS, packets_per_second=10, sockets=len(SILENCES_S), seconds=130.0
)


@dataclass(frozen=True, slots=True)
class StartLifetimeProbe:
    """Begin, or begin anew, with the first IPv4 address of these servers."""

    stun: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class StopLifetimeProbe:
    """Close the sockets and forget them."""


@dataclass(frozen=True, slots=True)
class LifetimeMeasured:
    """So long at most a mapping lives that nobody uses, in seconds; ``None``: longer than the longest silence, or
    nothing was to be learnt."""

    life_s: float | None


LifetimeEvent = StartLifetimeProbe | StopLifetimeProbe | SocketOpened | SocketFailed | DatagramReceived | TimerFired
LifetimeCommand = OpenSocket | CloseSocket | SendDatagram | LifetimeMeasured


class _Silence:
    """One socket: a request, a silence, and the same request again."""

    def __init__(self, silence_s: float) -> None:
        self.silence_s = silence_s
        self.asking: StunClient | None = None
        self.first: Observation | None = None
        self.used_at = 0.0
        self.again_at: float | None = None

    @property
    def due(self) -> float | None:
        """When something is to be done for it."""
        return self.again_at if self.again_at is not None or self.asking is None else self.asking.next_deadline()


class MappingLifetimeProbe:
    """The machine. It says :class:`LifetimeMeasured` once for each start."""

    def __init__(self, new_socket: Callable[[], int], rng: Random) -> None:
        self._new_socket = new_socket
        self._rng = rng
        self._budget = PacketBudget(BUDGET)
        self._server: Address = ("", 0)
        self._silences: dict[int, _Silence] = {}
        self._out: list[LifetimeCommand] = []

    def next_deadline(self) -> float | None:
        """When :class:`TimerFired` is due."""
        deadlines = (each.due for each in self._silences.values())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def handle(self, event: LifetimeEvent, now: float) -> list[LifetimeCommand]:
        """Take one event; never raises."""
        match event:
            case StartLifetimeProbe(stun):
                self._close(tuple(self._silences))
                self._start(stun)
            case StopLifetimeProbe():
                self._close(tuple(self._silences))
            case SocketOpened(socket):
                silence = self._silences.get(socket)
                if silence is not None and silence.asking is None:
                    self._ask(socket, silence, now)
            case SocketFailed(socket):
                if self._silences.pop(socket, None) is not None:
                    self._conclude(None)
            case DatagramReceived(socket, source, data):
                silence = self._silences.get(socket)
                if silence is not None and silence.asking is not None:
                    silence.asking.received(source, data, now)
                    self._look(socket, silence, now)
            case TimerFired():
                for socket, silence in tuple(self._silences.items()):
                    if socket in self._silences:
                        self._timer(socket, silence, now)
        out, self._out = self._out, []
        return out

    def _start(self, stun: tuple[Address, ...]) -> None:
        server = next((each for each in stun if ":" not in each[0]), None)
        if server is None:
            self._out.append(LifetimeMeasured(None))
            return
        self._server = server
        self._budget = PacketBudget(BUDGET)
        for silence_s in SILENCES_S:
            socket = self._new_socket()
            self._silences[socket] = _Silence(silence_s)
            self._out.append(OpenSocket(socket, "0.0.0.0", server))  # noqa: S104

    def _ask(self, socket: int, silence: _Silence, now: float) -> None:
        silence.asking = StunClient(socket, [self._server], self._budget, self._rng, now)
        self._send(silence, now)

    def _send(self, silence: _Silence, now: float) -> None:
        if silence.asking is None:
            return
        sent = silence.asking.timer(now)
        if sent and silence.first is None:
            silence.used_at = now
        self._out += sent

    def _timer(self, socket: int, silence: _Silence, now: float) -> None:
        if silence.again_at is not None:
            if now >= silence.again_at:
                silence.again_at = None
                self._ask(socket, silence, now)
        else:
            self._send(silence, now)
            self._look(socket, silence, now)

    def _look(self, socket: int, silence: _Silence, now: float) -> None:
        """What has been answered, if it is what is being waited for."""
        asking = silence.asking
        if asking is None or silence.again_at is not None or not asking.done:
            return
        seen = next(iter(asking.observations), None)
        if seen is not None and silence.first is None:
            silence.first = seen
            silence.again_at = now + silence.silence_s
            return
        self._close((socket,))
        if seen is None or silence.first is None or seen.mapped == silence.first.mapped:
            # Remembered, or nothing learnt: a longer silence may tell more.
            self._conclude(None)
        elif seen.mapped[0] == silence.first.mapped[0]:
            # Not used since the last packet of ours: an answer does not count for every NAT (RFC 4787 REQ-6).
            self._conclude(now - silence.used_at)
        else:
            # Another outside address is another network, or another NAT of the carrier: neither forgot anything.
            self._close(tuple(self._silences))
            self._conclude(None)

    def _conclude(self, life_s: float | None) -> None:
        """The first that was forgotten is the shortest silence; without one, the last socket has the word."""
        if life_s is not None:
            self._close(tuple(self._silences))
        if not self._silences:
            self._out.append(LifetimeMeasured(life_s))

    def _close(self, sockets: tuple[int, ...]) -> None:
        for socket in sockets:
            del self._silences[socket]
            self._out.append(CloseSocket(socket))
