"""The hard phases' machines for ``test_all_machines.py``: each technique, from each side."""

import random
from collections.abc import Callable

from tests.natsim.machines import Run, Step, Subject, each, on
from tests.natsim.traverse_machines import HOSTS, LISTED, LOCAL, OUTSIDE, PEER, RUBBISH, STUN, THEIRS
from transport.ice.candidates import useful_hosts
from transport.ice.pacing import MAX_SOCKETS, HostLimits
from transport.nat.compatibility import strategy
from transport.nat.mapping_lifetime import (
    SILENCES_S,
    LifetimeEvent,
    LifetimeMeasured,
    LifeTimer,
    MappingLifetimeProbe,
    StartLifetimeProbe,
    StopLifetimeProbe,
)
from transport.nat.profile import Allocation, Filtering, Mapping, NatProfile
from transport.net.sockets import Address, DatagramReceived, OpenSocket, SocketFailed, SocketOpened
from transport.traversal import birthday, block_search, port_prediction
from transport.traversal.agent import PHASES
from transport.traversal.attempt import Attempt
from transport.traversal.context import TraversalContext
from transport.traversal.events import PortMappingsChanged, TraversalMessageReceived
from transport.traversal.hard_phase import HardKind, ProbeTechnique
from transport.traversal.probe_round import ProbePlan, ProbeRound
from transport.traversal.technique import PhaseEvent, PhaseTimer
from transport.wire import stun
from transport.wire.call_messages import Candidates, Connect, ConnectAck, Sync
from transport.wire.stun import IceRole

_APDM, _ADM = Mapping.ADDRESS_AND_PORT_DEPENDENT, Mapping.ADDRESS_DEPENDENT
_STRICT = Filtering.ADDRESS_AND_PORT_DEPENDENT
FIXED = NatProfile(Mapping.ENDPOINT_INDEPENDENT, _STRICT, Allocation.PRESERVING, reflexive=OUTSIDE)
COUNTED = NatProfile(_APDM, _STRICT, Allocation.SEQUENTIAL, 1, reflexive=OUTSIDE)
PINNED = NatProfile(_ADM, _STRICT, Allocation.SEQUENTIAL, -2, reflexive=OUTSIDE)
RANDOM = NatProfile(_APDM, _STRICT, Allocation.RANDOM, reflexive=OUTSIDE)
BLOCK = NatProfile(_APDM, _STRICT, Allocation.BLOCK, block=(2_048, 3_000), reflexive=OUTSIDE)
SIDES: tuple[tuple[HardKind, NatProfile, NatProfile], ...] = (
    (port_prediction.KIND, FIXED, COUNTED),
    (port_prediction.KIND, COUNTED, FIXED),
    (port_prediction.KIND, COUNTED, COUNTED),
    (port_prediction.KIND, PINNED, PINNED),
    (birthday.KIND, FIXED, RANDOM),
    (birthday.KIND, RANDOM, FIXED),
    (birthday.KIND, BLOCK, FIXED),
    (birthday.KIND, FIXED, BLOCK),
    (birthday.KIND, PINNED, RANDOM),
    (block_search.KIND, BLOCK, BLOCK),
)


def knowledge(local: NatProfile, remote: NatProfile, role: IceRole, allowance: HostLimits) -> TraversalContext:
    """What the phases of a call between such NATs know."""
    numbers = iter(range(10**9))
    know = TraversalContext(
        role, STUN, useful_hosts(HOSTS), lambda: next(numbers), random.Random(1), True, local, remote
    )
    know.peer_public, know.allowance = (PEER,), allowance
    return know


def _candidates(number: int) -> Candidates:
    return Candidates(number, THEIRS.ufrag, THEIRS.password, LISTED)


def _answer(source: Address) -> bytes:
    return stun.binding_success(stun.parse(stun.binding_request(b"x" * 12)), source)


def _happens(first: int) -> list[PhaseEvent]:
    """What can happen to a phase whose first round has this number."""
    return [
        PhaseTimer(),
        *(TraversalMessageReceived(_candidates(number)) for number in (0, first, first + 1, 65_535)),
        *(TraversalMessageReceived(kind(first)) for kind in (Connect, ConnectAck, Sync)),
        *(SocketOpened(socket, LOCAL) for socket in range(6)),
        *(SocketFailed(socket, "gone") for socket in (0, 2)),
        PortMappingsChanged(()),
        *(
            DatagramReceived(socket, source, data)
            for socket in (0, 1)
            for source in (STUN[0], PEER)
            for data in RUBBISH
        ),
        DatagramReceived(0, STUN[0], _answer(OUTSIDE)),
    ]


def _phase(kind: HardKind, local: NatProfile, remote: NatProfile, role: IceRole) -> Subject:
    allowances: list[HostLimits] = []

    def make(now: float) -> ProbeTechnique:
        allowances.append(HostLimits())
        phase = ProbeTechnique(kind, knowledge(local, remote, role, allowances[-1]), 0)
        phase.start(now, may_tell=True)
        return phase

    def ends(run: Run) -> None:
        run.do(lambda phase, now: phase.stop("over", now))
        assert run.due is None and run.machine.status.ended is not None
        assert allowances[-1].sockets == 0, "every socket is given back"
        assert allowances[-1].take_turn("the next one")

    return Subject(
        ProbeTechnique,
        make,
        {**each(*_happens(kind.first)), "permit": lambda phase, now: phase.permit(now)},
        ends,
        fire=on(PhaseTimer()),
        events=PhaseEvent,
    )


def _plan(kind: HardKind, local: NatProfile, remote: NatProfile, allowance: HostLimits) -> ProbePlan:
    know = knowledge(local, remote, IceRole.CONTROLLING, allowance)
    stuns = tuple(server for server in STUN if ":" not in server[0])
    both = strategy(local, remote, try_harder=True)
    return ProbePlan(
        1, know.role, both, local, remote, stuns, know.hosts, (PEER,), kind.budget, allowance, know.new_socket
    )


def _step(method: str, *arguments: object) -> Step:
    return lambda machine, now: getattr(machine, method)(*arguments, now)


def _round(kind: HardKind, local: NatProfile, remote: NatProfile) -> Subject:
    allowances: list[HostLimits] = []

    def make(now: float) -> ProbeRound:
        allowances.append(HostLimits())
        made = kind.make(_plan(kind, local, remote, allowances[-1]), random.Random(1))
        made.begin(now)
        return made

    def ends(run: Run) -> None:
        for _ in range(2 + int(kind.budget.seconds)):
            run.wait(1.0)
        assert run.machine.over and run.due is None
        assert allowances[-1].sockets == 0 and run.machine.opened_sockets <= 4 * MAX_SOCKETS

    happens = _happens(1)
    steps: dict[str, Step] = {"timer": _step("timer"), "stop": lambda machine, now: machine.stop()}
    methods: dict[type, Callable[[PhaseEvent], Step]] = {
        SocketOpened: lambda event: _step("opened", event),
        SocketFailed: lambda event: _step("failed", event),
        DatagramReceived: lambda event: _step("received", event),
        TraversalMessageReceived: lambda event: _step(
            "said", event.message if isinstance(event, TraversalMessageReceived) else None
        ),
    }
    for number, event in enumerate(happens):
        if type(event) in methods:
            step = methods[type(event)](event)
            steps[f"{_NAMES[type(event)]} {number}"] = step
    return Subject(ProbeRound, make, steps, ends, fire=_step("timer"), once=frozenset({"begin"}))


_NAMES = {
    SocketOpened: "opened",
    SocketFailed: "failed",
    DatagramReceived: "received",
    TraversalMessageReceived: "said",
}


def _climb(now: float) -> Attempt:
    climb = Attempt(0, PHASES, knowledge(FIXED, RANDOM, IceRole.CONTROLLED, HostLimits()))
    climb.start(now, may_tell=False)
    return climb


def _give(event: PhaseEvent) -> Step:
    return lambda climb, now: climb.give(event, now)


def _climb_stops(run: Run) -> None:
    run.do(lambda climb, now: climb.stop("over", now))
    assert run.due is None and all(status.ended is not None for status in run.machine.statuses)


CLIMB = Subject(
    Attempt,
    _climb,
    {
        **{f"give {number}": _give(event) for number, event in enumerate((*_happens(4), *_happens(8)))},
        "permit": lambda climb, now: climb.permit(now),
        "relay_trouble": lambda climb, now: climb.relay_trouble(now),
    },
    _climb_stops,
    fire=_give(PhaseTimer()),
    once=frozenset({"start", "stop"}),
)


def _life_ends(run: Run) -> None:
    run.do(on(StartLifetimeProbe(STUN)))
    opened = [said.socket for said in run.said if isinstance(said, OpenSocket)][-len(SILENCES_S) :]
    for socket in opened:
        run.do(on(SocketOpened(socket, LOCAL)))
    run.wait(10.0)
    assert isinstance(run.said[-1], LifetimeMeasured) and run.due is None, "nobody has answered"
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
        LifeTimer(),
        *(SocketOpened(socket, LOCAL) for socket in range(6)),
        *(SocketFailed(socket, "gone") for socket in (0, 2)),
        *(DatagramReceived(socket, STUN[0], data) for socket in (0, 1) for data in RUBBISH),
    ),
    _life_ends,
    fire=on(LifeTimer()),
    events=LifetimeEvent,
)

HARD_SUBJECTS = (
    CLIMB,
    LIFE,
    *(_phase(kind, local, remote, role) for kind, local, remote in SIDES for role in IceRole),
    *(_round(*side) for side in SIDES),
)
