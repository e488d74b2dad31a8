"""transport.quic.relay_session in virtual time, against a listener that answers as each test wants."""

from collections import deque
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.natsim.clock import VirtualClock
from tests.unit.relay.people import person
from transport.identity.keys import Identity, certificate_fingerprint
from transport.net.machine import TimerFired
from transport.net.sockets import (
    Address,
    CloseSocket,
    DatagramReceived,
    OpenSocket,
    SendDatagram,
    SocketFailed,
    SocketOpened,
)
from transport.quic import relay_session as rs
from transport.quic import session_events as ev
from transport.quic.relay_channel import CloseCode, ControlChannel
from transport.quic.relay_channel_client import Failure
from transport.quic.relay_channel_server import ControlListener
from transport.quic.relay_session import RelaySession, State
from transport.wire import relay_messages as wire
from transport.wire.addresses import RelayAddress

RELAY, ANN = person(2_000), person(1)
DELAY_S = 0.01
TICK_S = 1e-6
REMOTE = ("192.0.2.1", 7850)
OTHER = ("192.0.2.2", 7850)
PIN = certificate_fingerprint(RELAY.certificate).hex()[:32]
Answer = Callable[[wire.ClientMessage], list[wire.RelayMessage]]


def welcome(message: wire.ClientMessage) -> list[wire.RelayMessage]:
    """Logs anybody in, answers pings, knows bob, registers every name but "taken"."""
    match message:
        case wire.Authenticate(name=name):
            return [wire.Welcome(name, ("198.51.100.1", 5), [("", 7851), ("host.example", 1)], 15.0)]
        case wire.Ping(request):
            return [wire.Pong(request)]
        case wire.Lookup(request, "bob"):
            return [wire.Found(request, "bob", person(2).key, person(2).certificate, True)]
        case wire.Lookup(request):
            return [wire.Refused(request, "unknown-name", "there is nobody of this name")]
        case wire.Register(request, "taken"):
            return [wire.Refused(request, "name-taken", "taken", 3.0)]
        case wire.Register(request, name):
            return [wire.Registered(request, name)]
    return []


class Lab:
    """A session, its host, and a relay at :data:`REMOTE`."""

    def __init__(self, pin: str = PIN, certificate: bytes | None = None, answer: Answer = welcome) -> None:
        self.clock = VirtualClock()
        self.answer = answer
        self.greeting: wire.RelayMessage = wire.Challenge(wire.CONTROL_VERSION, b"n" * 32, RELAY.certificate)
        self.addresses: tuple[Address, ...] = (REMOTE,)
        self.reachable = True
        self.received: list[wire.ClientMessage] = []
        self.channels: list[ControlChannel] = []
        self.happened: list[ev.SessionCommand] = []
        self.opened: list[Address] = []
        self._sockets: dict[int, Address] = {}
        config = ev.RelaySessionConfig(RelayAddress("relay.example", 7850, pin), "ann", certificate=certificate)
        self.session = RelaySession(config, ANN, Random(1))
        self.serve(RELAY)
        self._events: deque[ev.SessionEvent] = deque()

    def serve(self, identity: Identity) -> None:
        self.listener = ControlListener(identity, self, self.clock, self._to_client)

    def start(self) -> "Lab":
        self.submit(ev.StartSession())
        return self

    def run(self, seconds: float) -> "Lab":
        """Let time pass, and fire the session's timer when it is due."""
        end = self.clock.now + seconds
        while True:
            due = self.session.next_deadline()
            if due is None or max(due, self.clock.now + TICK_S) > end:
                if not self.clock.run(end - self.clock.now, lambda: self._is_due(end)):
                    return self
            else:
                self.clock.run(max(due, self.clock.now + TICK_S) - self.clock.now)
                self.submit(TimerFired())

    def until(self, state: State, seconds: float = 60.0) -> "Lab":
        end = self.clock.now + seconds
        while self.session.state is not state:
            assert self.clock.now < end, (self.session.state, self.happened)
            self.run(DELAY_S / 4)
        return self

    def of(self, kind: type) -> list:  # type: ignore[type-arg]
        return [command for command in self.happened if isinstance(command, kind)]

    def submit(self, event: ev.SessionEvent) -> None:
        self._events.append(event)
        while self._events:
            for command in self.session.handle(self._events.popleft(), self.clock.now):
                self._carry_out(command)

    # -- sockets

    def _is_due(self, end: float) -> bool:
        due = self.session.next_deadline()
        return due is not None and max(due, self.clock.now + TICK_S) <= end

    def _carry_out(self, command: ev.SessionCommand) -> None:
        self.happened.append(command)
        match command:
            case ev.ResolveHost():
                self._events.append(ev.HostResolved(self.addresses))
            case OpenSocket(number, _, toward):
                self._sockets[number] = toward
                self.opened.append(toward)
                self._events.append(SocketOpened(number, ("198.51.100.1", number)))
            case SendDatagram(number, destination, data):
                assert number in self._sockets
                if destination == REMOTE and self.reachable:
                    self.clock.after(DELAY_S, lambda: self.listener.receive(data, ("198.51.100.1", number)))
            case CloseSocket(number):
                del self._sockets[number]

    def _to_client(self, data: bytes, destination: Address) -> None:
        if self.reachable and destination[1] in self._sockets:
            received = DatagramReceived(destination[1], REMOTE, data)
            self.clock.after(DELAY_S, lambda: self.submit(received))

    # -- the relay

    def channel_open(self, channel: ControlChannel) -> None:
        self.channels.append(channel)
        channel.send(self.greeting)

    def channel_document(self, channel: ControlChannel, document: bytes) -> None:
        message = wire.decode_client_message(document)
        self.received.append(message)
        for answer in self.answer(message):
            channel.send(answer)

    def channel_closed(self, channel: ControlChannel, alert: int | None, reason: str) -> None:
        return


def connected(**options: object) -> Lab:
    return Lab(**options).start().until(State.CONNECTED)  # type: ignore[arg-type]


def answers(*messages: wire.RelayMessage, to: type = wire.Authenticate) -> Answer:
    """As :func:`welcome`, but for one kind of message."""
    return lambda message: list(messages) if isinstance(message, to) else welcome(message)


# -- getting in ------------------------------------------------------------------------------------------------------


def test_it_reads_the_certificate_then_verifies_logs_in_and_pings() -> None:
    lab = connected().run(0.1)
    assert lab.opened == [REMOTE, REMOTE] and len(lab.channels) == 2
    [authenticate, ping] = lab.received
    assert isinstance(authenticate, wire.Authenticate) and authenticate.name == "ann"
    assert isinstance(ping, wire.Ping)
    [event] = lab.of(ev.Connected)
    assert event.host_ip == lab.session.host_ip == "192.0.2.1" and lab.session.certificate == RELAY.certificate
    assert lab.session.stun == (("192.0.2.1", 7851),)
    assert lab.session.rtt_ms == pytest.approx(2_000 * DELAY_S, abs=0.1)
    lab.run(40.0)
    assert len(lab.received) == 4, "a ping each 15 s"


def test_a_certificate_that_is_known_saves_the_first_connection_and_one_of_another_pin_does_not() -> None:
    assert len(connected(certificate=RELAY.certificate).channels) == 1
    lab = connected(certificate=person(2_001).certificate)
    assert len(lab.channels) == 2 and lab.session.certificate == RELAY.certificate


def test_the_next_address_of_the_host_is_tried() -> None:
    for certificate in (None, RELAY.certificate):
        lab = Lab(certificate=certificate)
        lab.addresses = (OTHER, REMOTE)
        lab.start().until(State.CONNECTED)
        assert lab.opened[0] == OTHER and not lab.of(ev.Disconnected)
        assert lab.session.host_ip == "192.0.2.1"


def test_what_cannot_be_opened_or_answers_that_nothing_listens_is_unreachable() -> None:
    lab = Lab().start()
    lab.submit(SocketFailed(1, "no way to 192.0.2.1"))
    assert lab.session.state is State.WAITING and lab.of(ev.Disconnected)[0].reason == "no way to 192.0.2.1"
    # Once the connection stands an ICMP error, which anybody can forge, ends nothing.
    lab = connected()
    lab.submit(SocketFailed(2, "nothing listens there"))
    assert lab.session.is_connected


# -- no for good -----------------------------------------------------------------------------------------------------


def rejected(lab: Lab) -> str:
    lab.start().until(State.REJECTED)
    [event] = lab.of(ev.Rejected)
    opened = len(lab.opened)
    lab.run(100.0)
    assert len(lab.opened) == opened and lab.session.next_deadline() is None
    return str(event.code)


def test_refusals_that_are_final() -> None:
    assert rejected(Lab(pin="0" * 32)) == "wrong-pin"
    lab = Lab(certificate=RELAY.certificate)
    lab.greeting = wire.Challenge(wire.CONTROL_VERSION + 1, b"n" * 32, RELAY.certificate)
    assert rejected(lab) == "version"
    lab = Lab(certificate=RELAY.certificate)
    lab.serve(person(2_001))
    assert rejected(lab) == "wrong-pin", "verified by TLS, after the close of QUIC has drained"
    assert rejected(Lab(pin="")) == "untrusted"
    assert rejected(Lab(answer=answers(wire.Refused(0, "not-registered", "not yours")))) == "not-registered"
    assert rejected(Lab(answer=answers(wire.Replaced(), to=wire.Ping))) == "replaced"
    assert rejected(Lab(answer=answers(wire.Refused(0, "bad-proof", "no"), to=wire.Ping))) == "bad-proof"


def test_requests_of_a_session_that_was_rejected_fail_with_its_reason() -> None:
    lab = Lab(pin="0" * 32).start()
    lab.submit(ev.LookUpName(1, "bob"))
    lab.until(State.REJECTED)
    lab.submit(ev.LookUpName(2, "bob"))
    assert [(each.ticket, each.result.code) for each in lab.of(ev.RequestAnswered)] == [
        (1, "wrong-pin"),
        (2, "wrong-pin"),
    ]


# -- failing and coming back -----------------------------------------------------------------------------------------


def test_a_host_without_an_address_is_asked_for_again() -> None:
    lab = Lab()
    lab.addresses = ()
    lab.start()
    assert lab.session.state is State.WAITING and "cannot be found" in lab.of(ev.Disconnected)[0].reason
    lab.addresses = (REMOTE,)
    lab.until(State.CONNECTED, 1.0)


@pytest.mark.parametrize("certificate", [None, RELAY.certificate])
def test_silence_is_waited_out_with_growing_pauses(certificate: bytes | None) -> None:
    lab = Lab(certificate=certificate)
    lab.reachable = False
    lab.start().run(60.0)
    waits = [event.retry_in_s for event in lab.of(ev.Disconnected)]
    assert len(waits) >= 5 and "does not answer" in lab.of(ev.Disconnected)[0].reason
    for wait_s, base_s in zip(waits, rs.BACK_OFF_S, strict=False):
        assert base_s / 2 <= wait_s <= base_s
    lab.reachable = True
    lab.submit(ev.CheckConnection())
    lab.until(State.CONNECTED, 7.0)


def test_a_relay_that_refuses_for_now_is_asked_again_when_it_wants() -> None:
    lab = Lab(answer=answers(wire.Refused(0, "limit", "too many", 40.0))).start().until(State.WAITING)
    assert lab.of(ev.Disconnected)[0].retry_in_s == 40.0
    lab.answer = welcome
    lab.run(39.0)
    assert not lab.session.is_connected
    lab.until(State.CONNECTED, 2.0)


@pytest.mark.parametrize(("answer", "reason"), [([], "login in time"), ([wire.Pong(1)], "something else")])
def test_a_login_without_a_proper_answer_is_tried_again(answer: list[wire.RelayMessage], reason: str) -> None:
    lab = Lab(answer=answers(*answer)).start().until(State.WAITING)
    assert reason in lab.of(ev.Disconnected)[0].reason


def test_two_missed_pings_end_the_session_and_one_does_not() -> None:
    lab = connected().run(1.0)
    lab.answer = lambda message: []
    begun = lab.clock.now
    lab.run(15.0 + rs.PING_TIMEOUT_S)
    lab.answer = welcome
    lab.run(30.0)
    assert lab.session.is_connected
    lab.answer = lambda message: []
    lab.until(State.WAITING)
    assert "does not answer any more" in lab.of(ev.Disconnected)[0].reason and lab.clock.now > begun + 30.0
    assert lab.of(ev.Disconnected)[0].retry_in_s <= rs.BACK_OFF_S[0], "it was a good session"
    lab.answer = welcome
    lab.until(State.CONNECTED)


def test_after_a_change_of_networks_one_probe_decides() -> None:
    lab = connected().run(1.0)
    lab.reachable = False
    lab.submit(ev.CheckConnection())
    lab.run(rs.PROBE_TIMEOUT_S - 0.1)
    assert lab.session.is_connected
    lab.run(0.2)
    assert not lab.session.is_connected
    # Also one that comes while it logs in.
    lab = Lab(answer=answers(to=wire.Ping)).start().until(State.LOGGING_IN)
    lab.submit(ev.CheckConnection())
    lab.until(State.CONNECTED).run(rs.PROBE_TIMEOUT_S + 0.1)
    assert not lab.session.is_connected


def test_the_watch_list_is_sent_in_every_session_and_other_messages_only_in_this_one() -> None:
    lab = Lab().start()
    lab.submit(ev.SendRelayMessage(wire.Watch(["bob"])))
    lab.submit(ev.SendRelayMessage(wire.Invite("0" * 32, "bob")))
    lab.until(State.CONNECTED).run(0.1)
    assert [type(each) for each in lab.received].count(wire.Watch) == 1
    lab.submit(ev.SendRelayMessage(wire.Invite("0" * 32, "bob")))
    lab.run(0.1)
    lab.channels[-1].end(CloseCode.DONE, "enough")
    lab.until(State.WAITING).until(State.CONNECTED).run(0.1)
    kinds = [type(each) for each in lab.received]
    assert kinds.count(wire.Watch) == 2 and kinds.count(wire.Invite) == 1
    assert lab.of(ev.Disconnected)[0].reason == "enough"


# -- requests --------------------------------------------------------------------------------------------------------


def results(lab: Lab) -> dict[int, object]:
    return {each.ticket: each.result for each in lab.of(ev.RequestAnswered)}


def test_requests_wait_for_the_session_and_are_answered_by_ticket() -> None:
    lab = Lab().start()
    for ticket, event in enumerate((ev.LookUpName, ev.LookUpName, ev.ClaimName, ev.ClaimName), 10):
        lab.submit(event(ticket, ("bob", "nobody", "anna", "taken")[ticket - 10]))
    lab.until(State.CONNECTED).run(0.1)
    found = results(lab)
    assert isinstance(found[10], wire.Found) and found[11] == Failure("unknown-name", "there is nobody of this name")
    assert isinstance(found[12], wire.Registered) and lab.session.name == "anna"
    assert found[13] == Failure("name-taken", "taken", 3.0)
    lab.submit(ev.LookUpName(14, "bob"))
    assert isinstance(results(lab.run(0.1))[14], wire.Found)


def test_requests_that_nobody_answers_fail() -> None:
    lab = connected(answer=answers(to=wire.Lookup)).run(0.1)
    lab.submit(ev.LookUpName(1, "bob", 2.0))
    lab.run(2.1)
    assert results(lab)[1] == Failure("unreachable", "the relay did not answer in time")
    lab.submit(ev.LookUpName(2, "bob"))
    lab.run(0.1)
    lab.channels[-1].end(CloseCode.DONE, "enough")
    lab.until(State.WAITING)
    assert results(lab)[2] == Failure("unreachable", "enough")
    lab.reachable = False
    lab.submit(ev.LookUpName(3, "bob", 4.0))
    lab.run(4.1)
    assert results(lab)[3] == Failure("unreachable", "the relay at relay.example is not reachable")
    lab.submit(ev.LookUpName(4, "bob", 4.0))
    lab.submit(ev.LogOut())
    lab.submit(ev.LookUpName(5, "bob", 4.0))
    closed = Failure("unreachable", "the connection to the relay is closed")
    assert results(lab)[4] == results(lab)[5] == closed


def test_an_answer_of_the_wrong_kind_is_a_failure() -> None:
    lab = connected(answer=lambda message: (
        [wire.Registered(message.request, "x")] if isinstance(message, wire.Lookup) else welcome(message)
    ))  # fmt: skip
    lab.submit(ev.LookUpName(1, "bob"))
    result = results(lab.run(0.1))[1]
    assert isinstance(result, Failure) and result.code == "bad-message"


def test_what_answers_no_request_is_for_the_owner() -> None:
    messages = [wire.Presence("bob", True), wire.Refused(0, "limit", "slowly"), wire.Registered(77, "x")]
    lab = connected(answer=answers(*messages, to=wire.Ping)).run(0.1)
    assert [each.message for each in lab.of(ev.RelayMessageReceived)] == messages


# -- every state, every input ----------------------------------------------------------------------------------------


def lab_in(state: State) -> Lab:
    """A session in this state."""
    lab = Lab(pin="0" * 32 if state is State.REJECTED else PIN)
    if state is State.WAITING:
        lab.addresses = ()
    if state is State.RESOLVING:
        lab.session.handle(ev.StartSession(), lab.clock.now)
    elif state is not State.IDLE:
        lab.start()
        if state is State.CLOSED:
            lab.submit(ev.LogOut())
        lab.until(state)
    return lab


@pytest.mark.parametrize("state", State)
def test_logging_out_is_the_end_in_every_state(state: State) -> None:
    lab = lab_in(state)
    lab.submit(ev.LogOut())
    lab.submit(ev.StartSession())
    assert lab.session.state is State.CLOSED and lab.session.next_deadline() is None and not lab._sockets


def test_logging_out_says_goodbye() -> None:
    lab = connected().run(1.0)
    lab.submit(ev.LogOut())
    lab.run(1.0)  # three probe timeouts until QUIC has drained (RFC 9000 §10.2)
    assert not lab.channels[-1].send(wire.Pong(1))


EVENTS = st.one_of(
    st.just(ev.StartSession()),
    st.builds(ev.HostResolved, st.sampled_from([(), (REMOTE,), (REMOTE, OTHER)])),
    st.builds(SocketOpened, st.integers(0, 4), st.just(("198.51.100.1", 1))),
    st.builds(SocketFailed, st.integers(0, 4), st.just("gone")),
    st.builds(DatagramReceived, st.integers(0, 4), st.just(REMOTE), st.binary(max_size=40)),
    st.just(ev.SendRelayMessage(wire.Watch([]))),
    st.just(ev.SendRelayMessage(wire.Ping(1))),
    st.builds(ev.ClaimName, st.integers(0, 4), st.just("bob")),
    st.builds(ev.LookUpName, st.integers(0, 4), st.just("bob"), st.just(0.5)),
    st.just(ev.CheckConnection()),
    st.just(TimerFired()),
    st.just(ev.LogOut()),
)


@given(state=st.sampled_from(State), steps=st.lists(st.tuples(EVENTS, st.sampled_from([0.0, 0.3, 7.0])), max_size=8))
def test_no_event_in_any_state_raises_and_no_state_is_without_a_way_out(
    state: State, steps: list[tuple[ev.SessionEvent, float]]
) -> None:
    lab = lab_in(state)
    now = lab.clock.now
    for event, seconds in steps:
        now += seconds
        lab.session.handle(event, now)
        at_rest = lab.session.state in (State.IDLE, State.RESOLVING, State.REJECTED, State.CLOSED)
        assert at_rest or lab.session.next_deadline() is not None
    for _ in range(50):
        due = lab.session.next_deadline()
        if due is None:
            break
        now = max(now + TICK_S, due)
        lab.session.handle(TimerFired(), now)


def test_the_back_off_grows_to_its_end_and_starts_anew_after_a_good_session() -> None:
    back_off = rs.BackOff(Random(1))
    waits = [back_off.after(0.0, 0.0) for _ in range(20)]
    for wait_s, base_s in zip(waits, [*rs.BACK_OFF_S, *[rs.BACK_OFF_S[-1]] * 13], strict=True):
        assert base_s / 2 <= wait_s <= base_s
    assert back_off.after(0.0, 600.0) == 600.0
    assert back_off.after(rs.GOOD_SESSION_S, 0.0) <= rs.BACK_OFF_S[0]
