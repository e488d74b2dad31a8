"""The port mapper's machines for ``test_all_machines.py``, each with what can happen to it."""

import random
import struct
from typing import Any

from tests.natsim.machines import Run, Step, Subject, each, on
from transport.net.machine import TimerFired
from transport.net.sockets import CloseSocket, DatagramReceived, OpenSocket, SendDatagram, SocketFailed, SocketOpened
from transport.portmap import igd, pcp
from transport.portmap import igd_client as ig
from transport.portmap import mapper as pm
from transport.portmap import mapper_events as ev
from transport.portmap.client import State
from transport.portmap.natpmp_client import NatPmpClient, NatPmpTask
from transport.portmap.pcp_client import PcpClient, PcpTask

GATEWAY, LOCAL = ("192.168.1.1", 5_351), ("192.168.1.20", 40_000)
NONCE = random.Random(5).randbytes(pcp.NONCE_BYTES)
PORT = 25_000


def _pcp(
    opcode: int, result: int, lifetime_s: int, epoch_s: int, ip: str = "198.51.100.1", nonce: bytes = NONCE
) -> bytes:
    body = pcp.map_request("192.168.1.20", nonce, PORT, (ip, 25_001), 0)[24:] if opcode else b""
    return struct.pack("!BBBBII12x", 2, 0x80 | opcode, 0, result, lifetime_s, epoch_s) + body


PCP_ANSWERS = (
    _pcp(1, 0, 3_600, 100),
    _pcp(1, 0, 3_600, 5),
    _pcp(1, 0, 12, 100),
    _pcp(1, 0, 1, 100),
    _pcp(1, 0, 0, 100),
    _pcp(1, 0, 2**32 - 1, 2**32 - 1),
    _pcp(1, 0, 3_600, 100, "0.0.0.0"),
    _pcp(1, 0, 3_600, 100, "10.1.2.3"),
    _pcp(1, 0, 3_600, 100, nonce=bytes(12)),
    *(_pcp(1, result, 30, 100) for result in (1, 2, 7, 8, 11, 12, 77)),
    _pcp(0, 0, 0, 100),
    _pcp(0, 0, 0, 3),
    _pcp(0, 4, 0, 100),
    b"\x00\x81\x00\x01\x00\x00\x00\x01",
    b"",
    b"\xff" * 60,
)
NATPMP_ANSWERS = (
    *(
        struct.pack("!BBHI", 0, 128, 0, epoch) + bytes(ip)
        for epoch in (7, 900)
        for ip in ((198, 51, 100, 1), (10, 0, 0, 9))
    ),
    struct.pack("!BBHI", 0, 128, 0, 7) + bytes(4),
    struct.pack("!BBHI", 0, 128, 3, 7),
    *(
        struct.pack("!BBHIHHI", 0, 129, result, 7, internal, external, seconds)
        for result, internal, external, seconds in (
            (0, PORT, 25_001, 3_600),
            (0, PORT, 25_002, 12),
            (0, PORT, 25_001, 1),
            (0, PORT, 80, 3_600),
            (0, PORT, 0, 0),
            (0, 9, 25_001, 3_600),
            (2, PORT, 0, 0),
            (99, PORT, 0, 0),
        )
    ),
    b"",
    b"\x00\x80" + bytes(3),
)


def _client_step(method: str, *arguments: Any) -> Step:
    return lambda client, now: getattr(client, method)(*arguments, now)


def _client_steps(answers: tuple[bytes, ...]) -> dict[str, Step]:
    return {
        **{f"opened {socket}": _client_step("opened", SocketOpened(socket, LOCAL)) for socket in (1, 9)},
        **{f"failed {socket}": _client_step("failed", SocketFailed(socket, "gone")) for socket in (1, 9)},
        **{
            f"received {n}": _client_step("received", DatagramReceived(1, GATEWAY, data))
            for n, data in enumerate(answers)
        },
        "received from elsewhere": _client_step("received", DatagramReceived(1, ("192.168.1.9", 5_351), answers[0])),
        **{name: _client_step(name) for name in ("map", "check", "timer", "release")},
    }


def _client_is_released(run: Run) -> None:
    before = len(run.commands)
    run.do(_client_step("release"))
    run.wait(1.0)
    assert run.machine.state is State.RELEASED or not run.machine._is_open
    assert run.machine.lease is None or not run.machine._is_open
    assert sum(isinstance(command, SendDatagram) for command in run.commands[before:]) <= 3
    assert run.due is None and run.do(_client_step("map")) == []


def _client(made: Any) -> Any:
    assert isinstance(made.begin()[0], OpenSocket)
    return made


PCP = Subject(
    PcpClient,
    lambda now: _client(PcpClient(PcpTask(1, GATEWAY, "", PORT, NONCE), random.Random(1))),
    _client_steps(PCP_ANSWERS),
    _client_is_released,
    fire=_client_step("timer"),
)
NATPMP = Subject(
    NatPmpClient,
    lambda now: _client(NatPmpClient(NatPmpTask(1, GATEWAY, PORT, PORT), random.Random(1))),
    _client_steps(NATPMP_ANSWERS),
    _client_is_released,
    fire=_client_step("timer"),
)


def _igd_answer(make: Any) -> Step:
    """An answer to the question that is out, or to none."""

    def step(client: Any, now: float) -> Any:
        out = client.newest.number if getattr(client, "newest", None) is not None else 0
        return client.handle(make(out), now)

    return step


class _Igd(ig.IgdClient):
    """Remembers what it asked last, as whoever answers does."""

    newest: igd.IgdCommand | None = None

    def _ask(self, command: igd.IgdCommand, timeout_s: float, now: float) -> list[igd.IgdCommand]:
        self.newest = command
        assert not isinstance(command, igd.IgdAdd) or command.lease_s > 0, "a lease for ever"
        return super()._ask(command, timeout_s, now)


def _new_igd(now: float) -> _Igd:
    client = _Igd(ig.IgdTask("192.168.1.1", "192.168.1.20", PORT, PORT), random.Random(1))
    client.begin(now)
    return client


def _igd_is_released(run: Run) -> None:
    run.do(_client_step("release"))
    run.wait(1.0)
    assert run.machine.state is State.RELEASED and run.due is None and run.machine.lease is None
    assert run.do(_client_step("map")) == []


IGD = Subject(
    ig.IgdClient,
    _new_igd,
    {
        "handle found": _igd_answer(igd.IgdFound),
        "handle done": _igd_answer(igd.IgdDone),
        **{
            f"handle address {ip}": _igd_answer(lambda number, ip=ip: igd.IgdAddress(number, ip))
            for ip in ("198.51.100.1", "10.0.0.1", "0.0.0.0", "rubbish", "2001:db8::1")
        },
        **{
            f"handle entry {client} {seconds}": _igd_answer(
                lambda number, client=client, seconds=seconds: igd.IgdEntry(number, client, PORT, seconds)
            )
            for client in ("192.168.1.20", "192.168.1.66")
            for seconds in (3_600, 20, 1, 0)
        },
        **{
            f"handle failed {code}": _igd_answer(lambda number, code=code: igd.IgdFailed(number, code))
            for code in (0, 501, 606, 714, 718, 724, 725, 728, 729)
        },
        "drop_stale": lambda client, now: client.drop_stale(30_000, PORT, now),
        **{name: _client_step(name) for name in ("map", "check", "timer", "release")},
    },
    _igd_is_released,
    fire=_client_step("timer"),
    once=frozenset({"begin"}),
)


def _mapper(now: float) -> pm.PortMapper:
    before = ev.Remembered(26_000, NONCE, 26_000, "pcp", "192.168.1.1")
    made = pm.PortMapper(ev.MapperConfig(PORT, before), random.Random(5))
    return made


def _datagrams() -> list[DatagramReceived]:
    return [
        DatagramReceived(socket, GATEWAY, data)
        for socket, answers in ((1, PCP_ANSWERS), (2, NATPMP_ANSWERS), (3, PCP_ANSWERS[:4]))
        for data in answers
    ]


def _mapper_stops(run: Run) -> None:
    run.do(on(ev.StopMapping()))
    run.wait(1.0)
    assert run.due is None and isinstance(run.commands[-1], ev.MapperStopped)
    opened = [command.socket for command in run.commands if isinstance(command, OpenSocket)]
    assert set(opened) == {command.socket for command in run.commands if isinstance(command, CloseSocket)}
    assert run.do(on(ev.CheckMappings())) == []


MAPPER = Subject(
    pm.PortMapper,
    _mapper,
    each(
        ev.DefaultGateways("192.168.1.1", "192.168.1.20"),
        ev.DefaultGateways("192.168.1.1", "192.168.1.20", "fe80::1%eth0", "2001:db8:a::20"),
        ev.DefaultGateways(),
        ev.ReflexiveSeen("198.51.100.1"),
        ev.ReflexiveSeen("198.51.100.99"),
        ev.CheckMappings(),
        ev.GatewayAnnounced("192.168.1.1"),
        ev.GatewayAnnounced("192.168.1.66"),
        ev.StopMapping(),
        TimerFired(),
        *(SocketOpened(socket, LOCAL) for socket in (1, 2, 3, 4, 5)),
        *(SocketFailed(socket, "gone") for socket in (1, 2)),
        *_datagrams(),
        *(
            event
            for number in (1_000_001, 1_000_002, 1_000_003)
            for event in (
                igd.IgdFound(number),
                igd.IgdAddress(number, "198.51.100.1"),
                igd.IgdDone(number),
                igd.IgdEntry(number, "192.168.1.20", PORT, 3_600),
                igd.IgdFailed(number, 725),
            )
        ),
    ),
    _mapper_stops,
    fire=on(TimerFired()),
    events=ev.MapperEvent,
)

PORTMAP_SUBJECTS = (PCP, NATPMP, IGD, MAPPER)
