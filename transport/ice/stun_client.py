"""STUN requests from one socket to several servers at once (RFC 8489 §6.2): what each sees as our address.

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
# 0, 0.1, 0.3, 0.7, 1.5 s: with 20 % loss each way one in 15,000 requests stays without an answer.
MAX_TRANSMISSIONS = 5
# After this one a server does not answer.
LAST_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Observation:
    """One server's answer. ``order`` is that of asking; ``first_try`` whether the first packet was answered, so that
    the order in which a NAT saw the flows is known. ``mapped`` is what was seen first and ``varied`` tells that the
    same server also saw something else. ``asked_s``: when, since the requests of this socket, or of all sockets that
    are asked together, began."""

    server: Address
    mapped: Address
    order: int
    first_try: bool
    rtt_s: float
    varied: bool = False
    asked_s: float = 0.0


@dataclass(slots=True)
class _Transaction:
    server: Address
    order: int
    due: float | None
    asked_s: float = 0.0
    wait: float = RTO_S
    sent: dict[bytes, float] = field(default_factory=dict)
    answer: Observation | None = None


class StunClient:
    """All requests of one socket."""

    __slots__ = ("_budget", "_rng", "_socket", "_transactions", "unbelievable")

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
        """``servers`` are all of the socket's address family. The requests leave with the first :meth:`timer`, their
        second half ``spread_s`` later: where packets overtake each other that shows which way a NAT counts.
        ``began``: when the first of several sockets asked."""
        self._socket = socket
        self._budget = budget
        self._rng = rng
        distinct = list(dict.fromkeys(servers))
        offsets = [spread_s if number >= len(distinct) / 2 else 0.0 for number in range(len(distinct))]
        self._transactions = [
            _Transaction(
                server, number, now + offsets[number], now - (now if began is None else began) + offsets[number]
            )
            for number, server in enumerate(distinct)
        ]
        self.unbelievable = 0
        """Answers that named an address which cannot be."""

    @property
    def asked(self) -> int:
        """How many servers."""
        return len(self._transactions)

    @property
    def done(self) -> bool:
        """All have answered, or will not."""
        return all(transaction.due is None for transaction in self._transactions)

    @property
    def observations(self) -> list[Observation]:
        """The answers so far, in the order of asking."""
        return [transaction.answer for transaction in self._transactions if transaction.answer is not None]

    def next_deadline(self) -> float | None:
        """When :meth:`timer` is due."""
        return min((transaction.due for transaction in self._transactions if transaction.due is not None), default=None)

    def timer(self, now: float) -> list[SendDatagram]:
        """Ask, and ask again."""
        out: list[SendDatagram] = []
        for transaction in self._transactions:
            if transaction.due is None or transaction.due > now:
                continue
            if len(transaction.sent) >= MAX_TRANSMISSIONS:
                transaction.due = None
                continue
            if not self._budget.consume_for_server(now):
                transaction.due = None if self._budget.exhausted else now + RTO_S
                continue
            transaction_id = self._rng.randbytes(TRANSACTION_ID_BYTES)
            transaction.sent[transaction_id] = now
            last = len(transaction.sent) == MAX_TRANSMISSIONS
            transaction.due = now + (LAST_WAIT_S if last else transaction.wait)
            transaction.wait = min(transaction.wait * 2, MAX_RTO_S)
            out.append(SendDatagram(self._socket, transaction.server, stun.binding_request(transaction_id)))
        return out

    def received(self, source: Address, data: bytes, now: float) -> bool:
        """A STUN packet came on the socket; returns whether it was an answer to a request of ours."""
        transaction = next((transaction for transaction in self._transactions if transaction.server == source), None)
        if transaction is None:
            return False
        try:
            message = stun.parse(data)
        except WireError:
            return False
        sent_at = transaction.sent.get(message.transaction_id)
        if sent_at is None or message.kind is not StunClass.SUCCESS or message.mapped is None:
            return False
        if not is_believable_reflexive(message.mapped):
            self.unbelievable += 1
            transaction.due = None
            return True
        transaction.due = None
        if transaction.answer is None:
            # Where the way there and back is longer than the first wait, the answer is still the first packet's.
            first_try = message.transaction_id == next(iter(transaction.sent))
            transaction.answer = Observation(
                source, message.mapped, transaction.order, first_try, now - sent_at, asked_s=transaction.asked_s
            )
        elif transaction.answer.mapped != message.mapped and not transaction.answer.varied:
            transaction.answer = replace(transaction.answer, varied=True)
        return True
