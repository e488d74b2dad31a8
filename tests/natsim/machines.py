"""Every deciding part of the product, ready to be tried: how to make it, what can happen to it, and its way out."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app import call_events as ev
from app.call import Call
from media.adaptation import RateControl, Reported
from media.adaptation import Tick as RateTick
from media.jitter import JitterBuffer, Silence
from media.rtp import RtpPacket
from media.stream_state import (
    Opened,
    OpenFailed,
    Status,
    StreamMachine,
    Unwant,
    Vanished,
    Want,
)
from media.stream_state import Tick as StreamTick
from relay import events as rv
from relay.calls import NO_ANSWER_S, CallTable
from relay.legs import IDLE_S, LegTable
from relay.limits import Limiter, RelayLimits
from tests.natsim.call import identity
from tests.natsim.clock import Timer, VirtualClock
from tests.natsim.driver import TICK_S
from tests.unit.relay.people import authenticate, call_id, person
from tests.unit.relay.world import NAMES, World
from transport import link as tl
from transport.path import leg as pl
from transport.path import manager as pm
from transport.path.carriage import Carriage
from transport.path.echo import Echoes
from transport.path.sockets import CloseSocket, DatagramReceived, OpenSocket, SocketFailed, SocketOpened
from transport.proof import admission_token
from transport.quic.peer import PeerConnection
from transport.wire import control, peer, stun

RELAY = ("192.0.2.1", 7851)
HERE = ("198.51.100.1", 40_000)
ACCESS = pl.LegAccess(RELAY, "username-of-a-leg", "password-of-a-leg")
OTHER_ACCESS = pl.LegAccess(("2001:db8::1", 7851), "username-of-another", "password-of-another")
ANN = control.Person("ann", "", identity(1).key, identity(1).certificate)
GRANT = control.Leg("username-of-a-leg", "password-of-a-leg", 7851, 60.0)
MAX_FIRES_PER_INSTANT = 3
"""What one moment may take: nothing here needs a second look at the same instant, let alone a fourth."""

Step = Callable[[Any, float], Any]


@dataclass(frozen=True)
class Subject:
    """One machine. ``inner`` finds it in what ``make(now)`` returns; ``fire`` is its timer; ``settle(run)`` leads it
    out of whatever state it is in, and asserts that it is out. ``events`` is the union that ``steps`` must cover, for
    machines with ``handle``; the others have a step for each method that is told the time, but for those in ``once``,
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
        self.said: list[Any] = []
        self._timer: Timer | None = None
        self._fired: tuple[float, int] = (0.0, 0)
        self._arm()

    @property
    def machine(self) -> Any:
        return self.subject.inner(self.made)

    @property
    def due(self) -> float | None:
        return self.subject.deadline(self.machine)

    def step(self, name: str) -> Any:
        return self.do(self.subject.steps[name])

    def do(self, step: Step) -> Any:
        said = step(self.made, self.clock.now)
        if isinstance(said, list):
            self.said += said
        self._arm()
        return said

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
    # A call that was never begun has nothing to end; every other one is over, told once, with no timer left.
    begun = run.machine.view.call_id != ""
    assert run.machine.finished == begun
    assert sum(isinstance(said, ev.Finished) for said in run.said) == int(begun)
    assert run.due is None


CALL = Subject(
    Call,
    lambda now: Call(),
    each(
        ev.Placed("a" * 32, "bob@relay.example", "bob"),
        ev.RelayReady(),
        ev.RelayFailed("relay-unreachable"),
        ev.CalleeFound(ANN, GRANT, "unknown"),
        ev.CalleeFound(ANN, GRANT, "changed"),
        ev.InviteRefused("limit", "too many"),
        ev.CallArrived("b" * 32, "ann@relay.example", ANN, GRANT, "unknown", False),
        ev.CallArrived("b" * 32, "ann@relay.example", ANN, GRANT, "changed", False),
        ev.CallArrived("b" * 32, "ann@relay.example", ANN, GRANT, "unknown", True),
        ev.RemoteRings(),
        ev.RelayEnded("busy"),
        ev.UserAnswered(),
        ev.UserDeclined(),
        ev.UserHungUp(),
        ev.UserMuted(True),
        ev.UserMuted(False),
        ev.KeyAccepted("verified"),
        ev.LinkProven("ann@relay.example"),
        ev.PeerSaid(peer.Accept()),
        ev.PeerSaid(peer.Muted(True)),
        ev.PeerSaid(peer.Bye("busy")),
        ev.LinkSilent(),
        ev.LinkBack(),
        ev.MediaBroken(),
        ev.LinkOver("lost"),
        ev.LinkOver("peer-left"),
        ev.TimerFired(),
    ),
    _call_ends,
    fire=on(ev.TimerFired()),
    events=ev.Event,
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
        RateTick(),
    ),
    _breaker_opens,
    fire=on(RateTick()),
    events=Reported | RateTick,
)


def _stream_closes_or_opens(run: Run) -> None:
    if run.machine.state.status in (Status.MISSING, Status.FAILED):
        run.wait(3.0)
        assert run.machine.state.status is Status.OPENING, "what has failed is tried again"
    run.do(on(Unwant()))
    assert run.machine.state.status is Status.CLOSED and run.due is None
    run.do(on(Want(None)))
    run.do(on(Opened("a headset")))
    assert run.machine.state.status is Status.RUNNING


STREAM = Subject(
    StreamMachine,
    lambda now: StreamMachine(),
    each(
        Want(None),
        Want("usb"),
        Unwant(),
        Opened("a headset"),
        OpenFailed("busy", missing=False),
        OpenFailed("gone", missing=True),
        Vanished("unplugged"),
        StreamTick(),
    ),
    _stream_closes_or_opens,
    fire=on(StreamTick()),
    events=Want | Unwant | Opened | OpenFailed | Vanished | StreamTick,
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
        f"push {number}": lambda buffer, now, packet=packet: buffer.push(packet, now)
        for number, packet in enumerate(packets)
    }


def _jitter_falls_silent(run: Run) -> None:
    run.machine.end()
    # All that can be held, and the longest gap that is not a restart.
    for _ in range(4_000):
        run.wait(0.02)
        if isinstance(run.machine.pull(run.clock.now), Silence):
            break
    assert isinstance(run.machine.pull(run.clock.now + 0.02), Silence)


JITTER = Subject(
    JitterBuffer,
    lambda now: JitterBuffer(),
    {**_packets(), "pull": lambda buffer, now: buffer.pull(now), "end": lambda buffer, now: buffer.end()},
    _jitter_falls_silent,
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
    assert call_id(1) in run.said, "a pair that nobody uses is named"
    for number in range(3):
        run.machine.destroy(call_id(number))
    assert len(run.machine) == 0 and run.due is None


LEGS = Subject(
    LegTable,
    lambda now: LegTable(RelayLimits().leg_packets),
    {
        **{f"create {n}": lambda legs, now, n=n: legs.create(call_id(n), *GRANTS, now) for n in (1, 2)},
        **{f"destroy {n}": lambda legs, now, n=n: legs.destroy(call_id(n)) for n in (0, 1, 2)},
        **{f"bind {g} {s} {n}": _bind(GRANTS[g], s, n) for g in (0, 1) for s in (0, 1) for n in (1, 2)},
        "bind wrong": _bind(rv.LegGrant(GRANTS[0].username, "wrong"), 0, 9),
        **{f"forward {s}": lambda legs, now, s=s: legs.forward(b"\x40" * 100, SOURCES[s], now) for s in (0, 1)},
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
        f"{name} {kind} {subject}": lambda limiter, now, name=name, kind=kind, subject=subject: getattr(limiter, name)(
            kind, subject, now
        )
        for name in ("take", "peek")
        for kind in ("session", "invite", "registration")
        for subject in ("198.51.100.1", "somebody else")
    },
    _limits_forgive,
)

KEYS = (identity(1).key, identity(2).key)
BOB = control.Person("bob", "", identity(2).key, identity(2).certificate)


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
    lambda now: CallTable(7851, 60.0, random.Random(1)),
    {
        **{f"invite {n}": lambda calls, now, n=n: _invite(calls, now, n) for n in (1, 2)},
        **{
            f"message {type(said).__name__} of {who}": lambda calls, now, said=said, who=who: calls.message(
                KEYS[who], said, now
            )
            for said in (
                control.Ring(call_id(1)),
                control.Answer(call_id(1)),
                control.Decline(call_id(1)),
                control.HangUp(call_id(1)),
            )
            for who in (0, 1)
        },
        "came": lambda calls, now: calls.came(KEYS[0]),
        "went 0": lambda calls, now: calls.went(KEYS[0], now),
        "went 1": lambda calls, now: calls.went(KEYS[1], now),
        "end": lambda calls, now: [
            said for call in calls.of_key(KEYS[0])[:1] for said in calls.end(call, "failed", "", list(KEYS), now)
        ],
        **{
            f"resume {who}": lambda calls, now, who=who: calls.resume(
                call_id(3), (ANN, BOB)[who], KEYS[1 - who], now
            )
            for who in (0, 1)
        },
        "resume wrong": lambda calls, now: calls.resume(call_id(3), ANN, KEYS[0], now),
        "end_all": lambda calls, now: calls.end_all("draining", "", now),
        "tick": lambda calls, now: calls.tick(now),
    },
    _calls_end,
    fire=lambda calls, now: calls.tick(now),
)


def _tell_router(event: rv.RouterEvent) -> Step:
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
        challenges = [said for said in world.sent.get(session, []) if isinstance(said, control.Challenge)]
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
        run.do(_tell_router(rv.DrainRequested(0.0)))
    assert world.stopped and not world.legs and run.due is None and world.router.session_count == 0


_SAID_TO_ROUTER = (
    control.Invite(call_id(1), "bob"),
    control.Invite(call_id(2), "ann"),
    control.Invite(call_id(2), "cy"),
    control.Ring(call_id(1)),
    control.Answer(call_id(1)),
    control.Decline(call_id(1)),
    control.HangUp(call_id(1)),
    control.Resume(call_id(1), person(NAMES["bob"]).key),
    control.Resume(call_id(1), person(NAMES["ann"]).key),
    control.Watch(["ann", "bob"]),
    control.Lookup(1, "ann"),
    control.Ping(1),
)
ROUTER = Subject(
    type(World().router),
    lambda now: World(),
    {
        **{f"log in {name}": _log_in(name) for name in ("ann", "bob")},
        **{
            f"{type(said).__name__} {number} of {session}": _tell_router(rv.MessageArrived(session, said))
            for number, said in enumerate(_SAID_TO_ROUTER)
            for session in (1, 2)
        },
        **{
            f"{number} {type(event).__name__}": _tell_router(event)
            for number, event in enumerate(
                (
                    rv.GarbageArrived(1, "no message"),
                    rv.SessionClosed(1),
                    rv.SessionClosed(2),
                    rv.NameStored(1, ""),
                    rv.LegsIdle(call_id(1)),
                    rv.TimerFired(),
                )
            )
        },
        "drain": _tell_router(rv.DrainRequested(30.0)),
        "open": _open_session(),
    },
    _router_stops,
    fire=_tell_router(rv.TimerFired()),
    events=rv.RouterEvent,
    inner=lambda world: world.router,
)

# -- transport -------------------------------------------------------------------------------------------------------


def _stun_answer(machine: Any, now: float) -> Any:
    """The relay answers the newest request, as it would."""
    answer = machine.answer()
    return machine.handle(pl.StunArrived(answer), now) if answer is not None else []


class _KnownLeg(pl.RelayLeg):
    """A leg whose requests can be answered."""

    __slots__ = ("requests",)

    def __init__(self, access: pl.LegAccess) -> None:
        super().__init__(access, random.Random(1))
        self.requests: list[bytes] = []

    def handle(self, event: pl.LegEvent, now: float) -> list[pl.LegCommand]:
        commands = super().handle(event, now)
        self.requests += [command.data for command in commands if isinstance(command, pl.SendToRelay)]
        return commands

    def answer(self) -> bytes | None:
        if not self.requests:
            return None
        request = stun.parse(self.requests[-1])
        access = next(access for access in (ACCESS, OTHER_ACCESS) if access.username == request.username)
        return stun.binding_success(request, HERE, access.password)

    def refusal(self) -> bytes | None:
        if not self.requests:
            return None
        return stun.binding_error(stun.parse(self.requests[-1]), stun.UNAUTHENTICATED, "Unauthenticated")


def _stun_refusal(machine: _KnownLeg, now: float) -> Any:
    refusal = machine.refusal()
    return machine.handle(pl.StunArrived(refusal), now) if refusal is not None else []


def _leg_binds(run: Run) -> None:
    run.do(on(pl.StartBinding()))
    run.do(_stun_answer)
    assert run.machine.state is pl.LegState.BOUND
    run.do(on(pl.StopLeg()))
    assert run.machine.state is pl.LegState.CLOSED and run.due is None


LEG = Subject(
    pl.RelayLeg,
    lambda now: _KnownLeg(ACCESS),
    {
        **each(
            pl.StartBinding(),
            pl.CheckBinding(),
            pl.ReplaceGrant(OTHER_ACCESS),
            pl.StunArrived(b"\x01\x01" + bytes(30)),
            pl.LegTimer(),
            pl.StopLeg(),
        ),
        "answered": _stun_answer,
        "refused": _stun_refusal,
    },
    _leg_binds,
    fire=on(pl.LegTimer()),
    events=pl.LegEvent,
)


def _a_path_carries(run: Run) -> None:
    added = pm.AddPath(0, "relay", "relay", RELAY)
    for event in (pm.PathClosed(1), added, pm.PathClosed(0), pm.PathOpened(0, HERE), pm.PathValidated(0)):
        run.do(on(event))
    run.do(on(pm.Heard(0)))
    assert run.machine.carriers and run.machine.silent_since is None
    run.wait(30.0)
    # Nobody is heard: it says so, goes on sending, and asks the first hop for as long as it lasts.
    assert run.machine.carriers and run.machine.silent_since is not None
    for path in (0, 1):
        run.do(on(pm.PathClosed(path)))
    assert not run.machine.carriers


MANAGER = Subject(
    pm.PathManager,
    lambda now: pm.PathManager(),
    each(
        *(
            event
            for path in (0, 1)
            for event in (
                pm.AddPath(path, "relay", "relay", RELAY),
                pm.PathOpened(path, HERE),
                pm.PathClosed(path),
                pm.PathMoved(path, RELAY),
                pm.PathValidated(path),
                pm.PathRefuted(path),
                pm.Heard(path),
            )
        ),
        pm.Heard(7),
        pm.PathTimer(),
    ),
    _a_path_carries,
    fire=on(pm.PathTimer()),
    events=pm.ManagerEvent,
)


def _echoes_stop(run: Run) -> None:
    run.machine.stop()
    assert run.due is None
    run.do(lambda echoes, now: echoes.start(now))
    assert run.due is not None
    run.machine.stop()


ECHOES = Subject(
    Echoes,
    lambda now: Echoes(),
    {
        "start": lambda echoes, now: echoes.start(now),
        "stop": lambda echoes, now: echoes.stop(),
        "sent": lambda echoes, now: echoes.sent(now),
        "request": lambda echoes, now: echoes.request(0, now),
        **{f"answered {n}": lambda echoes, now, n=n: echoes.answered(n, now) for n in (1, 2, 99)},
    },
    _echoes_stop,
    fire=lambda echoes, now: echoes.request(0, now),
)


def _carriage(now: float) -> Carriage:
    carriage = Carriage(ACCESS, random.Random(1))
    carriage.open(now)
    return carriage


def _socket(make: Callable[[int], Any], method: str, which: int) -> Step:
    return lambda carriage, now: getattr(carriage, method)(make((*carriage.sockets, 77)[which]), now)


def _carriage_returns(run: Run) -> None:
    run.wait(3.0)
    assert run.machine.sockets, "a socket that has died is opened again"
    opened = [said.socket for said in run.said if isinstance(said, OpenSocket)]
    closed = [said.socket for said in run.said if isinstance(said, CloseSocket)]
    assert len(set(opened)) == len(opened) and set(closed) <= {0, *opened}


CARRIAGE = Subject(
    Carriage,
    _carriage,
    {
        **{f"opened {n}": _socket(lambda number: SocketOpened(number, HERE), "opened", n) for n in (0, -1)},
        **{f"failed {n}": _socket(lambda number: SocketFailed(number, "down"), "failed", n) for n in (0, -1)},
        "replace_leg": lambda carriage, now: carriage.replace_leg(ACCESS, now),
        "replace_leg other": lambda carriage, now: carriage.replace_leg(OTHER_ACCESS, now),
        "replace_leg nowhere": lambda carriage, now: carriage.replace_leg(
            pl.LegAccess(("relay.example", 1), "username", "password"), now
        ),
        "arrived": _socket(lambda number: DatagramReceived(number, RELAY, b"\x40" * 50), "arrived", 0),
        "arrived stun": _socket(lambda number: DatagramReceived(number, RELAY, b"\x01\x01" + bytes(30)), "arrived", 0),
        "arrived strange": _socket(lambda number: DatagramReceived(number, HERE, b"\xff"), "arrived", 0),
        "heard": lambda carriage, now: carriage.heard(0, now),
        "send": lambda carriage, now: carriage.send(b"\x40" * 50),
        "timer": lambda carriage, now: carriage.timer(now),
    },
    _carriage_returns,
    fire=lambda carriage, now: carriage.timer(now),
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

_LINK = tl.LinkConfig(
    "caller", "0" * 32, identity(1), identity(2).key, identity(2).certificate, "ann@relay.example", ACCESS
)


def _link_ends(run: Run) -> None:
    run.do(on(tl.Close(peer.Bye())))
    run.wait(2.0)
    assert run.due is None
    assert [type(said) for said in run.said].count(tl.LinkEnded) == 1
    assert isinstance(run.said[-1], tl.LinkEnded)
    assert run.do(on(tl.Open())) == []


LINK = Subject(
    tl.Link,
    lambda now: tl.Link(_LINK, random.Random(1)),
    each(
        tl.Open(),
        tl.SocketOpened(0, HERE),
        tl.SocketOpened(1, HERE),
        tl.SocketFailed(0, "down"),
        tl.DatagramReceived(0, RELAY, b"\x40" * 60),
        tl.DatagramReceived(0, RELAY, b"\x01\x01" + bytes(30)),
        tl.DatagramReceived(0, HERE, b""),
        tl.SendMedia(b"x" * 80),
        tl.SendMessage(peer.Muted(True)),
        tl.SendMessage(peer.Bye()),
        tl.SendMessage(peer.Proven()),
        tl.Close(peer.Bye()),
        tl.LegReplaced(OTHER_ACCESS),
        tl.TimerFired(),
    ),
    _link_ends,
    fire=on(tl.TimerFired()),
    events=tl.Event,
)

SUBJECTS = (
    CALL, RATES, STREAM, JITTER, LEGS, LIMITER, CALLS, ROUTER, LEG, MANAGER, ECHOES, CARRIAGE, PEER, LINK,
)  # fmt: skip
