"""transport.io.nat_measurement with real sockets on loopback."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from tests.unit.transport.io.stun_places import See, stun_places
from transport.ice.candidates import HostAddress
from transport.io import runner
from transport.io.nat_measurement import measure_life, measure_profile
from transport.nat.profile import Allocation, Mapping, NatKind, NatProfile
from transport.net.sockets import Address

TWO_BY_THREE = ("127.0.0.2", "127.0.0.3") * 3
OUTSIDE = "203.0.113.7"
HOSTS = (HostAddress("192.168.1.5", 24, "eth0"),)


def measured(places: Sequence[str], see: See, hosts: tuple[HostAddress, ...] = HOSTS) -> NatProfile:
    async def main() -> NatProfile:
        async with asyncio.timeout(10), stun_places(places, see) as endpoints:
            return await measure_profile(endpoints, hosts, random.Random(1), online=True)

    return asyncio.run(main())


def counted(number: int, source: Address) -> Address:
    return OUTSIDE, 40_000 + 2 * number


def kept(number: int, source: Address) -> Address:
    return OUTSIDE, source[1]


def test_a_router_that_counts_is_a_symmetric_one_with_its_step() -> None:
    profile = measured(TWO_BY_THREE, counted)
    assert profile.kind is NatKind.SYMMETRIC_SEQUENTIAL
    assert (profile.mapping, profile.delta) == (Mapping.ADDRESS_AND_PORT_DEPENDENT, 2)
    assert profile.reflexive == (OUTSIDE, 40_000) and len(profile.evidence) == len(TWO_BY_THREE)


def test_an_outside_address_that_cannot_be_is_not_believed() -> None:
    profile = measured(TWO_BY_THREE, lambda number, source: ("127.0.0.1", source[1]))
    assert profile.suspicious and profile.kind is NatKind.UNKNOWN


def test_an_address_that_is_ours_is_no_nat() -> None:
    profile = measured(TWO_BY_THREE, kept, hosts=(HostAddress(OUTSIDE, 24, "eth0"),))
    assert profile.kind is NatKind.NO_NAT


def test_one_endpoint_tells_no_mapping() -> None:
    profile = measured(("127.0.0.2",), kept)
    assert (profile.kind, profile.mapping) == (NatKind.UNKNOWN, Mapping.UNKNOWN)
    assert profile.allocation is Allocation.PRESERVING and "mapping" in profile.unknowns
    assert profile.reflexive is not None and len(profile.evidence) == 1


def test_nobody_to_ask_and_no_socket_end_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured((), counted).kind is NatKind.UNKNOWN

    def refuse(*_: object, **options: object) -> None:
        raise OSError("no sockets left")

    async def without_sockets() -> NatProfile:
        async with asyncio.timeout(1):
            return await measure_profile((("127.0.0.2", 9),), HOSTS, random.Random(1), online=True)

    monkeypatch.setattr(runner, "UdpSocket", refuse)
    assert asyncio.run(without_sockets()).kind is NatKind.UNKNOWN


def test_cancelling_closes_the_socket() -> None:
    """What is left open fails the test (tests/conftest.py)."""

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await measure_profile((("127.0.0.2", 9),), HOSTS, random.Random(1), online=True)

    asyncio.run(main())


@pytest.mark.slow
def test_silence_of_several_is_blocked_udp() -> None:
    async def main() -> NatProfile:
        silent = (("127.0.0.2", 9), ("127.0.0.3", 9))
        return await measure_profile(silent, HOSTS, random.Random(1), online=True)

    assert asyncio.run(main()).kind is NatKind.UDP_BLOCKED


def test_silence_is_kept_in_the_background_and_ends_when_it_is_not_wanted_any_more() -> None:
    """What is left open fails the test (tests/conftest.py)."""

    async def main() -> None:
        assert await measure_life((), random.Random(1)) is None, "nobody to ask"
        async with stun_places(TWO_BY_THREE, counted) as endpoints:
            keeping = asyncio.create_task(measure_life(endpoints, random.Random(1)))
            await asyncio.sleep(0.2)
            assert not keeping.done()
            keeping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await keeping

    asyncio.run(main())
