"""What every phase of the ladder is like, and what all of them know."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from transport.ice.candidates import CandidateKind, is_private
from transport.ice.credentials import CheckKeys
from transport.ice.pacing import Budget
from transport.ice.start_sync import SyncMessage
from transport.nat.compatibility import Technique
from transport.nat.profile import NatProfile
from transport.net.sockets import (
    Address,
    CloseSocket,
    DatagramReceived,
    OpenSocket,
    SendDatagram,
    SocketFailed,
    SocketOpened,
)
from transport.path.stats import PathVia
from transport.traversal.context import PortsMapped, TraversalContext
from transport.traversal.round import RoundWon, SendToPeer
from transport.wire.call_messages import Candidates

ROUNDS_PER_CLIMB = 16
"""Numbers of rounds that belong to one climb; each phase has a stretch of them of its own."""
PhaseOutcome = Literal["waiting", "trying", "won", "failed", "skipped", "cancelled"]
TraversalMessage = Candidates | SyncMessage


@dataclass(frozen=True, slots=True)
class PeerSaid:
    """A message of the traversal came on the control stream."""

    message: TraversalMessage


@dataclass(frozen=True, slots=True)
class PhaseTimer:
    """The phase's deadline has come."""


PhaseEvent = SocketOpened | SocketFailed | DatagramReceived | PeerSaid | PhaseTimer | PortsMapped


@dataclass(frozen=True, slots=True)
class PhaseStatus:
    """For the panel and the report. Times in the machine's clock; ``reason`` is a code, "" while there is none.

    Where there is something to count, ``tried`` ``of`` so many doors (remote ports or own sockets, whatever it is
    that this side tries) have been tried, and by ``until`` the phase gives up."""

    name: str
    outcome: PhaseOutcome
    started: float
    ended: float | None = None
    packets: int = 0
    sockets: int = 0
    rounds: int = 0
    reason: str = ""
    tried: int = 0
    of: int = 0
    until: float | None = None


@dataclass(frozen=True, slots=True)
class DirectFound:
    """A pair is valid and nominated. The socket now is the path manager's: it closes it.

    Said again for the same socket when the controlling side chose another remote address in the end; among several
    the highest ``nomination`` wins. ``keys`` make and check further authenticated checks on this path. ``mapped`` is
    our address as the peer sees it."""

    socket: int
    local: Address
    remote: Address
    via: PathVia
    rtt_s: float
    keys: CheckKeys
    nomination: int
    mapped: Address


@dataclass(frozen=True, slots=True)
class ProfileKnown:
    """What is now known of our own NAT, or of the peer's as it says."""

    whose: Literal["local", "remote"]
    profile: NatProfile


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
    rounds: int = ROUNDS_PER_CLIMB
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
