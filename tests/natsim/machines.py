"""Every deciding part of the product, ready to be tried: how to make it, what can happen to it, and its way out."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from app.call import events as ev
from app.call.machine import CallMachine
from app.call.session import LEAVE_TIMEOUT_S, CallSession, SessionSetup
from app.engine.core import EngineCore
from app.engine.events import BeginCall, CoreEvent, FromCall, FromRelay, ToCall
from app.ipc import messages as ipc
from media.devices.stream_state import (
    Opened,
    OpenFailed,
    Release,
    RetryDue,
    State,
    StreamMachine,
    StreamStatus,
    Vanished,
    Want,
)
from media.jitter import JitterBuffer
from media.playout import Frame
from media.pump import AudioPump
from media.rate_control import RateControl, Reported, ReportsOverdue
from media.ring import SampleRing
from media.rtp import RtpPacket
from relay import events as rv
from relay.call_table import NO_ANSWER_S, CallTable
from relay.legs import IDLE_S, LegTable
from relay.limits import Limiter, RelayLimits
from tests.natsim.call import identity
from tests.natsim.clock import Timer, VirtualClock
from tests.natsim.driver import TICK_S
from tests.unit.app.engine.desk import WELCOME, Desk, Way
from tests.unit.relay.people import authenticate, call_id, person
from tests.unit.relay.world import NAMES, World
from transport.ice.candidates import HostAddress
from transport.ice.credentials import CheckKeys, Credentials
from transport.link import events as tl
from transport.link.channel import PeerChannel
from transport.link.handshake import admission_token
from transport.link.link import Link
from transport.link.routes import Routes
from transport.net.machine import TimerFired
from transport.net.port_mapping import MappedPort
from transport.net.sockets import (
    Address,
    CloseSocket,
    DatagramReceived,
    OpenSocket,
    SocketFailed,
    SocketOpened,
)
from transport.path import path as pp
from transport.path import relay_leg as pl
from transport.path.events import Reconnected, Reconnecting
from transport.path.manager import Changes, PathManager
from transport.path.path import Path
from transport.path.paths import Multipath
from transport.path.probes import Echoes
from transport.path.receiver_reports import Reports
from transport.portmap.status import MappingStatus
from transport.quic.call_connection import PeerConnection
from transport.quic.session_events import Connected, Disconnected, Rejected, RelayMessageReceived
from transport.traversal import events as te
from transport.traversal.agent import AgentConfig
from transport.traversal.events import InterfacesChanged, PortMappingsChanged
from transport.wire import call_messages, relay_messages, stun
from transport.wire.addresses import parse_person
from transport.wire.datagrams import EchoRequest, RtpPosition
from transport.wire.demux import packet_kind

RELAY = ("192.0.2.1", 7851)
HERE = ("198.51.100.1", 40_000)
ACCESS = pl.LegAccess(RELAY, "username-of-a-leg", "password-of-a-leg")
OTHER_ACCESS = pl.LegAccess(("2001:db8::1", 7851), "username-of-another", "password-of-another")
ANN = relay_messages.DirectoryEntry("ann", "", identity(1).key, identity(1).certificate)
GRANT = relay_messages.LegCredentials("username-of-a-leg", "password-of-a-leg", 7851, 60.0)
MAX_FIRES_PER_INSTANT = 3
"""What one moment may take: nothing here needs a second look at the same instant, let alone a fourth."""

Step = Callable[[Any, float], Any]


def step(what: Callable[..., Any], *arguments: Any) -> Step:
    """``what(machine, now, *arguments)`` as a step."""
    return lambda machine, now: what(machine, now, *arguments)


@dataclass(frozen=True)
class Subject:
    """One machine. ``inner`` finds it in what ``make(now)`` returns; ``fire`` is its timer; ``settle(run)`` leads it
    out of whatever state it is in, and asserts that it is out. ``events`` is the union that ``steps`` must cover, for
    machines with ``handle``; the others have a step for each method that takes the time, but for those in ``once``,
    which ``make`` has called already."""

    kind: type
    make: Callable[[float], Any]
    steps: dict[str, Step]
    settle: Callable[["Run"], None]
    fire: Step | None = None
    events: Any = None
    once: frozenset[str] = frozenset()
    deadline: Callable[[Any], float | None] = lambda machine: (
        machine.next_deadline() if hasattr(machine, "next_deadline") else None
    )
    inner: Callable[[Any], Any] = field(default=lambda made: made)


class Run:
    """One machine on the virtual clock, its timer armed as drivers do."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.clock = VirtualClock()
        self.made = subject.make(self.clock.now)
        self.commands: list[Any] = []
        self._timer: Timer | None = None
        self._fired: tuple[float, int] = (0.0, 0)
        self._arm()

    @property
    def machine(self) -> Any:
        return self.subject.inner(self.made)

    def is_in(self, state: Any) -> bool:
        return bool(self.machine.state is state)

    @property
    def due(self) -> float | None:
        return self.subject.deadline(self.machine)

    def step(self, name: str) -> Any:
        return self.do(self.subject.steps[name])

    def do(self, step: Step) -> Any:
        result = step(self.made, self.clock.now)
        if isinstance(result, list):
            self.commands += result
        self._arm()
        return result

    def wait(self, seconds: float) -> None:
        self.clock.run(seconds)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancelled = True
            self._timer = None
        due = self.due
        if due is not None:
            assert due == due, "not a number"
            assert due < self.clock.now + 86_400, "nothing is planned for another day"
            self._timer = self.clock.at(max(due, self.clock.now + TICK_S), self._fire)

    def _fire(self) -> None:
        self._timer = None
        fire = self.subject.fire
        assert fire is not None, "a machine with deadlines has a timer event"
        now = self.clock.now
        self._fired = (now, self._fired[1] + 1) if now - self._fired[0] < 1e-4 else (now, 1)
        assert self._fired[1] <= MAX_FIRES_PER_INSTANT, f"spinning at {now}: due {self.due}"
        self.do(fire)
        due = self.due
        assert due is None or due > now, f"the timer has fired at {now} and is due at {due} again"


def on(event: Any) -> Step:
    """A step that hands ``event`` to ``handle``."""

    def step(machine: Any, now: float) -> Any:
        return machine.handle(event, now)

    step.event = event  # type: ignore[attr-defined]
    return step


def each(*events: Any) -> dict[str, Step]:
    """A step for each event, named after it and its place."""
    return {f"{number} {type(event).__name__}": on(event) for number, event in enumerate(events)}


# -- the app ---------------------------------------------------------------------------------------------------------


def _call_ends(run: Run) -> None:
    run.do(on(ev.UserHungUp()))
    # A call that was never begun has nothing to end; every other one is over, reported once, with no timer left.
    begun = run.machine.view.call_id != ""
    assert run.machine.finished == begun
    assert sum(isinstance(command, ev.Finished) for command in run.commands) == int(begun)
    assert run.due is None


CALL_EVENTS = (
    ev.Placed("a" * 32, "bob@relay.example", "bob"),
    ev.RelayConnected("192.0.2.1"),
    ev.RelayDisconnected("relay-unreachable"),
    ev.InviteFailed("limit", "too many"),
    ev.CalleeFound(ANN, GRANT, "unknown"),
    ev.CalleeFound(ANN, GRANT, "changed"),
    ev.CallArrived("b" * 32, "ann@relay.example", ANN, GRANT, "unknown"),
    ev.CallArrived("b" * 32, "ann@relay.example", ANN, GRANT, "changed"),
    ev.RemoteRings(),
    ev.RelayEnded("busy"),
    ev.UserAnswered(),
    ev.UserDeclined(),
    ev.UserHungUp(),
    ev.UserMuted(True),
    ev.UserMuted(False),
    ev.KeyAccepted("verified"),
    TimerFired(),
)
CALL = Subject(
    CallMachine,
    lambda now: CallMachine(),
    each(
        *CALL_EVENTS,
        tl.PeerProven(),
        tl.PeerMessageReceived(call_messages.Accept()),
        tl.PeerMessageReceived(call_messages.Muted(True)),
        tl.PeerMessageReceived(call_messages.Bye("busy")),
        Reconnecting(0.0),
        Reconnected(),
        ev.MediaBroken(),
        tl.LinkEnded("lost", ""),
        tl.LinkEnded("peer-left", ""),
    ),
    _call_ends,
    fire=on(TimerFired()),
    events=ev.CallEvent,
)


def _session(now: float) -> CallSession:
    setup = SessionSetup(
        identity(2),
        "bob@relay.example",
        parse_person("ann@relay.example"),
        AudioPump(SampleRing(), SampleRing()),
        random.Random(1),
        relay=ev.RelayConnected("192.0.2.1"),
        hosts=(HostAddress(HERE[0], 24, "eth0"),),
    )
    return CallSession(setup, now)


def _session_ends(run: Run) -> None:
    run.do(on(ev.UserHungUp()))
    run.do(on(ev.UserLeft()))
    run.wait(LEAVE_TIMEOUT_S + 0.1)
    assert sum(isinstance(command, ev.Released) for command in run.commands) == 1
    assert sum(isinstance(command, ev.Finished) for command in run.commands) == int(run.machine.call.finished)
    assert run.due is None


SESSION = Subject(
    CallSession,
    _session,
    each(
        *CALL_EVENTS,
        ev.UserLeft(),
        ev.LegGranted(GRANT),
        ev.LegGranted(relay_messages.LegCredentials("another-username", "another-password", 7851, 60.0)),
        ev.AudioReady(),
        ev.PortMappingChanged((), MappingStatus("trying")),
        InterfacesChanged(()),
        SocketOpened(1, HERE),
        SocketFailed(1, "no such interface"),
        DatagramReceived(1, RELAY, b"noise"),
    ),
    _session_ends,
    fire=on(TimerFired()),
    events=ev.SessionEvent,
)

INCOMING = relay_messages.Incoming("b" * 32, ANN, GRANT)
NONSENSE = relay_messages.Incoming("c" * 32, relay_messages.DirectoryEntry("", "nonsense", b"k" * 32, b""), GRANT)
ANYWHERE = Way()


class _Engine(Desk):
    """Takes events without a route or a call as those of its own."""

    def handle(self, event: Any, now: float) -> list[Any]:
        session = self.core.session
        match event:
            case FromRelay():
                event = replace(event, route=self.way)
            case FromCall():
                if session is None:
                    return []
                event = replace(event, session=session)
        return self.do(event, now)


def _engine_ends(run: Run) -> None:
    session = run.made.core.session
    if session is not None:
        run.do(on(ipc.HangUpCall(session.call.view.call_id)))
        run.do(on(ipc.DismissCall(session.call.view.call_id)))
    assert run.made.core.session is None and not run.made.core.in_call
    # One call at a time, and each of them is left.
    begun = [command.session for command in run.commands if isinstance(command, BeginCall)]
    left = [
        command.session for command in run.commands if isinstance(command, ToCall) and command.event == ev.UserLeft()
    ]
    assert begun == left


ENGINE = Subject(
    EngineCore,
    lambda now: _Engine(),
    each(
        ipc.PlaceCall("ann@relay.example"),
        ipc.PlaceCall("nonsense"),
        ipc.AnswerCall("b" * 32),
        ipc.DeclineCall("b" * 32),
        ipc.HangUpCall("b" * 32),
        ipc.DismissCall("b" * 32),
        ipc.SetMuted(True),
        ipc.BlockCaller("b" * 32),
        ipc.TrustKey("ann@relay.example", "00" * 32, True),
        ipc.TrustKey("ann@relay.example", "00" * 32, False),
        *(
            FromRelay(ANYWHERE, event)
            for event in (
                Connected(WELCOME, "192.0.2.1"),
                Disconnected("gone", 1.0),
                Rejected("replaced", "elsewhere"),
                RelayMessageReceived(INCOMING),
                RelayMessageReceived(NONSENSE),
                RelayMessageReceived(relay_messages.Ended("b" * 32, "cancelled", "")),
                RelayMessageReceived(relay_messages.Refused(0, "limit", "", 0.0)),
                RelayMessageReceived(relay_messages.Presence("ann", True)),
            )
        ),
        FromCall(_session(0.0), ev.ViewChanged()),
    ),
    _engine_ends,
    events=CoreEvent,
    inner=lambda desk: desk.core,
)

# -- media -----------------------------------------------------------------------------------------------------------


def _breaker_opens(run: Run) -> None:
    run.wait(60.0)
    # Nobody reports any more, so what is sent does no good: it ends by itself.
    assert run.machine.broken and run.due is None


RATES = Subject(
    RateControl,
    RateControl,
    each(
        Reported(0.0, 50, 50, 0.05),
        Reported(0.5, 75, 150, 0.4),
        Reported(1.0, 0, 10_000, 3.0),
        Reported(7.0, -5, -5, -1.0),
        ReportsOverdue(),
    ),
    _breaker_opens,
    fire=on(ReportsOverdue()),
    events=Reported | ReportsOverdue,
)


def _stream_closes_or_opens(run: Run) -> None:
    if run.machine.status.state in (State.MISSING, State.FAILED):
        run.wait(3.0)
        assert run.machine.status.state is State.OPENING, "what has failed is tried again"
    run.do(on(Release()))
    assert run.machine.status.state is State.CLOSED and run.due is None
    run.do(on(Want(None)))
    run.do(on(Opened("a headset")))
    assert run.machine.status == StreamStatus(State.RUNNING, "a headset")


STREAM = Subject(
    StreamMachine,
    lambda now: StreamMachine(),
    each(
        Want(None),
        Want("usb"),
        Release(),
        Opened("a headset"),
        OpenFailed("busy", missing=False),
        OpenFailed("gone", missing=True),
        Vanished("unplugged"),
        RetryDue(),
    ),
    _stream_closes_or_opens,
    fire=on(RetryDue()),
    events=Want | Release | Opened | OpenFailed | Vanished | RetryDue,
)


def _packets() -> dict[str, Step]:
    packets = [
        RtpPacket(sequence & 0xFFFF, timestamp & 0xFFFF_FFFF, ssrc, b"x")
        for ssrc, sequence, timestamp in (
            *((1, number, 960 * number) for number in (0, 1, 2, 3, 5, 8, 13, 500, 65_535)),
            *((1, number, 960 * number + 7) for number in (1, 4)),
            *((2, number, 960 * number) for number in (40_000, 40_001, 40_002)),
            (1, 3, 4_000_000_000),
        )
    ]
    return {
        f"push {number}": step(lambda buffer, now, packet: buffer.push(packet, now), packet)
        for number, packet in enumerate(packets)
    }


def _jitter_plays_a_new_sender(run: Run) -> None:
    """However it stands, a sender that begins anew is played within two seconds."""
    for number in range(100):
        run.wait(0.02)
        run.machine.push(RtpPacket(number, 960 * number, 3, b"x"), run.clock.now)
        if isinstance(playout := run.machine.pull(run.clock.now), Frame) and number > 10:
            break
    assert isinstance(playout, Frame)


JITTER = Subject(
    JitterBuffer,
    lambda now: JitterBuffer(),
    {
        **_packets(),
        "pull": lambda buffer, now: buffer.pull(now),
        "observe_copy": lambda buffer, now: buffer.observe_copy(round(now * 48_000) % 2**32, now),
    },
    _jitter_plays_a_new_sender,
)

# -- the relay -------------------------------------------------------------------------------------------------------

GRANTS = tuple(rv.LegGrant(f"name-of-the-{who}", f"word-of-the-{who}") for who in ("caller", "callee"))
SOURCES: tuple[tuple[int, tuple[str, int]], ...] = ((0, ("198.51.100.1", 1)), (0, ("198.51.100.2", 2)))


def _bind(grant: rv.LegGrant, source: int, number: int) -> Step:
    request = stun.binding_request(number.to_bytes(12, "big"), grant.username, grant.password)
    return lambda legs, now: legs.bind(stun.parse(request), SOURCES[source], now)


def _legs_idle_and_go(run: Run) -> None:
    run.do(lambda legs, now: legs.create(call_id(1), *GRANTS, now))
    run.wait(2.1 * IDLE_S)
    assert call_id(1) in run.commands, "a pair that nobody uses is named"
    for number in range(3):
        run.machine.destroy(call_id(number))
    assert len(run.machine) == 0 and run.due is None


LEGS = Subject(
    LegTable,
    lambda now: LegTable(RelayLimits().leg_packets, b"secret"),
    {
        **{f"create {n}": step(lambda legs, now, n: legs.create(call_id(n), *GRANTS, now), n) for n in (1, 2)},
        **{f"destroy {n}": step(lambda legs, now, n: legs.destroy(call_id(n)), n) for n in (0, 1, 2)},
        **{f"bind {g} {s} {n}": _bind(GRANTS[g], s, n) for g in (0, 1) for s in (0, 1) for n in (1, 2)},
        "bind wrong": _bind(rv.LegGrant(GRANTS[0].username, "wrong"), 0, 9),
        **{f"forward {s}": step(lambda legs, now, s: legs.forward(b"\x40" * 100, SOURCES[s], now), s) for s in (0, 1)},
        "forward nothing": lambda legs, now: legs.forward(b"", SOURCES[0], now),
        "forward junk": lambda legs, now: legs.forward(b"\x17" * 1_600, SOURCES[0], now),
        "idle": lambda legs, now: legs.idle(now),
    },
    _legs_idle_and_go,
    fire=lambda legs, now: legs.idle(now),
)


def _limits_forgive(run: Run) -> None:
    run.wait(86_400.0)
    for kind in ("session", "invite", "registration"):
        assert run.machine.take(kind, "198.51.100.1", run.clock.now) == 0.0


LIMITER = Subject(
    Limiter,
    lambda now: Limiter(RelayLimits(), max_buckets=4),
    {
        f"{name} {kind} {subject}": step(
            lambda limiter, now, name, kind, subject: getattr(limiter, name)(kind, subject, now), name, kind, subject
        )
        for name in ("take", "peek")
        for kind in ("session", "invite", "registration")
        for subject in ("198.51.100.1", "somebody else")
    },
    _limits_forgive,
)

KEYS = (identity(1).key, identity(2).key)
BOB = relay_messages.DirectoryEntry("bob", "", identity(2).key, identity(2).certificate)


def _invite(calls: CallTable, now: float, number: int) -> Any:
    # The router asks before it lets somebody invite.
    return [] if calls.is_known(call_id(number)) else calls.invite(call_id(number), ANN, BOB, now)


def _calls_end(run: Run) -> None:
    run.wait(NO_ANSWER_S + 1.0)
    assert all(call.state.value == "answered" for key in KEYS for call in run.machine.of_key(key))
    run.do(lambda calls, now: calls.end_all("draining", "", now))
    # Looked at once more when it would have been due, and forgotten.
    run.wait(NO_ANSWER_S + 1.0)
    assert len(run.machine) == 0 and run.machine.legs_held == 0 and run.due is None


CALLS = Subject(
    CallTable,
    lambda now: CallTable(7851, 60.0, random.Random(1), RelayLimits()),
    {
        **{f"invite {n}": step(_invite, n) for n in (1, 2)},
        **{
            f"message {type(message).__name__} of {who}": step(
                lambda calls, now, message, who: calls.message(KEYS[who], message, now), message, who
            )
            for message in (
                relay_messages.Ring(call_id(1)),
                relay_messages.Answer(call_id(1)),
                relay_messages.Decline(call_id(1)),
                relay_messages.HangUp(call_id(1)),
            )
            for who in (0, 1)
        },
        "came": lambda calls, now: calls.came(KEYS[0]),
        "went 0": lambda calls, now: calls.went(KEYS[0], now),
        "went 1": lambda calls, now: calls.went(KEYS[1], now),
        "end": lambda calls, now: [
            command for call in calls.of_key(KEYS[0])[:1] for command in calls.end(call, "failed", "", list(KEYS), now)
        ],
        **{
            f"resume {who}": step(
                lambda calls, now, who: calls.resume(call_id(3), (ANN, BOB)[who], KEYS[1 - who], "192.0.2.1", now), who
            )
            for who in (0, 1)
        },
        "resume wrong": lambda calls, now: calls.resume(call_id(3), ANN, KEYS[0], "192.0.2.1", now),
        "end_all": lambda calls, now: calls.end_all("draining", "", now),
        "tick": lambda calls, now: calls.tick(now),
    },
    _calls_end,
    fire=lambda calls, now: calls.tick(now),
)


def _to_router(event: rv.RouterEvent) -> Step:
    def step(world: World, now: float) -> None:
        world.now = now
        world.feed(event)

    step.event = event  # type: ignore[attr-defined]
    return step


def _open_session() -> Step:
    def step(world: World, now: float) -> None:
        world.now = now
        world.open()

    step.event = rv.SessionOpened(1, ("192.0.2.1", 1))  # type: ignore[attr-defined]
    return step


def _log_in(name: str) -> Step:
    def step(world: World, now: float) -> None:
        world.now = now
        session = world.open()
        challenges = [sent for sent in world.sent.get(session, []) if isinstance(sent, relay_messages.Challenge)]
        if challenges and session not in world.closed:
            world.say(session, authenticate(challenges[0], person(NAMES[name]), name))

    return step


def _router_stops(run: Run) -> None:
    world = run.made
    run.wait(NO_ANSWER_S + 10.0)
    for number in (1, 2):
        call = world.router.calls.get(call_id(number))
        assert call is None or call.state.value == "answered"
    if not world.stopped:
        run.do(_to_router(rv.DrainRequested(0.0)))
    assert world.stopped and not world.legs and run.due is None and world.router.session_count == 0


_MESSAGES_TO_ROUTER: tuple[Any, ...] = (
    relay_messages.Invite(call_id(1), "bob"),
    relay_messages.Invite(call_id(2), "ann"),
    relay_messages.Invite(call_id(2), "cy"),
    relay_messages.Ring(call_id(1)),
    relay_messages.Answer(call_id(1)),
    relay_messages.Decline(call_id(1)),
    relay_messages.HangUp(call_id(1)),
    relay_messages.Resume(call_id(1), person(NAMES["bob"]).key),
    relay_messages.Resume(call_id(1), person(NAMES["ann"]).key),
    relay_messages.Watch(["ann", "bob"]),
    relay_messages.Lookup(1, "ann"),
    relay_messages.Ping(1),
)
_HAPPENS_TO_ROUTER: tuple[Any, ...] = (
    rv.GarbageArrived(1, "no message"),
    rv.SessionClosed(1),
    rv.SessionClosed(2),
    rv.NameStored(1, ""),
    rv.LegsIdle(call_id(1)),
    TimerFired(),
)
ROUTER = Subject(
    type(World().router),
    lambda now: World(),
    {
        **{f"log in {name}": _log_in(name) for name in ("ann", "bob")},
        **{
            f"{type(message).__name__} {number} of {session}": _to_router(rv.MessageArrived(session, message))
            for number, message in enumerate(_MESSAGES_TO_ROUTER)
            for session in (1, 2)
        },
        **{f"{number} {type(event).__name__}": _to_router(event) for number, event in enumerate(_HAPPENS_TO_ROUTER)},
        "drain": _to_router(rv.DrainRequested(30.0)),
        "open": _open_session(),
    },
    _router_stops,
    fire=_to_router(TimerFired()),
    events=rv.RouterEvent,
    inner=lambda world: world.router,
)

# -- transport -------------------------------------------------------------------------------------------------------


class _KnownLeg(pl.RelayLeg):
    """A leg whose requests can be answered."""

    __slots__ = ("request",)

    def __init__(self, access: pl.LegAccess) -> None:
        super().__init__(access, random.Random(1))
        self.request: bytes | None = None

    def _ask(self, now: float) -> bytes:
        self.request = super()._ask(now)
        return self.request


def _stun_answer(leg: _KnownLeg, now: float) -> None:
    if leg.request is not None:
        request = stun.parse(leg.request)
        access = next(access for access in (ACCESS, OTHER_ACCESS) if access.username == request.username)
        leg.received(stun.binding_success(request, HERE, access.password), now)


def _stun_refusal(leg: _KnownLeg, now: float) -> None:
    if leg.request is not None:
        leg.received(stun.binding_error(stun.parse(leg.request), stun.UNAUTHENTICATED, "Unauthenticated"), now)


def _leg_binds(run: Run) -> None:
    run.do(lambda leg, now: leg.opened(now))
    if run.due is not None and not run.is_in(pl.State.BOUND):
        # What was refused is asked again.
        run.wait(run.due - run.clock.now + TICK_S)
    run.do(_stun_answer)
    assert run.is_in(pl.State.BOUND)
    run.do(lambda leg, now: leg.closed())
    assert run.is_in(pl.State.CLOSED) and run.due is None


LEG = Subject(
    pl.RelayLeg,
    lambda now: _KnownLeg(ACCESS),
    {
        "opened": lambda leg, now: leg.opened(now),
        "check": lambda leg, now: leg.check(now),
        "replace": lambda leg, now: leg.replace(OTHER_ACCESS, now),
        "received noise": lambda leg, now: leg.received(b"\x01\x01" + bytes(30), now),
        "received answer": _stun_answer,
        "received refusal": _stun_refusal,
        "timer": lambda leg, now: leg.timer(now),
        "closed": lambda leg, now: leg.closed(),
    },
    _leg_binds,
    fire=lambda leg, now: leg.timer(now),
)


FAR = ("203.0.113.8", 40_000)


def _add(number: int) -> Step:
    """A path is added once; number 2 is direct."""

    def step(manager: PathManager, now: float) -> Changes | None:
        path = Path(number, "direct", "punch", FAR) if number == 2 else Path(number, "relay", "relay", RELAY)
        return manager.add(path, now) if manager.path(number) is None else None

    return step


def _about(number: int, method: str, *arguments: Any, **options: Any) -> Step:
    """Calls a method about a path that is known."""

    def step(manager: PathManager, now: float) -> Any:
        path = manager.path(number)
        return None if path is None else getattr(manager, method)(path, *arguments, now, **options)

    return step


def _counted(*counts: tuple[int, int, int]) -> Step:
    """The peer counts by each path (number, frames, expected)."""

    def step(manager: PathManager, now: float) -> Changes:
        known = ((manager.path(number), frames, expected) for number, frames, expected in counts)
        return manager.peer_counted(
            [
                (path, call_messages.PathCount(path.number, frames, expected, 0.0, 10.0))
                for path, frames, expected in known
                if path is not None
            ],
            now,
        )

    return step


def _a_path_carries(run: Run) -> None:
    for number in (1, 2):
        run.do(_about(number, "closed", forget=True))
    run.do(_add(0))
    for method in ("closed", "opened", "validated", "received"):
        run.do(_about(0, method))
    assert run.machine.carriers and run.machine.silent_since is None
    run.wait(30.0)
    # Nothing is received: it says so, goes on sending, and asks the first hop for as long as it lasts.
    assert run.machine.carriers and run.machine.silent_since is not None
    run.do(_about(0, "closed", forget=True))
    assert not run.machine.carriers


MANAGER = Subject(
    PathManager,
    lambda now: PathManager(follows=True),
    {
        **{f"add {number}": _add(number) for number in (0, 1, 2)},
        **{
            f"{method} {number}": _about(number, method)
            for number in (0, 1, 2)
            for method in ("opened", "closed", "validated", "refuted", "received")
        },
        **{f"closed {number} for good": _about(number, "closed", forget=True) for number in (0, 1, 2)},
        **{f"echoed {number}": _about(number, "echoed", 0.05) for number in (0, 1, 2)},
        **{f"peer_reports_silence {number}": _about(number, "peer_reports_silence", 0.1) for number in (0, 1, 2)},
        "peer_counted 0": _counted((0, 40, 50), (1, 50, 50)),
        "peer_counted 1": _counted((1, 40, 50), (0, 50, 50)),
        "peer_counted 2": _counted((2, 100, 100)),
        "media_sent": lambda manager, now: manager.media_sent(now),
        "peer_uses direct": lambda manager, now: manager.peer_uses("direct"),
        "peer_uses relay": lambda manager, now: manager.peer_uses("relay"),
        "timer": lambda manager, now: manager.timer(now),
    },
    _a_path_carries,
    fire=lambda manager, now: manager.timer(now),
)


PACES = {0: 0.25, 1: 1.0, 2: 15.0}


def _echoes_stop(run: Run) -> None:
    run.machine.stop()
    assert run.due is None
    run.do(lambda echoes, now: echoes.start(now))
    assert run.due is not None
    run.machine.stop()


def _ask(echoes: Echoes, now: float) -> None:
    for path in echoes.due(PACES, 0, now):
        echoes.request(path, path == 0, now)


ECHOES = Subject(
    Echoes,
    lambda now: Echoes(),
    {
        "start": lambda echoes, now: echoes.start(now),
        "stop": lambda echoes, now: echoes.stop(),
        "sent": lambda echoes, now: echoes.sent(now),
        "due": _ask,
        "request": lambda echoes, now: echoes.request(1, False, now),
        "forget": lambda echoes, now: echoes.forget(1),
        **{f"answered {n}": step(lambda echoes, now, n: echoes.answered(n, now), n) for n in (1, 2, 99)},
    },
    _echoes_stop,
    fire=_ask,
    deadline=lambda echoes: echoes.next_deadline(PACES, 0),
)


def _reports_calm(run: Run) -> None:
    run.do(lambda reports, now: reports.came(0, now))
    assert run.due is not None
    run.wait(3.0)
    assert run.due is None


REPORTS = Subject(
    Reports,
    lambda now: Reports(),
    {
        **{f"came {n}": step(lambda reports, now, n: reports.came(n, now), n) for n in (0, 1)},
        "due": lambda reports, now: reports.due(now),
        "forget": lambda reports, now: reports.forget(1),
    },
    _reports_calm,
    fire=lambda reports, now: reports.due(now),
)


COUNTED = call_messages.PathQuality([call_messages.PathCount(1, 50, 50, 0.0, 0.0)])


def _multipath(now: float) -> Multipath:
    paths = Multipath(ACCESS, random.Random(1), follows=True)
    paths.open(now)
    return paths


def _taken(call: Callable[[Multipath, float], Any]) -> Step:
    """A step whose result are the commands that follow from it."""

    def step(paths: Multipath, now: float) -> list[Any]:
        call(paths, now)
        return paths.take()

    return step


def _socket(make: Callable[[int], Any], method: str, which: int) -> Step:
    def call(paths: Multipath, now: float) -> None:
        numbers = (*paths.owners, 77)
        getattr(paths, method)(make(numbers[max(which, -len(numbers))]), now)

    return _taken(call)


def _received(which: int, source: Address, data: bytes) -> Step:
    def call(paths: Multipath, now: float) -> None:
        for socket, path in [*paths.owners.items()][which:][:1]:
            paths.received(path, DatagramReceived(socket, source, data), packet_kind(data), now)

    return _taken(call)


def _on_path(number: int, call: Callable[[Multipath, Path, float], Any]) -> Step:
    def step(paths: Multipath, now: float) -> None:
        path = paths.manager.path(number)
        if path is not None:
            call(paths, path, now)

    return _taken(step)


def _multipath_returns(run: Run) -> None:
    run.wait(3.0)
    assert run.machine.owners, "a socket that has died is opened again"
    opened = [command.socket for command in run.commands if isinstance(command, OpenSocket)]
    closed = [command.socket for command in run.commands if isinstance(command, CloseSocket)]
    assert len(set(opened)) == len(opened)
    assert all(number in (0, *opened) or number >= 1_000 for number in closed)
    assert run.machine.manager.carriers or run.machine.relay.state is not pp.State.ACTIVE


MULTIPATH = Subject(
    Multipath,
    _multipath,
    {
        **{f"opened {n}": _socket(lambda number: SocketOpened(number, HERE), "opened", n) for n in (0, -1)},
        **{f"failed {n}": _socket(lambda number: SocketFailed(number, "down"), "failed", n) for n in (0, -2, -1)},
        "replace_leg": _taken(lambda paths, now: paths.replace_leg(ACCESS, now)),
        "replace_leg other": _taken(lambda paths, now: paths.replace_leg(OTHER_ACCESS, now)),
        "replace_leg nowhere": _taken(
            lambda paths, now: paths.replace_leg(pl.LegAccess(("relay.example", 1), "username", "password"), now)
        ),
        "received": _received(0, RELAY, b"\x40" * 50),
        "received stun": _received(0, RELAY, b"\x01\x01" + bytes(30)),
        "received strange": _received(0, HERE, b"\xff"),
        "received direct": _received(-1, FAR, b"\x41" * 50),
        "add_direct": _taken(
            lambda paths, now: paths.add_direct(max(paths.owners, default=0) + 1_000, HERE, FAR, "punch", 0.02, now)
        ),
        "add_direct again": _taken(
            lambda paths, now: paths.add_direct(
                max(paths.owners, default=0), HERE, ("203.0.113.9", 9), "punch", 0.02, now
            )
        ),
        "network_changed": _taken(lambda paths, now: paths.network_changed(["203.0.113.77"], now)),
        "network_changed same": _taken(lambda paths, now: paths.network_changed([HERE[0]], now)),
        **{
            f"authentic {n}": _on_path(
                n,
                lambda paths, path, now: paths.authentic(
                    path, b"\x41" * 50, RtpPosition(round(now * 50) % 65_536, 960), now
                ),
            )
            for n in (0, 1)
        },
        "send": _taken(lambda paths, now: paths.send(b"\x40" * 50, now)),
        "send_by": _on_path(1, lambda paths, path, now: paths.send_by(path, b"\x40" * 50)),
        "media_sent": _taken(lambda paths, now: paths.media_sent(now)),
        "start_echoes": _taken(lambda paths, now: paths.start_echoes(now)),
        "stop_echoes": _taken(lambda paths, now: paths.stop_echoes()),
        "echo_requested": _on_path(1, lambda paths, path, now: paths.echo_requested(5, path)),
        "echo_answered": _taken(lambda paths, now: paths.echo_answered(1, now)),
        "peer_reported quality": _taken(lambda paths, now: paths.peer_reported(COUNTED, now)),
        "peer_reported silent": _taken(lambda paths, now: paths.peer_reported(call_messages.PathSilent(1, 60.0), now)),
        "peer_reported in use": _taken(lambda paths, now: paths.peer_reported(call_messages.PathInUse("direct"), now)),
        "timer": _taken(lambda paths, now: paths.timer(now)),
    },
    _multipath_returns,
    fire=_taken(lambda paths, now: paths.timer(now)),
    once=frozenset({"open"}),
)


def _peers_end(run: Run) -> None:
    run.do(lambda connection, now: connection.close(0, "over"))
    run.do(lambda connection, now: connection.datagrams_to_send(now))
    run.wait(60.0)
    assert run.due is None or run.due > run.clock.now
    assert not run.machine.send_datagram(b"x", run.clock.now) or run.due is not None


def _peer_steps() -> dict[str, Step]:
    return {
        "open": lambda connection, now: connection.open(now),
        "receive junk": lambda connection, now: connection.receive(b"\xc0\x00\x00\x00\x01\x08" + bytes(1_194), now),
        "receive short": lambda connection, now: connection.receive(b"\x40" + bytes(40), now),
        "send_datagram": lambda connection, now: connection.send_datagram(b"x" * 80, now),
        "send_datagram long": lambda connection, now: connection.send_datagram(b"x" * 5_000, now),
        "send_stream": lambda connection, now: connection.send_stream(b"hello"),
        "advance": lambda connection, now: connection.advance(now),
        "datagrams_to_send": lambda connection, now: connection.datagrams_to_send(now),
        "events": lambda connection, now: connection.events(),
        "close": lambda connection, now: connection.close(0, "over"),
    }


def _advance(connection: PeerConnection, now: float) -> list[bytes]:
    connection.advance(now)
    connection.events()
    return connection.datagrams_to_send(now)


PEER = Subject(
    PeerConnection,
    lambda now: PeerConnection.caller(identity(2).certificate, admission_token("0" * 32)),
    _peer_steps(),
    _peers_end,
    fire=_advance,
)

# -- the link --------------------------------------------------------------------------------------------------------

_LINK = tl.LinkConfig("caller", "0" * 32, identity(1), identity(2).key, identity(2).certificate, ACCESS)


def _channel(now: float) -> PeerChannel:
    channel = PeerChannel()
    channel.connection = PeerConnection.caller(identity(2).certificate, admission_token("0" * 32))
    return channel


def _channel_ends(run: Run) -> None:
    run.machine.close(0, "over")
    run.machine.packets(run.clock.now)
    run.wait(60.0)
    assert run.due is None or run.due > run.clock.now


CHANNEL = Subject(
    PeerChannel,
    _channel,
    {
        "open": lambda channel, now: channel.open(now),
        "received": lambda channel, now: channel.received(b"\x40" + bytes(40), now),
        "packets": lambda channel, now: channel.packets(now),
        "send": lambda channel, now: channel.send(call_messages.Accept()),
        "send_flow": lambda channel, now: channel.send_flow(EchoRequest(1), now),
        "send_report": lambda channel, now: channel.send_report(call_messages.PathSilent(1, 60.0), now),
        "advance": lambda channel, now: channel.advance(now),
        "close": lambda channel, now: channel.close(0, "over"),
    },
    _channel_ends,
    fire=lambda channel, now: (channel.advance(now), channel.packets(now)),
)


class _SmallAgent:
    """Opens a socket, finds a path with it, and closes at the end what it opened and has not handed over."""

    def __init__(self, config: AgentConfig, rng: random.Random) -> None:
        self._config = config
        self._opened: list[int] = []

    def handle(self, event: te.AgentEvent, now: float) -> list[te.AgentCommand]:
        match event:
            case te.Begin() | te.PathLost():
                self._opened.append(self._config.new_socket())
                return [OpenSocket(self._opened[-1], "0.0.0.0", FAR)]
            case SocketOpened(socket, local) if socket in self._opened:
                self._opened.remove(socket)
                return [te.DirectFound(socket, local, FAR, "punch", 0.05, CHECK_KEYS, 1, local)]
            case te.Stop():
                opened, self._opened = self._opened, []
                return [CloseSocket(socket) for socket in opened]
            case _:
                return []

    def next_deadline(self) -> None:
        return None

    def phases(self) -> tuple[te.PhaseStatus, ...]:
        return ()

    def path_closed(self, socket: int) -> None:
        assert socket not in self._opened


CHECK_KEYS = CheckKeys(Credentials("A" * 8, "p" * 24), Credentials("B" * 8, "q" * 24), stun.IceRole.CONTROLLING, 1)


class _KnownRoutes(Routes):
    """Routes whose commands can be seen."""

    __slots__ = ("commands",)

    def __init__(self) -> None:
        self.commands: list[Any] = []
        super().__init__(_LINK, random.Random(1), _SmallAgent, self.commands)


def _routes(now: float) -> _KnownRoutes:
    routes = _KnownRoutes()
    routes.paths.open(now)
    return routes


def _routes_end(run: Run) -> None:
    run.do(lambda routes, now: routes.traverse(te.Stop("over"), now))
    run.do(lambda routes, now: routes.take(now))
    commands = run.machine.commands
    opened = [command.socket for command in commands if isinstance(command, OpenSocket)]
    closed = [command.socket for command in commands if isinstance(command, CloseSocket)]
    # Every socket that was opened is closed, or is a path's.
    assert len(set(opened)) == len(opened) and len(set(closed)) == len(closed)
    assert set(run.machine.paths.owners) <= set(opened) - set(closed)


ROUTES = Subject(
    Routes,
    _routes,
    {
        **{
            f"received {number}": step(lambda routes, now, event: routes.received(event, now), event)
            for number, event in enumerate(
                DatagramReceived(socket, source, data)
                for socket, source in ((0, RELAY), (1, FAR), (9, HERE))
                for data in (b"\x40" * 50, b"\x01\x01" + bytes(30), b"\xff")
            )
        },
        **{
            f"socket_changed {number}": step(lambda routes, now, event: routes.socket_changed(event, now), event)
            for number, event in enumerate(
                (SocketOpened(0, HERE), SocketOpened(1, HERE), SocketFailed(0, "down"), SocketFailed(1, "down"))
            )
        },
        "interfaces_changed": lambda routes, now: routes.interfaces_changed(
            InterfacesChanged((HostAddress("203.0.113.77", 24),)), now
        ),
        "echo_answered": lambda routes, now: routes.echo_answered(1, now),
        "traverse": lambda routes, now: routes.traverse(te.Begin(), now),
        "take": lambda routes, now: routes.take(now),
    },
    _routes_end,
    fire=lambda routes, now: (routes.paths.timer(now), routes.take(now)),
)


def _link_ends(run: Run) -> None:
    run.do(on(tl.Close(call_messages.Bye())))
    run.wait(2.0)
    assert run.due is None
    assert [type(command) for command in run.commands].count(tl.LinkEnded) == 1
    assert isinstance(run.commands[-1], tl.LinkEnded)
    assert run.do(on(tl.Open())) == []


LINK = Subject(
    Link,
    lambda now: Link(_LINK, random.Random(1)),
    each(
        tl.Open(),
        SocketOpened(0, HERE),
        SocketOpened(1, HERE),
        SocketFailed(0, "down"),
        DatagramReceived(0, RELAY, b"\x40" * 60),
        DatagramReceived(0, RELAY, b"\x01\x01" + bytes(30)),
        DatagramReceived(0, HERE, b""),
        tl.SendMedia(b"x" * 80),
        tl.SendPeerMessage(call_messages.Muted(True)),
        tl.SendPeerMessage(call_messages.Bye()),
        tl.SendPeerMessage(call_messages.Proven()),
        tl.Close(call_messages.Bye()),
        tl.LegReplaced(OTHER_ACCESS),
        tl.CallAnswered(),
        InterfacesChanged((HostAddress(HERE[0], 24),)),
        InterfacesChanged((HostAddress("203.0.113.77", 24),)),
        PortMappingsChanged((MappedPort(25_000, ("198.51.100.7", 25_000), "upnp", 9_000.0, True),)),
        TimerFired(),
    ),
    _link_ends,
    fire=on(TimerFired()),
    events=tl.Event,
)

SUBJECTS = (
    CALL, SESSION, ENGINE, RATES, STREAM, JITTER, LEGS, LIMITER, CALLS, ROUTER, LEG, MANAGER, ECHOES, REPORTS,
    MULTIPATH, PEER, CHANNEL, ROUTES, LINK,
)  # fmt: skip
