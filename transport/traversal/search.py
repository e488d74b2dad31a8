"""The link's side of the ladder: when it may work, which sockets are its own, and what it is told (pure).

Nothing is looked for, and no address is told, before the peer has proven itself; before the call is taken only if
the link was told so (``early``), and with "always relay" never.
"""

import random
from collections.abc import Callable
from typing import Protocol

from transport.link.events import LinkConfig
from transport.net.sockets import CloseSocket, OpenSocket, SendDatagram, SocketFailed
from transport.traversal.agent import AgentCommand, AgentConfig, AgentEvent, Begin, Prepare, TraversalAgent
from transport.traversal.technique import DirectFound, PhaseStatus, PortsMapped

TraversalCommand = AgentCommand
MakeAgent = Callable[[AgentConfig, random.Random], "AgentMachine"]


class AgentMachine(Protocol):
    """What the link needs of :class:`transport.traversal.agent.TraversalAgent`."""

    def handle(self, event: AgentEvent, now: float) -> list[AgentCommand]:
        """Take one event; never raises."""
        ...

    def next_deadline(self) -> float | None:
        """When its timer is due."""
        ...

    def phases(self) -> tuple[PhaseStatus, ...]:
        """All that were tried."""
        ...


class Traversal:
    """Without a ladder, where there is to be none, every method does nothing."""

    __slots__ = ("_early", "_given", "_is_proven", "_is_taken", "_ladder", "_sockets")

    def __init__(
        self,
        config: LinkConfig,
        new_socket: Callable[[], int],
        rng: random.Random,
        make: MakeAgent = TraversalAgent,
    ) -> None:
        self._early = config.early
        self._is_proven = False
        self._is_taken = False
        self._sockets: set[int] = set()
        self._given: set[int] = set()
        self._ladder: AgentMachine | None = None
        if config.hosts and not config.always_relay:
            self._ladder = make(
                AgentConfig(
                    controlling=config.role == "caller",
                    stun=config.stun,
                    hosts=config.hosts,
                    new_socket=new_socket,
                    early=config.early,
                    profile=config.profile,
                    low_ttl=config.low_ttl,
                    allowance=config.allowance,
                    try_harder=config.try_harder,
                    recall=config.recall,
                    mapped=config.mapped,
                ),
                rng,
            )

    @property
    def sockets(self) -> frozenset[int]:
        """The ladder's own: open or being opened, and not handed over."""
        return frozenset(self._sockets)

    def next_deadline(self) -> float | None:
        """When the ladder's timer is due."""
        return None if self._ladder is None else self._ladder.next_deadline()

    def phases(self) -> tuple[PhaseStatus, ...]:
        """All that the ladder tried, in order."""
        return () if self._ladder is None else self._ladder.phases()

    def proven(self, now: float) -> list[TraversalCommand]:
        """The peer is who it says: gather, and where that is allowed, begin."""
        self._is_proven = True
        return self._do(Begin() if self._early or self._is_taken else Prepare(), now)

    def permit(self, now: float) -> list[TraversalCommand]:
        """The call is taken."""
        if self._is_taken:
            return []
        self._is_taken = True
        return self._do(Begin(), now) if self._is_proven else []

    def give(self, event: AgentEvent, now: float) -> list[TraversalCommand]:
        """Something happened that concerns the ladder."""
        if isinstance(event, SocketFailed):
            self._sockets.discard(event.socket)
            self._given.discard(event.socket)
        return self._do(event, now) if self._is_proven or isinstance(event, PortsMapped) else []

    def closed(self, socket: int) -> None:
        """A socket that was handed over is no more."""
        self._given.discard(socket)

    def _do(self, event: AgentEvent, now: float) -> list[TraversalCommand]:
        if self._ladder is None:
            return []
        return [command for command in self._ladder.handle(event, now) if self._is_valid(command)]

    def _is_valid(self, command: AgentCommand) -> bool:
        """Whether it still makes sense: the ladder does not hear when a path that it has found is closed."""
        match command:
            case OpenSocket(socket):
                self._sockets.add(socket)
            case CloseSocket(socket):
                # One that was handed over is closed with its path.
                if socket not in self._sockets:
                    return False
                self._sockets.discard(socket)
            case DirectFound(socket):
                if socket in self._sockets:
                    self._sockets.discard(socket)
                    self._given.add(socket)
                return socket in self._given
            case SendDatagram(socket):
                return socket in self._sockets or socket in self._given
            case _:
                pass
        return True
