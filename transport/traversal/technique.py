"""What every phase of the ladder is like, and what all of them know."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from transport.ice.candidates import CandidateKind, is_private
from transport.ice.pacing import Budget
from transport.nat.compatibility import Technique
from transport.net.sockets import (
    CloseSocket,
    DatagramReceived,
    OpenSocket,
    SendDatagram,
    SocketFailed,
    SocketOpened,
)
from transport.path.stats import PathVia
from transport.traversal.context import TraversalContext
from transport.traversal.events import (
    DirectFound,
    PhaseStatus,
    PortMappingsChanged,
    ProfileKnown,
    SendToPeer,
    TraversalMessageReceived,
)
from transport.traversal.round import RoundWon

ROUNDS_PER_ATTEMPT = 16
"""Numbers of rounds that belong to one climb; each phase has a stretch of them of its own."""


@dataclass(frozen=True, slots=True)
class PhaseTimer:
    """The phase's deadline has come."""


PhaseEvent = (
    SocketOpened | SocketFailed | DatagramReceived | TraversalMessageReceived | PhaseTimer | PortMappingsChanged
)


@dataclass(frozen=True, slots=True)
class PhaseEnded:
    """The phase has come to its end; its status says how. ``hopeless``: trying again would change nothing."""

    hopeless: bool


PhaseCommand = OpenSocket | CloseSocket | SendDatagram | SendToPeer | DirectFound | ProfileKnown | PhaseEnded


class Phase(Protocol):
    """One way to look for a direct path; made anew for each climb."""

    def start(self, now: float, *, may_tell: bool) -> list[PhaseCommand]:
        """Begin; nothing is told to the peer before ``may_tell``, or :meth:`permit`."""
        ...

    def permit(self, now: float) -> list[PhaseCommand]:
        """The peer may be told from now on."""
        ...

    def handle(self, event: PhaseEvent, now: float) -> list[PhaseCommand]:
        """Take one event. Those of others' sockets and rounds do nothing."""
        ...

    def next_deadline(self) -> float | None:
        """When :class:`PhaseTimer` is due."""
        ...

    def stop(self, reason: str, now: float) -> list[PhaseCommand]:
        """Give up: close every socket that has not been handed over."""
        ...

    @property
    def status(self) -> PhaseStatus:
        """How it stands."""
        ...


@dataclass(frozen=True, slots=True)
class PhaseSpec:
    """A row of the ladder's table. It begins with each climb, or where a ``technique`` is named, as soon as that is
    the one that fits both sides' NATs. Its rounds have the ``rounds`` numbers of a climb from ``first`` on.

    ``yields_to_relay``: it stops when the relay leg begins to suffer. ``rest_s``: after it has failed the next climb
    waits so long at least."""

    name: str
    make: Callable[[TraversalContext, int], Phase]
    budget: Budget
    first: int = 0
    rounds: int = ROUNDS_PER_ATTEMPT
    technique: Technique | None = None
    yields_to_relay: bool = False
    rest_s: float = 0.0


def direct_found(won: RoundWon, technique: Technique | None = None) -> DirectFound:
    """What the link is told of a won round; ``technique`` is the hard one that won it."""
    pair = won.pair
    near = pair.kind is CandidateKind.HOST or is_private(pair.remote[0])
    is_mapped = pair.kind is CandidateKind.MAPPED or won.is_door
    via: PathVia = "port_mapping" if is_mapped else "host" if near else "punch"
    if technique is not None:
        via = "prediction" if technique is Technique.PREDICTION else "birthday"
    return DirectFound(won.socket, won.local, pair.remote, via, pair.rtt_s, won.keys, pair.nomination, pair.mapped)
