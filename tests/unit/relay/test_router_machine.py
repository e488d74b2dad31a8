"""relay.router under every event in every state: no exception, no stuck state, nothing leaked, no word to the dead."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from relay.call_table import LEG_GRACE_S, NO_ANSWER_S
from relay.events import DrainRequested, GarbageArrived, LegsIdle, MessageArrived, NameStored, SessionClosed, TimerFired
from relay.limits import RelayLimits
from tests.unit.relay.people import authenticate, call_id, person, register
from tests.unit.relay.world import NAMES, World
from transport.net.token_bucket import Rate
from transport.wire.relay_messages import (
    Answer,
    Authenticate,
    Challenge,
    Decline,
    HangUp,
    Invite,
    Lookup,
    Ping,
    Register,
    Resume,
    Ring,
    Watch,
)

TURNS = st.sampled_from([Ring, Answer, Decline, HangUp])
SESSIONS = st.integers(1, 8)
PEOPLE = st.integers(1, 4)
NAME = st.sampled_from([*NAMES, "dee", "nobody"])
CALL = st.integers(1, 5).map(call_id)
REQUEST = st.integers(0, 3)
MESSAGES = st.one_of(
    st.builds(Invite, CALL, NAME),
    st.builds(Ring, CALL),
    st.builds(Answer, CALL),
    st.builds(Decline, CALL, st.sampled_from(["declined", "busy"])),
    st.builds(HangUp, CALL),
    st.builds(Lookup, REQUEST, NAME),
    st.builds(Watch, st.lists(NAME, max_size=5)),
    st.builds(Resume, CALL, st.sampled_from([person(number).key for number in range(1, 5)])),
    st.builds(Ping, REQUEST),
)
# What no client of ours would say: it may cost its sender the session, and nobody else anything.
BAD_MESSAGES = st.one_of(
    st.just(Authenticate(1, bytes(32), b"junk", bytes(64))),
    st.just(Authenticate(9, bytes(32), b"junk", bytes(64))),
    st.builds(Register, REQUEST, NAME, st.just(b"junk"), st.just(bytes(64))),
)
LIMITS = RelayLimits(
    session=Rate(1e6, 1e6),
    failed_proof=Rate(1e6, 1e6),
    registration=Rate(20, 1.0),
    invite=Rate(20, 1.0),
    messages=Rate(40, 5.0),
    sessions_per_address=6,
)


class RouterModel(RuleBasedStateMachine):
    """Small numbers of sessions, people, names and calls, so that they meet."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(LIMITS)
        self.challenges: dict[int, Challenge] = {}
        self.latest: dict[int, int] = {}

    def listen(self) -> None:
        for session, messages in self.world.sent.items():
            for message in messages:
                if isinstance(message, Challenge):
                    self.challenges[session] = message
        self.world.sent.clear()

    @rule(host=st.sampled_from(["192.0.2.1", "198.51.100.2"]))
    def open(self, host: str) -> None:
        self.world.open(host)

    @initialize()
    def everybody_is_here(self) -> None:
        for number in range(1, 4):
            self.log_in("192.0.2.1", number, True)

    @rule(host=st.sampled_from(["192.0.2.1", "198.51.100.2"]), number=PEOPLE, named=st.booleans())
    def log_in(self, host: str, number: int, named: bool) -> None:
        session = self.world.open(host)
        self.listen()
        name = next((name for name, holder in NAMES.items() if holder == number), "") if named else ""
        if session in self.challenges:
            message = authenticate(self.challenges[session], person(number), name, "home")
            self.world.feed(MessageArrived(session, message))
            self.latest[number] = session

    @rule(session=SESSIONS, number=PEOPLE, name=st.one_of(st.just(""), NAME))
    def prove(self, session: int, number: int, name: str) -> None:
        if session in self.challenges:
            self.world.feed(MessageArrived(session, authenticate(self.challenges[session], person(number), name)))

    @rule(session=SESSIONS, number=PEOPLE, name=NAME, request=REQUEST)
    def claim(self, session: int, number: int, name: str, request: int) -> None:
        if session in self.challenges:
            message = register(self.challenges[session], person(number), name, request)
            self.world.feed(MessageArrived(session, message))

    @rule(number=PEOPLE, messages=st.lists(MESSAGES, min_size=1, max_size=6))
    def say(self, number: int, messages: list[Ping]) -> None:
        for message in messages:
            self.world.feed(MessageArrived(self.latest.get(number, 0), message))

    @rule(caller=PEOPLE, callee=NAME, call=CALL, rest=st.lists(st.tuples(st.booleans(), TURNS), max_size=4))
    def converse(self, caller: int, callee: str, call: str, rest: list[tuple[bool, type[Ring]]]) -> None:
        """A call, and then either side's words in any order."""
        self.world.feed(MessageArrived(self.latest.get(caller, 0), Invite(call, callee)))
        for is_callee, kind in rest:
            speaker = NAMES.get(callee, 0) if is_callee else caller
            self.world.feed(MessageArrived(self.latest.get(speaker, 0), kind(call)))

    @rule(session=SESSIONS, message=st.one_of(MESSAGES, BAD_MESSAGES))
    def misbehave(self, session: int, message: Ping) -> None:
        self.world.feed(MessageArrived(session, message))

    @rule(number=PEOPLE)
    def vanish(self, number: int) -> None:
        self.world.feed(SessionClosed(self.latest.get(number, 0)))

    @rule(session=SESSIONS)
    def garbage(self, session: int) -> None:
        self.world.feed(GarbageArrived(session, "x" * 1_000))

    @rule(session=SESSIONS)
    def close(self, session: int) -> None:
        self.world.feed(SessionClosed(session))

    @rule(problem=st.sampled_from(["", "database or disk is full"]))
    def stored(self, problem: str) -> None:
        if self.world.stores:
            self.world.store(problem)
        self.world.feed(NameStored(10_000, problem))

    @rule(call=CALL)
    def idle(self, call: str) -> None:
        self.world.feed(LegsIdle(call))

    @rule(seconds=st.sampled_from([0.0, 0.5, 5.0, 11.0, 46.0]))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule()
    def early_timer(self) -> None:
        self.world.feed(TimerFired())

    @rule(seconds=st.sampled_from([0.0, 5.0, 100.0]), is_meant=st.integers(0, 9))
    def drain(self, seconds: float, is_meant: int) -> None:
        # Rarely, or nothing else would ever be seen.
        if is_meant == 0:
            self.world.feed(DrainRequested(seconds))

    @invariant()
    def calls_have_legs(self) -> None:
        self.listen()
        router = self.world.router
        assert len(self.world.legs) == router.calls.legs_held
        assert router.authenticated_count <= router.session_count

    def teardown(self) -> None:
        """Every unanswered call ends by itself, every leg is released, and a drain of nothing stops the relay."""
        world = self.world
        world.wait(NO_ANSWER_S + LEG_GRACE_S + 1.0)
        for number in range(1, 6):
            call = world.router.calls.get(call_id(number))
            assert call is None or call.state.value == "answered"
        if not world.stopped:
            world.feed(DrainRequested(0.0))
        assert world.stopped and not world.legs
        assert world.router.next_deadline() is None and world.router.session_count == 0


RouterModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRouterModel = RouterModel.TestCase
