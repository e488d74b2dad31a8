"""One agent alone, given everything that can happen in every order that it can happen in."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.ice.candidates import HostAddress
from transport.ice.credentials import make_credentials
from transport.ice.pacing import MAX_PACKETS_PER_ADDRESS, Budget
from transport.nat.compatibility import Technique
from transport.nat.profile import Allocation, Filtering, Mapping, NatProfile, from_wire
from transport.net.machine import TimerFired
from transport.net.sockets import CloseSocket, DatagramReceived, OpenSocket, SendDatagram, SocketFailed, SocketOpened
from transport.traversal import punch_round
from transport.traversal.agent import (
    BACK_OFF_S,
    MAX_ATTEMPT,
    MAX_FAILED_ATTEMPTS,
    MAX_STATUSES,
    AgentConfig,
    State,
    TraversalAgent,
)
from transport.traversal.attempt import HOLD_S
from transport.traversal.context import ROUNDS_PER_ATTEMPT, Hints, TraversalContext
from transport.traversal.events import (
    AgentCommand,
    AgentEvent,
    Begin,
    DirectFound,
    InterfacesChanged,
    PathLost,
    Prepare,
    RelayRoundTrip,
    RelayTrouble,
    SendToPeer,
    Stop,
    TraversalMessage,
    TraversalMessageReceived,
)
from transport.traversal.round import Round
from transport.traversal.technique import OnFound, TechniqueRun, TechniqueSpec, Trigger
from transport.wire import stun
from transport.wire.call_messages import Candidates, Connect, ConnectAck, Sync, WireCandidate, WireProfile

HOSTS = (HostAddress("192.168.1.20", 24, "eth0"),)
STUN = (("192.0.2.1", 3_478), ("192.0.2.2", 3_478), ("192.0.2.1", 3_479), ("192.0.2.2", 3_479))
OUTSIDE = ("198.51.100.1", 4_000)
PEER = ("203.0.113.1", 5_000)
THEIRS = make_credentials(random.Random(9))


def their_candidates(number: int, profile: WireProfile | None = None) -> TraversalMessageReceived:
    listed = [WireCandidate("server-reflexive", *PEER, 1_677_729_535), WireCandidate("host", "10.9.9.9", 7_000, 9)]
    return TraversalMessageReceived(Candidates(number, THEIRS.ufrag, THEIRS.password, listed, profile))


@dataclass
class World:
    """A agent whose sockets open and STUN servers answer at once, and whose peer is what a test makes of it."""

    agent: TraversalAgent
    now: float = 100.0
    answers: bool = True
    opened: set[int] = field(default_factory=set)
    handed: set[int] = field(default_factory=set)
    sent: list[tuple[float, SendDatagram]] = field(default_factory=list)
    messages: list[tuple[float, SendToPeer]] = field(default_factory=list)

    def do(self, event: AgentEvent) -> None:
        pending = [event]
        while pending:
            for command in self.agent.handle(pending.pop(0), self.now):
                pending += self._carry_out(command)

    def _carry_out(self, command: AgentCommand) -> list[AgentEvent]:
        match command:
            case OpenSocket(socket):
                assert socket not in self.opened
                self.opened.add(socket)
                return [SocketOpened(socket, ("192.168.1.20", 50_000 + socket))]
            case CloseSocket(socket):
                assert socket in self.opened - self.handed, "only what is open, and ours"
                self.opened.remove(socket)
            case DirectFound(socket):
                assert socket in self.opened
                self.handed.add(socket)
            case SendDatagram(socket, destination, data):
                assert socket in self.opened
                self.sent.append((self.now, command))
                if destination in STUN and self.answers:
                    return [DatagramReceived(socket, destination, stun.binding_success(stun.parse(data), OUTSIDE))]
            case SendToPeer():
                self.messages.append((self.now, command))
        return []

    def wait(self, seconds: float) -> None:
        end, fired = self.now + seconds, 0
        while (due := self.agent.next_deadline()) is not None and due <= end:
            fired = fired + 1 if due <= self.now else 0
            assert fired < 40, "a deadline that has passed is met"
            self.now = max(self.now, due)
            self.do(TimerFired())
        self.now = end

    @property
    def checks(self) -> list[SendDatagram]:
        return [sent for _, sent in self.sent if sent.destination not in STUN]

    def answer_checks(self) -> None:
        """The peer answers the newest check."""
        sent = self.checks[-1]
        answer = stun.check_answer(stun.parse(sent.data), OUTSIDE, THEIRS.password)
        self.do(DatagramReceived(sent.socket, sent.destination, answer))


def world(*, controlling: bool = True, answers: bool = True, **fields: object) -> World:
    numbers = iter(range(10**6))
    values = {"controlling": controlling, "stun": STUN, "hosts": HOSTS, "new_socket": lambda: next(numbers)} | fields
    return World(TraversalAgent(AgentConfig(**values), random.Random(1)), answers=answers)  # type: ignore[arg-type]


def connected(**fields: object) -> World:
    """A caller with a direct path."""
    lab = world(**fields)  # type: ignore[arg-type]
    lab.do(Begin())
    lab.wait(0.2)
    lab.do(their_candidates(0))
    lab.wait(0.01)
    lab.answer_checks()
    assert lab.agent.state is State.DIRECT
    return lab


def test_nothing_is_sent_or_asked_before_it_may_be() -> None:
    lab = world()
    lab.do(their_candidates(0))
    lab.wait(5.0)
    assert not lab.sent and not lab.messages
    lab.do(Prepare())
    lab.do(their_candidates(0))
    lab.wait(40.0)
    assert not lab.messages and not lab.checks
    assert {sent.destination for _, sent in lab.sent} <= set(STUN), "only the relay is asked"
    lab.do(Begin())
    assert [type(sent.message) for _, sent in lab.messages] == [Candidates]
    lab.wait(0.1)
    assert {one.destination for one in lab.checks} == {PEER}, "what came before the beginning counts now"


def test_what_was_prepared_is_sent_at_once_and_kept_open_while_the_peer_is_awaited() -> None:
    lab = world()
    lab.do(Prepare())
    lab.wait(1.0)
    began = lab.now
    lab.do(Begin())
    assert lab.messages[0][0] == began
    asked = len(lab.sent)
    lab.wait(100.0)
    assert asked + 5 <= len(lab.sent) <= asked + 8, "the mapping is refreshed"
    assert len(lab.opened) == 1 and lab.agent.phases()[0].outcome == "waiting"


def waited(lab: World) -> float:
    """Lose the path, and get another: how long it was until the agent sent fresh candidates for that."""
    lab.do(PathLost())
    assert lab.agent.state is State.BACKING_OFF
    lost, sent_before = lab.now, len(lab.messages)
    lab.wait(40.0)
    [(at, sent)] = lab.messages[sent_before:]
    assert isinstance(sent.message, Candidates) and sent.message.round % ROUNDS_PER_ATTEMPT == 0
    lab.do(their_candidates(sent.message.round))
    lab.answer_checks()
    assert lab.agent.state is State.DIRECT
    return at - lost


def test_a_path_that_is_lost_is_looked_for_again_and_again_more_seldom() -> None:
    lab = connected()
    assert [waited(lab) for _ in range(8)] == pytest.approx([*BACK_OFF_S, BACK_OFF_S[-1], BACK_OFF_S[-1]])


def test_after_a_path_that_lasted_the_waiting_begins_anew() -> None:
    lab = connected()
    assert [waited(lab), waited(lab)] == pytest.approx(BACK_OFF_S[:2])
    lab.wait(60.0)
    assert waited(lab) == pytest.approx(BACK_OFF_S[0])


def test_the_peer_may_begin_a_run_but_not_without_end() -> None:
    """A hostile peer begins a run five times a second, each time with a victim's address on its list."""
    lab = connected()
    lab.wait(5.0)
    before = len(lab.checks)
    for number in range(1, 5 * 120):
        lab.do(their_candidates(number * ROUNDS_PER_ATTEMPT))
        lab.wait(0.2)
    sent_before = [sent.message for _, sent in lab.messages if isinstance(sent.message, Candidates)]
    # In two minutes: at once, after 1, 2, 4, 8, 16 seconds and then each 30.
    assert 5 <= len(sent_before) - 1 <= len(BACK_OFF_S) + 120 / BACK_OFF_S[-1]
    assert len(lab.checks) - before <= MAX_PACKETS_PER_ADDRESS * (len(sent_before) - 1)
    assert len(lab.opened) <= 3 and len(lab.agent.phases()) <= MAX_STATUSES + 1


def test_the_path_that_was_found_outlives_everything_else() -> None:
    lab = connected()
    [mine] = lab.handed
    lab.do(Stop("hung-up"))
    assert lab.opened == {mine}
    assert lab.agent.next_deadline() is None and lab.agent.state is State.STOPPED
    sent = len(lab.sent)
    for event in (Begin(), PathLost(), their_candidates(8), TimerFired(), InterfacesChanged(())):
        lab.do(event)
    assert len(lab.sent) == sent
    request = checks_to(lab)
    lab.do(DatagramReceived(mine, PEER, request))
    assert len(lab.sent) == sent + 1, "authentic checks are answered still"


def checks_to(lab: World, transaction: bytes = b"t" * 12) -> bytes:
    """An authentic check from the peer."""
    ours = next(sent.message for _, sent in lab.messages if isinstance(sent.message, Candidates))
    check = stun.Check(stun.IceRole.CONTROLLED, 1, 1_853_824_767)
    return stun.connectivity_check(transaction, f"{ours.ufrag}:{THEIRS.ufrag}", ours.password, check)


def test_what_both_nats_make_impossible_is_not_tried_twice() -> None:
    lab = world(answers=False)
    lab.do(Begin())
    for _ in range(3):
        # Every server sees another port: symmetric.
        for number, (_, sent) in enumerate(lab.sent):
            answer = stun.binding_success(stun.parse(sent.data), ("198.51.100.1", 4_000 + 999 * number))
            lab.do(DatagramReceived(sent.socket, sent.destination, answer))
    symmetric = WireProfile("address-and-port-dependent", "unknown", "random")
    lab.do(their_candidates(0, symmetric))
    began = lab.now
    lab.wait(2.0)
    [status] = lab.agent.phases()
    assert (status.outcome, status.reason) == ("failed", "both-symmetric") and status.ended is not None
    assert status.ended - began <= 2.0 and not lab.checks and not lab.opened
    lab.wait(600.0)
    assert lab.agent.state is State.SETTLED and len(lab.agent.phases()) == 1
    lab.do(InterfacesChanged((HostAddress("10.0.0.5", 24, "wlan0"),)))
    lab.wait(1.0)
    assert lab.agent.state is State.ATTEMPTING, "another network, another chance"


def test_runs_end_for_a_peer_that_never_answers() -> None:
    lab = world()
    lab.do(Begin())
    lab.wait(0.2)
    for _ in range(40):
        number = max(sent.message.round for _, sent in lab.messages)
        lab.do(their_candidates(number - number % ROUNDS_PER_ATTEMPT))
        lab.wait(20.0)
    statuses = lab.agent.phases()
    assert lab.agent.state is State.SETTLED
    assert len(statuses) <= MAX_FAILED_ATTEMPTS + 1 and {one.outcome for one in statuses} == {"failed"}
    per_round = punch_round.BUDGET.packets
    assert all(one.packets <= per_round * one.rounds for one in statuses)
    assert not lab.opened


def test_rounds_alternate_who_leads_and_have_their_own_everything() -> None:
    lab = world()
    lab.do(Begin())
    lab.wait(0.2)
    lab.do(their_candidates(0))
    lab.wait(1.5)
    # Round 1 is the callee's to lead, round 2 ours.
    lab.do(TraversalMessageReceived(Connect(1)))
    lab.wait(0.2)
    lab.do(their_candidates(1))
    lab.do(TraversalMessageReceived(Sync(1)))
    lab.wait(1.6)
    messages = [sent.message for _, sent in lab.messages]
    assert [(type(one).__name__, one.round) for one in messages] == [
        ("Candidates", 0),
        ("ConnectAck", 1),
        ("Candidates", 1),
        ("Connect", 2),
        ("Candidates", 2),
    ]
    sent_before = [one for one in messages if isinstance(one, Candidates)]
    assert len({one.ufrag for one in sent_before}) == len({one.password for one in sent_before}) == 3
    assert len({one.candidates[0].port for one in sent_before}) == 3, "fresh sockets"
    lab.do(TraversalMessageReceived(ConnectAck(2)))
    lab.do(their_candidates(2))
    assert isinstance(lab.messages[-1][1].message, Sync)
    openers = [sent for sent in lab.checks if sent.ttl is not None]
    assert {sent.ttl for sent in openers} == {2, 3}, "one beyond our NAT, then one further"


def test_without_low_ttls_none_is_asked_for() -> None:
    lab = world(low_ttl=False)
    lab.do(Begin())
    lab.wait(0.2)
    lab.do(their_candidates(0))
    lab.wait(1.4)
    lab.do(TraversalMessageReceived(Connect(1)))
    lab.do(their_candidates(1))
    lab.do(TraversalMessageReceived(Sync(1)))
    lab.wait(1.0)
    assert lab.checks and all(sent.ttl is None for sent in lab.checks)


# -- a table with two phases, as the next ones will be


class Idle(TechniqueRun):
    """Ends when a test wants it to."""

    made: list["Idle"]

    def __init__(self, spec: TechniqueSpec, context: TraversalContext, attempt: int, found: OnFound) -> None:
        super().__init__(spec, context, attempt, found)
        Idle.made.append(self)

    def start(self, now: float, *, may_send: bool) -> None:
        self._move(Trigger.CHECKS_STARTED)

    def message(self, message: TraversalMessage, now: float) -> None:
        if isinstance(message, Candidates) and message.profile is not None:
            self.context.remote = from_wire(message.profile, now)

    def fail(self, now: float) -> None:
        self._end(Trigger.GAVE_UP, "", now)

    def _begin(self, index: int, now: float) -> None:
        pass

    def _round_lost(self, source: Round, reason: str, now: float) -> None:
        pass


SMALL = Budget(1, 1, 0, 1.0)
SEQUENTIAL = NatProfile(
    Mapping.ADDRESS_AND_PORT_DEPENDENT, Filtering.ADDRESS_AND_PORT_DEPENDENT, Allocation.SEQUENTIAL, 1, made_at=0.0
)


def test_what_fits_runs_beside_and_yields_to_the_relay() -> None:
    Idle.made = []
    table = (
        TechniqueSpec("first", Idle, SMALL, rounds=4),
        TechniqueSpec("fits", Idle, SMALL, 4, 4, Technique.PREDICTION, rest_s=7.0),
        TechniqueSpec("other", Idle, SMALL, 8, 4, Technique.BIRTHDAY),
    )
    lab = world(techniques=table, profile=SEQUENTIAL)
    lab.do(Begin())
    assert len(Idle.made) == 1, "nothing is known of the peer"
    lab.do(their_candidates(0, WireProfile("endpoint-independent", "unknown", "preserving")))
    assert len(Idle.made) == 1, "their filter may let punching succeed"
    lab.wait(HOLD_S)
    assert [one.state.value for one in Idle.made] == ["trying", "trying"], "both at the same time"
    lab.do(RelayTrouble())
    assert [one.state.value for one in Idle.made] == ["trying", "cancelled"], "the first is too small to harm"
    Idle.made[0].fail(lab.now)
    lab.do(TimerFired())
    due = lab.agent.next_deadline()
    assert lab.agent.state is State.BACKING_OFF and due is not None and due - lab.now >= 7.0


def test_what_does_not_fit_is_not_begun() -> None:
    Idle.made = []
    table = (
        TechniqueSpec("first", Idle, SMALL, rounds=4),
        TechniqueSpec("other", Idle, SMALL, 8, 4, Technique.BIRTHDAY),
    )
    lab = world(techniques=table, profile=SEQUENTIAL)
    lab.do(Begin())
    lab.do(their_candidates(0, WireProfile("address-and-port-dependent", "unknown", "random")))
    lab.do(their_candidates(8))
    assert len(Idle.made) == 1, "not even when the peer has begun it"


# -- all states × all inputs

EVENTS: st.SearchStrategy[AgentEvent] = st.one_of(
    st.sampled_from(
        [
            *(Prepare(), Begin(), PathLost(), RelayTrouble(), TimerFired()),
            *(RelayRoundTrip(0.1), RelayRoundTrip(-1.0)),
            InterfacesChanged(()),
            InterfacesChanged((HostAddress("2001:db8::7", 64, "wlan0"), HostAddress("10.0.0.7", 8, "wlan0"))),
        ]
    ),
    st.builds(SocketFailed, st.integers(0, 5), st.just("gone")),
    st.builds(SocketOpened, st.integers(0, 5), st.just(("192.168.1.20", 50_000))),
    st.builds(
        DatagramReceived,
        st.integers(0, 5),
        st.sampled_from([*STUN, PEER, ("127.0.0.1", 1)]),
        st.binary(max_size=80) | st.just(stun.binding_request(b"x" * 12)),
    ),
    st.builds(their_candidates, st.sampled_from([0, 1, 2, 3, 4, 5, 8, 9, 65_535]), st.none()),
    st.builds(
        lambda kind, number: TraversalMessageReceived(kind(number)),
        st.sampled_from([Connect, ConnectAck, Sync]),
        st.sampled_from([0, 1, 2, 3, 4, 5, 6, 65_535]),
    ),
)


@given(
    st.booleans(),
    st.booleans(),
    st.lists(st.tuples(EVENTS, st.sampled_from([0.0, 0.001, 0.03, 0.5, 3.0, 40.0])), max_size=40),
)
def test_no_event_in_any_state_raises_or_sticks(
    controlling: bool, answers: bool, steps: list[tuple[AgentEvent, float]]
) -> None:
    lab = world(controlling=controlling, answers=answers)
    begun = False
    for event, later in steps:
        begun = begun or isinstance(event, Begin)
        if isinstance(event, SocketFailed):
            if event.socket not in lab.opened - lab.handed:
                continue
            lab.opened.discard(event.socket)
        lab.do(event)
        lab.wait(later)
        if not begun:
            assert not lab.messages and not lab.checks
    assert sum(sent.destination not in STUN for _, sent in lab.sent) <= punch_round.BUDGET.packets * (
        len(lab.messages) + 1
    )
    lab.do(Stop("over"))
    assert lab.opened <= lab.handed and lab.agent.next_deadline() is None


def test_numbers_of_rounds_end_without_harm() -> None:
    lab = connected()
    lab.wait(2.0)
    lab.do(their_candidates(MAX_ATTEMPT * ROUNDS_PER_ATTEMPT))
    lab.wait(0.5)
    lab.do(PathLost())
    lab.wait(100.0)
    assert lab.agent.state is State.SETTLED and (MAX_ATTEMPT + 1) * ROUNDS_PER_ATTEMPT - 1 == 65_535


def test_gathering_that_fails_before_the_permission_tells_nobody_anything() -> None:
    lab = world(controlling=True, answers=False)
    lab.do(Prepare())
    for socket in sorted(lab.opened):
        lab.opened.discard(socket)
        lab.do(SocketFailed(socket, "gone"))
    lab.wait(60.0)
    assert not lab.messages and not lab.checks
    lab.do(Begin())
    lab.wait(5.0)
    assert lab.messages, "and begins when it may"


# -- rows of its table that nothing else needs


def backing_off() -> World:
    """A caller whose first attempt has failed: four rounds, the last of them the callee's to lead."""
    lab = world()
    lab.do(Begin())
    lab.wait(0.2)
    lab.do(their_candidates(0))
    lab.wait(1.4)
    while lab.agent.state is State.ATTEMPTING:
        lab.wait(0.5)
    assert lab.agent.state is State.BACKING_OFF
    return lab


def settled() -> World:
    lab = world(recall=lambda ours, theirs: Hints(hopeless_until=1e6))
    lab.do(Begin())
    lab.wait(0.2)
    lab.do(their_candidates(0))
    lab.wait(10.0)
    assert lab.agent.state is State.SETTLED
    return lab


@pytest.mark.parametrize("reach", [backing_off, settled])
def test_a_round_that_the_peer_begins_late_may_find_the_path_still(reach) -> None:  # type: ignore[no-untyped-def]
    lab = reach()
    number = max(sent.message.round for _, sent in lab.messages) + 1
    lab.do(TraversalMessageReceived(Connect(number)))
    lab.do(their_candidates(number))
    lab.do(TraversalMessageReceived(Sync(number)))
    lab.do(TraversalMessageReceived(ConnectAck(number)))
    lab.wait(0.1)
    lab.answer_checks()
    assert lab.agent.state is State.DIRECT and lab.handed


def test_an_attempt_that_the_peer_begins_in_vain_leaves_the_path_that_stands() -> None:
    lab = connected()
    lab.wait(5.0)
    lab.do(their_candidates(ROUNDS_PER_ATTEMPT))
    assert lab.agent.state is State.ATTEMPTING
    lab.wait(10.0)
    assert lab.agent.state is State.DIRECT and lab.agent.next_deadline() is None


@pytest.mark.parametrize("state", [state for state in State if state is not State.STOPPED])
def test_it_stops_from_every_state(state: State) -> None:
    if state is State.DIRECT:
        lab = connected()
    elif state is State.BACKING_OFF:
        lab = backing_off()
    elif state is State.SETTLED:
        lab = settled()
    else:
        lab = world()
        for event in {State.PREPARED: [Prepare()], State.ATTEMPTING: [Begin()]}.get(state, []):
            lab.do(event)
    assert lab.agent.state is state
    lab.do(Stop("over"))
    assert lab.agent.state is State.STOPPED and lab.opened == lab.handed and lab.agent.next_deadline() is None


def test_a_closed_path_is_neither_sent_on_nor_found_again() -> None:
    lab = connected()
    [mine] = lab.handed
    lab.agent.path_closed(mine)
    lab.opened.discard(mine)
    sent = len(lab.sent)
    lab.do(DatagramReceived(mine, PEER, checks_to(lab)))
    lab.wait(3.0)
    assert len(lab.sent) == sent
