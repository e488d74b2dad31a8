"""The states of a port-mapping client, in virtual time and without a mapper: what each answer makes of it."""

from random import Random

import pytest

from tests.natsim.portmap_machines import GATEWAY, LOCAL, NATPMP_ANSWERS, NONCE, PCP_ANSWERS, PORT
from transport.net.sockets import CloseSocket, DatagramReceived, SendDatagram, SocketFailed, SocketOpened
from transport.portmap import igd, natpmp
from transport.portmap.client import MappingClient, State
from transport.portmap.igd_client import IgdClient, IgdTask
from transport.portmap.lease import MAX_RETRY_S, WATCH_EVERY_S
from transport.portmap.natpmp_client import NatPmpClient, NatPmpTask
from transport.portmap.pcp_client import PcpClient, PcpTask

GRANTED, DENIED = PCP_ANSWERS[0], PCP_ANSWERS[10]
PUBLIC, PRIVATE = NATPMP_ANSWERS[0], NATPMP_ANSWERS[4]
MAPPED, NOT_MAPPED = NATPMP_ANSWERS[6], NATPMP_ANSWERS[12]


def pcp_client(*answers: bytes) -> PcpClient:
    client = PcpClient(PcpTask(1, GATEWAY, "", PORT, NONCE), Random(1))
    return started(client, answers)


def natpmp_client(*answers: bytes) -> NatPmpClient:
    client = NatPmpClient(NatPmpTask(1, GATEWAY, PORT, PORT), Random(1))
    return started(client, answers)


def started(client, answers):  # type: ignore[no-untyped-def]
    client.begin()
    client.opened(SocketOpened(1, LOCAL), 0.0)
    for data in answers:
        hear(client, data)
    return client


def hear(client: PcpClient | NatPmpClient, data: bytes, now: float = 0.0) -> list[object]:
    return list(client.received(DatagramReceived(1, GATEWAY, data), now))


def run(client: PcpClient | NatPmpClient | IgdClient, until: float) -> float:
    """Nobody answers any more; fire what is due."""
    now = 0.0
    while (due := client.next_deadline()) is not None and due <= until:
        now = max(due, now + 1e-6)
        client.timer(now)
    return until


def igd_client(*answers: object, mapping: bool = True) -> IgdClient:
    client = IgdClient(IgdTask(GATEWAY[0], LOCAL[0], PORT, PORT), Random(1))
    client.begin(0.0)
    if mapping:
        client.map(0.0)
    for answer in answers:
        tell(client, answer)
    return client


def tell(client: IgdClient, answer: object, now: float = 0.0) -> None:
    """Answer the question under way: ``answer`` makes the event from its number."""
    asked = client._asked
    assert asked is not None and callable(answer)
    client.handle(answer(asked.number), now)


def address(number: int) -> igd.IgdAddress:
    return igd.IgdAddress(number, "198.51.100.1")


def entry(number: int) -> igd.IgdEntry:
    return igd.IgdEntry(number, LOCAL[0], PORT, 3_600)


def failed(code: int):  # type: ignore[no-untyped-def]
    return lambda number: igd.IgdFailed(number, code)


IGD_HELD = (igd.IgdFound, address, igd.IgdDone, entry)


def client_in(state: State) -> PcpClient | NatPmpClient:
    """A client in this state that has asked for a mapping, and whose gateway has answered before."""
    match state:
        case State.ASKING:
            client = pcp_client(GRANTED)
            client._request = b"under way"
            client.timer(3_600.0)
        case State.READY:
            client = natpmp_client(PUBLIC)
            client.map(0.0)
        case State.HELD:
            client = pcp_client(GRANTED)
        case State.REFUSED:
            client = natpmp_client(PUBLIC)
            client.map(0.0)
            hear(client, NOT_MAPPED)
        case State.SILENT:
            client = pcp_client(GRANTED)
            run(client, 4_000.0)
        case State.RELEASING:
            client = pcp_client(GRANTED)
            client.release(0.0)
        case _:
            client = pcp_client(DENIED)
            client.release(0.0)
    assert client.state is state, (client.state, state)
    return client


@pytest.mark.parametrize("state", State)
def test_whatever_was_mapped_is_given_back_and_then_nothing_is_done(state: State) -> None:
    client = client_in(state)
    was_leaving = client.is_leaving
    sent = [command for command in client.release(5_000.0) if isinstance(command, SendDatagram)]
    assert bool(sent) is not was_leaving, "asks for the deletion, once"
    run(client, 6_000.0)
    assert client.state is State.RELEASED and client.lease is None and client.next_deadline() is None
    assert client.map(6_000.0) == client.timer(6_000.0) == client.check(6_000.0) == []


def test_what_never_was_mapped_is_given_back_at_once() -> None:
    asking, ready, refused, silent = natpmp_client(), natpmp_client(PUBLIC), pcp_client(DENIED), natpmp_client()
    run(silent, 200.0)
    clients = (asking, ready, refused, silent)
    assert [client.state for client in clients] == [State.ASKING, State.READY, State.REFUSED, State.SILENT]
    for client in clients:
        assert client.release(200.0) == [CloseSocket(1)] and client.state is State.RELEASED
    unheard = pcp_client()
    assert [type(command) for command in unheard.release(0.0)] == [SendDatagram, CloseSocket]


def test_the_external_address_makes_it_ready_from_wherever_it_was() -> None:
    client = natpmp_client(PUBLIC)
    assert client.state is State.READY and client.reason == ""
    client = natpmp_client(PRIVATE)
    assert (client.state, client.reason) == (State.REFUSED, "no-external-address")
    hear(client, PUBLIC)
    assert client.state is State.READY
    client = natpmp_client()
    run(client, 200.0)
    assert (client.state, client.reason) == (State.SILENT, "silent")
    hear(client, PUBLIC)
    assert client.state is State.READY


def test_a_lease_is_granted_from_wherever_it_was() -> None:
    assert pcp_client(GRANTED).state is State.HELD
    client = natpmp_client(PUBLIC)
    client.map(0.0)
    hear(client, MAPPED)
    assert client.state is State.HELD and client.lease is not None
    client = pcp_client(DENIED)
    client.timer(MAX_RETRY_S)
    assert client.state is State.REFUSED
    hear(client, GRANTED, MAX_RETRY_S)
    assert client.state is State.HELD and client.reason == ""
    client = pcp_client()
    run(client, 100.0)
    assert client.state is State.SILENT
    hear(client, GRANTED, 100.0)
    assert client.state is State.HELD


def test_a_gateway_that_is_silent_or_refuses_are_different_things() -> None:
    client = pcp_client()
    hear(client, DENIED)
    assert (client.state, client.reason) == (State.REFUSED, "not-authorized")
    client.timer(MAX_RETRY_S)
    run(client, 2 * MAX_RETRY_S)
    assert (client.state, client.reason) == (State.REFUSED, "not-authorized"), "its last answer stays"
    client = natpmp_client(PUBLIC)
    client.map(0.0)
    run(client, 200.0)
    assert client.state is State.SILENT
    hear(client, PRIVATE)
    assert client.state is State.REFUSED
    client = natpmp_client(PUBLIC)
    hear(client, PRIVATE)
    assert client.state is State.REFUSED


def test_a_lease_ends_when_the_gateway_falls_silent_or_its_socket_is_gone() -> None:
    client = pcp_client(GRANTED)
    client._request = b"under way"
    client.timer(3_600.0)
    assert (client.state, client.lease, client.reason) == (State.ASKING, None, "silent")
    client = pcp_client(GRANTED)
    client.failed(SocketFailed(1, "gone"), 1.0)
    assert (client.state, client.lease, client.reason) == (State.SILENT, None, "no-socket")


def test_a_lost_lease_that_is_refused_is_refused() -> None:
    client = natpmp_client(PUBLIC)
    client.map(0.0)
    hear(client, MAPPED)
    client.timer(WATCH_EVERY_S)
    hear(client, PRIVATE, WATCH_EVERY_S)
    assert (client.state, client.lease) == (State.REFUSED, None)


def test_upnp_goes_through_the_same_states() -> None:
    client = igd_client(mapping=False)
    assert client.state is State.ASKING
    tell(client, igd.IgdFound)
    tell(client, address)
    assert client.state is State.READY
    client.map(0.0)
    tell(client, igd.IgdDone)
    tell(client, entry)
    assert client.state is State.HELD
    # Somebody else has the port now: it is lost, and another one is asked for.
    client.check(1.0)
    tell(client, address, 1.0)
    tell(client, failed(igd.NO_SUCH_ENTRY), 1.0)
    assert (client.state, client.lease) == (State.READY, None) and isinstance(client._asked, igd.IgdAdd)
    assert igd_client(failed(0)).state is State.SILENT
    assert igd_client(igd.IgdFound, failed(501)).state is State.REFUSED
    assert igd_client(*IGD_HELD).state is State.HELD


def test_upnp_is_given_back() -> None:
    client: MappingClient = igd_client(*IGD_HELD)
    assert isinstance(client, IgdClient)
    [command] = client.release(0.0)
    assert isinstance(command, igd.IgdDelete) and client.state is State.RELEASING
    tell(client, igd.IgdDone)
    assert client.state is State.RELEASED
    never = igd_client()
    assert never.release(0.0) == [] and never.state is State.RELEASED
    assert GATEWAY[1] == natpmp.SERVER_PORT
