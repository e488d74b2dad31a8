"""The connectivity checks of one round (RFC 8445 §6–§7), with aggressive nomination.

One socket per address family and no relayed candidate, so a pair is (socket, remote address), all pairs wait from the
beginning (nothing to unfreeze), and the local part of a pair's priority is the same for all of a family.

Who sends what, when: each pair sends on a schedule, at most one ordinary check per Ta; an authentic check from the
peer is answered, and answered by a check of our own at once (triggered, §7.3.1.4) while the pair is not valid. Each
check of the controlling side carries USE-CANDIDATE; the first of its pairs to become valid is its choice, shown by a
check with a nomination counter above 0. The controlled side follows the first valid pair that it was nominated
(where it has two sockets: with a counter above 0), and changes its remote address when a higher counter comes.
Both go on sending on the chosen pair until the other has shown that it, too, has succeeded: or else the filter of
the slower side never opens.

What does not authenticate moves nothing and is not answered; a copied check from another address does not either.
"""

from collections import OrderedDict
from collections.abc import Iterable
from random import Random

from transport.ice.candidates import CandidateKind, may_be_peer, pair_priority, priority
from transport.ice.credentials import CheckKeys, Credentials
from transport.ice.pacing import PacketBudget, PacketRate
from transport.ice.pairs import CandidatePair, PairChosen, Schedule
from transport.net.sockets import Address, SendDatagram
from transport.wire import WireError, stun
from transport.wire.stun import TRANSACTION_ID_BYTES, IceRole, StunClass, StunMessage

# RFC 8445 §14.2: no faster than 50 ms together with others' traffic, 5 ms at least. Each pair's first check waits
# for those before it, and a voice call sends as often itself.
TA_S = 0.02
# First retransmission, doubling (RFC 8489 §6.2.1 has 500 ms, and half a second is lost whenever a first check dies
# in a filter); to stay within pacing.MAX_PACKETS_PER_ADDRESS two packets are left for triggered checks.
RTO_S = 0.1
MAX_RTO_S = 1.0
UNSYNCHRONISED_S = (0.0, 0.1, 0.3, 0.7)
# Around the synchronised instant: the other side's first packet leaves within the error of the estimate.
SYNCHRONISED_S = (0.0, 0.03, 0.1, 0.3, 0.7)
MAX_PAIRS = 64
# A peer sends at most pacing.Budget.packets_per_second; more often nobody honest needs an answer.
ANSWERS_PER_S = 100.0
# HMAC-SHA1 of a check costs some 5 µs: a flood that knows the user name costs 0.2 % of a core.
AUTHENTICATIONS_PER_S = 400.0
# Checks of the last seconds, to notice a copy from another address.
MAX_SEEN = 256
MAX_OUTSTANDING = 8


CheckCommand = SendDatagram | PairChosen


class CheckList:
    """The checks of one round. It has no timer of its own: the owner calls :meth:`timer` at :meth:`next_deadline`."""

    def __init__(
        self,
        local: Credentials,
        role: IceRole,
        budget: PacketBudget,
        rng: Random,
        nomination: int,
        *,
        max_pairs: int = MAX_PAIRS,
        ta_s: float = TA_S,
    ) -> None:
        """``nomination`` is the counter that a choice of ours gets, above 0 and above those of earlier rounds."""
        self._max_pairs = max_pairs
        self._ta_s = ta_s
        self._local = local
        self._role = role
        self._budget = budget
        self._rng = rng
        self._own_nomination = nomination
        self._tie_breaker = rng.getrandbits(64)
        self.keys: CheckKeys | None = None
        self._sockets: dict[int, int] = {}
        self._mapped_ports: set[int] = set()
        self.pairs: dict[tuple[int, Address], CandidatePair] = {}
        self._scheduled: list[CandidatePair] = []
        self._unanswered: list[CandidatePair] = []
        self._seen: OrderedDict[bytes, tuple[int, Address]] = OrderedDict()
        self._answers = PacketRate(ANSWERS_PER_S, ANSWERS_PER_S)
        self._authentications = PacketRate(AUTHENTICATIONS_PER_S, AUTHENTICATIONS_PER_S)
        self._next_slot = 0.0
        self._repeat_at: float | None = None
        self._repeat_wait = RTO_S
        self._running = False
        self._out: list[CheckCommand] = []
        self.first_check_at: float | None = None
        self.answers_sent = 0
        self.peer_seen = False
        """An authentic check has come: at least that direction works."""
        self.seen_on: set[int] = set()
        """Sockets that one has come on."""
        self.dropped = 0
        """Datagrams that proved nothing."""
        self.chosen: CandidatePair | None = None
        self.confirmed = False
        """The other side has shown that it has succeeded as well."""

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        if not self._running or self.keys is None:
            return None
        deadlines = [] if self._repeat_at is None else [self._repeat_at]
        if self.chosen is None:
            due = min((pair.schedule[0] for pair in self._scheduled if pair.schedule), default=None)
            if due is not None:
                deadlines.append(max(due, self._next_slot))
        return min(deadlines, default=None)

    def add_socket(self, socket: int, version: int, *, is_mapped_port: bool = False) -> None:
        """A socket of this round for IP ``version`` is open. At a mapped port the peer is waited for, and
        answered: checks from there would cost others' time and show nothing that theirs do not."""
        self._sockets[socket] = version
        if is_mapped_port:
            self._mapped_ports.add(socket)

    def remove_socket(self, socket: int) -> None:
        """It is gone, and its pairs with it."""
        self._sockets.pop(socket, None)
        self._mapped_ports.discard(socket)
        self.pairs = {key: pair for key, pair in self.pairs.items() if pair.socket != socket}
        self._scheduled = [pair for pair in self._scheduled if pair.socket != socket]
        self._unanswered = [pair for pair in self._unanswered if pair.socket != socket]
        if self.chosen is not None and self.chosen.socket == socket:
            self.stop()

    def set_remote(self, remote: Credentials) -> None:
        """The peer has sent its credentials; the first ones of a round count."""
        if self.keys is None:
            self.keys = CheckKeys(self._local, remote, self._role, self._tie_breaker)

    def add_remote(self, remotes: Iterable[tuple[CandidateKind, Address, int]], schedule: Schedule) -> None:
        """Pairs for the peer's candidates (kind, address, priority)."""
        for kind, address, remote_priority in remotes:
            version = 6 if ":" in address[0] else 4
            for socket, family in self._sockets.items():
                if family == version and socket not in self._mapped_ports and (socket, address) not in self.pairs:
                    self._add(CandidatePair(socket, address, kind, self._rank(remote_priority), schedule.of(kind)))

    def schedule(self, schedule: Schedule) -> None:
        """Send on every pair at these times instead."""
        for pair in self.pairs.values():
            pair.schedule = schedule.of(pair.kind)
        self._scheduled = list(self.pairs.values())

    def remove_kind(self, kind: CandidateKind, version: int) -> None:
        """Send nothing to candidates of this kind and IP version, unless the peer proves that it is there."""
        for key, pair in tuple(self.pairs.items()):
            if pair.kind is kind and self._sockets.get(pair.socket) == version and pair.rtt_s is None:
                del self.pairs[key]
                pair.schedule = ()

    def forget(self, socket: int, remote: Address) -> None:
        """A probe's pair of long ago is of no more use; the peer's own check would make it again."""
        pair = self.pairs.get((socket, remote))
        if pair is not None and pair.rtt_s is None and not pair.schedule:
            del self.pairs[socket, remote]

    def openers(self, ttl: int, now: float) -> list[CheckCommand]:
        """One packet on each pair that dies on its way but opens our own NAT (DESIGN §6.7). Not a check: it has no
        credentials to learn, and no answer is possible."""
        for pair in self.pairs.values():
            # Neither needs one: at a host there is no NAT to be careful of, and at a mapped port no filter.
            is_far = pair.kind not in (CandidateKind.HOST, CandidateKind.MAPPED)
            if is_far and self._budget.consume(pair.remote, now):
                data = stun.binding_request(self._rng.randbytes(TRANSACTION_ID_BYTES))
                self._out.append(SendDatagram(pair.socket, pair.remote, data, ttl))
        return self._take()

    def run(self, now: float) -> list[CheckCommand]:
        """From now on checks are sent; also those that the peer's own have asked for already."""
        self._running = True
        waiting, self._unanswered = self._unanswered, []
        for pair in waiting:
            self._trigger(pair, now)
        return self._take() + self.timer(now)

    def stop(self) -> None:
        """Send no more checks; authentic ones are answered still."""
        self._running = False
        self._repeat_at = None

    def received(self, socket: int, source: Address, data: bytes, now: float) -> list[CheckCommand]:
        """A STUN packet came on a socket of this round."""
        try:
            message = stun.parse(data)
        except WireError:
            self.dropped += 1
            return []
        if not (
            self._request(socket, source, message, now)
            if message.kind is StunClass.REQUEST
            else self._answer(socket, source, message, now)
        ):
            self.dropped += 1
        return self._take()

    def timer(self, now: float) -> list[CheckCommand]:
        """Send what is due; harmless when nothing is."""
        if not self._running or self.keys is None:
            return []
        if self._repeat_at is not None and now >= self._repeat_at and self.chosen is not None:
            self._repeat(self.chosen, now)
        if self.chosen is None and now >= self._next_slot:
            self._scheduled = [pair for pair in self._scheduled if pair.schedule]
            due = [pair for pair in self._scheduled if pair.schedule[0] <= now]
            for pair in sorted(due, key=lambda pair: (-len(pair.schedule), -pair.priority)):
                if not self._budget.allows(pair.remote):
                    pair.schedule = ()
                    continue
                if self._check(pair, now):
                    pair.schedule = pair.schedule[1:]
                    if pair.kind is CandidateKind.MAPPED:
                        # Beside the others: what a router claims, true or not, makes none of them wait.
                        continue
                self._next_slot = now + self._ta_s
                break
        return self._take()

    def _take(self) -> list[CheckCommand]:
        out, self._out = self._out, []
        return out

    def _add(self, pair: CandidatePair) -> CandidatePair | None:
        if len(self.pairs) >= self._max_pairs:
            return None
        self.pairs[pair.socket, pair.remote] = pair
        if pair.schedule:
            self._scheduled.append(pair)
        return pair

    def probe(self, socket: int, kind: CandidateKind, remote: Address, now: float) -> list[CheckCommand]:
        """One check now, on a pair that may be new and has no schedule; nothing where the budget or the number of
        pairs does not allow it, or a pair has been chosen already."""
        if self.chosen is None and socket in self._sockets:
            pair = self.pairs.get((socket, remote)) or self._add(
                CandidatePair(socket, remote, kind, self._rank(priority(kind)))
            )
            if pair is not None:
                self._check(pair, now)
        return self._take()

    def _rank(self, remote: int) -> int:
        """Priority of a pair (RFC 8445 §6.1.2.3); our side of it is the base of the socket, a host candidate."""
        local = priority(CandidateKind.HOST)
        return pair_priority(local, remote) if self._role is IceRole.CONTROLLING else pair_priority(remote, local)

    def _check(self, pair: CandidatePair, now: float) -> bool:
        """Send a check on a pair, if the budget allows."""
        if self.keys is None or not self._budget.consume(pair.remote, now):
            return False
        transaction_id = self._rng.randbytes(TRANSACTION_ID_BYTES)
        pair.outstanding[transaction_id] = now
        if len(pair.outstanding) > MAX_OUTSTANDING:
            pair.outstanding.popitem(last=False)
        data = self.keys.request(transaction_id, priority(CandidateKind.PEER_REFLEXIVE), self._nomination(pair))
        self._out.append(SendDatagram(pair.socket, pair.remote, data))
        if self.first_check_at is None:
            self.first_check_at = now
        return True

    def _nomination(self, pair: CandidatePair) -> int | None:
        """The nomination in a check or an answer on ``pair``: ours, or the one that we follow."""
        if self._role is IceRole.CONTROLLING:
            return self._own_nomination if pair is self.chosen else 0
        return pair.nominated if pair is self.chosen else None

    def _request(self, socket: int, source: Address, request: StunMessage, now: float) -> bool:
        if not self._names_us(request) or not self._authentications.consume(now):
            return False
        if socket not in self._sockets or not request.authentic(self._local.password):
            return False
        known = self._seen.setdefault(request.transaction_id, (socket, source))
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        if known != (socket, source) or not may_be_peer(source):
            return False
        pair = self.pairs.get((socket, source)) or self._peer_reflexive(socket, source, request)
        if pair is None:
            return False
        self.peer_seen = True
        self.seen_on.add(socket)
        if self._role is IceRole.CONTROLLED and request.use_candidate:
            counter = request.nomination or 0
            pair.nominated = counter if pair.nominated is None else max(pair.nominated, counter)
            self._follow(pair, now)
            # A counter above 0 shows that the controlling side has seen an answer of ours.
            self.confirmed = self.confirmed or (pair is self.chosen and counter > 0)
        elif self._role is IceRole.CONTROLLING and request.nomination == self._own_nomination:
            self.confirmed = self.confirmed or pair is self.chosen
        self._stop_repeating()
        if self._answers.consume(now):
            answer = stun.check_answer(request, source, self._local.password, self._nomination(pair))
            self._out.append(SendDatagram(socket, source, answer))
            self.answers_sent += 1
        if self._running and self.keys is not None:
            self._trigger(pair, now)
        elif pair not in self._unanswered:
            self._unanswered.append(pair)
        return True

    def _names_us(self, request: StunMessage) -> bool:
        """Looked at before any cryptography."""
        if self.keys is not None:
            return self.keys.is_for_us(request)
        # The peer's check has overtaken its candidates: the user name is half known, the password wholly.
        name = request.username or ""
        return name.startswith(f"{self._local.ufrag}:") and request.role not in (None, self._role)

    def _peer_reflexive(self, socket: int, source: Address, request: StunMessage) -> CandidatePair | None:
        """RFC 8445 §7.3.1.3: the peer is seen at an address that it did not know of."""
        offered = request.priority or priority(CandidateKind.PEER_REFLEXIVE)
        return self._add(CandidatePair(socket, source, CandidateKind.PEER_REFLEXIVE, self._rank(offered)))

    def _trigger(self, pair: CandidatePair, now: float) -> None:
        if pair.rtt_s is None and (self.chosen is None or self._is_later_choice(pair, self.chosen)):
            self._check(pair, now)

    def _is_later_choice(self, pair: CandidatePair, chosen: CandidatePair) -> bool:
        """The controlling side could not use the pair that we follow, and has chosen this one."""
        return self._role is IceRole.CONTROLLED and (pair.nominated or 0) > (chosen.nominated or 0)

    def _answer(self, socket: int, source: Address, answer: StunMessage, now: float) -> bool:
        pair = self.pairs.get((socket, source))
        if pair is None or self.keys is None or answer.transaction_id not in pair.outstanding:
            return False
        if not self._authentications.consume(now) or not self.keys.answered(answer) or answer.mapped is None:
            return False
        sent_at = pair.outstanding.pop(answer.transaction_id)
        self._budget.mark_validated(pair.remote)
        if pair.rtt_s is None:
            pair.rtt_s, pair.mapped = max(0.0, now - sent_at), answer.mapped
        if self._role is IceRole.CONTROLLED:
            self._follow(pair, now)
        elif self.chosen is None:
            self._choose(pair, self._own_nomination, now)
        elif pair is self.chosen and answer.nomination == self._own_nomination:
            # It has followed, so it has a valid pair too.
            self.confirmed = True
            self._stop_repeating()
        return True

    def _follow(self, pair: CandidatePair, now: float) -> None:
        """The controlled side: take a pair that is valid and nominated, or a later nomination than the one taken."""
        if pair.rtt_s is None or pair.nominated is None or pair is self.chosen:
            return
        if pair.nominated == 0 and len({other.socket for other in self.pairs.values()}) > 1:
            # The choice could still be another socket, and ours of the others are closed once we have followed.
            return
        if self.chosen is None or self.chosen.nominated is None or pair.nominated > self.chosen.nominated:
            self._choose(pair, pair.nominated, now)

    def _choose(self, pair: CandidatePair, nomination: int, now: float) -> None:
        if pair.rtt_s is None or pair.mapped is None:
            return
        self.chosen = pair
        self._out.append(PairChosen(pair.socket, pair.remote, pair.kind, pair.rtt_s, pair.mapped, nomination))
        self._repeat_wait = RTO_S
        if self._role is IceRole.CONTROLLING:
            self._repeat(pair, now)
        elif not self.confirmed:
            self._repeat_at = now + RTO_S

    def _repeat(self, pair: CandidatePair, now: float) -> None:
        """Go on sending on the chosen pair, so that the slower side's filter opens and it hears of the choice."""
        self._repeat_at = now + self._repeat_wait
        self._repeat_wait = min(self._repeat_wait * 2, MAX_RTO_S)
        if self._running:
            self._check(pair, now)

    def _stop_repeating(self) -> None:
        if self.confirmed:
            self._repeat_at = None
