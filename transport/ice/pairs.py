"""Pairs of a socket and a remote address (RFC 8445 §6.1.2): when each is checked, and which was chosen. Pure."""

from collections import OrderedDict
from dataclasses import dataclass, field

from transport.ice.candidates import CandidateKind
from transport.net.sockets import Address


@dataclass(frozen=True, slots=True)
class PairChosen:
    """Valid and nominated. The higher ``nomination`` wins; the controlled side may have to change."""

    socket: int
    remote: Address
    kind: CandidateKind
    rtt_s: float
    mapped: Address
    """Our address as the peer sees it."""
    nomination: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """When checks are due: on pairs with a candidate that waits for nobody, since no NAT stands in front of it (host)
    or one that lets everybody in (mapped), and on the others."""

    near: tuple[float, ...]
    far: tuple[float, ...]

    def of(self, kind: CandidateKind) -> tuple[float, ...]:
        """For the peer's candidate of this kind. Peer-reflexive ones are checked when the peer's own checks come."""
        if kind is CandidateKind.PEER_REFLEXIVE:
            return ()
        return self.near if kind in (CandidateKind.HOST, CandidateKind.MAPPED) else self.far


@dataclass(slots=True)
class CandidatePair:
    """One way to the peer. Times in seconds of the machine's clock."""

    socket: int
    remote: Address
    kind: CandidateKind
    priority: int
    schedule: tuple[float, ...] = ()
    """What is still to be sent on it, as times."""
    outstanding: OrderedDict[bytes, float] = field(default_factory=OrderedDict)
    rtt_s: float | None = None
    """Set once it is valid."""
    mapped: Address | None = None
    nominated: int | None = None
    """The highest counter that the controlling side has nominated it with."""
