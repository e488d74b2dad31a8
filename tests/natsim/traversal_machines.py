"""The traversal's machines for ``test_all_machines.py``, each with what can happen to it."""

import random
from collections.abc import Callable
from typing import Any

from tests.natsim.machines import Run, Step, Subject, each, on, step
from transport.ice.candidates import CandidateKind, HostAddress, useful_hosts
from transport.ice.checklist import CheckList
from transport.ice.credentials import Credentials, make_credentials
from transport.ice.pacing import PacketBudget
from transport.ice.pairs import Schedule
from transport.ice.stun_client import StunClient
from transport.nat import profiler as tp
from transport.nat.filtering import FilteringProbe
from transport.nat.profile import Filtering, Mapping
from transport.nat.profiler import NatProfiler
from transport.net.machine import TimerFired
from transport.net.port_mapping import MappedPort
from transport.net.sockets import (
    Address,
    CloseSocket,
    DatagramReceived,
    OpenSocket,
    SendDatagram,
    SocketFailed,
    SocketOpened,
)
from transport.traversal import agent as tl
from transport.traversal import events, hole_punch, punch_round
from transport.traversal import round as rounds
from transport.traversal.agent import AgentConfig, TraversalAgent
from transport.traversal.context import TraversalContext
from transport.traversal.events import PortMappingsChanged, TraversalMessageReceived
from transport.traversal.hole_punch import HolePunch
from transport.traversal.punch_round import PunchRound
from transport.traversal.round import Round, RoundPlan, RoundResult
from transport.wire import stun
from transport.wire.call_messages import Candidates, Connect, ConnectAck, Sync, WireCandidate, WireProfile
from transport.wire.stun import Change, Check, IceRole

HOSTS = (HostAddress("192.168.1.20", 24, "eth0"), HostAddress("2001:db8:a::20", 64, "eth0"))
ELSEWHERE = (HostAddress("10.0.0.7", 24, "wlan0"),)
STUN = (("192.0.2.1", 3_478), ("192.0.2.2", 3_478), ("192.0.2.1", 3_479), ("2001:db8::1", 3_478))
LOCAL, OUTSIDE, PEER = ("192.168.1.20", 50_000), ("198.51.100.1", 4_000), ("203.0.113.1", 5_000)
MAPPED_PORT = MappedPort(25_000, (OUTSIDE[0], 25_001), "pcp", 5_000.0, is_public=True)
PINHOLE = MappedPort(25_000, (HOSTS[1].ip, 25_000), "pcp", 5_000.0, is_public=True)
THEIRS = make_credentials(random.Random(9))
LISTED = [
    WireCandidate("server-reflexive", *PEER, 1_677_729_535),
    WireCandidate("host", "192.168.1.30", 5_001, 2_130_706_431),
    WireCandidate("host", "2001:db8:b::30", 5_002, 2_130_706_175),
]
RUBBISH = (b"", b"\x00\x01" + bytes(18), b"\x01\x01" + bytes(30), stun.binding_request(b"x" * 12))


def _numbers() -> Callable[[], int]:
    return iter(range(10**9)).__next__


def _candidates(number: int, kind: str = "unknown") -> Candidates:
    profile = WireProfile(kind, "unknown", "unknown")  # type: ignore[arg-type]
    return Candidates(number, THEIRS.ufrag, THEIRS.password, LISTED, profile)


def _received() -> list[TraversalMessageReceived]:
    return [
        *(TraversalMessageReceived(_candidates(number)) for number in (0, 1, 2, 4, 9)),
        TraversalMessageReceived(_candidates(0, "address-and-port-dependent")),
        *(TraversalMessageReceived(kind(number)) for kind in (Connect, ConnectAck, Sync) for number in (0, 1, 2, 5)),
    ]


def _datagrams() -> list[DatagramReceived]:
    return [
        DatagramReceived(socket, source, data)
        for socket in (0, 1)
        for source in (STUN[0], PEER)
        for data in RUBBISH
    ]  # fmt: skip


def _sockets() -> list[SocketOpened | SocketFailed]:
    return [
        *(SocketOpened(socket, LOCAL) for socket in (0, 1, 2, 3, 4)),
        *(SocketOpened(socket, (LOCAL[0], MAPPED_PORT.internal_port)) for socket in (1, 2)),
        *(SocketFailed(socket, "gone") for socket in (0, 2)),
    ]


def _mapped() -> list[PortMappingsChanged]:
    return [PortMappingsChanged(()), PortMappingsChanged((MAPPED_PORT,)), PortMappingsChanged((MAPPED_PORT, PINHOLE))]


# -- the agent and its first technique


def _agent_stops(run: Run) -> None:
    run.do(on(events.Stop("over")))
    assert run.due is None and run.machine.state is tl.State.STOPPED
    assert run.do(on(events.Begin())) == []
    assert all(status.ended is not None for status in run.machine.phases())
    opened = [command.socket for command in run.commands if isinstance(command, OpenSocket)]
    closed = [command.socket for command in run.commands if isinstance(command, CloseSocket)]
    assert len(set(opened)) == len(opened) and len(set(closed)) == len(closed) and set(closed) <= set(opened)
    assert {command.socket for command in run.commands if isinstance(command, SendDatagram)} <= set(opened)


AGENT = Subject(
    TraversalAgent,
    lambda now: TraversalAgent(AgentConfig(True, STUN, HOSTS, _numbers()), random.Random(1)),
    {
        **each(
            *(
                events.Prepare(),
                events.Begin(),
                events.PathLost(),
                events.RelayTrouble(),
                events.RelayRoundTrip(0.08),
                TimerFired(),
            ),
            *(events.InterfacesChanged(()), events.InterfacesChanged(ELSEWHERE), events.Stop("over")),
            *_received(),
            *_sockets(),
            *_mapped(),
            *_datagrams(),
        ),
        "path_closed": lambda agent, now: agent.path_closed(0),
    },
    _agent_stops,
    fire=on(TimerFired()),
    events=events.AgentEvent,
)


def arrives(event: SocketOpened | SocketFailed | DatagramReceived) -> Step:
    """A step that gives ``event`` to the owner of its socket, as the agent does."""

    def step(machine: Any, now: float) -> None:
        sockets = machine.context.sockets
        owner = sockets.owner(event.socket)
        match event:
            case SocketOpened() if owner is not None:
                owner.opened(event, now)
            case SocketFailed() if owner is not None:
                sockets.forget(event.socket)
                owner.failed(event, now)
            case DatagramReceived() if owner is not None:
                owner.received(event, now)

    return step


def calls(method: str, *arguments: Any) -> Step:
    return lambda machine, now: getattr(machine, method)(*arguments, now)


def maps(ports: tuple[MappedPort, ...]) -> Step:
    def step(machine: Any, now: float) -> None:
        machine.context.mapped = ports
        machine.ports_mapped(now)

    return step


def from_sockets() -> dict[str, Step]:
    return {f"{type(event).__name__} {n}": arrives(event) for n, event in enumerate((*_sockets(), *_datagrams()))}


def _context(role: IceRole) -> TraversalContext:
    return TraversalContext(role, STUN, useful_hosts(HOSTS), _numbers(), random.Random(1), low_ttl=True)


def _punch(now: float) -> HolePunch:
    made = HolePunch(hole_punch.SPEC, _context(IceRole.CONTROLLED), 0, lambda run, found, now: None)
    made.start(now, may_send=False)
    return made


def technique_stops(run: Run) -> None:
    run.do(calls("stop", "over"))
    assert run.due is None and run.machine.status.ended is not None
    assert run.machine.status.packets <= run.machine.status.rounds * run.machine.spec.budget.packets * 2


PUNCH = Subject(
    HolePunch,
    _punch,
    {
        **{f"message {n}": calls("message", event.message) for n, event in enumerate(_received())},
        **{f"ports_mapped {n}": maps(event.ports) for n, event in enumerate(_mapped())},
        **from_sockets(),
        "permit": calls("permit"),
        "timer": calls("timer"),
    },
    technique_stops,
    fire=calls("timer"),
    once=frozenset({"start", "stop", "take"}),
)


# -- a round and its parts


class Technique:
    """Takes what comes of a round."""

    def __init__(self) -> None:
        self.results: list[RoundResult] = []

    def take(self, source: Round, result: RoundResult, now: float) -> None:
        self.results.append(result)


def _round(now: float) -> PunchRound:
    made = PunchRound(
        RoundPlan(_context(IceRole.CONTROLLING), 1, Technique(), punch_round.BUDGET),
        leads=True,
        stun=STUN,
        opener_ttl=2,
    )
    made.begin(now)
    return made


def _round_ends(run: Run) -> None:
    run.wait(10.0)
    assert run.machine.state is rounds.State.DONE and run.due is None and not run.machine.local


ROUND = Subject(
    PunchRound,
    _round,
    {
        **from_sockets(),
        **{f"message {n}": calls("message", event.message) for n, event in enumerate(_received())},
        **{f"ports_mapped {n}": maps(event.ports) for n, event in enumerate(_mapped())},
        "permit": calls("permit"),
        "timer": calls("timer"),
    },
    _round_ends,
    fire=calls("timer"),
    once=frozenset({"begin", "opened", "failed", "received"}),
)


def _checks(now: float) -> CheckList:
    ours = Credentials("oursours", "o" * 24)
    checks = CheckList(ours, IceRole.CONTROLLED, PacketBudget(punch_round.BUDGET), random.Random(1), 1)
    checks.add_socket(0, 4)
    checks.set_remote(THEIRS)
    times = (now, now + 0.1, now + 5.0)
    checks.add_remote([(CandidateKind.SERVER_REFLEXIVE, PEER, 5)], Schedule(times, times))
    return checks


def _from_peer(transaction: bytes, nomination: int, password: str = "o" * 24) -> bytes:
    check = Check(IceRole.CONTROLLING, 1, 1_853_824_767, True, nomination)
    return stun.connectivity_check(transaction, f"oursours:{THEIRS.ufrag}", password, check)


def _arrives(source: Address, data: bytes) -> Step:
    return lambda checks, now: checks.received(0, source, data, now)


def _stopped(run: Run) -> None:
    run.machine.stop()
    assert run.due is None
    assert run.machine.received(0, PEER, _from_peer(b"last" * 3, 1), run.clock.now + 60.0), "answered still"


CHECKS = Subject(
    CheckList,
    _checks,
    {
        **{f"received {number}": _arrives(PEER, data) for number, data in enumerate(RUBBISH)},
        **{f"received check {n}": _arrives(PEER, _from_peer(bytes([n]) * 12, n)) for n in (0, 1, 2)},
        "received elsewhere": _arrives(OUTSIDE, _from_peer(b"e" * 12, 0)),
        "received forged": _arrives(PEER, _from_peer(b"f" * 12, 9, "x" * 24)),
        "run": lambda checks, now: checks.run(now),
        "timer": lambda checks, now: checks.timer(now),
        "probe": lambda checks, now: checks.probe(0, CandidateKind.SERVER_REFLEXIVE, OUTSIDE, now),
        "openers": lambda checks, now: checks.openers(2, now),
        "remove_socket": lambda checks, now: checks.remove_socket(1),
        "remove_kind": lambda checks, now: checks.remove_kind(CandidateKind.SERVER_REFLEXIVE, 4),
    },
    _stopped,
    fire=lambda checks, now: checks.timer(now),
)


def _answered(made: StunClient, now: float) -> None:
    for sent in made.timer(now):
        made.received(sent.destination, stun.binding_success(stun.parse(sent.data), OUTSIDE), now)


def _all_asked(run: Run) -> None:
    run.wait(10.0)
    assert run.machine.done and run.due is None and len(run.machine.observations) <= run.machine.asked


QUERIES = Subject(
    StunClient,
    lambda now: StunClient(0, STUN[:3], PacketBudget(punch_round.BUDGET), random.Random(1), now),
    {
        "timer": lambda made, now: made.timer(now),
        "answered": _answered,
        **{
            f"received {number}": step(lambda made, now, data: made.received(STUN[0], data, now) and None, data)
            for number, data in enumerate(RUBBISH)
        },
    },
    _all_asked,
    fire=lambda made, now: made.timer(now),
)


OTHER_SERVER = ("192.0.2.2", 3_479)


def _filter_answered(change: Change) -> Callable[[FilteringProbe, float], None]:
    """Whatever has to be asked now is asked, and what asks for this change is answered from there."""
    origin = (OTHER_SERVER[0] if change.ip else STUN[0][0], OTHER_SERVER[1] if change.port else STUN[0][1])

    def answer(made: FilteringProbe, now: float) -> None:
        for sent in made.timer(now):
            asked = stun.parse(sent.data)
            if (asked.change or Change(ip=False, port=False)) == change:
                data = stun.binding_success(asked, OUTSIDE, other=OTHER_SERVER)
                made.received(origin, data, now)
                made.control_received(origin, data)

    return answer


def _filter_is_known(run: Run) -> None:
    run.wait(10.0)
    assert run.machine.done and run.machine.controlled and run.due is None
    # Not one answer came from an endpoint that lives: no silence is a filter then.
    assert run.machine.verdict(()).filtering in (Filtering.UNKNOWN, Filtering.ENDPOINT_INDEPENDENT)


FILTER = Subject(
    FilteringProbe,
    lambda now: FilteringProbe(0, STUN[0], PacketBudget(tp.BUDGET), random.Random(1), now),
    {
        "timer": lambda made, now: made.timer(now),
        **{
            f"received {change}": _filter_answered(change)
            for change in (Change(ip, port) for ip in (False, True) for port in (False, True))
        },
        **{
            f"received rubbish {number}": step(lambda made, now, data: made.received(STUN[0], data, now), data)
            for number, data in enumerate(RUBBISH)
        },
        **{
            f"control {mapping.value}": step(lambda made, now, m: made.control(1, m, now), mapping)
            for mapping in Mapping
        },
    },
    _filter_is_known,
    fire=lambda made, now: made.timer(now),
)


def _profile_is_made(run: Run) -> None:
    run.do(on(tp.StartProfiling(STUN, HOSTS, online=True)))
    for _ in range(2):
        # That of the filter, and that of the mappings.
        newest = [command.socket for command in run.commands if isinstance(command, OpenSocket)][-1]
        run.do(on(SocketOpened(newest, LOCAL)))
        run.wait(5.0)
    assert isinstance(run.commands[-2], tp.ProfileMade) and run.due is None
    run.do(on(tp.StopProfiling()))
    opened = [command.socket for command in run.commands if isinstance(command, OpenSocket)]
    failed_or_closed = [command.socket for command in run.commands if isinstance(command, CloseSocket)]
    assert set(failed_or_closed) <= set(opened)


PROFILER = Subject(
    NatProfiler,
    lambda now: NatProfiler(_numbers(), random.Random(1)),
    each(
        tp.StartProfiling(STUN, HOSTS, online=True),
        tp.StartProfiling((), (), online=False),
        tp.StopProfiling(),
        TimerFired(),
        *_sockets(),
        *_datagrams(),
    ),
    _profile_is_made,
    fire=on(TimerFired()),
    events=tp.ProfilerEvent,
)

TRAVERSAL_SUBJECTS = (AGENT, PUNCH, ROUND, CHECKS, QUERIES, FILTER, PROFILER)
