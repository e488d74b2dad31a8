"""app.network.nat_monitor: which profile belongs to which network, when it is measured, and that nobody waits for
it."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.network.nat_monitor import MAX_NETWORKS, SETTLE_S, KnownNats, NatWatch, network_key
from transport.ice.candidates import HostAddress
from transport.nat.profile import FRESH_S, Allocation, Filtering, Mapping, NatProfile
from transport.net.sockets import Address

STUN: tuple[Address, ...] = (("192.0.2.1", 7_851), ("192.0.2.2", 7_851))
HOME = (HostAddress("192.168.1.5", 24, "wlan0"),)
TRAIN = (HostAddress("10.9.0.7", 16, "wlan0"),)
CONE = NatProfile(
    Mapping.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_DEPENDENT, hairpin=True, reflexive=("198.51.100.1", 40_000)
)

BLOCK = NatProfile(
    Mapping.ADDRESS_AND_PORT_DEPENDENT,
    allocation=Allocation.BLOCK,
    block=(4_000, 4_900),
    reflexive=("198.51.100.1", 4_321),
)


def at(profile: NatProfile, now: float) -> NatProfile:
    return replace(profile, made_at=now)


def test_a_profile_is_kept_for_its_network_and_grows_old() -> None:
    known = KnownNats(HOME, 10.0)
    assert known.profile is None and known.is_due(10.0)
    known.learnt(at(CONE, 11.0), 11.0)
    assert known.profile == at(CONE, 11.0) and not known.is_due(11.0 + FRESH_S) and known.is_due(12.0 + FRESH_S)
    assert known.moved(TRAIN, 20.0) and known.profile is None and known.is_due(20.0)
    assert not known.moved(TRAIN, 21.0)
    known.learnt(at(NatProfile(udp_blocked=True), 22.0), 22.0)
    assert known.moved(HOME, 30.0) and known.profile == at(CONE, 11.0), "back at home it is known at once"


def test_what_was_begun_in_another_network_says_nothing_about_this_one() -> None:
    known = KnownNats(HOME, 0.0)
    known.moved(TRAIN, 20.0)
    known.learnt(at(CONE, 19.0), 21.0)
    known.learnt(None, 21.0)
    assert known.profile is None


def test_a_call_that_knows_less_takes_nothing_away() -> None:
    known = KnownNats(HOME, 0.0)
    known.learnt(at(CONE, 1.0), 1.0)
    known.learnt(NatProfile(Mapping.UNKNOWN, reflexive=("198.51.100.1", 41_000), made_at=100.0), 100.0)
    assert known.profile is not None and not known.is_due(100.0)
    assert (known.profile.mapping, known.profile.filtering) == (CONE.mapping, CONE.filtering)
    # Another outside address: the same addresses inside, and another network all the same.
    elsewhere = NatProfile(Mapping.UNKNOWN, reflexive=("203.0.113.9", 41_000), made_at=101.0)
    known.learnt(elsewhere, 101.0)
    assert known.profile == elsewhere


def test_the_order_of_addresses_is_no_other_network_and_a_loopback_is_none() -> None:
    two = (*HOME, HostAddress("2001:db8::5", 64, "wlan0"))
    assert network_key(two) == network_key((*reversed(two), HostAddress("127.0.0.1", 8, "lo")))
    assert network_key(HOME) != network_key(TRAIN)


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.floats(0, 100)), max_size=80))
def test_memory_is_bounded_and_the_network_that_we_are_in_is_never_forgotten(
    events: list[tuple[int, bool, float]],
) -> None:
    known, now = KnownNats(HOME, 0.0), 0.0
    for number, learns, later in events:
        now += later
        known.moved((HostAddress(f"10.0.{number}.1", 24, "eth0"),), now)
        if learns:
            known.learnt(at(CONE, now), now)
            assert known.profile is not None and not known.is_due(now)
        assert len(known._profiles) <= MAX_NETWORKS


# -- measuring


class Bench:
    """A watch whose measuring is held until it is let go, and a relay."""

    def __init__(self) -> None:
        self.asked: list[tuple[HostAddress, ...]] = []
        self.go = asyncio.Event()
        self.stun = STUN
        self.relay_ip = "192.0.2.1"
        self.changes = 0
        self.made = CONE
        self.silences = 0
        self.lives: asyncio.Queue[float | None] = asyncio.Queue()
        self.watch = NatWatch(
            HOME, lambda: (self.stun, self.relay_ip), self._changed, random.Random(1), self._measure, self._be_silent
        )

    def _changed(self) -> None:
        self.changes += 1

    async def _measure(
        self, stun: tuple[Address, ...], hosts: tuple[HostAddress, ...], rng: random.Random
    ) -> NatProfile:
        self.asked.append(hosts)
        assert stun == STUN
        await self.go.wait()
        return at(self.made, asyncio.get_running_loop().time())

    async def _be_silent(self, stun: tuple[Address, ...], rng: random.Random) -> float | None:
        self.silences += 1
        return await self.lives.get()


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time is moved by hand, in front of which nothing waits."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def within(scenario: Callable[[Bench, Clock], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Clock)
        bench = Bench()
        try:
            async with asyncio.timeout(10 * FRESH_S):
                await scenario(bench, loop)
        finally:
            await bench.watch.close()

    with asyncio.Runner(loop_factory=Clock) as runner:
        runner.run(main())


async def turns(loop: Clock, seconds: float = 0.0) -> None:
    loop.ahead += seconds
    for _ in range(10):
        await asyncio.sleep(0)


def test_it_is_measured_once_and_again_when_it_is_old() -> None:
    async def scenario(bench: Bench, loop: Clock) -> None:
        bench.watch.renew()
        bench.watch.renew()
        await turns(loop)
        assert bench.asked == [HOME] and bench.watch.profile is None, "whoever calls now does without"
        bench.go.set()
        await turns(loop)
        assert bench.watch.profile is not None and bench.changes == 1
        bench.watch.renew()
        await turns(loop, FRESH_S - 1)
        bench.watch.renew()
        await turns(loop)
        assert len(bench.asked) == 1
        await turns(loop, 2.0)
        bench.watch.renew()
        await turns(loop)
        assert len(bench.asked) == 2

    within(scenario)


def test_another_network_ends_a_measuring_and_begins_one() -> None:
    async def scenario(bench: Bench, loop: Clock) -> None:
        bench.watch.renew()
        await turns(loop)
        bench.watch.network_changed(TRAIN)
        await turns(loop)
        assert bench.asked == [HOME], "its addresses and routes come one after the other"
        bench.go.set()
        await turns(loop, SETTLE_S)
        assert bench.asked == [HOME, TRAIN]
        assert bench.watch.profile is not None
        bench.watch.network_changed(tuple(reversed(TRAIN)))
        await turns(loop, SETTLE_S)
        assert len(bench.asked) == 2

    within(scenario)


def test_without_a_relay_or_with_one_on_this_machine_nobody_is_asked() -> None:
    async def scenario(bench: Bench, loop: Clock) -> None:
        for stun, relay_ip in (((), ""), (STUN, "127.0.0.1"), (STUN, HOME[0].ip), (STUN, "::1")):
            bench.stun, bench.relay_ip = stun, relay_ip
            bench.watch.renew()
            await turns(loop)
        assert bench.asked == [] and bench.watch.profile is None
        bench.stun, bench.relay_ip = STUN, "192.0.2.1"
        bench.watch.renew()
        await turns(loop)
        assert bench.asked == [HOME]
        await bench.watch.close()
        bench.watch.renew()  # what a relay says while everything ends begins nothing

    within(scenario)


def test_how_long_mappings_live_is_found_out_once_where_ports_come_from_a_block() -> None:
    async def scenario(bench: Bench, loop: Clock) -> None:
        bench.go.set()
        bench.watch.renew()
        await turns(loop)
        assert bench.silences == 0, "of another NAT nobody wants to know"
        bench.made = BLOCK
        await turns(loop, FRESH_S + 1)
        bench.watch.renew()
        await turns(loop)
        assert bench.silences == 1 and bench.watch.profile is not None and bench.watch.profile.life_s is None
        changes = bench.changes
        bench.lives.put_nowait(31.0)
        await turns(loop)
        assert bench.watch.profile.life_s == 31.0 and bench.changes == changes + 1
        await turns(loop, FRESH_S + 1)
        bench.watch.renew()
        await turns(loop)
        assert bench.watch.profile.life_s == 31.0 and bench.silences == 1

    within(scenario)


def test_a_life_that_could_not_be_measured_is_left_alone_until_there_is_another_network() -> None:
    async def scenario(bench: Bench, loop: Clock) -> None:
        bench.go.set()
        bench.made = BLOCK
        bench.watch.renew()
        await turns(loop)
        bench.lives.put_nowait(None)
        await turns(loop, FRESH_S + 1)
        bench.watch.renew()
        await turns(loop)
        assert bench.silences == 1
        bench.watch.network_changed(TRAIN)
        await turns(loop)
        await turns(loop, SETTLE_S)
        assert bench.silences == 2
        bench.watch.network_changed(HOME)
        await turns(loop)
        bench.lives.put_nowait(25.0)
        await turns(loop)
        assert bench.watch.profile is not None and bench.watch.profile.life_s is None, "that was the train's silence"

    within(scenario)
