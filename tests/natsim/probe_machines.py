"""The hard phases' machines for ``test_all_machines.py``: each technique, from each side."""

import random

from tests.natsim.machines import Run, Step, Subject, each, on
from tests.natsim.traversal_machines import (
    HOSTS,
    LISTED,
    LOCAL,
    OUTSIDE,
    PEER,
    RUBBISH,
    STUN,
    THEIRS,
    Technique,
    arrives,
    calls,
    maps,
    technique_stops,
)
from transport.ice.candidates import useful_hosts
from transport.ice.pacing import MAX_SOCKETS, HostLimits
from transport.nat.mapping_lifetime import (
    SILENCES_S,
    LifetimeEvent,
    LifetimeMeasured,
    MappingLifetimeProbe,
    StartLifetimeProbe,
    StopLifetimeProbe,
)
from transport.nat.profile import Allocation, Filtering, Mapping, NatProfile
from transport.net.machine import TimerFired
from transport.net.sockets import Address, DatagramReceived, OpenSocket, SocketFailed, SocketOpened
from transport.traversal.agent import TECHNIQUES
from transport.traversal.attempt import Attempt
from transport.traversal.context import TraversalContext
from transport.traversal.probe_technique import ProbeTechnique
from transport.traversal.round import Round, RoundPlan, State
from transport.traversal.technique import TechniqueRun, TechniqueSpec
from transport.wire import stun
from transport.wire.call_messages import Candidates, Connect, ConnectAck, Sync
from transport.wire.stun import IceRole

_, PREDICTION, BIRTHDAY, BLOCKS = TECHNIQUES
_APDM, _ADM = Mapping.ADDRESS_AND_PORT_DEPENDENT, Mapping.ADDRESS_DEPENDENT
_STRICT = Filtering.ADDRESS_AND_PORT_DEPENDENT
FIXED = NatProfile(Mapping.ENDPOINT_INDEPENDENT, _STRICT, Allocation.PRESERVING, reflexive=OUTSIDE)
COUNTED = NatProfile(_APDM, _STRICT, Allocation.SEQUENTIAL, 1, reflexive=OUTSIDE)
PINNED = NatProfile(_ADM, _STRICT, Allocation.SEQUENTIAL, -2, reflexive=OUTSIDE)
RANDOM = NatProfile(_APDM, _STRICT, Allocation.RANDOM, reflexive=OUTSIDE)
BLOCK = NatProfile(_APDM, _STRICT, Allocation.BLOCK, block=(2_048, 3_000), reflexive=OUTSIDE)
SIDES: tuple[tuple[TechniqueSpec, NatProfile, NatProfile], ...] = (
    (PREDICTION, FIXED, COUNTED),
    (PREDICTION, COUNTED, FIXED),
    (PREDICTION, COUNTED, COUNTED),
    (PREDICTION, PINNED, PINNED),
    (BIRTHDAY, FIXED, RANDOM),
    (BIRTHDAY, RANDOM, FIXED),
    (BIRTHDAY, BLOCK, FIXED),
    (BIRTHDAY, FIXED, BLOCK),
    (BIRTHDAY, PINNED, RANDOM),
    (BLOCKS, BLOCK, BLOCK),
)


def a_context(local: NatProfile, remote: NatProfile, role: IceRole, limits: HostLimits) -> TraversalContext:
    """What the techniques of a call between such NATs know."""
    context = TraversalContext(
        role, STUN, useful_hosts(HOSTS), iter(range(10**9)).__next__, random.Random(1), True, local, remote
    )
    context.peer_public, context.limits = (PEER,), limits
    # What takes minutes is tried as well.
    context.try_harder = context.peer_tries_harder = True
    return context


def _candidates(number: int) -> Candidates:
    return Candidates(number, THEIRS.ufrag, THEIRS.password, LISTED)


def _answer(source: Address) -> bytes:
    return stun.binding_success(stun.parse(stun.binding_request(b"x" * 12)), source)


def _happens(first: int) -> dict[str, Step]:
    """What can happen to a technique whose first round has this number, its sockets' events aside."""
    messages = [
        *(_candidates(number) for number in (0, first, first + 1, 65_535)),
        *(kind(first) for kind in (Connect, ConnectAck, Sync)),
    ]
    return {**{f"message {n}": calls("message", each) for n, each in enumerate(messages)}, "timer": calls("timer")}


def _socket_events() -> dict[str, Step]:
    events: tuple[SocketOpened | SocketFailed | DatagramReceived, ...] = (
        *(SocketOpened(socket, LOCAL) for socket in range(6)),
        *(SocketFailed(socket, "gone") for socket in (0, 2)),
        *(
            DatagramReceived(socket, source, data)
            for socket in (0, 1)
            for source in (STUN[0], PEER)
            for data in RUBBISH
        ),
        DatagramReceived(0, STUN[0], _answer(OUTSIDE)),
    )
    return {f"{type(event).__name__} {n}": arrives(event) for n, event in enumerate(events)}


def _run(spec: TechniqueSpec, local: NatProfile, remote: NatProfile, role: IceRole) -> Subject:
    limits: list[HostLimits] = []

    def make(now: float) -> ProbeTechnique:
        limits.append(HostLimits())
        made = ProbeTechnique(spec, a_context(local, remote, role, limits[-1]), 0, lambda run, found, now: None)
        made.start(now, may_send=True)
        return made

    def ends(run: Run) -> None:
        technique_stops(run)
        assert limits[-1].sockets == 0, "every socket is given back"
        assert limits[-1].acquire("the next one")

    return Subject(
        TechniqueRun,
        make,
        {**_happens(spec.first), **_socket_events(), "permit": calls("permit"), "ports_mapped": maps(())},
        ends,
        fire=calls("timer"),
        once=frozenset({"start", "stop", "take"}),
    )


def _round(spec: TechniqueSpec, local: NatProfile, remote: NatProfile) -> Subject:
    limits: list[HostLimits] = []

    def make(now: float) -> Round:
        limits.append(HostLimits())
        assert spec.make_round is not None
        context = a_context(local, remote, IceRole.CONTROLLING, limits[-1])
        made = spec.make_round(RoundPlan(context, 1, Technique(), spec.budget))
        made.begin(now)
        return made

    def ends(run: Run) -> None:
        for _ in range(2 + int(spec.budget.seconds)):
            run.wait(1.0)
        assert run.machine.state is State.DONE and run.due is None
        assert limits[-1].sockets == 0 and run.machine.opened_sockets <= 4 * MAX_SOCKETS

    steps = {**_happens(1), **_socket_events(), "stop": lambda machine, now: machine.stop()}
    once = frozenset({"begin", "opened", "failed", "received"})
    return Subject(Round, make, steps, ends, fire=calls("timer"), once=once)


def _attempt(now: float) -> Attempt:
    context = a_context(FIXED, RANDOM, IceRole.CONTROLLED, HostLimits())
    attempt = Attempt(0, TECHNIQUES, context, lambda found, now: None)
    attempt.start(now, may_send=False)
    return attempt


def _then_advances(step: Step) -> Step:
    def both(attempt: Attempt, now: float) -> None:
        step(attempt, now)
        attempt.advance(now)

    return both


def _attempt_stops(run: Run) -> None:
    run.do(lambda attempt, now: attempt.stop("over", now))
    assert run.due is None and all(status.ended is not None for status in run.machine.statuses)


ATTEMPT = Subject(
    Attempt,
    _attempt,
    {
        name: _then_advances(step)
        for name, step in {
            **_happens(4),
            **{f"{name} later": step for name, step in _happens(8).items()},
            **_socket_events(),
            "permit": calls("permit"),
            "ports_mapped": maps(()),
            "relay_trouble": calls("relay_trouble"),
            "advance": calls("advance"),
        }.items()
    },
    _attempt_stops,
    fire=_then_advances(calls("timer")),
    once=frozenset({"start", "stop"}),
)


def _life_ends(run: Run) -> None:
    run.do(on(StartLifetimeProbe(STUN)))
    opened = [command.socket for command in run.commands if isinstance(command, OpenSocket)][-len(SILENCES_S) :]
    for socket in opened:
        run.do(on(SocketOpened(socket, LOCAL)))
    run.wait(10.0)
    assert isinstance(run.commands[-1], LifetimeMeasured) and run.due is None, "nobody has answered"
    run.do(on(StopLifetimeProbe()))


def _life(now: float) -> MappingLifetimeProbe:
    numbers = iter(range(10**9))
    return MappingLifetimeProbe(lambda: next(numbers), random.Random(1))


LIFE = Subject(
    MappingLifetimeProbe,
    _life,
    each(
        StartLifetimeProbe(STUN),
        StartLifetimeProbe(()),
        StopLifetimeProbe(),
        TimerFired(),
        *(SocketOpened(socket, LOCAL) for socket in range(6)),
        *(SocketFailed(socket, "gone") for socket in (0, 2)),
        *(DatagramReceived(socket, STUN[0], data) for socket in (0, 1) for data in RUBBISH),
    ),
    _life_ends,
    fire=on(TimerFired()),
    events=LifetimeEvent,
)

PROBE_SUBJECTS = (
    ATTEMPT,
    LIFE,
    *(_run(spec, local, remote, role) for spec, local, remote in SIDES for role in IceRole),
    *(_round(*side) for side in SIDES),
)
