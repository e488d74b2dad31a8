"""Whom our NAT lets in (RFC 4787 §5): answers that come from where nobody has asked (RFC 5780 §4.4).

One fresh socket asks one server, again and again: plainly, for an answer from another port, and for one from another
address and port. An answer that gets in is proof. Silence is proof only where nothing else can explain it: every try
is three requests that leave together, and the plain one must be answered. Later, on another socket, so must the
endpoints that kept silent, and, as a control, a request of the same kind whose answer the filter has to let in. The
first socket must never have sent to any of them.
"""

from collections.abc import Container
from dataclasses import dataclass
from ipaddress import ip_address
from random import Random

from transport.ice.pacing import PacketBudget
from transport.nat.profile import Filtering, Mapping
from transport.net.sockets import Address, SendDatagram
from transport.wire import WireError, stun
from transport.wire.stun import TRANSACTION_ID_BYTES, Change, StunClass, StunMessage

PLAIN = Change(ip=False, port=False)
OTHER_PORT = Change(ip=False, port=True)
OTHER_BOTH = Change(ip=True, port=True)
# Seven tries, one of which may fail: with 15 % loss each way, when no call is any good, silence is taken for a filter
# once in 20,000 times; with 5 % once in 10 million.
TRIES_AT_S = (0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6)
MAX_LOST_TRIES = 1
# After the last try; the way back from another address takes another time, by a round trip at the most.
LAST_WAIT_S = 0.5
CONTROLS_AT_S = (0.0, 0.1, 0.3, 0.7)
MAX_PACKETS = 3 * len(TRIES_AT_S) + len(CONTROLS_AT_S)


@dataclass(frozen=True, slots=True)
class FilteringVerdict:
    """``evidence`` in engineers' words, without addresses."""

    filtering: Filtering
    evidence: tuple[str, ...]


class FilteringProbe:
    """All tries of one socket at one ``server``."""

    def __init__(self, socket: int, server: Address, budget: PacketBudget, rng: Random, now: float) -> None:
        """The first try leaves with the first :meth:`timer`."""
        self._socket = socket
        self._server = server
        self._budget = budget
        self._rng = rng
        self._due = [now + at for at in TRIES_AT_S]
        self._ends_at: float | None = None
        self._sent: dict[bytes, tuple[Change, float]] = {}
        self._answered: dict[Change, set[bytes]] = {PLAIN: set(), OTHER_PORT: set(), OTHER_BOTH: set()}
        self._other: Address | None = None
        self._rtt_s = 0.0
        self._control: tuple[int, Change] | None = None
        self._control_due: list[float] = []
        self._control_ends_at: float | None = None
        self._control_sent: set[bytes] = set()
        self._does_change = False

    @property
    def all_sent(self) -> bool:
        """Nothing more is asked: what comes now decides."""
        return not self._due

    @property
    def done(self) -> bool:
        """Nothing more is waited for, the control aside."""
        return not self._due and self._ends_at is None

    @property
    def controlled(self) -> bool:
        """No control is under way."""
        return not self._control_due and self._control_ends_at is None

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        test = self._due[0] if self._due else self._ends_at
        control = self._control_due[0] if self._control_due else self._control_ends_at
        return min((due for due in (test, control) if due is not None), default=None)

    def control(self, socket: int, mapping: Mapping, now: float) -> None:
        """``socket`` has been answered by every endpoint, so that it can be answered from each of them unasked, as
        far as ``mapping`` keeps its outside port."""
        if self._other is None or self._answered[OTHER_BOTH]:
            return
        if mapping is Mapping.ADDRESS_AND_PORT_DEPENDENT:
            # Whatever comes from elsewhere comes to the wrong port: there is no such control, the server's word counts.
            self._does_change = True
            return
        keeps_port = self._other[0] != self._server[0] and mapping is not Mapping.ADDRESS_DEPENDENT
        self._control = socket, OTHER_BOTH if keeps_port else OTHER_PORT
        self._control_due = [now + at for at in CONTROLS_AT_S]

    def timer(self, now: float) -> list[SendDatagram]:
        """Ask what is due; harmless when nothing is."""
        out: list[SendDatagram] = []
        while self._due and self._due[0] <= now:
            self._due.pop(0)
            wanted = [PLAIN, *self._still_unknown()]
            # All or none: the plain request's answer stands for the others.
            if all([self._budget.consume_for_server(now) for _ in wanted]):
                out += [self._ask(change, now) for change in wanted]
            if not self._due:
                self._ends_at = now + max(LAST_WAIT_S, 2 * self._rtt_s)
        if self._ends_at is not None and now >= self._ends_at:
            self._ends_at = None
        return out + self._run_control(now)

    def _run_control(self, now: float) -> list[SendDatagram]:
        out: list[SendDatagram] = []
        while self._control is not None and self._control_due and self._control_due[0] <= now:
            self._control_due.pop(0)
            socket, change = self._control
            if self._budget.consume_for_server(now):
                transaction_id = self._rng.randbytes(TRANSACTION_ID_BYTES)
                self._control_sent.add(transaction_id)
                out.append(SendDatagram(socket, self._server, stun.question(transaction_id, change)))
            if not self._control_due:
                self._control_ends_at = now + max(LAST_WAIT_S, 2 * self._rtt_s)
        if self._control_ends_at is not None and now >= self._control_ends_at:
            self._control_ends_at = None
        return out

    def control_received(self, source: Address, data: bytes) -> None:
        """A STUN packet came on the socket of the control."""
        try:
            message = stun.parse(data)
        except WireError:
            return
        if message.transaction_id in self._control_sent and message.kind is StunClass.SUCCESS:
            self._does_change = self._does_change or source != self._server
            self._control_due, self._control_ends_at = [], None

    def received(self, source: Address, data: bytes, now: float) -> bool:
        """A STUN packet came on the socket; returns whether it was an answer to a request of ours."""
        try:
            message = stun.parse(data)
        except WireError:
            return False
        asked = self._sent.get(message.transaction_id)
        if asked is None or message.kind is not StunClass.SUCCESS or self.done:
            return False
        change, sent_at = asked
        if change == PLAIN and source == self._server:
            self._answered[PLAIN].add(message.transaction_id)
            self._rtt_s = max(self._rtt_s, now - sent_at)
            self._note_other(message)
        elif change.port and source[1] != self._server[1] and (source[0] != self._server[0]) is change.ip:
            self._answered[change].add(message.transaction_id)
        elif source == self._server:
            # It announces what it does not do.
            self._other = None
            self._end()
        if self._answered[OTHER_BOTH] or not self._still_unknown():
            self._end()
        return True

    def verdict(self, answering: Container[Address]) -> FilteringVerdict:
        """What is known now. ``answering``: endpoints that have answered requests of another socket."""
        if self._answered[OTHER_BOTH]:
            text = "an answer from another address came in unasked"
            return FilteringVerdict(Filtering.ENDPOINT_INDEPENDENT, (text,))
        lets_ports_in = bool(self._answered[OTHER_PORT])
        evidence = ("an answer from another port came in unasked",) if lets_ports_in else ()
        if self._other is None or not self._does_change or not self._lost_little():
            return FilteringVerdict(Filtering.UNKNOWN, evidence)
        if not lets_ports_in and (self._server[0], self._other[1]) in answering:
            text = f"none of {len(TRIES_AT_S)} answers from another port came in"
            return FilteringVerdict(Filtering.ADDRESS_AND_PORT_DEPENDENT, (text,))
        if lets_ports_in and self._other[0] != self._server[0] and self._other in answering:
            text = f"none of {len(TRIES_AT_S)} answers from another address came in"
            return FilteringVerdict(Filtering.ADDRESS_DEPENDENT, (*evidence, text))
        return FilteringVerdict(Filtering.UNKNOWN, evidence)

    def _still_unknown(self) -> list[Change]:
        has_one_address = self._other is not None and self._other[0] == self._server[0]
        changes = (OTHER_PORT,) if has_one_address else (OTHER_PORT, OTHER_BOTH)
        return [change for change in changes if not self._answered[change]]

    def _lost_little(self) -> bool:
        return len(self._answered[PLAIN]) >= len(TRIES_AT_S) - MAX_LOST_TRIES

    def _note_other(self, answer: StunMessage) -> None:
        if answer.other is None:
            # It answers from where it was asked, whatever it is asked for.
            self._end()
            return
        unspecified = ip_address(answer.other[0]).is_unspecified
        self._other = (self._server[0] if unspecified else answer.other[0], answer.other[1])

    def _end(self) -> None:
        self._due.clear()
        self._ends_at = None

    def _ask(self, change: Change, now: float) -> SendDatagram:
        transaction_id = self._rng.randbytes(TRANSACTION_ID_BYTES)
        self._sent[transaction_id] = (change, now)
        asked = None if change == PLAIN else change
        return SendDatagram(self._socket, self._server, stun.question(transaction_id, asked))
