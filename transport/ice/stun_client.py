"""STUN questions from one socket to several servers at once (RFC 8489 §6.2): what each sees as our address.

Each retransmission has a fresh transaction identifier (so a round-trip time is never ambiguous), and an answer
counts only with one of ours, from the server that was asked.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from random import Random

from transport.ice.candidates import is_believable_reflexive
from transport.ice.pacing import PacketBudget
from transport.net.sockets import Address, SendDatagram
from transport.wire import WireError, stun
from transport.wire.stun import TRANSACTION_ID_BYTES, StunClass

RTO_S = 0.1
MAX_RTO_S = 0.8
# 0, 0.1, 0.3, 0.7, 1.5 s: with 20 % loss each way one in 15,000 questions stays without an answer.
MAX_TRANSMISSIONS = 5
# After this one a server does not answer.
LAST_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Observation:
    """One server's answer. ``order`` is that of asking; ``first_try`` whether the first packet was answered, so that
    the order in which a NAT saw the flows is known. ``mapped`` is what was seen first and ``varied`` tells that the
    same server also saw something else. ``asked_s``: when, since the questions of this socket, or of all sockets that
    are asked together, began."""

    server: Address
    mapped: Address
    order: int
    first_try: bool
    rtt_s: float
    varied: bool = False
    asked_s: float = 0.0


@dataclass(slots=True)
class _Question:
    server: Address
    order: int
    due: float | None
    asked_s: float = 0.0
    wait: float = RTO_S
    sent: dict[bytes, float] = field(default_factory=dict)
    answer: Observation | None = None


class StunClient:
    """All questions of one socket."""

    __slots__ = ("_budget", "_questions", "_rng", "_socket", "unbelievable")

    def __init__(
        self,
        socket: int,
        servers: Iterable[Address],
        budget: PacketBudget,
        rng: Random,
        now: float,
        *,
        spread_s: float = 0.0,
        began: float | None = None,
    ) -> None:
        """``servers`` are all of the socket's address family. The questions leave with the first :meth:`timer`, their
        second half ``spread_s`` later: where packets overtake each other that shows which way a NAT counts.
        ``began``: when the first of several sockets asked."""
        self._socket = socket
        self._budget = budget
        self._rng = rng
        distinct = list(dict.fromkeys(servers))
        offsets = [spread_s if number >= len(distinct) / 2 else 0.0 for number in range(len(distinct))]
        self._questions = [
            _Question(server, number, now + offsets[number], now - (now if began is None else began) + offsets[number])
            for number, server in enumerate(distinct)
        ]
        self.unbelievable = 0
        """Answers that named an address which cannot be."""

    @property
    def asked(self) -> int:
        """How many servers."""
        return len(self._questions)

    @property
    def done(self) -> bool:
        """All have answered, or will not."""
        return all(question.due is None for question in self._questions)

    @property
    def observations(self) -> list[Observation]:
        """The answers so far, in the order of asking."""
        return [question.answer for question in self._questions if question.answer is not None]

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        return min((question.due for question in self._questions if question.due is not None), default=None)

    def timer(self, now: float) -> list[SendDatagram]:
        """Ask, and ask again."""
        out: list[SendDatagram] = []
        for question in self._questions:
            if question.due is None or question.due > now:
                continue
            if len(question.sent) >= MAX_TRANSMISSIONS:
                question.due = None
                continue
            if not self._budget.consume_for_server(now):
                question.due = None if self._budget.exhausted else now + RTO_S
                continue
            transaction_id = self._rng.randbytes(TRANSACTION_ID_BYTES)
            question.sent[transaction_id] = now
            last = len(question.sent) == MAX_TRANSMISSIONS
            question.due = now + (LAST_WAIT_S if last else question.wait)
            question.wait = min(question.wait * 2, MAX_RTO_S)
            out.append(SendDatagram(self._socket, question.server, stun.binding_request(transaction_id)))
        return out

    def received(self, source: Address, data: bytes, now: float) -> bool:
        """A STUN packet came on the socket; returns whether it was an answer to a question of ours."""
        question = next((question for question in self._questions if question.server == source), None)
        if question is None:
            return False
        try:
            message = stun.parse(data)
        except WireError:
            return False
        sent_at = question.sent.get(message.transaction_id)
        if sent_at is None or message.kind is not StunClass.SUCCESS or message.mapped is None:
            return False
        if not is_believable_reflexive(message.mapped):
            self.unbelievable += 1
            question.due = None
            return True
        question.due = None
        if question.answer is None:
            # Where the way there and back is longer than the first wait, the answer is still the first packet's.
            first_try = message.transaction_id == next(iter(question.sent))
            question.answer = Observation(
                source, message.mapped, question.order, first_try, now - sent_at, asked_s=question.asked_s
            )
        elif question.answer.mapped != message.mapped and not question.answer.varied:
            question.answer = replace(question.answer, varied=True)
        return True
