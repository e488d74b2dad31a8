"""Answers from another address and port (RFC 5780): only from sockets that the relay has, only to who asked."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import RelayError
from relay.legs import LegTable, Source
from relay.limits import Limiter, RelayLimits
from relay.media_port import DatagramHandler
from relay.stun_origins import Origins
from tests.unit.relay.live import Udp, running
from transport.net.sockets import Address
from transport.net.token_bucket import Rate
from transport.wire import stun
from transport.wire.stun import Change

TWO_BY_TWO: tuple[Address, ...] = (("192.0.2.1", 7851), ("192.0.2.2", 7851), ("192.0.2.1", 7852), ("192.0.2.2", 7852))
SIX: tuple[Address, ...] = (("2001:db8::1", 7851), ("2001:db8::1", 7852))
ASKER: Address = ("198.51.100.7", 4_000)
CHANGES = [Change(ip, port) for ip in (False, True) for port in (False, True)]


def handler(endpoints: tuple[Address, ...], burst: float = 1e9) -> DatagramHandler:
    limits = RelayLimits(stun=Rate(burst, 1.0))
    return DatagramHandler(LegTable(limits.leg_packets, b"secret"), Limiter(limits), Origins(endpoints))


def ask(
    endpoints: tuple[Address, ...], number: int, change: Change | None, asker: Address = ASKER
) -> tuple[Address, stun.StunMessage, int] | None:
    """Where the answer leaves from, what it says and how long it is."""
    outgoing = handler(endpoints).question(stun.question(b"q" * 12, change), (number, asker), 0.0)
    if not outgoing:
        return None
    [((leaving, target), data)] = outgoing
    assert target == asker, "never to anybody else"
    answer = stun.parse(bytes(data))
    assert answer.mapped == asker and answer.transaction_id == b"q" * 12
    return endpoints[leaving], answer, len(data)


def test_what_is_asked_to_change_changes_and_nothing_else() -> None:
    for number, (host, port) in enumerate(TWO_BY_TWO):
        for change in CHANGES:
            answered = ask(TWO_BY_TWO, number, change)
            assert answered is not None
            origin, answer, _ = answered
            assert (origin[0] != host, origin[1] != port) == (change.ip, change.port)
            assert answer.raw.attributes["RESPONSE-ORIGIN"] == origin
            assert answer.other is not None and answer.other[0] != host and answer.other[1] != port


@pytest.mark.parametrize("unspecified", [("0.0.0.0", "198.51.100.7"), ("::", "2001:db8::7")])
def test_with_one_address_only_the_port_can_be_changed(unspecified: tuple[str, str]) -> None:
    host, asker = unspecified
    endpoints = ((host, 7851), (host, 7852))
    changed = ask(endpoints, 0, Change(ip=False, port=True), (asker, 4_000))
    assert changed is not None and changed[0] == (host, 7852)
    # It does not know by which of its addresses it is known, and says so.
    assert changed[1].other == (host, 7852) and "RESPONSE-ORIGIN" not in changed[1].raw.attributes
    for change in (Change(ip=True, port=False), Change(ip=True, port=True)):
        assert ask(endpoints, 0, change, (asker, 4_000)) is None, "an answer from elsewhere would be a lie"


def test_with_one_socket_nothing_is_announced_and_nothing_changes() -> None:
    plain = ask(TWO_BY_TWO[:1], 0, None)
    assert plain is not None and plain[1].other is None
    assert all(ask(TWO_BY_TWO[:1], 0, change) is None for change in CHANGES[1:])


def test_an_address_of_the_other_family_is_no_other_address() -> None:
    mixed = (*TWO_BY_TWO[::2], *SIX)
    assert ask(mixed, 0, Change(ip=True, port=False)) is None
    six = ask(mixed, 2, Change(ip=False, port=True), ("2001:db8::7", 5_000))
    assert six is not None and six[0] == SIX[1]


@pytest.mark.parametrize("change", [None, *CHANGES])
@pytest.mark.parametrize("endpoints", [TWO_BY_TWO, SIX])
def test_no_answer_to_such_a_question_is_longer_than_it(endpoints: tuple[Address, ...], change: Change | None) -> None:
    asker = ("2001:db8::7", 5_000) if endpoints is SIX else ASKER
    assert len(stun.question(b"q" * 12, change)) == stun.QUESTION_BYTES
    answered = ask(endpoints, 0, change, asker)
    assert answered is None or answered[2] <= stun.QUESTION_BYTES


def test_short_questions_cannot_be_made_use_of() -> None:
    """What ordinary STUN clients send is answered as ever, from where it was asked and with nothing more."""
    relay = handler(TWO_BY_TWO)
    for data in (stun.binding_request(b"s" * 12), b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"s" * 12):
        [((number, target), answer)] = relay.question(data, (2, ASKER), 0.0)
        assert (number, target, len(answer)) == (2, ASKER, 40)
        assert stun.parse(bytes(answer)).other is None
    change_alone = b"\x00\x01\x00\x08\x21\x12\xa4\x42" + b"c" * 12 + b"\x00\x03\x00\x04\x00\x00\x00\x06"
    assert stun.parse(change_alone).change == Change(ip=True, port=True)
    assert relay.question(change_alone, (2, ASKER), 0.0) == []
    assert relay.stun == {"answered": 2, "unchangeable": 1}


def test_changes_are_rationed_like_all_questions_and_the_media_port_changes_as_well() -> None:
    relay = handler(TWO_BY_TWO, 3)
    request = stun.question(b"q" * 12, Change(ip=True, port=True))
    neighbours: list[Source] = [(0, (f"198.51.100.{number}", 4_000)) for number in range(5)]
    assert [len(relay.media(request, source, 0.0)) for source in neighbours] == [1, 1, 1, 0, 0]


@given(
    st.integers(0, 9),
    st.lists(
        st.tuples(st.sampled_from(["192.0.2.1", "192.0.2.2", "::", "2001:db8::1"]), st.integers(1, 4)), max_size=9
    ),
    st.integers(0, 2**32 - 1),
)
def test_no_flags_and_no_set_of_sockets_lead_elsewhere(number: int, endpoints: list[Address], flags: int) -> None:
    parsed = stun.parse(
        b"\x00\x01\x00\x08\x21\x12\xa4\x42" + b"c" * 12 + b"\x00\x03\x00\x04" + flags.to_bytes(4, "big")
    )
    assert parsed.change == Change(ip=bool(flags & 4), port=bool(flags & 2))
    origins = Origins(endpoints)
    changed = origins.changed(number, parsed.change)
    if changed is not None:
        one, other = endpoints[number], endpoints[changed]
        assert (one[0] != other[0], one[1] != other[1]) == (parsed.change.ip, parsed.change.port)
        assert (":" in one[0]) == (":" in other[0])
    assert origins.other(number) is None or origins.other(number) in endpoints


def test_a_running_relay_answers_from_its_other_address_and_port(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, binds=("127.0.0.1", "127.0.0.2"), stun_ports=(0,)) as (relay, ready):
            with Udp() as udp:
                loop = asyncio.get_running_loop()
                for change in CHANGES:
                    udp._socket.sendto(stun.question(b"t" * 12, change), ("127.0.0.2", ready.media_port))
                    async with asyncio.timeout(5):
                        data, (host, port) = await loop.sock_recvfrom(udp._socket, 2_048)
                    assert (host != "127.0.0.2", port != ready.media_port) == (change.ip, change.port)
                    assert stun.parse(data).mapped == udp.address
            assert relay.snapshot()["stun_total"] == {"answered": 4}

    asyncio.run(main())


def test_without_a_word_of_the_operator_two_ports_serve_stun_beside_the_media_port(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as (_, ready):
            assert len({port for _, port in ready.stun}) == 3

    asyncio.run(main())


def test_a_port_that_is_taken_keeps_no_relay_from_starting(tmp_path: Path) -> None:
    async def main() -> None:
        for attempt in range(20):
            with Udp() as other:
                taken = other.address[1]
                # Control, media, and then this one; another program may have the first two.
                with contextlib.suppress(RelayError):
                    async with running(tmp_path / str(attempt), port=taken - 2) as (_, ready):
                        assert taken not in {port for _, port in ready.stun}
                        assert ready.media_port == taken - 1
                        return
        pytest.fail("no two free ports in a row in twenty attempts")

    asyncio.run(main())
