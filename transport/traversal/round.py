"""Round of connectivity checks.

One try with fresh sockets, fresh credentials and a budget of its own: gather, exchange candidates over the relay, agree
on a start where one is needed, check, and confirm the pair that was chosen. :mod:`transport.traversal.punch_round` and
:mod:`transport.traversal.probe_round` say what is gathered and which pairs are checked. A round owns its sockets: what
arrives there is a STUN answer or goes to its check list. What becomes of it goes to the technique that runs it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from transport.ice.checklist import MAX_PAIRS, TA_S, CheckCommand, CheckList
from transport.ice.credentials import Credentials, make_credentials
from transport.ice.pacing import Budget, PacketBudget
from transport.ice.pairs import PairChosen
from transport.ice.start_sync import Synchroniser
from transport.ice.stun_client import Observation, StunClient
from transport.net.sockets import Address, DatagramReceived, SendDatagram, SocketFailed, SocketOpened
from transport.path.stats import PathVia
from transport.traversal.context import TraversalContext
from transport.traversal.events import DirectFound, SendToPeer, TraversalMessage
from transport.wire.call_messages import Candidates, WireCandidate

CONFIRM_S = 2.0
"""After a pair was chosen: so long checks on it are repeated, until the other side has shown that it has one, too."""
MAX_CANDIDATE_MESSAGES = 4
"""Each way: gathering shows more, and port mappings come later."""


class State(Enum):
    """Where a round stands."""

    GATHERING = "gathering"
    EXCHANGING = "exchanging"
    SYNCING = "syncing"
    CHECKING = "checking"
    CONFIRMING = "confirming"
    DONE = "done"


class Trigger(Enum):
    """What moves a round on."""

    CANDIDATES_SENT = "candidates sent"
    BOTH_KNOWN = "both sides' candidates known"
    CHECKS_STARTED = "checks started"
    PAIR_CHOSEN = "pair chosen"
    ENDED = "lost, stopped or time over"


TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    (State.GATHERING, Trigger.CANDIDATES_SENT): State.EXCHANGING,
    (State.EXCHANGING, Trigger.BOTH_KNOWN): State.SYNCING,
    # A probe round may know enough before its own ports are known, and needs no common start.
    (State.GATHERING, Trigger.CHECKS_STARTED): State.CHECKING,
    (State.EXCHANGING, Trigger.CHECKS_STARTED): State.CHECKING,
    (State.SYNCING, Trigger.CHECKS_STARTED): State.CHECKING,
    (State.CHECKING, Trigger.PAIR_CHOSEN): State.CONFIRMING,
    (State.GATHERING, Trigger.ENDED): State.DONE,
    (State.EXCHANGING, Trigger.ENDED): State.DONE,
    (State.SYNCING, Trigger.ENDED): State.DONE,
    (State.CHECKING, Trigger.ENDED): State.DONE,
    (State.CONFIRMING, Trigger.ENDED): State.DONE,
}


@dataclass(frozen=True, slots=True)
class ChecksStarted:
    """From now on the peer may be reached."""


@dataclass(frozen=True, slots=True)
class RoundLost:
    """``reason``: "no-candidates", "no-sync", "no-answer", "no-sockets", "few-sockets", "table-full"."""

    reason: str


@dataclass(frozen=True, slots=True)
class RoundUnconfirmed:
    """Won, but the other side has not shown that it has won too."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """STUN has shown what there is (``unanswered`` servers did not answer). Comes again when more becomes known."""

    observations: tuple[Observation, ...]
    unanswered: int
    local: Address
    unbelievable: int


RoundResult = ChecksStarted | DirectFound | RoundLost | RoundUnconfirmed | Gathered


class RoundOwner(Protocol):
    """The technique that runs the round."""

    def take(self, source: "Round", result: RoundResult, now: float) -> None:
        """Something has come of it; called when the round itself has nothing more to do for now."""


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """What every round needs: the ``number`` that its messages carry, the technique that owns it, and its limits."""

    context: TraversalContext
    number: int
    owner: RoundOwner
    budget: Budget


class Round(ABC):
    """One round, from opening its sockets to a chosen pair or to nothing."""

    def __init__(
        self, plan: RoundPlan, budget: PacketBudget, *, leads: bool, max_pairs: int = MAX_PAIRS, ta_s: float = TA_S
    ) -> None:
        self.context = context = plan.context
        self.number = plan.number
        self.leads = leads
        self.budget = budget
        self._owner = plan.owner
        self._seconds = plan.budget.seconds
        self.state = State.GATHERING
        self.local: dict[int, Address | None] = {}
        """Our sockets: ``None`` until they are open. Those that have failed or were closed are no longer here."""
        self.credentials: Credentials = make_credentials(context.rng)
        self.checks = CheckList(
            self.credentials, context.role, budget, context.rng, plan.number + 1, max_pairs=max_pairs, ta_s=ta_s
        )
        self.sync = Synchroniser(plan.number, leads=leads)
        self.stun: dict[int, list[StunClient]] = {}
        self._servers_asked: set[Address] = set()
        self.peer: list[Candidates] = []
        self.opened_sockets = 0
        self.tried = self.of = 0
        """Ports tried, and to be tried, where that is what the round does."""
        self.started_at: float | None = None
        self.ends_at: float | None = None
        self._sent: list[WireCandidate] | None = None
        self._sent_at: float | None = None
        self._messages_sent = 0
        self._results: list[RoundResult] = []

    # -- for the kinds of round

    @abstractmethod
    def _begin(self, now: float) -> None:
        """Ask for the first sockets."""

    @abstractmethod
    def _socket_opened(self, socket: int, now: float) -> None:
        """One that was asked for is there."""

    def _socket_failed(self, socket: int, now: float) -> None:  # noqa: B027 - not every kind has something to do
        """It could not be opened, or has died."""

    @abstractmethod
    def _peer_candidates(self, message: Candidates, now: float) -> None:
        """The peer says where it can be reached."""

    def _observe(self, socket: int, now: float) -> None:  # noqa: B027
        """Its STUN clients may know more."""

    @abstractmethod
    def _advance(self, now: float) -> None:
        """Time has passed, or something has come; only called while the round is searching."""

    def _due(self) -> Sequence[float | None]:
        """When :meth:`_advance` has something to do."""
        return ()

    @abstractmethod
    def _via(self, pair: PairChosen) -> PathVia:
        """What kind of path a chosen pair is."""

    def _handed_over(self, socket: int) -> None:  # noqa: B027
        """The round is won with this one."""

    @abstractmethod
    def _time_over(self, now: float) -> None:
        """``ends_at`` has come, and there is no pair."""

    # -- for the technique

    @property
    def is_searching(self) -> bool:
        """No pair has been chosen, and one still may be."""
        return self.state not in (State.CONFIRMING, State.DONE)

    @property
    def packets(self) -> int:
        """Sent so far, answers included."""
        return self.budget.spent + self.checks.answers_sent

    @property
    def has_sent(self) -> bool:
        """The peer has our credentials, or will have them soon."""
        return self._sent is not None

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        if self.state is State.DONE:
            return None
        deadlines = [self.ends_at, self.checks.next_deadline()]
        deadlines += [client.next_deadline() for clients in self.stun.values() for client in clients]
        if self.is_searching:
            deadlines += self._due()
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def begin(self, now: float) -> None:
        """Open what there is to be opened."""
        self._begin(now)
        self._deliver(now)

    def message(self, message: TraversalMessage, now: float) -> None:
        """The peer sent this, for this round."""
        if message.round != self.number or self.state is State.DONE:
            return
        if not isinstance(message, Candidates):
            self._send(*self.sync.received(message, now))
        elif len(self.peer) < MAX_CANDIDATE_MESSAGES and (not self.peer or message.ufrag == self.peer[0].ufrag):
            self.peer.append(message)
            self.checks.set_remote(Credentials(message.ufrag, message.password))
            self._peer_candidates(message, now)
        self._go_on(now)

    def timer(self, now: float) -> None:
        """Do what is due; harmless when nothing is."""
        if self.state is State.DONE:
            return
        self._ask_servers(now)
        if self.is_searching:
            self._advance(now)
        self._carry_out(self.checks.timer(now), now)
        if self.ends_at is not None and now >= self.ends_at:
            self.ends_at = None
            if self._is_confirming():
                self.checks.stop()
                self._move(Trigger.ENDED)
                if not self.checks.confirmed:
                    self._results.append(RoundUnconfirmed())
            elif self.is_searching:
                self._time_over(now)
        self._deliver(now)

    def stop(self) -> None:
        """Close what is ours and send nothing more; authentic checks on a pair that was chosen are answered still."""
        has_won = self._is_confirming()
        if self._move(Trigger.ENDED):
            self.checks.stop()
            if not has_won:
                self._close(tuple(self.local))

    # -- for the agent, which finds the round by its sockets

    def opened(self, event: SocketOpened, now: float) -> None:
        """A socket of this round is there."""
        if self.is_searching and event.socket in self.local and self.local[event.socket] is None:
            self.local[event.socket] = event.local
            self._socket_opened(event.socket, now)
            self._go_on(now)

    def failed(self, event: SocketFailed, now: float) -> None:
        """A socket of this round could not be opened, or has died."""
        if event.socket not in self.local:
            return
        self._forget(event.socket)
        if self.is_searching:
            self._socket_failed(event.socket, now)
        if self.is_searching and not self.local:
            self._lose("no-sockets")
        self._go_on(now)

    def received(self, event: DatagramReceived, now: float) -> None:
        """A STUN packet came on a socket of this round."""
        if self.local.get(event.socket) is None:
            return
        clients = self.stun.get(event.socket, ()) if event.source in self._servers_asked else ()
        if any(client.received(event.source, event.data, now) for client in clients):
            self._observe(event.socket, now)
            self._go_on(now)
        else:
            self._carry_out(self.checks.received(event.socket, event.source, event.data, now), now)
            self._deliver(now)

    # -- inside

    def _move(self, trigger: Trigger) -> bool:
        after = TRANSITIONS.get((self.state, trigger))
        if after is not None:
            self.state = after
        return after is not None

    def _is_confirming(self) -> bool:
        return self.state is State.CONFIRMING

    def _go_on(self, now: float) -> None:
        if self.is_searching:
            self._advance(now)
        self._deliver(now)

    def _deliver(self, now: float) -> None:
        while self._results:
            self._owner.take(self, self._results.pop(0), now)

    def _send(self, *messages: TraversalMessage) -> None:
        self.context.commands += [SendToPeer(message) for message in messages]

    def _send_candidates(self, candidates: list[WireCandidate], now: float) -> None:
        """With our credentials and what is known of our NAT; nothing if the peer has them already."""
        if candidates == self._sent or self._messages_sent >= MAX_CANDIDATE_MESSAGES:
            return
        self._sent = candidates
        self._sent_at = now if self._sent_at is None else self._sent_at
        self._messages_sent += 1
        own = self.credentials
        self._send(Candidates(self.number, own.ufrag, own.password, candidates, self.context.wire_profile))
        self._move(Trigger.CANDIDATES_SENT)

    def _open(self, toward: Address, version: int = 4, port: int = 0) -> int:
        socket = self.context.sockets.open(self, toward, version=version, port=port)
        self.local[socket] = None
        self.opened_sockets += 1
        return socket

    def _ask(self, socket: int, servers: Sequence[Address], now: float) -> None:
        self.stun.setdefault(socket, []).append(StunClient(socket, servers, self.budget, self.context.rng, now))
        self._servers_asked.update(servers)

    def _ask_servers(self, now: float) -> None:
        for socket, clients in self.stun.items():
            for client in clients:
                for request in client.timer(now):
                    self.context.sockets.send(request)
            self._observe(socket, now)

    def _start_checks(self, now: float) -> None:
        if self._move(Trigger.CHECKS_STARTED):
            self.started_at = now
            self._results.append(ChecksStarted())
        self._carry_out(self.checks.run(now), now)

    def _carry_out(self, commands: Iterable[CheckCommand], now: float) -> None:
        for command in commands:
            if isinstance(command, SendDatagram):
                self.context.sockets.send(command)
            else:
                self._chosen(command, now)

    def _chosen(self, pair: PairChosen, now: float) -> None:
        local = self.local.get(pair.socket)
        if local is None or self.checks.keys is None:
            return
        if self._move(Trigger.PAIR_CHOSEN):
            self.ends_at = now + CONFIRM_S
            self.stun.clear()
            self._close([socket for socket in self.local if socket != pair.socket])
            self._handed_over(pair.socket)
        via, keys = self._via(pair), self.checks.keys
        found = DirectFound(pair.socket, local, pair.remote, via, pair.rtt_s, keys, pair.nomination, pair.mapped)
        self._results.append(found)

    def _close(self, sockets: Iterable[int]) -> None:
        for socket in tuple(sockets):
            self._forget(socket)
            self.context.sockets.close(socket)

    def _forget(self, socket: int) -> None:
        del self.local[socket]
        self.stun.pop(socket, None)
        self.checks.remove_socket(socket)

    def _lose(self, reason: str) -> None:
        if self._move(Trigger.ENDED):
            self.checks.stop()
            self._close(tuple(self.local))
            self._results.append(RoundLost(reason))
