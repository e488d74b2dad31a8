"""relay.legs and relay.media_port: binding, forwarding, and everything that must not move a leg."""

import random
from collections import Counter

import pytest
from aioice import stun as codec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from relay import legs as lg
from relay.events import LegGrant
from relay.limits import Limiter, RelayLimits, address_subject
from relay.media_port import DatagramHandler
from transport.net.token_bucket import Rate
from transport.wire import stun

CALLER = LegGrant("caller-leg", "caller-password-1234")
CALLEE = LegGrant("callee-leg", "callee-password-5678")
A: lg.Source = (0, ("192.0.2.1", 1000))
B: lg.Source = (0, ("198.51.100.2", 2000))
THIRD: lg.Source = (0, ("203.0.113.3", 3000))
QUIC = b"\x40" + b"sealed"


def table(rate: Rate | None = None) -> tuple[lg.LegTable, DatagramHandler]:
    made = lg.LegTable(rate or RelayLimits().leg_packets, b"secret")
    made.create("call", CALLER, CALLEE, 0.0)
    made.place(CALLER.username, A[1][0])
    made.place(CALLEE.username, B[1][0])
    return made, DatagramHandler(made, Limiter(RelayLimits()))


def bind(
    handler: DatagramHandler, grant: LegGrant, source: lg.Source, now: float = 0.0, transaction: int = 0
) -> list[lg.Outgoing]:
    """Bind as an honest client does: with the NONCE, when the relay asks for it."""
    outgoing = ask(handler, grant, source, now, transaction)
    nonce = answer(outgoing).nonce
    return outgoing if nonce is None else ask(handler, grant, source, now, nonce=nonce)


def ask(
    handler: DatagramHandler,
    grant: LegGrant,
    source: lg.Source,
    now: float = 0.0,
    transaction: int = 0,
    nonce: bytes = b"",
) -> list[lg.Outgoing]:
    number = transaction or next(_transactions)
    request = stun.binding_request(number.to_bytes(12, "big"), grant.username, grant.password, nonce)
    return handler.media(request, source, now)


_transactions = iter(range(1, 10**9))


def answer(outgoing: list[lg.Outgoing]) -> stun.StunMessage:
    return stun.parse(bytes(outgoing[0][1]))


def bound() -> tuple[lg.LegTable, DatagramHandler]:
    made, handler = table()
    bind(handler, CALLER, A)
    bind(handler, CALLEE, B)
    return made, handler


def test_a_bind_is_answered_with_proof_and_the_reflexive_address() -> None:
    _, handler = table()
    [(target, data)] = bind(handler, CALLER, A)
    message = stun.parse(bytes(data))
    assert target == A
    assert message.kind is stun.StunClass.SUCCESS and message.mapped == A[1]
    assert message.authentic(CALLER.password) and not message.authentic(CALLEE.password)


def test_an_ipv6_source_is_mapped_without_its_scope() -> None:
    _, handler = table()
    source: lg.Source = (1, ("fe80::1%eth0", 4000, 0, 2))
    assert answer(bind(handler, CALLER, source)).mapped == ("fe80::1", 4000)


def test_packets_pass_unchanged_both_ways_once_both_are_bound() -> None:
    made, handler = bound()
    assert handler.media(QUIC, A, 0.0) == [(B, QUIC)]
    assert handler.media(b"\xff" + bytes(1199), B, 0.0) == [(A, b"\xff" + bytes(1199))]
    assert made.forwarded_packets == 2 and made.forwarded_bytes == len(QUIC) + 1200
    assert not made.drops


def test_a_third_address_is_dropped_and_moves_nothing() -> None:
    made, handler = bound()
    assert handler.media(QUIC, THIRD, 0.0) == []
    assert made.drops == Counter(unbound=1)
    assert handler.media(QUIC, A, 0.0) == [(B, QUIC)]
    assert handler.media(QUIC, B, 0.0) == [(A, QUIC)]


def test_a_wrong_password_is_401_and_moves_nothing() -> None:
    made, handler = bound()
    request = stun.binding_request(b"x" * 12, CALLER.username, CALLEE.password)
    [(target, data)] = handler.media(request, THIRD, 0.0)
    message = stun.parse(bytes(data))
    assert target == THIRD and message.kind is stun.StunClass.ERROR and message.error == stun.UNAUTHENTICATED
    assert handler.media(QUIC, B, 0.0) == [(A, QUIC)]
    assert handler.media(QUIC, THIRD, 0.0) == []
    assert made.drops["unauthenticated"] == 1


def test_a_username_without_integrity_and_an_unknown_one_are_401() -> None:
    _, handler = bound()
    bare = codec.Message(codec.Method.BINDING, codec.Class.REQUEST, b"y" * 12, {"USERNAME": CALLER.username})
    assert answer(handler.media(bytes(bare), THIRD, 0.0)).error == stun.UNAUTHENTICATED
    unknown = stun.binding_request(b"z" * 12, "nobody-there", CALLER.password)
    assert answer(handler.media(unknown, THIRD, 0.0)).error == stun.UNAUTHENTICATED


def test_right_credentials_from_a_new_address_move_the_leg() -> None:
    made, handler = bound()
    bind(handler, CALLER, THIRD)
    assert handler.media(QUIC, B, 0.0) == [(THIRD, QUIC)]
    assert handler.media(QUIC, A, 0.0) == []
    assert made.drops["unbound"] == 1


def test_a_replayed_bind_moves_nothing_but_is_answered_at_home() -> None:
    _, handler = table()
    bind(handler, CALLER, A, transaction=7_000_000_001)
    bind(handler, CALLEE, B)
    assert answer(bind(handler, CALLER, THIRD, transaction=7_000_000_001)).error == stun.UNAUTHENTICATED
    assert handler.media(QUIC, B, 0.0) == [(A, QUIC)]
    # The owner's own retransmission is no replay.
    assert answer(bind(handler, CALLER, A, transaction=7_000_000_001)).kind is stun.StunClass.SUCCESS


def test_one_address_serves_one_leg_and_the_newest_proof_wins() -> None:
    made, handler = bound()
    bind(handler, CALLEE, A)
    # The caller's leg has lost its address: what the callee sends from it now waits for the caller.
    assert handler.media(QUIC, A, 0.0) == []
    assert made.drops == Counter({"unproven-address": 1})
    [_, waited] = bind(handler, CALLER, THIRD)
    assert waited == (THIRD, QUIC)


def test_what_comes_before_the_other_leg_is_bound_waits_in_a_bounded_queue() -> None:
    made, handler = table()
    bind(handler, CALLER, A)
    packets = [bytes([0x40 + number]) * 100 for number in range(lg.MAX_WAITING_PACKETS + 3)]
    for packet in packets:
        assert handler.media(packet, A, 0.0) == []
    first, *waited = bind(handler, CALLEE, B)
    assert stun.parse(bytes(first[1])).kind is stun.StunClass.SUCCESS
    assert waited == [(B, packet) for packet in packets[3:]]
    assert made.drops == Counter({"queue-full": 3})
    assert len(bind(handler, CALLEE, B)) == 1


def test_the_queue_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lg, "MAX_WAITING_BYTES", 2_500)
    made, handler = table()
    bind(handler, CALLER, A)
    for number in range(3):
        handler.media(bytes([0x40 + number]) + bytes(1199), A, 0.0)
    assert [bytes(data)[0] for _, data in bind(handler, CALLEE, B)[1:]] == [0x41, 0x42]
    assert made.drops == Counter({"queue-full": 1})


def test_a_buffer_that_is_reused_does_not_change_what_waits() -> None:
    _, handler = table()
    bind(handler, CALLER, A)
    buffer = bytearray(QUIC)
    handler.media(memoryview(buffer), A, 0.0)
    buffer[:] = b"\x40" + b"other!"
    assert bind(handler, CALLEE, B)[1] == (B, QUIC)


def test_packets_over_the_rate_are_dropped_and_the_rate_recovers() -> None:
    made, handler = table(Rate(4, 2.0))
    bind(handler, CALLER, A)
    bind(handler, CALLEE, B)
    assert [len(handler.media(QUIC, A, 0.0)) for _ in range(6)] == [1, 1, 1, 1, 0, 0]
    assert [len(handler.media(QUIC, A, 1.0)) for _ in range(3)] == [1, 1, 0]
    assert [len(handler.media(QUIC, B, 1.0)) for _ in range(4)] == [1, 1, 1, 1]
    assert made.drops == Counter(rate=3)


def test_too_long_and_not_quic_are_dropped() -> None:
    made, handler = bound()
    assert handler.media(b"\x40" * 1501, A, 0.0) == []
    assert handler.media(b"\x20" * 100, A, 0.0) == []
    assert handler.media(b"", A, 0.0) == []
    assert made.drops == Counter({"too-long": 1})


def test_destroyed_legs_forward_and_bind_nothing() -> None:
    made, handler = bound()
    made.destroy("call")
    made.destroy("call")
    assert len(made) == 0 and made.next_deadline() is None
    assert handler.media(QUIC, A, 0.0) == []
    assert answer(bind(handler, CALLER, A)).error == stun.UNAUTHENTICATED


def test_creating_the_same_call_again_replaces_its_legs() -> None:
    made, handler = bound()
    made.create("call", LegGrant("new-caller", "p" * 20), LegGrant("new-callee", "q" * 20), 1.0)
    assert len(made) == 2
    assert answer(bind(handler, CALLER, A)).error == stun.UNAUTHENTICATED
    assert answer(bind(handler, LegGrant("new-caller", "p" * 20), A)).kind is stun.StunClass.SUCCESS


def test_legs_are_idle_after_a_minute_without_packets_and_keepalives_count() -> None:
    made, handler = bound()
    assert made.next_deadline() == lg.IDLE_S
    handler.media(QUIC, A, 30.0)
    assert made.idle(lg.IDLE_S) == []
    assert made.next_deadline() == 30.0 + lg.IDLE_S
    bind(handler, CALLEE, B, now=80.0)
    assert made.idle(90.0) == []
    assert made.idle(80.0 + lg.IDLE_S) == ["call"]
    # Named once per idle time, not at every look.
    assert made.idle(81.0 + lg.IDLE_S) == []
    assert made.idle(80.0 + 2 * lg.IDLE_S) == ["call"]


@pytest.mark.parametrize("kept", [(CALLER, A), (CALLEE, B), None])
def test_legs_that_were_never_both_bound_are_idle_however_busy_one_is(kept: tuple[LegGrant, lg.Source] | None) -> None:
    made, handler = table()
    for second in range(0, 60, 5):
        if kept is not None:
            bind(handler, *kept, now=float(second))
            handler.media(QUIC, kept[1], float(second))
    assert made.idle(lg.IDLE_S - 1.0) == []
    assert made.idle(lg.IDLE_S) == ["call"]


def test_legs_that_have_met_are_not_idle_while_one_moves_or_is_kept_alone() -> None:
    made, handler = bound()
    for second in range(0, 300, 15):
        bind(handler, CALLER, A if second < 100 else THIRD, now=float(second))
        assert made.idle(float(second)) == []


def test_a_strangers_packets_keep_no_leg_alive() -> None:
    made, handler = bound()
    handler.media(QUIC, THIRD, 59.0)
    handler.media(stun.binding_request(b"x" * 12, CALLER.username, "wrong-password-here"), THIRD, 59.0)
    assert made.idle(lg.IDLE_S) == ["call"]


def test_a_plain_question_is_answered_on_every_port_but_binds_nothing() -> None:
    _, handler = bound()
    for port in (handler.media, handler.question):
        [(target, data)] = port(stun.binding_request(b"q" * 12), THIRD, 0.0)
        assert target == THIRD and stun.parse(bytes(data)).mapped == THIRD[1]
    assert handler.media(QUIC, THIRD, 0.0) == []
    assert handler.stun["answered"] == 2
    # With credentials the STUN-only ports answer the question and do not reach the legs.
    request = stun.binding_request(b"r" * 12, CALLER.username, CALLER.password)
    assert answer(handler.question(request, THIRD, 0.0)).kind is stun.StunClass.SUCCESS
    assert handler.media(QUIC, THIRD, 0.0) == []


def test_questions_are_rationed_by_network_and_binds_are_not() -> None:
    made = lg.LegTable(RelayLimits().leg_packets, b"secret")
    made.create("call", CALLER, CALLEE, 0.0)
    handler = DatagramHandler(made, Limiter(RelayLimits(stun=Rate(3, 1.0))))
    question = stun.binding_request(b"q" * 12)
    neighbours: list[lg.Source] = [(0, (f"192.0.2.{number}", 5000)) for number in range(5)]
    assert [len(handler.question(question, source, 0.0)) for source in neighbours] == [1, 1, 1, 0, 0]
    assert len(handler.question(question, THIRD, 0.0)) == 1
    assert len(bind(handler, CALLER, A)) == 1
    wrong = stun.binding_request(b"w" * 12, CALLER.username, "wrong-password-here")
    assert handler.media(wrong, A, 0.0) == []
    assert handler.stun["limited"] == 3


def test_forged_questions_of_a_network_switch_nothing_off_for_who_is_known_there() -> None:
    made = lg.LegTable(RelayLimits().leg_packets, b"secret")
    made.create("call", CALLER, CALLEE, 0.0)
    logged_in, same_network = ("192.0.2.1", "2001:db8::1"), ("192.0.2.9", "2001:db8::9")
    known = {address_subject(host) for host in logged_in}
    handler = DatagramHandler(made, Limiter(RelayLimits(stun=Rate(3, 0.0))), is_validated=known.__contains__)

    def answered(data: bytes, host: str) -> bool:
        return bool(handler.question(data, (0, (host, 5000)), 0.0))

    plain = stun.binding_request(b"q" * 12)
    for number in range(300):
        answered(plain, f"192.0.2.{number % 200 + 10}")
    assert not answered(plain, same_network[0])
    # From the address of a session, and with a leg's credentials from any address of the network.
    assert all(answered(plain, host) for host in (*logged_in, same_network[1]) for _ in range(50))
    for number in range(40):
        request = stun.binding_request(number.to_bytes(12, "big"), CALLER.username, CALLER.password)
        assert answered(request, same_network[0])
    wrong = stun.binding_request(b"w" * 12, CALLER.username, CALLEE.password)
    assert not answered(wrong, same_network[0])
    # A limit of one's own is a limit too.
    assert not all(answered(plain, logged_in[0]) for _ in range(300))


HOME = "192.0.2.1"


@pytest.mark.parametrize(
    ("host", "source", "is_at_once"),
    [
        (HOME, A, True),
        (HOME, (1, (HOME, 65_535)), True),
        ("fe80::1%eth0", (0, ("fe80::1%eth1", 4000, 0, 2)), True),
        (HOME, (0, ("192.0.2.2", 1000)), False),
        (HOME, (0, ("2001:db8::1", 1000, 0, 0)), False),
        ("2001:db8::1", (0, ("2001:db8::2", 1000, 0, 0)), False),
        ("", A, False),
    ],
)
def test_only_where_the_session_comes_from_binds_without_being_asked_again(
    host: str, source: lg.Source, is_at_once: bool
) -> None:
    made, handler = table()
    made.place(CALLER.username, host)
    made.place("nobody", HOME)
    bind(handler, CALLEE, B)
    handler.media(QUIC, B, 0.0)
    first = ask(handler, CALLER, source)
    if not is_at_once:
        [(target, _)] = first
        message = answer(first)
        assert target == source and message.error == stun.UNAUTHENTICATED and message.authentic(CALLER.password)
        assert message.nonce is not None and made.drops["unproven-address"] == 1
        first = ask(handler, CALLER, source, nonce=message.nonce)
    assert answer(first).kind is stun.StunClass.SUCCESS and first[1:] == [(source, QUIC)]


def test_a_leg_stays_where_it_is_until_the_new_address_has_proven_itself() -> None:
    made, handler = bound()
    made.place(CALLER.username, HOME)
    theirs = answer(ask(handler, CALLER, (0, ("203.0.113.9", 9)))).nonce
    ours = answer(ask(handler, CALLER, THIRD)).nonce
    same_host = answer(ask(handler, CALLER, (0, (THIRD[1][0], 9)))).nonce
    assert theirs is not None and ours is not None and same_host is not None
    for nonce in (theirs, same_host, ours[:-1], ours + b"0", b"0" * len(ours), b"\xff"):
        assert answer(ask(handler, CALLER, THIRD, nonce=nonce)).nonce == ours
    assert answer(ask(handler, CALLER, THIRD, now=100.0, nonce=ours)).error == stun.UNAUTHENTICATED
    assert handler.media(QUIC, B, 0.0) == [(A, QUIC)] and handler.media(QUIC, A, 0.0) == [(B, QUIC)]
    assert answer(ask(handler, CALLER, THIRD, now=29.0, nonce=ours)).kind is stun.StunClass.SUCCESS
    assert handler.media(QUIC, B, 29.0) == [(THIRD, QUIC)]


def test_nobody_takes_a_neighbours_address_from_another_leg_unproven() -> None:
    made, handler = bound()
    other = LegGrant("attacker-leg", "attacker-password"), LegGrant("accomplice", "accomplice-password")
    made.create("other", *other, 0.0)
    # Behind the same NAT, so that the host is right.
    for theirs, ours in ((b"", b""), (b"attacker", b""), (b"", b"victim"), (b"attacker", b"victim")):
        made.place(other[0].username, HOME, theirs)
        made.place(CALLER.username, HOME, ours)
        assert answer(ask(handler, other[0], A)).nonce is not None
        assert handler.media(QUIC, B, 0.0) == [(A, QUIC)]
    # The next call of the same person takes over at once.
    made.place(other[0].username, HOME, b"victim")
    assert answer(ask(handler, other[0], A)).kind is stun.StunClass.SUCCESS


@pytest.mark.parametrize("port", ["media", "question"])
@pytest.mark.parametrize("request_", ["right", "wrong", "unknown", "nonce", "plain", "question", "bare", "replay"])
def test_an_unproven_address_is_never_sent_three_times_what_came_from_it(port: str, request_: str) -> None:
    _, handler = table()
    bind(handler, CALLEE, B)
    for _ in range(lg.MAX_WAITING_PACKETS):
        handler.media(b"\x40" + bytes(1_199), B, 0.0)
    bare = codec.Message(codec.Method.BINDING, codec.Class.REQUEST, b"y" * 12)
    short = codec.Message(codec.Method.BINDING, codec.Class.REQUEST, b"y" * 12, {"USERNAME": CALLER.username})
    short.add_message_integrity(CALLER.password.encode())
    data = {
        "right": bytes(short),
        "wrong": stun.binding_request(b"x" * 12, CALLER.username, "wrong"),
        "unknown": stun.binding_request(b"x" * 12, "u", "wrong"),
        "nonce": stun.binding_request(b"x" * 12, CALLER.username, CALLER.password, b"0" * 16),
        "plain": stun.binding_request(b"x" * 12),
        "question": stun.question(b"x" * 12),
        "bare": bytes(bare),
        "replay": bytes(short),
    }[request_]
    if request_ == "replay":
        handler.media(data, B, 0.0)
    for source in (THIRD, (0, ("2001:db8::3", 3000, 0, 0))):
        sent = getattr(handler, port)(data, source, 0.0)
        assert sum(len(packet) for _, packet in sent) <= 3 * len(data)
        assert all(target == source for target, _ in sent)


@given(st.binary(max_size=1600), st.sampled_from([A, B, THIRD]))
@settings(max_examples=500)
def test_any_datagram_is_survived_and_moves_nothing(data: bytes, source: lg.Source) -> None:
    _, handler = bound()
    handler.media(data, source, 0.0)
    handler.question(data, source, 0.0)
    assert handler.media(QUIC, A, 1.0) == [(B, QUIC)]
    assert handler.media(QUIC, B, 1.0) == [(A, QUIC)]


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_a_damaged_bind_moves_nothing(seed: int, flips: int) -> None:
    _, handler = bound()
    rng = random.Random(seed)
    request = bytearray(stun.binding_request(rng.randbytes(12), CALLER.username, CALLER.password))
    original = bytes(request)
    # All but FINGERPRINT, the last eight bytes: it comes after MESSAGE-INTEGRITY and proves nothing (RFC 8489 §14.5).
    for _ in range(flips):
        request[rng.randrange(len(request) - 8)] ^= 1 << rng.randrange(8)
    if bytes(request) != original:
        handler.media(bytes(request), THIRD, 0.0)
        assert handler.media(QUIC, B, 1.0) == [(A, QUIC)]


class LegsModel(RuleBasedStateMachine):
    """The table against the simplest model that says who is bound where: all states, all inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.table = lg.LegTable(Rate(50, 10.0), b"secret")
        self.handler = DatagramHandler(self.table, Limiter(RelayLimits(stun=Rate(1e9, 1e9))))
        self.now = 0.0
        self.number = 0
        self.alive: set[int] = set()
        self.where: dict[tuple[int, int], lg.Source] = {}
        self.replays: list[tuple[tuple[int, int], bytes]] = []

    calls = st.integers(0, 3)
    sides = st.integers(0, 1)
    sources = st.sampled_from([(socket, (f"192.0.2.{host}", 9)) for socket in (0, 1) for host in (1, 2, 3)])

    @staticmethod
    def grant(call: int, side: int) -> LegGrant:
        return LegGrant(f"leg-{call}-{side}", f"password-of-{call}-{side}")

    @rule(call=calls)
    def create(self, call: int) -> None:
        self.table.create(str(call), self.grant(call, 0), self.grant(call, 1), self.now)
        self.alive.add(call)
        self.forget(call)

    @rule(call=calls)
    def destroy(self, call: int) -> None:
        self.table.destroy(str(call))
        self.alive.discard(call)
        self.forget(call)

    def forget(self, call: int) -> None:
        self.where = {leg: source for leg, source in self.where.items() if leg[0] != call}
        self.replays = [replay for replay in self.replays if replay[0][0] != call]

    @rule(call=calls, side=sides, source=sources, is_right=st.booleans())
    def bind(self, call: int, side: int, source: lg.Source, is_right: bool) -> None:
        grant = self.grant(call, side)
        password = grant.password if is_right else "some-other-password"
        first, nonce = None, b""
        while first is None or first.nonce is not None:
            self.number += 1
            request = stun.binding_request(self.number.to_bytes(12, "big"), grant.username, password, nonce)
            first = stun.parse(bytes(self.handler.media(request, source, self.now)[0][1]))
            if first.nonce is not None:
                assert self.where.get((call, side)) != source and not nonce, "asked once, and only where it is needed"
                nonce = first.nonce
        if call in self.alive and is_right:
            assert first.kind is stun.StunClass.SUCCESS
            self.where = {leg: at for leg, at in self.where.items() if at != source}
            self.where[(call, side)] = source
            self.replays.append(((call, side), request))
        else:
            assert first.error == stun.UNAUTHENTICATED

    @precondition(lambda self: self.replays)
    @rule(data=st.data(), source=sources)
    def replay(self, data: st.DataObject, source: lg.Source) -> None:
        leg, request = data.draw(st.sampled_from(self.replays))
        first = stun.parse(bytes(self.handler.media(request, source, self.now)[0][1]))
        assert (first.kind is stun.StunClass.SUCCESS) == (self.where.get(leg) == source)

    @rule(source=sources, data=st.binary(min_size=1, max_size=40).map(lambda tail: b"\x40" + tail))
    def packet(self, source: lg.Source, data: bytes) -> None:
        dropped = self.table.drops["rate"]
        outgoing = self.handler.media(data, source, self.now)
        legs = [leg for leg, at in self.where.items() if at == source]
        assert len(legs) <= 1
        target = self.where.get((legs[0][0], 1 - legs[0][1])) if legs else None
        if self.table.drops["rate"] == dropped and target is not None:
            assert outgoing == [(target, data)]
        else:
            assert outgoing == []

    @rule(source=sources, data=st.binary(max_size=60))
    def rubbish(self, source: lg.Source, data: bytes) -> None:
        if not data or data[0] < 0x40:
            for _, answered in self.handler.media(data, source, self.now):
                assert stun.parse(bytes(answered)).kind is not stun.StunClass.REQUEST

    @rule(seconds=st.sampled_from([0.01, 1.0, 30.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        due = self.table.next_deadline()
        named = self.table.idle(self.now)
        assert set(named) <= {str(call) for call in self.alive}
        assert due is not None or not self.alive
        after = self.table.next_deadline()
        assert after is None or after > self.now

    @invariant()
    def counts_hold(self) -> None:
        assert len(self.table) == 2 * len(self.alive)


LegsModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLegsModel = LegsModel.TestCase
